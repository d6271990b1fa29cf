//! With whom something is shared.

use std::{fmt, str::FromStr};

use libp2p_identity::PeerId;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{
    address::{Address, AddressError},
    did::{Did, DidError},
};

/// With whom something is shared.
///
/// As text `mesh`, `public`, or names and keys with commas between them; as JSON or TOML the same text or an array.
///
/// ```
/// use peerage_core::policy::Audience;
///
/// assert_eq!("public".parse(), Ok(Audience::Public));
/// let sales: Audience = "o://acme/sales, 12D3KooWDvP6FWsRygrC8hN1cAQ5x92FQLsTXXXZYekN9eGTsZUU".parse()?;
/// assert!(matches!(sales, Audience::Only(subjects) if subjects.len() == 2));
/// # Ok::<(), peerage_core::policy::AudienceError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Audience {
    /// The members of the mesh, and who is trusted.
    #[default]
    Mesh,
    /// Everyone.
    Public,
    /// These alone; an empty list is nobody.
    Only(Vec<Subject>),
}

/// One of those with whom something is shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Who bears this name or one below it.
    Name(Address),
    /// Who has this key.
    Key(PeerId),
}

/// Why a text names no audience.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AudienceError {
    /// The text is empty.
    #[error("who may call is missing: \"mesh\", \"public\", or a list of o:// names and keys")]
    Empty,
    /// There are more than [`Audience::MAX_SUBJECTS`].
    #[error("at most {} names and keys can be listed", Audience::MAX_SUBJECTS)]
    TooMany,
    /// `mesh` or `public` stands in a list.
    #[error("{0:?} stands alone, not in a list")]
    Alone(&'static str),
    /// A name is malformed.
    #[error(transparent)]
    Name(#[from] AddressError),
    /// A `did:key` is malformed.
    #[error(transparent)]
    Did(#[from] DidError),
    /// A text is neither a word, a name nor a key.
    #[error("{0:?} is neither \"mesh\", \"public\", an o:// name, a PeerId nor a did:key")]
    Unknown(String),
}

impl Audience {
    /// The most names and keys of a list.
    pub const MAX_SUBJECTS: usize = 256;

    /// The most characters of a text that an error repeats.
    const MAX_SHOWN: usize = 80;

    /// The audience of a list of `o://` names, PeerIds and `did:key`s.
    ///
    /// # Errors
    /// See [`AudienceError`].
    pub fn only<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Result<Self, AudienceError> {
        let mut subjects = Vec::new();
        for text in texts {
            if subjects.len() == Self::MAX_SUBJECTS {
                return Err(AudienceError::TooMany);
            }
            subjects.push(text.as_ref().parse()?);
        }
        Ok(Self::Only(subjects))
    }
}

impl FromStr for Subject {
    type Err = AudienceError;

    fn from_str(text: &str) -> Result<Self, AudienceError> {
        match text.trim() {
            "" => Err(AudienceError::Empty),
            "mesh" => Err(AudienceError::Alone("mesh")),
            "public" => Err(AudienceError::Alone("public")),
            name if name.starts_with("o://") => Ok(Self::Name(name.parse()?)),
            did if did.starts_with("did:") => Ok(Self::Key(did.parse::<Did>()?.peer_id())),
            text if text.len() > Did::MAX_TEXT => Err(unknown(text)),
            text => text.parse().map(Self::Key).map_err(|_| unknown(text)),
        }
    }
}

fn unknown(text: &str) -> AudienceError {
    AudienceError::Unknown(text.chars().take(Audience::MAX_SHOWN).collect())
}

impl FromStr for Audience {
    type Err = AudienceError;

    fn from_str(text: &str) -> Result<Self, AudienceError> {
        match text.trim() {
            "" => Err(AudienceError::Empty),
            "mesh" => Ok(Self::Mesh),
            "public" => Ok(Self::Public),
            list => Self::only(list.split(',')),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(f),
            Self::Key(peer) => peer.fmt(f),
        }
    }
}

impl fmt::Display for Audience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mesh => f.write_str("mesh"),
            Self::Public => f.write_str("public"),
            Self::Only(subjects) if subjects.is_empty() => f.write_str("nobody"),
            Self::Only(subjects) => {
                for (index, subject) in subjects.iter().enumerate() {
                    write!(f, "{}{subject}", if index == 0 { "" } else { ", " })?;
                }
                Ok(())
            }
        }
    }
}

impl Serialize for Audience {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Mesh | Self::Public => serializer.collect_str(self),
            Self::Only(subjects) => {
                serializer.collect_seq(subjects.iter().map(ToString::to_string))
            }
        }
    }
}

impl<'de> Deserialize<'de> for Audience {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Texts;

        impl<'de> de::Visitor<'de> for Texts {
            type Value = Audience;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"mesh\", \"public\", or a list of o:// names and keys")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Audience, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut array: A) -> Result<Audience, A::Error> {
                let mut texts = Vec::new();
                while let Some(text) = array.next_element::<String>()? {
                    if texts.len() == Audience::MAX_SUBJECTS {
                        return Err(de::Error::custom(AudienceError::TooMany));
                    }
                    texts.push(text);
                }
                Audience::only(texts).map_err(de::Error::custom)
            }
        }

        deserializer.deserialize_any(Texts)
    }
}
