//! The part of an invite that is used once and that nobody may see in a log.

use std::{fmt, str::FromStr};

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// What separates this hash from every other use of SHA-256.
const CONTEXT: &[u8] = b"peerage/invite-secret/v1";

/// 16 random bytes, wiped when dropped. Serde writes 32 lower-case hex characters; `Debug` shows nothing.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InviteSecret(Zeroizing<[u8; 16]>);

impl InviteSecret {
    pub(super) fn random() -> Self {
        Self(Zeroizing::new(rand::random()))
    }

    pub(super) fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    pub(super) fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// What the inviter keeps to recognise the secret. 128 random bits need no slow hash and no constant-time comparison
    /// of the result.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        Sha256::new()
            .chain_update(CONTEXT)
            .chain_update(self.0.as_slice())
            .finalize()
            .into()
    }
}

impl FromStr for InviteSecret {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = HEXLOWER.decode(text.as_bytes()).map(Zeroizing::new).ok();
        let bytes = bytes.and_then(|bytes| bytes.as_slice().try_into().ok());
        bytes
            .map(Self::from_bytes)
            .ok_or("the secret of an invite is 32 characters 0-9 and a-f")
    }
}

impl TryFrom<String> for InviteSecret {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<InviteSecret> for String {
    fn from(secret: InviteSecret) -> Self {
        HEXLOWER.encode(secret.0.as_slice())
    }
}

impl fmt::Debug for InviteSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InviteSecret(…)")
    }
}
