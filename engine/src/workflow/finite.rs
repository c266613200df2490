//! Values as JSON, without losing what JSON has no word for: a number that is not finite would silently become `null`.

use std::fmt::{self, Display};

use serde::ser::{self, Serialize, Serializer};
use stepwell_contract::{Payload, PayloadError};

/// The value as JSON text.
///
/// # Errors
/// As for [`Payload::encode`]; [`PayloadError::Json`] also when a number in it is not finite.
pub(crate) fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Payload, PayloadError> {
    let payload = Payload::encode(value)?;
    // Only a text that has the word can hold such a number; most have not, and pay for nothing more than this look.
    if payload.text().contains("null")
        && let Err(found) = value.serialize(Finder)
    {
        return Err(PayloadError::Json(ser::Error::custom(found)));
    }
    Ok(payload)
}

/// A number that is not finite, and where it is, from the inside out.
#[derive(Debug)]
struct NotFinite {
    number: String,
    path: Vec<String>,
}

impl NotFinite {
    fn inside(mut self, segment: impl FnOnce() -> String) -> Self {
        self.path.push(segment());
        self
    }
}

impl Display for NotFinite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            f.write_str("it")?;
        }
        for (nth, segment) in self.path.iter().rev().enumerate() {
            // A place in a list follows what it is in without a dot.
            let dot = if nth == 0 || segment.starts_with('[') { "" } else { "." };
            write!(f, "{dot}{segment}")?;
        }
        write!(f, " is {}, for which JSON has no word: use an `Option` or another type", self.number)
    }
}

impl std::error::Error for NotFinite {}

impl ser::Error for NotFinite {
    fn custom<T: Display>(message: T) -> Self {
        Self { number: message.to_string(), path: Vec::new() }
    }
}

type Found = Result<(), NotFinite>;

/// Looks through a value and writes nothing.
struct Finder;

/// Looks through the parts of a value.
#[derive(Default)]
struct Parts {
    index: usize,
    key: Option<String>,
}

impl Parts {
    fn item<T: Serialize + ?Sized>(&mut self, value: &T) -> Found {
        let index = self.index;
        self.index += 1;
        value.serialize(Finder).map_err(|found| found.inside(|| format!("[{index}]")))
    }

    fn field<T: Serialize + ?Sized>(&mut self, key: &str, value: &T) -> Found {
        value.serialize(Finder).map_err(|found| found.inside(|| key.to_owned()))
    }
}

/// `method(types…)` for what holds no such number.
macro_rules! harmless {
    ($($method:ident($($type:ty),*);)*) => {
        $(fn $method(self, $(_: $type),*) -> Found { Ok(()) })*
    };
}

/// `method(types…) -> Part` for what has parts.
macro_rules! compound {
    ($($method:ident($($type:ty),*) -> $part:ident;)*) => {
        $(
            type $part = Parts;
        )*
        $(fn $method(self, $(_: $type),*) -> Result<Parts, NotFinite> { Ok(Parts::default()) })*
    };
}

impl Serializer for Finder {
    type Ok = ();
    type Error = NotFinite;

    harmless! {
        serialize_bool(bool);
        serialize_i8(i8);
        serialize_i16(i16);
        serialize_i32(i32);
        serialize_i64(i64);
        serialize_i128(i128);
        serialize_u8(u8);
        serialize_u16(u16);
        serialize_u32(u32);
        serialize_u64(u64);
        serialize_u128(u128);
        serialize_char(char);
        serialize_str(&str);
        serialize_bytes(&[u8]);
        serialize_none();
        serialize_unit();
        serialize_unit_struct(&'static str);
        serialize_unit_variant(&'static str, u32, &'static str);
    }

    compound! {
        serialize_seq(Option<usize>) -> SerializeSeq;
        serialize_tuple(usize) -> SerializeTuple;
        serialize_tuple_struct(&'static str, usize) -> SerializeTupleStruct;
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> SerializeTupleVariant;
        serialize_map(Option<usize>) -> SerializeMap;
        serialize_struct(&'static str, usize) -> SerializeStruct;
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> SerializeStructVariant;
    }

    fn serialize_f32(self, number: f32) -> Found {
        self.serialize_f64(f64::from(number))
    }

    fn serialize_f64(self, number: f64) -> Found {
        if number.is_finite() { Ok(()) } else { Err(ser::Error::custom(number)) }
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Found {
        value.serialize(self)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Found {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Found {
        Parts::default().field(variant, value)
    }
}

/// `trait: method` for parts without names.
macro_rules! items {
    ($($kind:ident: $method:ident;)*) => {
        $(impl ser::$kind for Parts {
            type Ok = ();
            type Error = NotFinite;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Found {
                self.item(value)
            }

            fn end(self) -> Found {
                Ok(())
            }
        })*
    };
}

items! {
    SerializeSeq: serialize_element;
    SerializeTuple: serialize_element;
    SerializeTupleStruct: serialize_field;
    SerializeTupleVariant: serialize_field;
}

/// `trait` for parts with names.
macro_rules! fields {
    ($($kind:ident;)*) => {
        $(impl ser::$kind for Parts {
            type Ok = ();
            type Error = NotFinite;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Found {
                self.field(key, value)
            }

            fn end(self) -> Found {
                Ok(())
            }
        })*
    };
}

fields! {
    SerializeStruct;
    SerializeStructVariant;
}

impl ser::SerializeMap for Parts {
    type Ok = ();
    type Error = NotFinite;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Found {
        // Only to tell where: a key that has no JSON form was refused before.
        self.key = serde_json::to_value(key).ok().map(|key| match key {
            serde_json::Value::String(key) => key,
            other => other.to_string(),
        });
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Found {
        let key = self.key.take().unwrap_or_default();
        self.field(&key, value)
    }

    fn end(self) -> Found {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Serialize;

    use super::*;

    #[derive(Serialize, Default)]
    struct Report {
        name: Option<String>,
        shares: Vec<f64>,
        by_town: BTreeMap<String, (u8, f32)>,
        inner: Option<Box<Report>>,
        raw: Option<Box<serde_json::value::RawValue>>,
    }

    fn refused(value: &impl Serialize) -> String {
        encode(value).expect_err("not finite").to_string()
    }

    #[test]
    fn a_number_that_is_not_finite_is_refused_and_its_place_is_told() {
        assert!(
            refused(&f64::NAN).starts_with("it is NaN, for which JSON has no word"),
            "{}",
            refused(&f64::NAN)
        );
        let mut report = Report { shares: vec![0.5, f64::INFINITY], ..Report::default() };
        assert!(refused(&report).starts_with("shares[1] is inf,"), "{}", refused(&report));
        report.shares.clear();
        report.by_town.insert("Agra".to_owned(), (1, f32::NEG_INFINITY));
        let outer = Report { inner: Some(Box::new(report)), ..Report::default() };
        assert!(refused(&outer).starts_with("inner.by_town.Agra[1] is -inf,"), "{}", refused(&outer));
    }

    #[test]
    fn what_has_a_json_form_is_kept_as_it_is() {
        let raw = serde_json::value::RawValue::from_string("{\"a\":[null,1e400]}".to_owned()).expect("JSON");
        let report = Report {
            name: Some("null".to_owned()),
            shares: vec![f64::MAX, f64::MIN_POSITIVE, -0.0],
            raw: Some(raw),
            ..Report::default()
        };
        assert_eq!(encode(&report).expect("a payload"), Payload::encode(&report).expect("a payload"));
        assert_eq!(encode(&None::<f64>).expect("a payload"), Payload::null());
    }
}
