//! What a grant allows, as a set of words.

use std::{collections::BTreeSet, fmt};

use serde::{Deserialize, Deserializer, Serialize, de};

/// A set of one to [`Rights::MAX`] rights, each a lower-case word.
///
/// Words that this version does not know are kept and mean nothing, so that a grant made by a newer version still proves
/// what both understand.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Rights(BTreeSet<String>);

/// Why words are not rights.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RightsError {
    /// There is none.
    #[error("a grant needs at least one right")]
    Empty,
    /// There are more than [`Rights::MAX`].
    #[error("a grant has at most {} rights", Rights::MAX)]
    TooMany,
    /// A word is empty, too long, or holds something else than `a`–`z`, `0`–`9` and `-`.
    #[error("{0:?} is no right: a right has 1 to {max} characters a-z, 0-9 and \"-\"", max = Rights::MAX_WORD)]
    Word(String),
    /// A word is given twice.
    #[error("the right {0:?} is given twice")]
    Twice(String),
}

impl Rights {
    /// The right to bear the name.
    pub const BE: &str = "be";
    /// The right to call what is shared with the mesh.
    pub const CALL: &str = "call";
    /// The right to grant the name, names below it and these rights to others.
    pub const GRANT: &str = "grant";

    /// The most rights of one grant.
    pub const MAX: usize = 16;
    /// The most characters of a right.
    pub const MAX_WORD: usize = 32;

    /// The rights of these words.
    ///
    /// # Errors
    /// See [`RightsError`].
    pub fn new<W: AsRef<str>>(words: impl IntoIterator<Item = W>) -> Result<Self, RightsError> {
        let mut rights = BTreeSet::new();
        for word in words {
            let word = word.as_ref();
            if rights.len() == Self::MAX {
                return Err(RightsError::TooMany);
            }
            if !is_word(word) {
                return Err(RightsError::Word(
                    word.chars().take(Self::MAX_WORD).collect(),
                ));
            }
            if !rights.insert(word.to_owned()) {
                return Err(RightsError::Twice(word.to_owned()));
            }
        }
        if rights.is_empty() {
            Err(RightsError::Empty)
        } else {
            Ok(Self(rights))
        }
    }

    /// What an invited member gets: to be the name and to call.
    #[must_use]
    pub fn member() -> Self {
        Self([Self::BE, Self::CALL].map(str::to_owned).into())
    }

    /// Everything this version knows: to be the name, to call and to grant.
    #[must_use]
    pub fn all() -> Self {
        Self(
            [Self::BE, Self::CALL, Self::GRANT]
                .map(str::to_owned)
                .into(),
        )
    }

    /// Whether the right is among them.
    #[must_use]
    pub fn contains(&self, right: &str) -> bool {
        self.0.contains(right)
    }

    /// The rights, sorted.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// The first right that `other` lacks.
    pub(super) fn first_beyond(&self, other: &Self) -> Option<&str> {
        self.iter().find(|right| !other.contains(right))
    }
}

fn is_word(word: &str) -> bool {
    (1..=Rights::MAX_WORD).contains(&word.len())
        && word
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

impl fmt::Debug for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rights({self})")
    }
}

impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, right) in self.iter().enumerate() {
            write!(f, "{}{right}", if index == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Rights {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(Vec::<String>::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}
