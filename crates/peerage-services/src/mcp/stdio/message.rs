//! A JSON-RPC message kept as its original bytes, with the places that matter marked.
//!
//! Nothing is re-serialised on the way between a client and its server: unknown fields, the order of
//! keys and the spelling of numbers stay as they were. Only the values of ids and tokens are ever
//! replaced, in place.

use std::{fmt, ops::Range};

use bytes::Bytes;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// Numbers up to this magnitude mean the same to every JSON implementation.
const SAFE_INTEGER: i64 = 1 << 53;

/// One JSON-RPC message.
#[derive(Clone, Debug)]
pub(super) struct Message {
    bytes: Bytes,
    kind: Kind,
    params: Option<Range<usize>>,
    result: Option<Range<usize>>,
    error: Option<Range<usize>>,
}

/// Which of the three kinds of message it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Wants an answer under `id`.
    Request {
        /// Where the id is.
        id: Range<usize>,
        /// What is asked.
        method: String,
    },
    /// Wants no answer.
    Notification {
        /// What is told.
        method: String,
    },
    /// Answers an earlier request.
    Response {
        /// Where the id is; `None` for an error whose id is `null`.
        id: Option<Range<usize>>,
        /// Its error code, when it is an error.
        error: Option<i64>,
    },
}

/// Why bytes are not a JSON-RPC message.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum Invalid {
    /// Not JSON at all.
    #[error("not valid JSON: {0}")]
    Json(String),
    /// A batch, which current MCP does not have.
    #[error("a batch: send one message per request")]
    Batch,
    /// JSON, but not a JSON-RPC 2.0 message.
    #[error("not a JSON-RPC 2.0 message: {reason}")]
    Shape {
        /// What is wrong with it.
        reason: &'static str,
        /// The id as it was written, when there is a usable one.
        id: Option<String>,
    },
}

#[derive(Deserialize)]
struct Envelope<'a> {
    jsonrpc: Option<String>,
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    method: Option<String>,
    #[serde(borrow, default, deserialize_with = "present")]
    params: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    error: Option<&'a RawValue>,
}

/// Tells `null` from absent, which `Option` alone does not.
fn present<'de, D: Deserializer<'de>>(from: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(from).map(Some)
}

impl Message {
    /// Reads one message; line breaks between tokens become spaces, so that it fits on one line.
    pub(super) fn parse(bytes: Bytes) -> Result<Self, Invalid> {
        let text = std::str::from_utf8(&bytes).map_err(|e| Invalid::Json(e.to_string()))?;
        if text.trim_start().starts_with('[') {
            return Err(Invalid::Batch);
        }
        let envelope: Envelope<'_> = serde_json::from_str(text).map_err(|e| {
            if e.is_data() {
                Invalid::Shape {
                    reason: "a known field has the wrong type or stands twice",
                    id: None,
                }
            } else {
                Invalid::Json(e.to_string())
            }
        })?;
        let id = envelope.id.filter(|raw| is_id(raw.get()));
        let shape = |reason| Invalid::Shape {
            reason,
            id: id.map(|raw| raw.get().to_owned()),
        };
        if envelope.jsonrpc.as_deref() != Some("2.0") {
            return Err(shape("`jsonrpc` must be \"2.0\""));
        }
        let place = |raw: &RawValue| span_within(text.as_bytes(), raw.get());
        let answered = envelope.result.is_some() || envelope.error.is_some();
        let kind = match (envelope.method, envelope.id) {
            (Some(_), _) if answered => {
                return Err(shape("both a request and a response"));
            }
            (Some(method), None) => Kind::Notification { method },
            (Some(method), Some(_)) => Kind::Request {
                id: place(id.ok_or_else(|| shape("`id` must be a string or a number"))?),
                method,
            },
            (None, Some(raw)) if answered && (id.is_some() || raw.get() == "null") => {
                Kind::Response {
                    id: id.map(place),
                    error: envelope.error.map(|raw| error_code(raw.get())),
                }
            }
            (None, _) if answered => return Err(shape("a response without a usable `id`")),
            (None, _) => return Err(shape("`method` is missing")),
        };
        let params = envelope.params.map(place);
        let result = envelope.result.map(place);
        let error = envelope.error.map(place);
        Ok(Self {
            bytes: on_one_line(bytes),
            kind,
            params,
            result,
            error,
        })
    }

    /// The message as bytes without a line break.
    pub(super) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Which kind it is.
    pub(super) fn kind(&self) -> &Kind {
        &self.kind
    }

    /// The method of a request or notification.
    pub(super) fn method(&self) -> Option<&str> {
        match &self.kind {
            Kind::Request { method, .. } | Kind::Notification { method } => Some(method),
            Kind::Response { .. } => None,
        }
    }

    /// The id as it was written.
    pub(super) fn id(&self) -> Option<&str> {
        match &self.kind {
            Kind::Request { id, .. } | Kind::Response { id: Some(id), .. } => {
                Some(self.slice(id.clone()))
            }
            _ => None,
        }
    }

    /// The value under `path` within `params`, as it was written.
    pub(super) fn param(&self, path: &[&str]) -> Option<&str> {
        find(self.slice(self.params.clone()?), path)
    }

    /// The string under `path` within `params`.
    pub(super) fn param_text(&self, path: &[&str]) -> Option<String> {
        serde_json::from_str(self.param(path)?).ok()
    }

    /// The value under `path` within `result`, as it was written.
    pub(super) fn outcome(&self, path: &[&str]) -> Option<&str> {
        find(self.slice(self.result.clone()?), path)
    }

    /// The error of a response, as it was written.
    pub(super) fn error(&self) -> Option<&str> {
        self.error.clone().map(|at| self.slice(at))
    }

    /// The same message with each `(old, new)` value replaced; `old` must have come from this message.
    pub(super) fn with(&self, edits: &[(&str, &str)]) -> Bytes {
        let mut edits: Vec<_> = edits
            .iter()
            .filter(|(old, new)| old != new)
            .map(|(old, new)| (span_within(&self.bytes, old), *new))
            .collect();
        if edits.is_empty() {
            return self.bytes.clone();
        }
        edits.sort_by_key(|(at, _)| at.start);
        let growth: usize = edits.iter().map(|(_, new)| new.len()).sum();
        let mut out = Vec::with_capacity(self.bytes.len() + growth);
        let mut done = 0;
        for (at, new) in edits {
            out.extend_from_slice(&self.bytes[done..at.start]);
            out.extend_from_slice(new.as_bytes());
            done = at.end;
        }
        out.extend_from_slice(&self.bytes[done..]);
        out.into()
    }

    fn slice(&self, at: Range<usize>) -> &str {
        std::str::from_utf8(&self.bytes[at]).expect("a JSON value within checked text")
    }
}

