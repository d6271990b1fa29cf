//! Which forwarded calls were taken already, so that none is taken twice.

use std::collections::{BTreeMap, BTreeSet};

use peerage_core::{did::Did, forwarded::Signed};

/// Calls that are remembered, at the most.
const MAX_NONCES: usize = 65_536;
/// Calls of one signer that are remembered, at the most.
const MAX_EACH: usize = 8_192;

/// See the module's page. A call is forgotten when its signature has expired.
#[derive(Debug, Default)]
pub(super) struct Nonces {
    used: BTreeMap<Did, BTreeSet<String>>,
    expire: BTreeSet<(u64, Did, String)>,
}

/// Why a call is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotTaken {
    /// It was taken before.
    Replayed,
    /// No further call can be remembered now.
    Full,
}

impl Nonces {
    /// Remembers a call whose signature was verified, at the time given in unix seconds.
    pub(super) fn take(&mut self, signed: &Signed, now: u64) -> Result<(), NotTaken> {
        self.forget(now);
        let (by, nonce) = (signed.by, signed.nonce.clone());
        let used = self.used.entry(by).or_default();
        if used.contains(&nonce) {
            return Err(NotTaken::Replayed);
        }
        if used.len() >= MAX_EACH || self.expire.len() >= MAX_NONCES {
            return Err(NotTaken::Full);
        }
        used.insert(nonce.clone());
        self.expire.insert((signed.expires, by, nonce));
        Ok(())
    }

    fn forget(&mut self, now: u64) {
        while self.expire.first().is_some_and(|(at, ..)| *at <= now) {
            let Some((_, by, nonce)) = self.expire.pop_first() else {
                return;
            };
            if let Some(used) = self.used.get_mut(&by) {
                used.remove(&nonce);
                if used.is_empty() {
                    self.used.remove(&by);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use peerage_core::Identity;

    use super::*;

    fn signed(by: u8, nonce: usize, expires: u64) -> Signed {
        Signed {
            by: Identity::from_secret([by; 32]).did(),
            nonce: nonce.to_string(),
            expires,
        }
    }

    #[test]
    fn a_call_is_taken_once_until_it_has_expired() {
        let mut nonces = Nonces::default();
        assert_eq!(nonces.take(&signed(1, 1, 100), 50), Ok(()));
        assert_eq!(nonces.take(&signed(2, 1, 100), 50), Ok(()));
        let again = nonces.take(&signed(1, 1, 100), 99);
        assert_eq!(again, Err(NotTaken::Replayed));
        // Later the signature itself is refused.
        assert_eq!(nonces.take(&signed(1, 1, 200), 100), Ok(()));
        assert_eq!(nonces.expire.len(), 1);
    }

    #[test]
    fn one_signer_takes_a_part_of_the_room_and_its_end_is_told() {
        let mut nonces = Nonces::default();
        for nonce in 0..MAX_EACH {
            assert_eq!(nonces.take(&signed(1, nonce, 100), 50), Ok(()));
        }
        let more = nonces.take(&signed(1, MAX_EACH, 100), 50);
        assert_eq!(more, Err(NotTaken::Full));
        assert_eq!(nonces.take(&signed(2, 0, 100), 50), Ok(()));
        assert_eq!(
            nonces.take(&signed(1, 0, 300), 100),
            Ok(()),
            "there is room"
        );
        assert_eq!((nonces.used.len(), nonces.expire.len()), (1, 1));
    }
}
