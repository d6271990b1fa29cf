//! Who connects, by address: so many at once and so many a second; and how many strangers of one network are connected.

use std::{collections::HashMap, net::IpAddr};

use libp2p::{Multiaddr, multiaddr::Protocol, swarm::ConnectionId};
use tokio::time::Instant;

use super::{Bucket, Cause};

/// Connections that are being made to this node at once, in all.
const MAX_HALF_OPEN: usize = 128;
/// Those of them that one address may make.
const MAX_HALF_OPEN_OF_SOURCE: usize = 32;
/// Strangers' connections that one network (/24 of IPv4, /64 of IPv6) may have of those that all strangers may have: a quarter, and
/// at least this many.
const MIN_OF_NETWORK: usize = 8;
/// Addresses that are told apart; those beyond share one allowance.
const MAX_SOURCES: usize = 1024;
/// For how many seconds an address may save up.
const BURST: u32 = 2;

/// See the module's page.
#[derive(Debug)]
pub(super) struct Sources {
    rate: u32,
    half_open: HashMap<ConnectionId, Option<IpAddr>>,
    rates: HashMap<IpAddr, Bucket>,
    others: Bucket,
    /// The networks of strangers that are connected.
    strangers: HashMap<ConnectionId, IpAddr>,
}

impl Sources {
    pub(super) fn new(rate: u32, now: Instant) -> Self {
        Self {
            rate,
            half_open: HashMap::new(),
            rates: HashMap::new(),
            others: Bucket::new(rate, BURST, now),
            strangers: HashMap::new(),
        }
    }

    /// A stranger is connected from an address, one of `most` that may be: `false` when its network has its part already.
    pub(super) fn admit(&mut self, id: ConnectionId, from: &Multiaddr, most: u64) -> bool {
        let Some(network) = source(from).map(network).filter(|ip| !ip.is_loopback()) else {
            return true;
        };
        let quarter = usize::try_from(most / 4).unwrap_or(usize::MAX);
        let of_network = self.strangers.values().filter(|n| **n == network).count();
        let fits = of_network < quarter.max(MIN_OF_NETWORK);
        if fits {
            self.strangers.insert(id, network);
        }
        fits
    }

    /// The connection has ended.
    pub(super) fn release(&mut self, id: ConnectionId) {
        self.strangers.remove(&id);
    }

    /// A connection is being made from an address.
    pub(super) fn begin(
        &mut self,
        id: ConnectionId,
        from: &Multiaddr,
        now: Instant,
    ) -> Result<(), Cause> {
        let source = source(from);
        let of_source = || self.half_open.values().filter(|s| **s == source).count();
        if self.half_open.len() >= MAX_HALF_OPEN
            || source.is_some() && of_source() >= MAX_HALF_OPEN_OF_SOURCE
        {
            return Err(Cause::HalfOpen);
        }
        if let Some(source) = source
            && !self.allowance(source, now).take(now)
        {
            return Err(Cause::ConnectionRate);
        }
        self.half_open.insert(id, source);
        Ok(())
    }

    /// It is made, or has failed.
    pub(super) fn end(&mut self, id: ConnectionId) {
        self.half_open.remove(&id);
    }

    pub(super) fn clear(&mut self) {
        self.half_open.clear();
        self.strangers.clear();
    }

    pub(super) fn half_open(&self) -> usize {
        self.half_open.len()
    }

    /// Forgets addresses that have been silent.
    pub(super) fn tidy(&mut self, now: Instant) {
        self.rates.retain(|_, bucket| !bucket.is_full(now));
    }

    fn allowance(&mut self, source: IpAddr, now: Instant) -> &mut Bucket {
        if self.rates.len() >= MAX_SOURCES && !self.rates.contains_key(&source) {
            return &mut self.others;
        }
        let rate = self.rate;
        self.rates
            .entry(source)
            .or_insert_with(|| Bucket::new(rate, BURST, now))
    }
}