/// An id or token by its meaning: `1`, `1.0` and `1e0` are one, `1` and `"1"` are two.
///
/// Numbers that do not survive in every JSON implementation compare as the nearest double, since that
/// is what such an implementation sends back.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key {
    /// A string.
    Text(String),
    /// An integer that everyone keeps exact.
    Whole(i64),
    /// Any other number, by the bits of the nearest double.
    Real(u64),
}

impl Key {
    /// Reads an id or token; `None` if it is neither string nor number.
    pub(super) fn of(raw: &str) -> Option<Self> {
        if raw.starts_with('"') {
            return serde_json::from_str(raw).ok().map(Self::Text);
        }
        if let Ok(whole) = raw.parse::<i64>()
            && whole.abs() <= SAFE_INTEGER
        {
            return Some(Self::Whole(whole));
        }
        let real: f64 = serde_json::from_str(raw).ok()?;
        if real.fract() == 0.0 && real.abs() <= SAFE_INTEGER as f64 {
            return Some(Self::Whole(real as i64));
        }
        Some(Self::Real(real.to_bits()))
    }
}

/// The id in the beginning of a message that is too long to be read whole, if it stands there.
pub(super) fn id_in_beginning(bytes: &[u8]) -> Option<String> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(e) => std::str::from_utf8(&bytes[..e.valid_up_to()]).ok()?,
    };
    let mut found = None;
    // The text is cut off, so this ends with an error, after it has passed the id.
    let _cut_off = Deserializer::deserialize_map(
        &mut serde_json::Deserializer::from_str(text),
        Find {
            key: "id",
            found: &mut found,
        },
    );
    found
        .map(RawValue::get)
        .filter(|raw| is_id(raw))
        .map(ToOwned::to_owned)
}

fn is_id(raw: &str) -> bool {
    raw.starts_with(|c: char| c == '"' || c == '-' || c.is_ascii_digit())
}

fn error_code(error: &str) -> i64 {
    find(error, &["code"])
        .and_then(|raw| raw.parse().ok())
        .unwrap_or_default()
}

fn find<'t>(text: &'t str, path: &[&str]) -> Option<&'t str> {
    path.iter().try_fold(text, |text, key| {
        let mut found = None;
        Deserializer::deserialize_map(
            &mut serde_json::Deserializer::from_str(text),
            Find {
                key,
                found: &mut found,
            },
        )
        .ok()?;
        found.map(RawValue::get)
    })
}

/// `inner` must be a part of `outer`.
fn span_within(outer: &[u8], inner: &str) -> Range<usize> {
    let start = inner.as_ptr() as usize - outer.as_ptr() as usize;
    start..start + inner.len()
}

/// Valid JSON has line breaks only between tokens, where a space means the same.
fn on_one_line(bytes: Bytes) -> Bytes {
    let bytes = {
        let trimmed = bytes.trim_ascii();
        if trimmed.len() == bytes.len() || !bytes.starts_with(trimmed) {
            bytes
        } else {
            bytes.slice(..trimmed.len())
        }
    };
    if !bytes.iter().any(is_break) {
        return bytes;
    }
    let mut bytes = Vec::from(bytes);
    for b in bytes.iter_mut().filter(|b| is_break(b)) {
        *b = b' ';
    }
    bytes.into()
}

fn is_break(byte: &u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

/// Finds the value of the last member called `key`, which is the one that most readers take.
struct Find<'k, 'f, 'de> {
    key: &'k str,
    found: &'f mut Option<&'de RawValue>,
}

impl<'de> Visitor<'de> for Find<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(matches) = map.next_key_seed(Named(self.key))? {
            if matches {
                *self.found = Some(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

struct Named<'k>(&'k str);

impl<'de> DeserializeSeed<'de> for Named<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<bool, D::Error> {
        from.deserialize_str(self)
    }
}

impl Visitor<'_> for Named<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<bool, E> {
        Ok(name == self.0)
    }
}

#[cfg(test)]
mod tests;
