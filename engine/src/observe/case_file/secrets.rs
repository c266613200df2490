//! Takes secrets out of a whole document: every text in it, and what stands under the name of a secret.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::observe::values::hidden;

/// The same document without secrets.
///
/// # Errors
/// The document does not come back from its JSON form: a fault in its types.
pub(super) fn without_secrets<T: Serialize + DeserializeOwned>(document: &T) -> Result<T, serde_json::Error> {
    let mut value = serde_json::to_value(document)?;
    clean(None, &mut value);
    serde_json::from_value(value)
}

fn clean(name: Option<&str>, value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Some(shown) = hidden(name, text) {
                *text = shown;
            }
        }
        // What a list has under a name, each of its parts has.
        Value::Array(parts) => parts.iter_mut().for_each(|part| clean(name, part)),
        Value::Object(fields) => fields.iter_mut().for_each(|(name, value)| clean(Some(name), value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_stands_under_the_name_of_a_secret_goes_whatever_it_looks_like() {
        let document = json!({
            "fields": {"password": "two words", "host": "http://ada:pw@db/", "token": ""},
            "list": ["api_key: \"k\"", 7],
        });
        let shown: Value = without_secrets(&document).expect("the same form");
        let expected = json!({
            "fields": {"password": "[redacted]", "host": "http://[redacted]@db/", "token": ""},
            "list": ["api_key: \"[redacted]\"", 7],
        });
        assert_eq!(shown, expected);
    }
}
