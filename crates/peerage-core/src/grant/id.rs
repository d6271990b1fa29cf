//! The name of one link of a chain, by which it is referred to and revoked.

use std::{fmt, str::FromStr};

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The first 16 bytes of the SHA-256 over a link's `header.payload`, as text 32 lower-case hex characters.
///
/// The signature is left out on purpose: some decoders accept a second spelling of it, and a grant must not have a second
/// id by which it would escape its revocation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GrantId([u8; 16]);

impl GrantId {
    pub(super) fn of(signing_input: &str) -> Self {
        let hash: [u8; 32] = Sha256::digest(signing_input.as_bytes()).into();
        Self(*hash.first_chunk().expect("32 bytes begin with 16"))
    }
}

impl FromStr for GrantId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = HEXLOWER
            .decode(text.as_bytes())
            .ok()
            .and_then(|bytes| bytes.try_into().ok());
        bytes
            .map(Self)
            .ok_or("the id of a grant is 32 characters 0-9 and a-f")
    }
}

impl TryFrom<String> for GrantId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<GrantId> for String {
    fn from(id: GrantId) -> Self {
        HEXLOWER.encode(&id.0)
    }
}

impl fmt::Display for GrantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for GrantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GrantId({self})")
    }
}