/// Where a connection comes from: an IPv4 address or the /64 of an IPv6 one, for whoever has one address
/// of such a network has all of them. None over memory.
fn source(address: &Multiaddr) -> Option<IpAddr> {
    match address.iter().next()? {
        Protocol::Ip4(ip) => Some(ip.into()),
        Protocol::Ip6(ip) => match ip.to_ipv4_mapped() {
            Some(ip) => Some(ip.into()),
            None => Some(IpAddr::from(
                (u128::from(ip) & (u128::MAX << 64)).to_be_bytes(),
            )),
        },
        _ => None,
    }
}

/// The network of an address: what one person may easily have several addresses of.
fn network(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => IpAddr::from((u32::from(ip) & (u32::MAX << 8)).to_be_bytes()),
        IpAddr::V6(_) => ip,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(address: &str) -> Multiaddr {
        address.parse().unwrap()
    }

    fn id(n: usize) -> ConnectionId {
        ConnectionId::new_unchecked(n)
    }

    #[test]
    fn one_address_leaves_room_for_others() {
        let now = Instant::now();
        let mut sources = Sources::new(64, now);
        let loud = at("/ip4/10.0.0.1/tcp/1");
        for n in 0..MAX_HALF_OPEN_OF_SOURCE {
            sources.begin(id(n), &loud, now).unwrap();
        }
        assert_eq!(sources.begin(id(900), &loud, now), Err(Cause::HalfOpen));
        sources
            .begin(id(901), &at("/ip4/10.0.0.2/tcp/1"), now)
            .unwrap();
        sources.end(id(0));
        sources.begin(id(902), &loud, now).unwrap();
    }

    #[test]
    fn churn_of_one_address_is_paced_and_a_network_of_ipv6_is_one() {
        let now = Instant::now();
        let mut sources = Sources::new(64, now);
        let made = (0..10_000_u16)
            .filter(|n| {
                let from = at(&format!("/ip6/2001:db8::{n:x}/tcp/1"));
                let made = sources.begin(id(usize::from(*n)), &from, now).is_ok();
                sources.end(id(usize::from(*n)));
                made
            })
            .count();
        assert_eq!(made, 128);
        let other = at("/ip6/2001:db8:0:1::1/tcp/1");
        sources.begin(id(0), &other, now).unwrap();
        let later = now + Duration::from_secs(1);
        sources
            .begin(id(1), &at("/ip6/2001:db8::1/tcp/1"), later)
            .unwrap();
    }

    #[test]
    fn strangers_of_one_network_have_a_quarter() {
        let mut sources = Sources::new(64, Instant::now());
        let admitted = (0..200_usize)
            .filter(|n| sources.admit(id(*n), &at(&format!("/ip4/192.0.2.{n}/tcp/1")), 100))
            .count();
        assert_eq!(admitted, 25);
        assert!(sources.admit(id(900), &at("/ip4/198.51.100.1/tcp/1"), 100));
        sources.release(id(0));
        assert!(sources.admit(id(901), &at("/ip4/192.0.2.250/tcp/1"), 100));
        let v6 = (0..200_usize)
            .filter(|n| {
                sources.admit(
                    id(1000 + n),
                    &at(&format!("/ip6/2001:db8::{n:x}/tcp/1")),
                    100,
                )
            })
            .count();
        assert_eq!(v6, 25);
        assert!(sources.admit(id(2000), &at("/ip6/2001:db8:0:1::1/tcp/1"), 100));
        assert!((0..200).all(|n| sources.admit(id(3000 + n), &at("/ip4/127.0.0.1/tcp/1"), 100)));
    }

    #[test]
    fn invented_addresses_take_no_more_memory_than_is_set() {
        let now = Instant::now();
        let mut sources = Sources::new(64, now);
        for n in 0..100_000_u32 {
            let [a, b, c, d] = n.to_be_bytes();
            let from = at(&format!("/ip4/{a}.{b}.{c}.{d}/udp/1/quic-v1"));
            let _ = sources.begin(id(1), &from, now);
            sources.end(id(1));
        }
        assert!(sources.rates.len() <= MAX_SOURCES);
        sources.tidy(now + Duration::from_secs(3));
        assert!(sources.rates.is_empty());
    }
}
