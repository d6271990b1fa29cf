//! The text of a file with rules: read as a whole or refused with the line that is wrong.

use std::str::FromStr;

use toml::de::{DeTable, DeValue};

use super::{Rules, RulesError, RulesText};

/// Rules with the text that they were read from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Document {
    /// The rules as they are written.
    pub text: RulesText,
    /// The rules, each with its line.
    pub rules: Rules,
}

/// Why a text cannot be used as rules. Nothing of it takes effect then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DocumentError {
    /// It is too long.
    #[error("rules have at most {} bytes", Document::MAX_BYTES)]
    TooLong,
    /// It is no TOML, or has a key that means nothing.
    #[error("line {line}: {message}")]
    Syntax {
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// A rule or a group cannot be meant.
    #[error("{}{error}", .line.map_or_else(String::new, |line| format!("line {line}: ")))]
    Rules {
        /// Where the rule begins, from 1; none for a group.
        line: Option<usize>,
        /// What is wrong.
        error: RulesError,
    },
}

impl Document {
    /// The most bytes of a text.
    pub const MAX_BYTES: usize = 1024 * 1024;
}

impl FromStr for Document {
    type Err = DocumentError;

    fn from_str(text: &str) -> Result<Self, DocumentError> {
        if text.len() > Self::MAX_BYTES {
            return Err(DocumentError::TooLong);
        }
        let syntax = |error: &toml::de::Error| DocumentError::Syntax {
            line: line_of(text, error.span().map_or(0, |span| span.start)),
            message: error.message().replace('\n', "; "),
        };
        let lines = lines(text).map_err(|error| syntax(&error))?;
        let written: RulesText = toml::from_str(text).map_err(|error| syntax(&error))?;
        let mut rules = Rules::new(&written).map_err(|error| DocumentError::Rules {
            line: place(&written, &error).and_then(|place| lines.get(place).copied()),
            error,
        })?;
        for (rule, line) in rules.0.iter_mut().zip(lines) {
            rule.line = Some(line);
        }
        Ok(Self {
            text: written,
            rules,
        })
    }
}

/// The lines on which the rules begin.
fn lines(text: &str) -> Result<Vec<usize>, toml::de::Error> {
    let document = DeTable::parse(text)?;
    Ok(
        match document.get_ref().get("rule").map(toml::Spanned::get_ref) {
            Some(DeValue::Array(rules)) => rules
                .iter()
                .map(|rule| line_of(text, rule.span().start))
                .collect(),
            _ => Vec::new(),
        },
    )
}

/// The place of the rule that an error is about: of two of one name the later one.
fn place(text: &RulesText, error: &RulesError) -> Option<usize> {
    let (RulesError::Rule { rule: name, .. } | RulesError::SameName(name)) = error else {
        return None;
    };
    text.rules.iter().rposition(|rule| rule.name == *name)
}

fn line_of(text: &str, offset: usize) -> usize {
    let before = &text.as_bytes()[..offset.min(text.len())];
    before.iter().filter(|byte| **byte == b'\n').count() + 1
}
