//! Which peers were told of, so that the same news is not told again and again, nor invented without end.

use std::{collections::HashMap, net::IpAddr, time::Duration};

use libp2p::{Multiaddr, PeerId};
use tokio::time::Instant;

use super::{Sighting, message::Announced};

#[cfg(test)]
mod tests;

/// Peers that are remembered, counted once for each interface; beyond, the longest unseen is forgotten.
const MAX_PEERS: usize = 2048;
/// New peers that are told of in one [`WINDOW`].
const MAX_NEW: usize = 512;
/// Those of them that one source may bring. All nodes of a machine are one source on loopback.
const MAX_NEW_OF_SOURCE: usize = 128;
/// The time for which new peers are counted.
pub(super) const WINDOW: Duration = Duration::from_secs(10);
/// How soon the same news is told again.
const REPEAT: Duration = Duration::from_secs(5);
/// The longest that a sighting is believed.
const MAX_TTL: Duration = Duration::from_secs(3600);

#[derive(Debug)]
struct Seen {
    addresses: Vec<Multiaddr>,
    at: Instant,
    told: Instant,
    expires: Instant,
}

/// What was told.
#[derive(Debug)]
pub(super) struct Ledger {
    seen: HashMap<(PeerId, u32), Seen>,
    window: Instant,
    new: HashMap<IpAddr, usize>,
    refused: u64,
}

impl Ledger {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            seen: HashMap::new(),
            window: now,
            new: HashMap::new(),
            refused: 0,
        }
    }

    /// Enters what `source` announced on the interface `link`. Gives what is news.
    pub(super) fn enter(
        &mut self,
        link: u32,
        source: IpAddr,
        announced: Announced,
        now: Instant,
    ) -> Option<Sighting> {
        let key = (announced.peer, link);
        if announced.ttl == 0 {
            return self.leave(key);
        }
        let ttl = Duration::from_secs(announced.ttl.into()).min(MAX_TTL);
        if let Some(seen) = self.seen.get_mut(&key) {
            seen.at = now;
            seen.expires = now + ttl;
            if seen.addresses == announced.addresses && now < seen.told + REPEAT {
                return None;
            }
            seen.told = now;
            seen.addresses.clone_from(&announced.addresses);
        } else {
            if !self.has_room(source, now) {
                self.refused += 1;
                return None;
            }
            let addresses = announced.addresses.clone();
            let seen = Seen {
                addresses,
                at: now,
                told: now,
                expires: now + ttl,
            };
            self.seen.insert(key, seen);
        }
        Some(Sighting {
            peer: announced.peer,
            addresses: announced.addresses,
            expires_in: ttl,
        })
    }

    /// Forgets what is no longer true and begins a new count. Gives how many new peers were refused.
    pub(super) fn tidy(&mut self, now: Instant) -> u64 {
        if now < self.window + WINDOW {
            return 0;
        }
        self.window = now;
        self.new.clear();
        self.seen.retain(|_, seen| now < seen.expires);
        std::mem::take(&mut self.refused)
    }

    /// A goodbye counts when it is the last: on other interfaces the peer may still be reached.
    fn leave(&mut self, key: (PeerId, u32)) -> Option<Sighting> {
        let gone = self.seen.remove(&key)?;
        let elsewhere = self.seen.keys().any(|(peer, _)| *peer == key.0);
        (!elsewhere).then_some(Sighting {
            peer: key.0,
            addresses: gone.addresses,
            expires_in: Duration::ZERO,
        })
    }

    fn has_room(&mut self, source: IpAddr, now: Instant) -> bool {
        // Each source here brought at least one, so there are no more of them than of new peers.
        let all: usize = self.new.values().sum();
        let of_source = self.new.get(&source).copied().unwrap_or(0);
        if all >= MAX_NEW || of_source >= MAX_NEW_OF_SOURCE {
            return false;
        }
        *self.new.entry(source).or_default() += 1;
        if self.seen.len() >= MAX_PEERS {
            self.seen.retain(|_, seen| now < seen.expires);
        }
        if self.seen.len() >= MAX_PEERS
            && let Some(oldest) = self.seen.iter().min_by_key(|(_, seen)| seen.at)
        {
            let oldest = *oldest.0;
            self.seen.remove(&oldest);
        }
        true
    }
}
