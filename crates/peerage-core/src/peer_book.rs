//! The peer book: all that is known of other peers, changed only by events.

mod cards;
mod event;
mod jitter;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use self::jitter::Jitter;
use crate::{
    Multiaddr, PeerId,
    card::Card,
    dial,
    score::{Deed, Score},
};

pub use self::{cards::MAX_STRANGERS_CARDS, event::PeerEvent};

/// Peers kept at the most; past it the stalest stranger makes room, and a new stranger is left out
/// when nobody can.
pub const MAX_PEERS: usize = 4096;
/// Addresses kept for one peer at the most; past it the stalest goes.
pub const MAX_ADDRESSES: usize = 16;
/// Bytes kept of a cause or of a peer's own description of itself.
const MAX_TEXT: usize = 512;
/// Weight of a new sample in the smoothed round trip (RFC 6298, section 2: one eighth).
const RTT_GAIN: f64 = 0.125;

/// Time since the Unix epoch. The book has no clock: whoever has one says what time it is.
pub type Now = Duration;

/// How an address came to be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// Written by a person: a flag or the configuration.
    Config,
    /// Stood in an invitation.
    Invite,
    /// Heard on the local network.
    Mdns,
    /// Told by the peer itself when it connected.
    Identify,
    /// Stands in the peer's signed card.
    Card,
    /// A connection was made with it.
    Dialed,
    /// Told by a member that was asked who bears a name.
    Name,
}

/// What a peer is to this node.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Relation {
    /// Seen, not trusted.
    #[default]
    Stranger,
    /// Trusted by hand, alone.
    Trusted,
    /// Proved to be a member of a mesh that this node is in.
    Member,
}

/// By which way a connection runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Path {
    /// From machine to machine.
    Direct,
    /// Through a relay, encrypted from end to end.
    Relayed,
}

/// One address of a peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownAddress {
    /// Where, without the `/p2p` part.
    pub address: Multiaddr,
    /// How it came to be known first, or by a more reliable way later.
    pub source: Source,
    /// When it was last heard of.
    pub last_seen: Now,
    /// When a connection was last made with it.
    pub last_good: Option<Now>,
}

/// A connection that is up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The remote end.
    pub address: Multiaddr,
    /// Direct or relayed.
    pub path: Path,
    /// Since when.
    pub since: Now,
}

/// All that is known of one peer. What is skipped in its stored form belongs to a run of the node.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PeerRecord {
    /// Its addresses, in no order; [`dial::addresses`] orders them.
    pub addresses: Vec<KnownAddress>,
    /// Named in the configuration: always wanted.
    pub pinned: bool,
    /// What it is to this node.
    pub relation: Relation,
    /// When it was first heard of.
    pub first_seen: Now,
    /// When it was last heard of.
    pub last_seen: Now,
    /// Smoothed round trip.
    pub rtt: Option<Duration>,
    /// Bytes that came from it, over all runs.
    pub bytes_in: u64,
    /// Bytes that went to it, over all runs.
    pub bytes_out: u64,
    /// The program it runs, in its own words.
    pub agent: Option<String>,
    /// What its deeds say of it.
    #[serde(default)]
    pub score: Score,
    /// Its card, verified.
    #[serde(skip)]
    pub card: Option<Arc<Card>>,
    /// Why its latest card was refused.
    #[serde(skip)]
    pub card_error: Option<String>,
    /// The connection to it.
    #[serde(skip)]
    pub link: Option<Link>,
    /// Attempts that failed since the last success.
    #[serde(skip)]
    pub failures: u32,
    /// Why the latest attempt failed, or the latest connection ended.
    #[serde(skip)]
    pub last_error: Option<String>,
    /// An attempt is under way.
    #[serde(skip)]
    pub dialing: bool,
    /// Not before this.
    #[serde(skip)]
    pub next_dial: Now,
    /// Until when its latest sighting on the local network holds.
    #[serde(skip)]
    pub sighted_until: Now,
}

impl PeerRecord {
    /// A peer of whom nothing is known yet.
    #[must_use]
    pub fn new(now: Now) -> Self {
        Self {
            addresses: Vec::new(),
            pinned: false,
            relation: Relation::Stranger,
            first_seen: now,
            last_seen: now,
            rtt: None,
            bytes_in: 0,
            bytes_out: 0,
            agent: None,
            score: Score::default(),
            card: None,
            card_error: None,
            link: None,
            failures: 0,
            last_error: None,
            dialing: false,
            next_dial: now,
            sighted_until: Now::ZERO,
        }
    }

