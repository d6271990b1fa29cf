//! Reading JSON that a signature is to be checked over: nothing may be read differently than it was signed.

use std::{cell::Cell, fmt};

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::CardError;

/// The most values of one document; what is larger is made to exhaust memory, not to say something.
const MAX_VALUES: usize = 200_000;

/// The largest whole number that a double holds exactly, and with it RFC 8785.
const MAX_EXACT: u64 = (1 << 53) - 1;

/// Reads JSON. A field that is there twice is refused (readers differ in which one counts); nesting is limited by
/// `serde_json` to 128 levels. Numbers are read as the doubles that RFC 8785 signs.
pub(super) fn read(bytes: &[u8], limit: usize) -> Result<Value, CardError> {
    if bytes.len() > limit {
        return Err(CardError::TooLarge { bytes: bytes.len() });
    }
    let left = Cell::new(MAX_VALUES);
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Strict(&left)
        .deserialize(&mut reader)
        .and_then(|value| reader.end().map(|()| value));
    value.map_err(|error| CardError::Json(error.to_string()))
}

pub(super) fn write(value: &Value) -> Vec<u8> {
    serde_json::to_vec(value).expect("a JSON value always serialises")
}

/// The bytes that are signed: RFC 8785 of the card without `signatures` and without empty values.
pub(super) fn canonical(card: &Value) -> Result<Vec<u8>, CardError> {
    let fields = card
        .as_object()
        .ok_or_else(|| CardError::Json("a card is an object".to_owned()))?;
    let fields = fields.iter().filter(|(name, _)| *name != "signatures");
    let cleaned: Map<String, Value> = fields
        .filter_map(|(name, value)| Some((name.clone(), cleaned(value)?)))
        .collect();
    serde_json_canonicalizer::to_vec(&cleaned).map_err(|error| CardError::Json(error.to_string()))
}

/// The value without what is empty, also what becomes empty thereby; `None` when nothing is left.
fn cleaned(value: &Value) -> Option<Value> {
    match value {
        Value::Null => None,
        Value::String(text) if text.is_empty() => None,
        Value::Array(items) => {
            let items: Vec<Value> = items.iter().filter_map(cleaned).collect();
            (!items.is_empty()).then_some(Value::Array(items))
        }
        Value::Object(fields) => {
            let fields = fields
                .iter()
                .filter_map(|(name, value)| Some((name.clone(), cleaned(value)?)));
            let fields: Map<String, Value> = fields.collect();
            (!fields.is_empty()).then_some(Value::Object(fields))
        }
        other => Some(other.clone()),
    }
}

/// Reads one value and counts down what may still come.
#[derive(Clone, Copy)]
struct Strict<'a>(&'a Cell<usize>);

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        let left = self.0.get().checked_sub(1);
        self.0
            .set(left.ok_or_else(|| de::Error::custom(format!("more than {MAX_VALUES} values")))?);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        if value > MAX_EXACT {
            self.visit_f64(value as f64)
        } else {
            Ok(Value::Number(value.into()))
        }
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
        if value.unsigned_abs() > MAX_EXACT {
            self.visit_f64(value as f64)
        } else {
            Ok(Value::Number(value.into()))
        }
    }

    /// A whole number may be written as `7.0`, and some software does so; RFC 8785 signs it as `7`.
    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        if value.fract() == 0.0 && value.abs() <= MAX_EXACT as f64 {
            return Ok(Value::Number((value as i64).into()));
        }
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("a number is too large"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = array.next_element_seed(self)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some(name) = object.next_key::<String>()? {
            let value = object.next_value_seed(self)?;
            if fields.contains_key(&name) {
                return Err(de::Error::custom(format!("duplicate field {name:?}")));
            }
            fields.insert(name, value);
        }
        Ok(Value::Object(fields))
    }
}
