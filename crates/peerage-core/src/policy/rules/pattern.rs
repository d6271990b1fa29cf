//! Patterns: which objects or names are meant.

use std::{fmt, str::FromStr};

/// A pattern of parts separated by `/`. `*` in a part stands for any characters, a part `*` for any part, and `**` at the end
/// for any number of parts, also none.
///
/// | pattern | fits | does not fit |
/// |---|---|---|
/// | `mcp/crm/search` | `mcp/crm/search` | `mcp/crm/search/x` |
/// | `mcp/*/admin-*` | `mcp/crm/admin-users` | `mcp/crm/users` |
/// | `acme/sales/**` | `acme/sales`, `acme/sales/bot/x` | `acme/sales2` |
/// | `**` | everything | |
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    /// It ends in `**`.
    open: bool,
}

/// Why a text is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PatternError {
    /// It is empty, or one of its parts is.
    #[error("no part of a pattern is empty: {0:?}")]
    Empty(String),
    /// It is longer than [`Pattern::MAX_TEXT`].
    #[error("a pattern has at most {} characters", Pattern::MAX_TEXT)]
    TooLong,
    /// `**` stands somewhere else than alone at the end.
    #[error("\"**\" is only possible as the last part: {0:?}")]
    OpenInside(String),
}

impl Pattern {
    /// The most characters of a pattern.
    pub const MAX_TEXT: usize = 1_024;

    /// A pattern of objects: `mcp/SERVER` is the server with all that is in it, for a rule about a server that left out its
    /// tools would be a trap.
    ///
    /// # Errors
    /// As for every pattern.
    pub fn of_objects(text: &str) -> Result<Self, PatternError> {
        let pattern: Self = text.parse()?;
        let mut parts = pattern.text.split('/');
        let server = parts.next() == Some("mcp") && parts.count() == 1;
        if server && !pattern.open {
            return format!("{text}/**").parse();
        }
        Ok(pattern)
    }

    /// Whether it fits a text of parts separated by `/`.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        let mut parts = text.split('/');
        for wanted in self.parts() {
            match parts.next() {
                Some(part) if part_matches(wanted, part) => {}
                _ => return false,
            }
        }
        self.open || parts.next().is_none()
    }

    /// Whether it can fit something below `text` that it does not fit in the same way at `text` itself.
    pub(super) fn may_match_below(&self, text: &str) -> bool {
        let mut wanted = self.parts();
        for part in text.split('/') {
            match wanted.next() {
                Some(wanted) if part_matches(wanted, part) => {}
                // All below are as this: covered by `**`, or fitted by nothing.
                _ => return false,
            }
        }
        // A closed pattern that fits `text` itself fits nothing below, which is a difference too.
        wanted.next().is_some() || !self.open
    }

    /// The parts without `**` at the end.
    fn parts(&self) -> impl Iterator<Item = &str> {
        let text = match self.text.as_str() {
            "**" => "",
            text if self.open => &text[..text.len() - "/**".len()],
            text => text,
        };
        text.split('/').filter(|part| !part.is_empty())
    }
}

/// Whether a part with `*` in it fits a text: greedy, with one place to go back to, so that it takes at most the product of
/// both lengths.
fn part_matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p, t));
            p += 1;
        } else if pattern.get(p) == Some(&text[t]) {
            p += 1;
            t += 1;
        } else if let Some((star_p, star_t)) = star {
            star = Some((star_p, star_t + 1));
            p = star_p + 1;
            t = star_t + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        if text.len() > Self::MAX_TEXT {
            return Err(PatternError::TooLong);
        }
        let open = text == "**" || text.ends_with("/**");
        let mut parts = text.split('/').peekable();
        while let Some(part) = parts.next() {
            if part.is_empty() {
                return Err(PatternError::Empty(text.to_owned()));
            }
            if part.contains("**") && (part != "**" || parts.peek().is_some()) {
                return Err(PatternError::OpenInside(text.to_owned()));
            }
        }
        Ok(Self {
            text: text.to_owned(),
            open,
        })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}