    /// Whether a connection to it should be kept, and made again when it is lost.
    #[must_use]
    pub fn wanted(&self, now: Now) -> bool {
        self.pinned || self.relation != Relation::Stranger || self.sighted_until > now
    }

    /// Adds an address or refreshes it; `true` when it was not known.
    fn learn(&mut self, address: Multiaddr, source: Source, now: Now) -> bool {
        if let Some(known) = self.addresses.iter_mut().find(|a| a.address == address) {
            known.last_seen = now;
            known.source = known.source.min(source);
            return false;
        }
        if self.addresses.len() == MAX_ADDRESSES {
            let stalest = (0..self.addresses.len())
                .min_by_key(|&i| {
                    let a = &self.addresses[i];
                    (a.source == Source::Config, a.last_good, a.last_seen)
                })
                .expect("a full list has a stalest entry");
            self.addresses.swap_remove(stalest);
        }
        self.addresses.push(KnownAddress {
            address,
            source,
            last_seen: now,
            last_good: None,
        });
        true
    }
}

/// The book. See the module's page.
#[derive(Clone, Debug)]
pub struct PeerBook {
    me: PeerId,
    peers: BTreeMap<PeerId, PeerRecord>,
    jitter: Jitter,
    left_out: u64,
}

impl PeerBook {
    /// An empty book of the node `me`; the seed makes its jitter repeatable.
    #[must_use]
    pub fn new(me: PeerId, seed: u64) -> Self {
        Self {
            me,
            peers: BTreeMap::new(),
            jitter: Jitter::new(seed),
            left_out: 0,
        }
    }

    /// Puts back what an earlier run had stored. A record of this node itself is ignored.
    pub fn restore(&mut self, peer: PeerId, record: PeerRecord) {
        if peer != self.me && self.peers.len() < MAX_PEERS {
            self.peers.insert(peer, record);
        }
    }

    /// Whose book it is.
    #[must_use]
    pub fn me(&self) -> PeerId {
        self.me
    }

    /// What is known of a peer.
    #[must_use]
    pub fn get(&self, peer: &PeerId) -> Option<&PeerRecord> {
        self.peers.get(peer)
    }

    /// All peers, in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = (&PeerId, &PeerRecord)> {
        self.peers.iter()
    }

    /// How many peers are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.peers.len()
    }

    /// Whether nobody is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }

    /// How many strangers were left out because the book was full.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Marks a peer as named by a person, so that it is always wanted.
    pub fn pin(&mut self, peer: PeerId, now: Now) {
        if peer != self.me {
            let record = self.entry(peer, now, true);
            if let Some(record) = record {
                record.pinned = true;
            }
        }
    }

    /// Takes in what happened at `now`. `true` when something that a watcher can see has changed.
    pub fn apply(&mut self, peer: PeerId, event: PeerEvent, now: Now) -> bool {
        if peer == self.me {
            return false;
        }
        let chance = Chance {
            first: dial::dials_first(&self.me, &peer),
            jitter: self.jitter.next(),
        };
        let certain = !matches!(event, PeerEvent::Discovered { .. });
        let Some(record) = self.entry(peer, now, certain) else {
            return false;
        };
        record.last_seen = record.last_seen.max(now);
        let is_card = matches!(event, PeerEvent::CardAccepted(_));
        let changed = record.apply(event, now, chance);
        if is_card {
            cards::bound(&mut self.peers, &peer);
        }
        changed
    }

    /// The record of a peer, made when there is room or when it is `certain` that the peer exists.
    fn entry(&mut self, peer: PeerId, now: Now, certain: bool) -> Option<&mut PeerRecord> {
        if !self.peers.contains_key(&peer) && self.peers.len() >= MAX_PEERS {
            let stalest = self
                .peers
                .iter()
                .filter(|(_, r)| r.link.is_none() && !r.dialing && !r.wanted(now))
                .min_by_key(|(_, r)| r.last_seen)
                .map(|(peer, _)| *peer);
            match stalest {
                Some(stale) => {
                    self.peers.remove(&stale);
                }
                None if certain => {}
                None => {
                    self.left_out += 1;
                    return None;
                }
            }
        }
        Some(
            self.peers
                .entry(peer)
                .or_insert_with(|| PeerRecord::new(now)),
        )
    }
}

