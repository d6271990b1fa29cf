//! One-time codes that make a stranger a member: who invites, where to reach them, and a secret that is used once.
//!
//! # Format
//! The text is `peerage-` and lower-case Crockford base32 of: version (1 byte), number of bytes that follow the next two
//! (2 bytes, big endian), the inviter's Ed25519 key (32), the secret (16), the expiry in unix seconds (8, big endian), each
//! address as its length (1) and its bytes, and a checksum: the first 4 bytes of the SHA-256 over all before. Reading
//! forgives upper case, spaces, line breaks and hyphens, and the look-alikes `o`, `i` and `l` for `0` and `1`.

use std::{fmt, str::FromStr};

use libp2p_identity::PeerId;
use multiaddr::{Multiaddr, Protocol};

use crate::did::{Did, DidError};

mod code;
mod secret;
#[cfg(test)]
mod tests;

pub use secret::InviteSecret;

/// What every code begins with.
pub const PREFIX: &str = "peerage-";

/// The longest code, in bytes.
pub const MAX_CODE: usize = 1024;

/// The most addresses of an invite.
pub const MAX_ADDRESSES: usize = 6;

/// The most bytes of one address. Six of them and the rest stay within [`MAX_CODE`].
pub const MAX_ADDRESS_BYTES: usize = 92;

/// An invitation: whoever shows its secret to the inviter before it expires becomes a member, once.
///
/// `Debug` and `Display` never show the secret; only [`Invite::encode`] does.
#[derive(Clone, PartialEq, Eq)]
pub struct Invite {
    inviter: Did,
    secret: InviteSecret,
    expires: u64,
    addresses: Vec<Multiaddr>,
}

/// Why a text is not an invite.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InviteError {
    /// The text does not begin with [`PREFIX`].
    #[error("not an invite: a code begins with \"{PREFIX}\"")]
    NoPrefix,
    /// The text is longer than [`MAX_CODE`].
    #[error("too long for an invite: a code has at most {MAX_CODE} characters")]
    TooLong,
    /// The text holds a character that no code has.
    #[error("mistyped: {character:?} at position {position} is in no invite code")]
    Character {
        /// The character.
        character: char,
        /// Its place in the text, counted from 1.
        position: usize,
    },
    /// The end is missing.
    #[error("the invite code is cut short: copy it as a whole")]
    CutShort,
    /// There is something after the end.
    #[error("the invite code goes on after its end: copy it alone")]
    Trailing,
    /// The checksum does not fit.
    #[error("the invite code is mistyped or altered: its checksum does not fit")]
    Checksum,
    /// The code is of a newer version.
    #[error(
        "the invite code has version {found} and this program reads version {}: update it",
        code::VERSION
    )]
    Version {
        /// The version it has.
        found: u8,
    },
    /// The code is whole but makes no sense.
    #[error("the invite code is invalid: {0}")]
    Content(&'static str),
    /// The inviter has no Ed25519 key.
    #[error("the inviter: {0}")]
    Inviter(#[from] DidError),
}

impl Invite {
    /// A new invite with a random secret, valid until `expires` (unix seconds).
    ///
    /// Of the addresses the first [`MAX_ADDRESSES`] that are no longer than [`MAX_ADDRESS_BYTES`] are kept, so give the
    /// most promising first. None at all is allowed: then the joining side has to find the inviter by discovery.
    ///
    /// # Errors
    /// When the `PeerId` of the inviter holds no Ed25519 key.
    pub fn new(
        inviter: &PeerId,
        addresses: impl IntoIterator<Item = Multiaddr>,
        expires: u64,
    ) -> Result<Self, InviteError> {
        let addresses = addresses
            .into_iter()
            .map(|address| without_peer(address, inviter))
            .filter(|address| !address.is_empty() && address.len() <= MAX_ADDRESS_BYTES)
            .take(MAX_ADDRESSES)
            .collect();
        Ok(Self {
            inviter: Did::from_peer_id(inviter)?,
            secret: InviteSecret::random(),
            expires,
            addresses,
        })
    }

    /// The code, to be given to the one who is invited **and to nobody else**.
    #[must_use]
    pub fn encode(&self) -> String {
        code::encode(self)
    }

    /// Reads a code.
    ///
    /// # Errors
    /// See [`InviteError`]. An expired invite is read: ask [`Invite::is_expired_at`].
    pub fn decode(text: &str) -> Result<Self, InviteError> {
        code::decode(text)
    }

    /// Who invites.
    #[must_use]
    pub fn inviter(&self) -> PeerId {
        self.inviter.peer_id()
    }

    /// Where the inviter was to be reached, without the trailing `/p2p/…`.
    #[must_use]
    pub fn addresses(&self) -> &[Multiaddr] {
        &self.addresses
    }

    /// Until when the invite can be used, in unix seconds, exclusive.
    #[must_use]
    pub fn expires(&self) -> u64 {
        self.expires
    }

    /// Whether it is too late at the time given in unix seconds.
    #[must_use]
    pub fn is_expired_at(&self, now: u64) -> bool {
        now >= self.expires
    }

    /// What the joining side shows the inviter, on a connection whose other end is the inviter's key.
    #[must_use]
    pub fn secret(&self) -> &InviteSecret {
        &self.secret
    }

    /// What the inviter keeps in place of the secret; the same as [`InviteSecret::hash`].
    #[must_use]
    pub fn secret_hash(&self) -> [u8; 32] {
        self.secret.hash()
    }
}

/// The address without a last `/p2p/PEER` that only repeats whose address it is.
fn without_peer(mut address: Multiaddr, peer: &PeerId) -> Multiaddr {
    if address.iter().last() == Some(Protocol::P2p(*peer)) {
        address.pop();
    }
    address
}

impl fmt::Display for Invite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invite of {} until {}", self.inviter(), self.expires)
    }
}

impl fmt::Debug for Invite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invite")
            .field("inviter", &self.inviter())
            .field("secret", &self.secret)
            .field("expires", &self.expires)
            .field("addresses", &self.addresses)
            .finish()
    }
}

impl FromStr for Invite {
    type Err = InviteError;

    fn from_str(text: &str) -> Result<Self, InviteError> {
        Self::decode(text)
    }
}
