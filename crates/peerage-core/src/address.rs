//! Names: `o://acme/sales/assistant` says who is meant in a hierarchy, never where they are.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

#[cfg(test)]
mod tests;

const SCHEME: &str = Address::SCHEME;

/// The segment used when a text holds no usable character.
const NAMELESS: &str = "node";

/// A name in a hierarchy, as text `o://acme/sales/assistant`.
///
/// One to [`Address::MAX_DEPTH`] segments, each of [`Address::MIN_SEGMENT`] to [`Address::MAX_SEGMENT`] characters
/// `a`–`z`, `0`–`9` and `-`, none beginning or ending in `-`. There is one spelling of each address, so nothing needs to
/// be normalised before it is compared.
///
/// ```
/// use peerage_core::address::Address;
///
/// let sales: Address = "o://acme/sales".parse()?;
/// let bot = sales.child("bot")?;
/// assert_eq!(bot.to_string(), "o://acme/sales/bot");
/// assert!(sales.covers(&bot) && sales.covers(&sales));
/// assert!(!sales.covers(&"o://acme/sales2".parse()?));
/// # Ok::<(), peerage_core::address::AddressError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address(String);

/// Why a text is not an address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// It does not begin with `o://`.
    #[error("an address begins with \"o://\", such as o://acme/sales")]
    NoScheme,
    /// It is longer than any address can be.
    #[error("an address has at most {} characters", Address::MAX_TEXT)]
    TooLong,
    /// It has more than [`Address::MAX_DEPTH`] segments.
    #[error("an address has at most {} parts", Address::MAX_DEPTH)]
    TooDeep,
    /// A relative name leads above the top of the hierarchy.
    #[error("the name leads above the top")]
    AboveTop,
    /// A segment is too short or too long.
    #[error("each part of an address has {} to {} characters, and {segment:?} has {}", Address::MIN_SEGMENT, Address::MAX_SEGMENT, .segment.len())]
    SegmentLength {
        /// The segment as it was given.
        segment: String,
    },
    /// A segment holds a character that is not allowed.
    #[error(
        "the parts of an address are made of a-z, 0-9 and \"-\", and {segment:?} holds {character:?}"
    )]
    Character {
        /// The segment as it was given.
        segment: String,
        /// The first character that is not allowed.
        character: char,
    },
    /// A segment begins or ends in a hyphen.
    #[error("no part of an address begins or ends in \"-\", and {segment:?} does")]
    Hyphen {
        /// The segment as it was given.
        segment: String,
    },
}

impl Address {
    /// What every address begins with.
    pub const SCHEME: &str = "o://";
    /// The most segments of an address.
    pub const MAX_DEPTH: usize = 8;
    /// The fewest characters of a segment.
    pub const MIN_SEGMENT: usize = 2;
    /// The most characters of a segment (as in a DNS label).
    pub const MAX_SEGMENT: usize = 63;
    /// The most characters of an address.
    pub const MAX_TEXT: usize = SCHEME.len() + Self::MAX_DEPTH * (Self::MAX_SEGMENT + 1) - 1;

    /// The top of a hierarchy: an address of one segment.
    ///
    /// # Errors
    /// What is wrong with the segment.
    pub fn top(segment: &str) -> Result<Self, AddressError> {
        check_segment(segment)?;
        Ok(Self(format!("{SCHEME}{segment}")))
    }

    /// The segments, from the top down.
    pub fn segments(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.path().split('/')
    }

    /// How many segments there are: 1 to [`Address::MAX_DEPTH`].
    #[must_use]
    pub fn depth(&self) -> usize {
        self.segments().count()
    }

    /// The last segment.
    #[must_use]
    pub fn last(&self) -> &str {
        self.path().rsplit('/').next().unwrap_or_default()
    }

    /// The address without its last segment; `None` at the top.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        let (parent, _) = self.path().rsplit_once('/')?;
        Some(Self(format!("{SCHEME}{parent}")))
    }

    /// The address one segment below.
    ///
    /// # Errors
    /// What is wrong with the segment, or [`AddressError::TooDeep`].
    pub fn child(&self, segment: &str) -> Result<Self, AddressError> {
        check_segment(segment)?;
        if self.depth() == Self::MAX_DEPTH {
            return Err(AddressError::TooDeep);
        }
        Ok(Self(format!("{}/{segment}", self.0)))
    }

    /// The address that a text means where this one is at home, as a relative reference does in a URL (RFC 3986, section 5):
    /// for `o://acme/sales/bot`, `helper` is `o://acme/sales/helper`, `../billing` is `o://acme/billing`, `bot/notes` is
    /// below it, and a text with `o://` is what it says.
    ///
    /// # Errors
    /// What is wrong with a segment, [`AddressError::TooDeep`], or [`AddressError::AboveTop`].
    pub fn resolve(&self, text: &str) -> Result<Self, AddressError> {
        if text.starts_with(SCHEME) {
            return text.parse();
        }
        if text.len() > Self::MAX_TEXT {
            return Err(AddressError::TooLong);
        }
        let mut segments: Vec<&str> = self.segments().collect();
        segments.pop();
        for segment in text.split('/') {
            match segment {
                "." => {}
                ".." => {
                    segments.pop().ok_or(AddressError::AboveTop)?;
                }
                segment => segments.push(segment),
            }
        }
        format!("{SCHEME}{}", segments.join("/")).parse()
    }

    /// Whether `other` is this address or one below it, compared segment by segment.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        other
            .0
            .strip_prefix(&self.0)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// The text of the address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A valid segment that looks like a free text, such as a host name: `"Ann's MacBook.local"` gives
    /// `"ann-s-macbook-local"`. A text without any usable character gives `"node"`.
    #[must_use]
    pub fn segment_from(text: &str) -> String {
        let mut segment = String::new();
        for c in text.chars().map(|c| c.to_ascii_lowercase()) {
            if segment.len() == Self::MAX_SEGMENT {
                break;
            }
            if is_letter(c) {
                segment.push(c);
            } else if !segment.is_empty() && !segment.ends_with('-') {
                segment.push('-');
            }
        }
        let kept = segment.trim_end_matches('-').len();
        segment.truncate(kept);
        match segment.len() {
            0 => NAMELESS.to_owned(),
            1 => format!("{NAMELESS}-{segment}"),
            _ => segment,
        }
    }

    pub(crate) fn path(&self) -> &str {
        &self.0[SCHEME.len()..]
    }
}

fn is_letter(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit()
}

fn check_segment(segment: &str) -> Result<(), AddressError> {
    if let Some(character) = segment.chars().find(|c| !is_letter(*c) && *c != '-') {
        return Err(AddressError::Character {
            segment: segment.to_owned(),
            character,
        });
    }
    if !(Address::MIN_SEGMENT..=Address::MAX_SEGMENT).contains(&segment.len()) {
        return Err(AddressError::SegmentLength {
            segment: segment.to_owned(),
        });
    }
    if segment.starts_with('-') || segment.ends_with('-') {
        return Err(AddressError::Hyphen {
            segment: segment.to_owned(),
        });
    }
    Ok(())
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let path = text.strip_prefix(SCHEME).ok_or(AddressError::NoScheme)?;
        if text.len() > Self::MAX_TEXT {
            return Err(AddressError::TooLong);
        }
        if path.split('/').count() > Self::MAX_DEPTH {
            return Err(AddressError::TooDeep);
        }
        path.split('/').try_for_each(check_segment)?;
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for Address {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.0
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}
