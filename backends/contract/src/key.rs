//! Names and ids. All are checked when made, also when read from a store, so that no hostile text gets past here.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::limits::ID_BYTES_MAX;

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {text:?} is refused: {why}")]
pub struct IdError {
    what: &'static str,
    text: String,
    why: &'static str,
}

fn check(what: &'static str, text: &str) -> Result<(), IdError> {
    let why = if text.is_empty() {
        "it is empty"
    } else if text.len() > ID_BYTES_MAX {
        "it is longer than 128 bytes"
    } else if text == "." || text == ".." {
        "it means a folder in paths"
    } else if !text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-')) {
        "only ASCII letters, digits, '.', '_' and '-' are allowed"
    } else {
        return Ok(());
    };
    // The text may be hostile and of any size: `{:?}` escapes it, and only its start is kept.
    Err(IdError { what, text: text.chars().take(64).collect(), why })
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        ///
        /// 1 to 128 ASCII letters, digits, `.`, `_` and `-`; not `.` or `..`.
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes the text as an id.
            ///
            /// # Errors
            /// [`IdError`] says what is wrong with it.
            pub fn new(text: impl AsRef<str>) -> Result<Self, IdError> {
                let text = text.as_ref();
                check($what, text)?;
                Ok(Self(Arc::from(text)))
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
                Self::new(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

id! {
    /// Whose run it is. Part of every key: one tenant's key never reaches another tenant's run.
    TenantId, "tenant id"
}
id! {
    /// Names one run within its tenant.
    RunId, "run id"
}
id! {
    /// Names one worker: a process, for as long as it lives.
    WorkerId, "worker id"
}
id! {
    /// Names one message within its run; a message is delivered once per id.
    MessageId, "message id"
}
id! {
    /// The name of a workflow, a queue, a step, a kind of message or a tag.
    Name, "name"
}

impl Default for TenantId {
    /// The tenant of programs that have only one: `default`.
    fn default() -> Self {
        Self(Arc::from("default"))
    }
}

/// The full name of a run: tenant and run id.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RunKey {
    /// Whose run it is.
    pub tenant: TenantId,
    /// Which of the tenant's runs.
    pub run: RunId,
}

impl RunKey {
    /// The key of `run` of `tenant`.
    #[must_use]
    pub fn new(tenant: TenantId, run: RunId) -> Self {
        Self { tenant, run }
    }

    /// The key of a run of the default tenant, by its id.
    ///
    /// # Errors
    /// [`IdError`]: the text is no id.
    pub fn of(run: &str) -> Result<Self, IdError> {
        Ok(Self::new(TenantId::default(), RunId::new(run)?))
    }
}

/// As it is shown: `tenant/run`, or the id of a run of the default tenant.
impl FromStr for RunKey {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        match text.split_once('/') {
            Some((tenant, run)) => Ok(Self::new(TenantId::new(tenant)?, RunId::new(run)?)),
            None => Self::of(text),
        }
    }
}

impl fmt::Display for RunKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.tenant, self.run)
    }
}

impl fmt::Debug for RunKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_ids_are_refused_with_a_reason() {
        let long = "a".repeat(129);
        for text in ["", ".", "..", "../etc", "a/b", "a\\b", "a\0b", "a b", "ü", "a\nb", "\u{202e}x", &long]
        {
            let error = RunId::new(text).expect_err(text);
            assert!(error.to_string().starts_with("run id "), "{error}");
        }
        assert!(RunId::new("a".repeat(128)).is_ok());
        assert!(RunId::new("order-1042_v1.0").is_ok());
    }

    #[test]
    fn a_key_is_read_back_from_what_is_shown_and_checked() {
        let key: RunKey = "acme/order-7".parse().expect("a key");
        assert_eq!((key.tenant.as_str(), key.run.as_str()), ("acme", "order-7"));
        assert_eq!(key.to_string().parse(), Ok(key));
        assert_eq!("order-7".parse(), RunKey::of("order-7"));
        for text in ["", "/order-7", "acme/", "a/b/c", "../order-7"] {
            text.parse::<RunKey>().expect_err(text);
        }
    }

    #[test]
    fn an_id_read_from_json_is_checked_too() {
        assert!(serde_json::from_str::<RunId>("\"../x\"").is_err());
        assert_eq!(serde_json::from_str::<RunId>("\"x\"").expect("valid").as_str(), "x");
    }
}
