//! Who a node is: one Ed25519 key, and the ways to come by it.

use std::{fmt, sync::Arc};

use hkdf::Hkdf;
use libp2p_identity::{Keypair, PeerId, ed25519};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::did::Did;

pub mod seed;
#[cfg(test)]
mod tests;

pub use seed::{MAX_SEED_FILE, SeedError, parse_seed_file};

/// What separates the identity key from every other key that may one day be derived from the same root.
const ROOT_INFO: &[u8] = b"peerage/identity/ed25519/v1";

/// An Ed25519 key with its two names, [`PeerId`] and [`Did`].
///
/// Cheap to clone: clones share the one copy of the secret, which is wiped when the last is dropped. `Debug` shows the
/// `PeerId` and nothing else.
///
/// ```
/// use peerage_core::identity::Identity;
///
/// let identity = Identity::generate();
/// let signature = identity.sign(b"hello");
/// assert!(identity.did().verify(b"hello", &signature));
/// assert_eq!(identity.did().peer_id(), identity.peer_id());
/// ```
#[derive(Clone)]
pub struct Identity(Arc<Keys>);

struct Keys {
    ed25519: ed25519::Keypair,
    keypair: Keypair,
    peer_id: PeerId,
    did: Did,
}

impl Identity {
    /// A new identity from the operating system's randomness.
    #[must_use]
    pub fn generate() -> Self {
        Self::from_keypair(ed25519::Keypair::generate())
    }

    /// The identity whose Ed25519 secret (RFC 8032 seed) is given.
    #[must_use]
    pub fn from_secret(secret: [u8; 32]) -> Self {
        let mut secret = Zeroizing::new(secret);
        let secret = ed25519::SecretKey::try_from_bytes(secret.as_mut_slice())
            .expect("any 32 bytes are a secret");
        Self::from_keypair(secret.into())
    }

    /// The identity derived from a stored root of 32 random bytes, by HKDF-SHA256.
    #[must_use]
    pub fn from_root(root: &[u8; 32]) -> Self {
        let mut secret = Zeroizing::new([0; 32]);
        Hkdf::<Sha256>::new(None, root)
            .expand(ROOT_INFO, secret.as_mut_slice())
            .expect("32 bytes are within what HKDF-SHA256 yields");
        Self::from_secret(*secret)
    }

    /// The identity of a phrase: Ed25519 over SHA-256 of its UTF-8 bytes, as other agent software derives it.
    ///
    /// **Insecure**: who guesses the phrase has the key. Only for tests and demonstrations.
    #[must_use]
    pub fn from_insecure_phrase(phrase: &str) -> Self {
        Self::from_secret(Sha256::digest(phrase.as_bytes()).into())
    }

    /// The Ed25519 secret, to be stored where only its owner reads it; never to be logged.
    #[must_use]
    pub fn secret(&self) -> Zeroizing<[u8; 32]> {
        let mut secret = Zeroizing::new([0; 32]);
        secret.copy_from_slice(self.0.ed25519.secret().as_ref());
        secret
    }

    /// The key as libp2p wants it.
    #[must_use]
    pub fn keypair(&self) -> &Keypair {
        &self.0.keypair
    }

    /// The public key as libp2p spells it.
    #[must_use]
    pub fn peer_id(&self) -> PeerId {
        self.0.peer_id
    }

    /// The public key as a `did:key`.
    #[must_use]
    pub fn did(&self) -> Did {
        self.0.did
    }

    /// Signs a message.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0
            .ed25519
            .sign(message)
            .try_into()
            .expect("an Ed25519 signature has 64 bytes")
    }

    fn from_keypair(ed25519: ed25519::Keypair) -> Self {
        let keypair = Keypair::from(ed25519.clone());
        let peer_id = keypair.public().to_peer_id();
        let did = Did::from_public_key(&ed25519.public().to_bytes())
            .expect("the public key of a clamped secret is a strong, canonical point");
        Self(Arc::new(Keys {
            ed25519,
            keypair,
            peer_id,
            did,
        }))
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Identity").field(&self.0.peer_id).finish()
    }
}
