//! Finding who bears a name: whom to ask next, when to stop, and in which order to try those who were found.
//!
//! A [`Lookup`] is one search as pure steps. It begins with the peers whose names are known and asks the one whose name is the
//! longest beginning of the wanted one; that one answers who bears the name, or who bears a longer beginning of it. Nobody is
//! asked twice, a hint that leads away from the name is not followed, and after [`MAX_ASKED`] questions the search has failed.
//!
//! What a peer answers is only a hint: whoever is found must prove the name by a chain of grants, which the caller of this
//! module verifies before it tells the search.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use libp2p_identity::PeerId;

use crate::address::Address;

mod answer;
#[cfg(test)]
mod tests;

pub use answer::{Answer, AnswerError, Bearer, MAX_ADDRESSES, MAX_ANSWER};

/// The most peers that one search asks.
pub const MAX_ASKED: usize = 16;

/// The most peers that one answer may name.
pub const MAX_HINTS: usize = 16;

/// One search for the bearers of a name.
#[derive(Clone, Debug)]
pub struct Lookup {
    name: Address,
    /// Who may know more, with the name by which it may, and why.
    open: BTreeMap<PeerId, (Address, Knows)>,
    asked: BTreeSet<PeerId>,
    found: BTreeSet<PeerId>,
}

/// Why a peer may know who bears a name. Of those who may by the same beginning of it, the greatest is asked first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Knows {
    /// It is in the same mesh.
    Member,
    /// It has given this node a name, so it holds what is above.
    Giver,
    /// It bears the beginning of the name itself.
    Bearer,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Ask this peer, which may know by this beginning of the name.
    Ask(PeerId, Address),
    /// These bear the name.
    Found(Vec<PeerId>),
    /// There is nobody left to ask.
    Unknown,
    /// [`MAX_ASKED`] peers were asked.
    TooFar,
}

impl Lookup {
    /// Begins with what is known: peers and the names they have proven.
    #[must_use]
    pub fn new(name: Address, known: impl IntoIterator<Item = (PeerId, Address)>) -> Self {
        let mut lookup = Self {
            name,
            open: BTreeMap::new(),
            asked: BTreeSet::new(),
            found: BTreeSet::new(),
        };
        for (peer, bears) in known {
            lookup.hint(peer, bears, 0, Knows::Bearer);
        }
        lookup
    }

    /// A peer that is near the name without bearing a beginning of it, by the name that it bears: it counts as one who may know by
    /// what the two names have in common. Where they have nothing in common it is not asked.
    pub fn near(&mut self, peer: PeerId, bears: &Address, knows: Knows) {
        let common = std::iter::successors(Some(bears.clone()), Address::parent)
            .find(|above| above.covers(&self.name) && *above != self.name);
        if let Some(common) = common {
            self.hint(peer, common, 0, knows);
        }
    }

    /// The name that is searched.
    #[must_use]
    pub fn name(&self) -> &Address {
        &self.name
    }

    /// What to do next. A peer that is returned counts as asked.
    pub fn step(&mut self) -> Next {
        if !self.found.is_empty() {
            return Next::Found(self.found.iter().copied().collect());
        }
        if self.asked.len() == MAX_ASKED {
            return Next::TooFar;
        }
        // The longest beginning; among equals any, but always the same.
        let nearest = self.open.iter();
        let nearest = nearest.max_by_key(|(_, (bears, knows))| (bears.depth(), *knows));
        let Some((&peer, _)) = nearest else {
            return Next::Unknown;
        };
        let (bears, _) = self.open.remove(&peer).expect("it was just seen");
        self.asked.insert(peer);
        Next::Ask(peer, bears)
    }

    /// What the bearer of `asked` has answered: peers and the names they have proven. Those of the wanted name are found; those
    /// of a beginning of it that is longer than `asked` are asked in turn; the rest leads away and is dropped.
    pub fn answered(&mut self, asked: &Address, hints: Vec<(PeerId, Address)>) {
        for (peer, bears) in hints.into_iter().take(MAX_HINTS) {
            self.hint(peer, bears, asked.depth(), Knows::Bearer);
        }
    }

    fn hint(&mut self, peer: PeerId, bears: Address, deeper_than: usize, knows: Knows) {
        if bears == self.name {
            self.found.insert(peer);
        } else if bears.covers(&self.name)
            && bears.depth() > deeper_than
            && !self.asked.contains(&peer)
        {
            let known = self.open.get(&peer);
            if known.is_none_or(|(known, why)| (bears.depth(), knows) > (known.depth(), *why)) {
                self.open.insert(peer, (bears, knows));
            }
        }
    }
}

/// One of several who bear a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Who.
    pub peer: PeerId,
    /// Whether a connection to it is up.
    pub connected: bool,
    /// Attempts in a row that have failed since it last answered.
    pub failures: u32,
    /// Its smoothed round trip, where one was measured.
    pub rtt: Option<Duration>,
    /// Calls of this node to it that are under way.
    pub load: u32,
}

/// Round trips that differ by less count as equal, so that calls spread over peers that are equally near.
const EQUAL_RTT: Duration = Duration::from_millis(5);
/// What stands for a round trip that was not measured yet.
const UNKNOWN_RTT: Duration = Duration::from_millis(50);

/// The order in which to try several peers: those that answer before those that fail, then by how long a call is likely to take,
/// which is the round trip for each call that is under way and for this one. `turn` spreads calls over those that are equal in
/// all this: count it up for each call.
#[must_use]
pub fn order(mut candidates: Vec<Candidate>, turn: usize) -> Vec<PeerId> {
    candidates.sort_by_key(|candidate| candidate.peer);
    if !candidates.is_empty() {
        let turn = turn % candidates.len();
        candidates.rotate_left(turn);
    }
    candidates.sort_by_key(rank);
    candidates
        .into_iter()
        .map(|candidate| candidate.peer)
        .collect()
}

/// Stable sorting by this keeps the turn among equals.
fn rank(candidate: &Candidate) -> (u32, bool, u128) {
    let rtt = candidate.rtt.unwrap_or(UNKNOWN_RTT).as_millis() / EQUAL_RTT.as_millis() + 1;
    let cost = rtt * (u128::from(candidate.load) + 1);
    (candidate.failures, !candidate.connected, cost)
}
