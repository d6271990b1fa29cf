//! What was refused: counted by cause for all, and by cause for each of the peers that it met last.

use std::{collections::HashMap, fmt, time::Duration};

use peerage_core::PeerId;
use tokio::time::Instant;

/// Peers of which it is kept what they were refused; beyond, the one whose last refusal is oldest goes.
const MAX_PEERS: usize = 64;

/// Why something was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// A connection: too many are just being made, in all or by one address.
    HalfOpen,
    /// A connection: its address has made too many in a short time.
    ConnectionRate,
    /// A connection: as many are open as may be, in all, by strangers, or by this peer.
    Connections,
    /// A connection: strangers of its network have as many as may be.
    Network,
    /// A stream: as many are open as may be, in all, by strangers, or by this peer.
    Streams,
    /// A stream: the peer opens them too fast.
    StreamRate,
    /// A stream: nobody takes up those of its protocol fast enough.
    Queue,
    /// A call: too many bytes are held, in all, for strangers, or for this peer.
    Bytes,
    /// A call: the peer makes too many in a short time.
    Calls,
    /// A stream: what came on it was no request, or one with too long a head.
    Garbage,
    /// A connection: the peer was shut out for a while, for it went on after many refusals.
    ShutOut,
    /// A connection: the owner's rules refuse it.
    Policy,
    /// A multicast packet: too many come, in all or from one address.
    MdnsPackets,
    /// A peer told of by multicast: more new ones were told of than are believed.
    MdnsPeers,
}

impl Cause {
    /// All there are.
    pub const ALL: [Self; 14] = [
        Self::HalfOpen,
        Self::ConnectionRate,
        Self::Connections,
        Self::Network,
        Self::Streams,
        Self::StreamRate,
        Self::Queue,
        Self::Bytes,
        Self::Calls,
        Self::Garbage,
        Self::ShutOut,
        Self::Policy,
        Self::MdnsPackets,
        Self::MdnsPeers,
    ];

    /// The stable word for it, as in the local API and in the `code` of a refused call.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HalfOpen => "half_open",
            Self::ConnectionRate => "connection_rate",
            Self::Connections => "connections",
            Self::Network => "network",
            Self::Streams => "streams",
            Self::StreamRate => "stream_rate",
            Self::Queue => "queue",
            Self::Bytes => "bytes_in_flight",
            Self::Calls => "call_rate",
            Self::Garbage => "garbage",
            Self::ShutOut => "shut_out",
            Self::Policy => "policy",
            Self::MdnsPackets => "mdns_packets",
            Self::MdnsPeers => "mdns_peers",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HalfOpen => "too many connections are just being made",
            Self::ConnectionRate => "connections are made too fast from this address",
            Self::Connections => "as many connections are open as may be",
            Self::Network => "strangers of this network have as many connections as may be",
            Self::Streams => "as many streams are open as may be",
            Self::StreamRate => "streams are opened too fast",
            Self::Queue => "streams of this protocol are not taken up fast enough",
            Self::Bytes => "too many bytes of calls are held already",
            Self::Calls => "calls come too fast",
            Self::Garbage => "what was sent is no request",
            Self::ShutOut => "the peer is shut out for a while after too many refusals",
            Self::Policy => "the rules of the owner refuse it",
            Self::MdnsPackets => "multicast packets come too fast",
            Self::MdnsPeers => "more new peers are told of by multicast than are believed",
        })
    }
}

/// A refusal: why, and when it is worth trying again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{cause}")]
pub struct Refusal {
    /// Why.
    pub cause: Cause,
    /// After how long there may be room again.
    pub retry_after: Duration,
    /// Whether it was the peer's own limit, and not what others have taken.
    pub own: bool,
}

/// What a peer was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedPeer {
    /// Who.
    pub peer: PeerId,
    /// How often, by cause; only those that happened.
    pub causes: Vec<(Cause, u64)>,
    /// How long ago it was last refused something.
    pub ago: Duration,
}

/// See the module's page.
#[derive(Debug, Default)]
pub(super) struct Refused {
    all: Counts,
    peers: HashMap<PeerId, (Counts, Instant)>,
}

/// How often, by cause.
type Counts = [u64; Cause::ALL.len()];

impl Refused {
    pub(super) fn note(&mut self, peer: Option<PeerId>, cause: Cause, now: Instant) {
        self.count(cause, 1);
        let Some(peer) = peer else { return };
        if self.peers.len() >= MAX_PEERS
            && !self.peers.contains_key(&peer)
            && let Some(oldest) = self.peers.iter().min_by_key(|(_, (_, last))| *last)
        {
            let oldest = *oldest.0;
            self.peers.remove(&oldest);
        }
        let entry = self.peers.entry(peer);
        let (counts, last) = entry.or_insert_with(|| (Counts::default(), now));
        counts[cause as usize] += 1;
        *last = now;
    }

    pub(super) fn count(&mut self, cause: Cause, times: u64) {
        self.all[cause as usize] += times;
    }

    pub(super) fn by_cause(&self) -> Vec<(Cause, u64)> {
        happened(&self.all)
    }

    /// Those that were refused something last come first.
    pub(super) fn by_peer(&self, now: Instant) -> Vec<RefusedPeer> {
        let mut peers: Vec<_> = self
            .peers
            .iter()
            .map(|(peer, (counts, last))| RefusedPeer {
                peer: *peer,
                causes: happened(counts),
                ago: now.saturating_duration_since(*last),
            })
            .collect();
        peers.sort_by_key(|refused| (refused.ago, refused.peer));
        peers
    }
}

fn happened(counts: &Counts) -> Vec<(Cause, u64)> {
    let all = Cause::ALL.iter().copied().zip(counts.iter().copied());
    all.filter(|(_, count)| *count > 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_has_its_place_and_its_own_word() {
        let mut words: Vec<_> = Cause::ALL.iter().map(|cause| cause.as_str()).collect();
        for (place, cause) in Cause::ALL.iter().enumerate() {
            assert_eq!(*cause as usize, place);
        }
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Cause::ALL.len());
    }

    #[test]
    fn only_the_last_peers_are_kept_and_all_are_counted() {
        let (mut refused, start) = (Refused::default(), Instant::now());
        let peers: Vec<PeerId> = (0..200).map(|_| PeerId::random()).collect();
        for (at, peer) in peers.iter().enumerate() {
            let now = start + Duration::from_secs(at as u64);
            refused.note(Some(*peer), Cause::Calls, now);
        }
        assert_eq!(refused.by_cause(), [(Cause::Calls, 200)]);
        let kept: Vec<PeerId> = refused
            .by_peer(start + Duration::from_secs(999))
            .into_iter()
            .map(|r| r.peer)
            .collect();
        let newest: Vec<PeerId> = peers.iter().rev().take(MAX_PEERS).copied().collect();
        assert_eq!(kept, newest);
    }
}
