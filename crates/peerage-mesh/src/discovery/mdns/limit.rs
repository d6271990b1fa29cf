//! How many packets are read: so many from one source, so many in all.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::IpAddr,
};

use tokio::time::Instant;

use crate::limits::Bucket;

/// Packets a second that one source may send. Loopback, where all nodes of a machine are one source,
/// is only counted in all.
const RATE_OF_SOURCE: u32 = 100;
/// Packets a second that are read in all.
const RATE: u32 = 1000;
/// For how many seconds the rates may be saved up.
const BURST: u32 = 2;
/// Sources that are told apart; those beyond share one allowance.
const MAX_SOURCES: usize = 1024;

/// The allowances of all sources.
#[derive(Debug)]
pub(super) struct Limit {
    all: Bucket,
    others: Bucket,
    sources: HashMap<IpAddr, Bucket>,
}

impl Limit {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            all: Bucket::new(RATE, BURST, now),
            others: Bucket::new(RATE_OF_SOURCE, BURST, now),
            sources: HashMap::new(),
        }
    }

    /// Whether a packet from `source` is read.
    pub(super) fn allows(&mut self, source: IpAddr, now: Instant) -> bool {
        if source.is_loopback() {
            return self.all.take(now);
        }
        let full = self.sources.len() >= MAX_SOURCES;
        let of_source = match self.sources.entry(source) {
            Entry::Occupied(bucket) => bucket.into_mut(),
            Entry::Vacant(_) if full => &mut self.others,
            Entry::Vacant(place) => place.insert(Bucket::new(RATE_OF_SOURCE, BURST, now)),
        };
        of_source.take(now) && self.all.take(now)
    }

    /// Forgets sources that have been silent.
    pub(super) fn tidy(&mut self, now: Instant) {
        self.sources.retain(|_, bucket| !bucket.is_full(now));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_source_cannot_use_what_is_for_all() {
        let now = Instant::now();
        let mut limit = Limit::new(now);
        let loud = IpAddr::from([10, 0, 0, 1]);
        let taken = (0..5000).filter(|_| limit.allows(loud, now)).count();
        assert_eq!(taken, 200);
        assert!(limit.allows(IpAddr::from([10, 0, 0, 2]), now));
        assert!(limit.allows(loud, now + Duration::from_millis(10)));
        assert!(!limit.allows(loud, now + Duration::from_millis(11)));
    }

    #[tokio::test(start_paused = true)]
    async fn invented_sources_take_no_more_memory_than_is_set() {
        let now = Instant::now();
        let mut limit = Limit::new(now);
        let taken = (0..100_000_u32)
            .filter(|n| limit.allows(IpAddr::from(n.to_be_bytes()), now))
            .count();
        assert!(taken <= 2000, "{taken}");
        assert!(limit.sources.len() <= MAX_SOURCES);
        limit.tidy(now + Duration::from_secs(3));
        assert!(limit.sources.is_empty());
    }
}
