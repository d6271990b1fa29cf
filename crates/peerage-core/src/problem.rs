//! A refusal or failure as a value that people, scripts and other nodes can read: RFC 9457 problem JSON.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, ser::SerializeStruct as _};

#[cfg(test)]
mod tests;

/// What went wrong, in a form that keeps its meaning across HTTP, JSON-RPC and exit codes.
///
/// As JSON it is `application/problem+json` (RFC 9457) with `type`, `title`, `status`, `code`, `detail` and `hint`.
/// What is read from the network is cleaned: control characters become spaces and overlong texts are cut, so that a
/// problem from a stranger can be printed on a terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The HTTP status, such as 403.
    pub status: u16,
    /// A stable word for programs, in `snake_case`, such as `not_a_member`.
    pub code: String,
    /// A sentence for people: what happened, here and now.
    pub detail: String,
    /// What would help, preferably a command to run.
    pub hint: Option<String>,
}

impl Problem {
    /// The media type of a problem as JSON.
    pub const MEDIA_TYPE: &str = "application/problem+json";

    /// The most bytes of problem JSON that [`Problem::from_json`] reads.
    pub const MAX_BYTES: usize = 64 * 1024;

    /// The most characters kept of each text of a problem that was received.
    pub const MAX_TEXT: usize = 2_000;

    /// A problem without a hint.
    pub fn new(status: u16, code: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            status,
            code: code.into(),
            detail: detail.into(),
            hint: None,
        }
    }

    /// The same problem with a hint what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The standard phrase of the status, such as "Forbidden"; "Error" for a status without one.
    #[must_use]
    pub fn title(&self) -> &'static str {
        http::StatusCode::from_u16(self.status)
            .ok()
            .and_then(|s| s.canonical_reason())
            .unwrap_or("Error")
    }

    /// The problem as JSON bytes.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self)
            .expect("a problem is made of texts and a number, which always serialise")
    }

    /// Reads a problem that another node sent.
    ///
    /// # Errors
    /// `None` when the bytes are longer than [`Problem::MAX_BYTES`] or are not problem JSON with a `status`.
    #[must_use]
    pub fn from_json(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > Self::MAX_BYTES {
            return None;
        }
        serde_json::from_slice(bytes).ok()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.detail, self.code)
    }
}

impl std::error::Error for Problem {}

impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let fields = if self.hint.is_some() { 6 } else { 5 };
        let mut out = serializer.serialize_struct("Problem", fields)?;
        out.serialize_field("type", "about:blank")?;
        out.serialize_field("title", self.title())?;
        out.serialize_field("status", &self.status)?;
        out.serialize_field("code", &self.code)?;
        out.serialize_field("detail", &self.detail)?;
        match &self.hint {
            Some(hint) => out.serialize_field("hint", hint)?,
            None => out.skip_field("hint")?,
        }
        out.end()
    }
}

/// What RFC 9457 lets others leave out or add to is optional or ignored here.
#[derive(Deserialize)]
struct Received {
    status: u16,
    title: Option<String>,
    code: Option<String>,
    detail: Option<String>,
    hint: Option<String>,
}

impl<'de> Deserialize<'de> for Problem {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let received = Received::deserialize(deserializer)?;
        let mut problem = Self::new(
            received.status,
            clean(received.code.as_deref().unwrap_or("unknown")),
            "",
        );
        problem.detail = match received.detail.or(received.title) {
            Some(text) => clean(&text),
            None => problem.title().to_owned(),
        };
        problem.hint = received.hint.as_deref().map(clean);
        Ok(problem)
    }
}

fn clean(text: &str) -> String {
    text.chars()
        .take(Problem::MAX_TEXT)
        .map(|c| if is_unprintable(c) { ' ' } else { c })
        .collect()
}

/// Control characters, and the ones that reorder or hide the text around them.
fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}
