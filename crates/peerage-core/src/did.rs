//! `did:key`: the W3C spelling of the same Ed25519 key that libp2p spells as a `PeerId`.

use std::{fmt, str::FromStr};

use ed25519_dalek::{Signature, VerifyingKey};
use libp2p_identity::PeerId;
use serde::{Deserialize, Serialize};

#[cfg(test)]
mod tests;

/// The multicodec `ed25519-pub` (0xed) as an unsigned varint.
const ED25519_CODEC: [u8; 2] = [0xed, 0x01];

/// An identity multihash of 36 bytes that hold the protobuf of an Ed25519 public key; the key follows.
const PEER_ID_PREFIX: [u8; 6] = [0x00, 0x24, 0x08, 0x01, 0x12, 0x20];

/// The name of an Ed25519 key, as text `did:key:z6Mk…`.
///
/// A `Did` always holds a key that can be trusted to verify: a point of the curve in its one canonical encoding, and not
/// one of the weak points for which anybody can make signatures.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Did([u8; 32]);

/// Why a text or a `PeerId` names no usable Ed25519 key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DidError {
    /// The text does not begin with `did:key:z`.
    #[error("not a did:key: it must begin with \"did:key:z\"")]
    NotDidKey,
    /// The text is longer than [`Did::MAX_TEXT`].
    #[error("too long for a did:key of an Ed25519 key")]
    TooLong,
    /// The text after `did:key:z` is not base58.
    #[error("not a did:key: the part after \"did:key:z\" is not base58")]
    NotBase58,
    /// The key is of another kind.
    #[error("not an Ed25519 key: only did:key:z6Mk… is supported")]
    OtherKey,
    /// The bytes are no point of the curve, or not its canonical encoding.
    #[error("not a valid Ed25519 public key")]
    InvalidKey,
    /// The key is one of the weak points, for which anybody can make signatures.
    #[error("a weak key: anybody could sign in its name")]
    WeakKey,
    /// The `PeerId` holds no Ed25519 key (it is the hash of a larger one).
    #[error(
        "this PeerId does not hold an Ed25519 key, so it has no did:key; only 12D3KooW… is supported"
    )]
    OtherPeerId,
}

impl Did {
    /// The longest text that [`Did::from_str`] looks at, in bytes.
    pub const MAX_TEXT: usize = 128;

    /// The DID of a raw public key.
    ///
    /// # Errors
    /// [`DidError::InvalidKey`] and [`DidError::WeakKey`].
    pub fn from_public_key(key: &[u8; 32]) -> Result<Self, DidError> {
        let point = VerifyingKey::from_bytes(key).map_err(|_| DidError::InvalidKey)?;
        if point.is_weak() {
            return Err(DidError::WeakKey);
        }
        // A second encoding of the same point would be a second name for the same key.
        if point.to_edwards().compress().as_bytes() != key {
            return Err(DidError::InvalidKey);
        }
        Ok(Self(*key))
    }

    /// The DID of the key that a `PeerId` holds.
    ///
    /// # Errors
    /// [`DidError::OtherPeerId`] unless it holds an Ed25519 key, and what [`Did::from_public_key`] says.
    pub fn from_peer_id(peer: &PeerId) -> Result<Self, DidError> {
        let bytes = peer.to_bytes();
        let key = bytes
            .strip_prefix(&PEER_ID_PREFIX)
            .and_then(|key| key.try_into().ok());
        Self::from_public_key(key.ok_or(DidError::OtherPeerId)?)
    }

    /// The same key as libp2p spells it.
    #[must_use]
    pub fn peer_id(&self) -> PeerId {
        let mut bytes = PEER_ID_PREFIX.to_vec();
        bytes.extend_from_slice(&self.0);
        PeerId::from_bytes(&bytes).expect("an identity multihash of 36 bytes is a PeerId")
    }

    /// The raw public key.
    #[must_use]
    pub fn public_key(&self) -> &[u8; 32] {
        &self.0
    }

    /// The URL of the key itself, `did:key:z…#z…`, as a JWS header's `kid` wants it.
    #[must_use]
    pub fn key_url(&self) -> String {
        let multibase = self.multibase();
        format!("did:key:{multibase}#{multibase}")
    }

    /// Whether this key made the signature. The strict rules are used: one message and key have one signature.
    #[must_use]
    pub fn verify(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        VerifyingKey::from_bytes(&self.0).is_ok_and(|key| {
            key.verify_strict(message, &Signature::from_bytes(signature))
                .is_ok()
        })
    }

    fn multibase(self) -> String {
        let mut bytes = ED25519_CODEC.to_vec();
        bytes.extend_from_slice(&self.0);
        format!("z{}", bs58::encode(bytes).into_string())
    }
}

impl fmt::Display for Did {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("did:key:{}", self.multibase()))
    }
}

impl fmt::Debug for Did {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Did({self})")
    }
}

impl FromStr for Did {
    type Err = DidError;

    fn from_str(text: &str) -> Result<Self, DidError> {
        if text.len() > Self::MAX_TEXT {
            return Err(DidError::TooLong);
        }
        let base58 = text.strip_prefix("did:key:z").ok_or(DidError::NotDidKey)?;
        let bytes = bs58::decode(base58)
            .into_vec()
            .map_err(|_| DidError::NotBase58)?;
        let key = bytes
            .strip_prefix(&ED25519_CODEC)
            .ok_or(DidError::OtherKey)?;
        Self::from_public_key(key.try_into().map_err(|_| DidError::InvalidKey)?)
    }
}

impl TryFrom<String> for Did {
    type Error = DidError;

    fn try_from(text: String) -> Result<Self, DidError> {
        text.parse()
    }
}

impl From<Did> for String {
    fn from(did: Did) -> Self {
        did.to_string()
    }
}
