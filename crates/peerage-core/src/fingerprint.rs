//! Short texts by which two people, each at their own screen, see that they mean the same key.

use libp2p_identity::PeerId;
use sha2::{Digest as _, Sha256};

use crate::did::{Did, DidError};

#[cfg(test)]
mod tests;

/// Crockford's base32 digits: none that is easily taken for another.
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// How many groups of four digits a fingerprint has: 160 bits.
const GROUPS: usize = 8;

/// What separates the fingerprint of a pair from that of a key.
const PAIR_CONTEXT: &[u8] = b"peerage/pair/v1";

impl Did {
    /// The fingerprint of this key: eight groups of four digits and letters. Everyone sees the same text for the same key.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        groups(&Sha256::digest(self.public_key()).into())
    }
}

/// The fingerprint of a peer's key; see [`Did::fingerprint`].
///
/// # Errors
/// A `PeerId` that holds no Ed25519 key has none.
pub fn fingerprint(peer: &PeerId) -> Result<String, DidError> {
    Ok(Did::from_peer_id(peer)?.fingerprint())
}

/// One fingerprint for two keys together. Both sides see the same text, whoever asks.
///
/// # Errors
/// A `PeerId` that holds no Ed25519 key has none.
pub fn pair_fingerprint(one: &PeerId, other: &PeerId) -> Result<String, DidError> {
    let mut keys = [Did::from_peer_id(one)?, Did::from_peer_id(other)?];
    keys.sort_unstable();
    let hash = Sha256::new()
        .chain_update(PAIR_CONTEXT)
        .chain_update(keys[0].public_key())
        .chain_update(keys[1].public_key());
    Ok(groups(&hash.finalize().into()))
}

/// The first 160 bits as digits of five bits each, in groups of four.
fn groups(hash: &[u8; 32]) -> String {
    let mut text = String::with_capacity(GROUPS * 5);
    for (number, group) in hash.chunks(5).take(GROUPS / 2).enumerate() {
        let bits = group
            .iter()
            .fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
        for digit in 0..8 {
            if digit % 4 == 0 && (number, digit) != (0, 0) {
                text.push('-');
            }
            let index = (bits >> (35 - 5 * digit)) & 31;
            text.push(char::from(
                DIGITS[usize::try_from(index).expect("five bits fit")],
            ));
        }
    }
    text
}
