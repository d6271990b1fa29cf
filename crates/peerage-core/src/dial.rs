//! Whom to dial next and when again: decisions over the peer book, without a clock or a socket.

use std::time::Duration;

use crate::{
    Multiaddr, PeerId,
    peer_book::{KnownAddress, Now, PeerBook, PeerRecord, Relation, Source},
};

/// Attempts under way at once, at the most.
pub const MAX_DIALING: usize = 16;
/// Strangers that are connected to at once, at the most; members and trusted peers do not count.
pub const MAX_STRANGERS: usize = 64;
/// Addresses tried in one attempt.
pub const MAX_TRIED: usize = 8;
/// The wait after the first failure; it doubles with each further one.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest wait for somebody who is wanted.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// The longest wait for a stranger.
const LONGEST_WAIT_STRANGER: Duration = Duration::from_secs(600);
/// What the second to dial leaves to the first.
const HEAD_START: Duration = Duration::from_millis(300);

/// Of two peers that find each other at the same moment, the one with the smaller id dials first, so
/// that they do not end up with two connections. The other follows shortly after, for it may be the
/// only one of them who can.
#[must_use]
pub fn dials_first(me: &PeerId, peer: &PeerId) -> bool {
    me.to_bytes() < peer.to_bytes()
}

/// How long to wait before a first attempt; `jitter` is in `0.0..1.0`.
#[must_use]
pub fn head_start(dials_first: bool, jitter: f64) -> Duration {
    let base = if dials_first {
        Duration::ZERO
    } else {
        HEAD_START
    };
    base + Duration::from_millis(50).mul_f64(jitter)
}

/// How long to wait after `failures` failed attempts in a row: doubling, with a ceiling, and between
/// half and all of it by `jitter` (in `0.0..1.0`), so that many do not come back in step.
#[must_use]
pub fn back_off(failures: u32, relation: Relation, jitter: f64) -> Duration {
    let ceiling = match relation {
        Relation::Stranger => LONGEST_WAIT_STRANGER,
        Relation::Trusted | Relation::Member => LONGEST_WAIT,
    };
    let doubled = FIRST_WAIT * 2_u32.saturating_pow(failures.saturating_sub(1).min(16));
    doubled.min(ceiling).mul_f64(0.5 + jitter / 2.0)
}

/// The addresses to try, best first: those that worked most recently, then those a person wrote,
/// then the freshest. QUIC before TCP where all else is equal: it needs one round trip less.
#[must_use]
pub fn addresses(record: &PeerRecord) -> Vec<Multiaddr> {
    let mut known: Vec<&KnownAddress> = record.addresses.iter().collect();
    known.sort_by_key(|a| {
        (
            std::cmp::Reverse(a.last_good),
            a.source != Source::Config,
            std::cmp::Reverse(a.last_seen.as_secs()),
            !a.address.to_string().contains("/quic-v1"),
        )
    });
    known
        .into_iter()
        .take(MAX_TRIED)
        .map(|a| a.address.clone())
        .collect()
}

/// What is to be done now, and when to ask again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Dial these now.
    pub dial: Vec<PeerId>,
    /// Ask again at this time, if nothing happens before.
    pub again: Option<Now>,
}

/// Whom to dial at `now`: wanted peers that are not connected, whose wait is over, members first.
#[must_use]
pub fn plan(book: &PeerBook, now: Now) -> Plan {
    let dialing = book.iter().filter(|(_, r)| r.dialing).count();
    let mut strangers = book
        .iter()
        .filter(|(_, r)| is_stranger(r) && (r.link.is_some() || r.dialing))
        .count();
    let mut candidates: Vec<_> = book
        .iter()
        .filter(|(_, r)| r.link.is_none() && !r.dialing)
        .filter(|(_, r)| r.wanted(now) && !r.addresses.is_empty())
        .collect();
    candidates.sort_by_key(|(_, r)| (std::cmp::Reverse((r.pinned, r.relation)), r.next_dial));

    let mut plan = Plan::default();
    for (peer, record) in candidates {
        if record.next_dial > now {
            plan.again = Some(
                plan.again
                    .map_or(record.next_dial, |t| t.min(record.next_dial)),
            );
            continue;
        }
        let full = dialing + plan.dial.len() >= MAX_DIALING
            || is_stranger(record) && strangers >= MAX_STRANGERS;
        if !full {
            strangers += usize::from(is_stranger(record));
            plan.dial.push(*peer);
        }
    }
    plan
}

/// Connected strangers that are to go because there are more than [`MAX_STRANGERS`]: those first
/// that nobody has sighted lately, then those that came last.
#[must_use]
pub fn surplus(book: &PeerBook, now: Now) -> Vec<PeerId> {
    let mut strangers: Vec<_> = book
        .iter()
        .filter(|(_, r)| is_stranger(r))
        .filter_map(|(peer, r)| Some((r.wanted(now), r.link.as_ref()?.since, *peer)))
        .collect();
    strangers.sort_by_key(|(wanted, since, _)| (!wanted, *since));
    strangers
        .into_iter()
        .skip(MAX_STRANGERS)
        .map(|(_, _, peer)| peer)
        .collect()
}

fn is_stranger(record: &PeerRecord) -> bool {
    !record.pinned && record.relation == Relation::Stranger
}

#[cfg(test)]
mod tests;