/// What decides when a peer is dialled beside what is known of it.
#[derive(Clone, Copy)]
struct Chance {
    /// Of the two, this node dials first.
    first: bool,
    /// In `0.0..1.0`.
    jitter: f64,
}

impl PeerRecord {
    fn apply(&mut self, event: PeerEvent, now: Now, chance: Chance) -> bool {
        match event {
            PeerEvent::Discovered {
                addresses,
                source,
                holds,
            } => {
                if let Some(holds) = holds {
                    self.sighted_until = now + holds;
                }
                self.pinned |= source == Source::Config;
                return self.discovered(addresses, source, now, chance);
            }
            PeerEvent::Dialing => {
                self.dialing = true;
                return false;
            }
            PeerEvent::Did {
                deed,
                count,
                detail,
            } => return self.score.note(deed, count, &detail, now),
            PeerEvent::Forgiven => self.score = Score::default(),
            PeerEvent::Related(relation) => {
                return std::mem::replace(&mut self.relation, relation) != relation;
            }
            PeerEvent::DialFailed { cause } => self.dial_failed(cause, now, chance),
            PeerEvent::Connected {
                address,
                path,
                outbound,
            } => self.connected(address, path, outbound, now),
            PeerEvent::Disconnected { cause } => {
                self.link = None;
                self.next_dial = now + dial::head_start(chance.first, chance.jitter);
                if let Some(cause) = &cause {
                    self.score.note(Deed::Failed, 1, cause, now);
                }
                self.last_error = cause.map(shorten);
            }
            PeerEvent::Identified { agent, addresses } => {
                self.agent = Some(shorten(agent));
                self.learn_all(addresses, Source::Identify, now);
            }
            PeerEvent::Measured(rtt) => self.measured(rtt),
            PeerEvent::Transferred {
                bytes_in,
                bytes_out,
            } => {
                self.bytes_in = self.bytes_in.saturating_add(bytes_in);
                self.bytes_out = self.bytes_out.saturating_add(bytes_out);
            }
            PeerEvent::CardAccepted(card) => {
                self.learn_all(card.addresses().iter().cloned(), Source::Card, now);
                self.card = Some(card);
                self.card_error = None;
            }
            PeerEvent::CardRefused { cause } => self.card_error = Some(shorten(cause)),
        }
        true
    }

    /// Learns what fits; `true` when something was not known.
    fn learn_all(
        &mut self,
        addresses: impl IntoIterator<Item = Multiaddr>,
        source: Source,
        now: Now,
    ) -> bool {
        let mut new = false;
        for address in addresses.into_iter().take(MAX_ADDRESSES) {
            new |= self.learn(address, source, now);
        }
        new
    }

    fn discovered(
        &mut self,
        addresses: Vec<Multiaddr>,
        source: Source,
        now: Now,
        chance: Chance,
    ) -> bool {
        let new = self.learn_all(addresses, source, now);
        // Somebody who shows up at a new address is worth an attempt now, whatever failed before.
        if new && self.link.is_none() {
            self.failures = 0;
            self.next_dial = now + dial::head_start(chance.first, chance.jitter);
        }
        new
    }

    fn dial_failed(&mut self, cause: String, now: Now, chance: Chance) {
        self.dialing = false;
        self.failures = self.failures.saturating_add(1);
        self.next_dial = now + dial::back_off(self.failures, self.relation, chance.jitter);
        self.score.note(Deed::Failed, 1, &cause, now);
        self.last_error = Some(shorten(cause));
    }

    fn connected(&mut self, address: Multiaddr, path: Path, outbound: bool, now: Now) {
        self.dialing = false;
        self.failures = 0;
        self.last_error = None;
        if outbound {
            self.learn(address.clone(), Source::Dialed, now);
            for known in &mut self.addresses {
                if known.address == address {
                    known.last_good = Some(now);
                }
            }
        }
        self.link = Some(Link {
            address,
            path,
            since: now,
        });
    }

    fn measured(&mut self, rtt: Duration) {
        self.rtt = Some(match self.rtt {
            None => rtt,
            Some(smoothed) => smoothed.mul_f64(1.0 - RTT_GAIN) + rtt.mul_f64(RTT_GAIN),
        });
    }
}

fn shorten(mut text: String) -> String {
    if text.len() > MAX_TEXT {
        let end = (0..=MAX_TEXT)
            .rev()
            .find(|&i| text.is_char_boundary(i))
            .unwrap_or(0);
        text.truncate(end);
    }
    text
}

#[cfg(test)]
mod tests;
