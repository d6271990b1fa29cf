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

#[cfg(test)]
mod tests;

/// The most peers that one search asks.
pub const MAX_ASKED: usize = 16;

/// The most peers that one answer may name.
pub const MAX_HINTS: usize = 16;

/// One search for the bearers of a name.
#[derive(Clone, Debug)]
pub struct Lookup {
    name: Address,
    /// Who may know more, with the name by which it may.
    open: BTreeMap<PeerId, Address>,
    asked: BTreeSet<PeerId>,
    found: BTreeSet<PeerId>,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Ask this peer, the bearer of this beginning of the name.
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
            lookup.hint(peer, bears, 0);
        }
        lookup
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
        let nearest = self.open.iter().max_by_key(|(_, bears)| bears.depth());
        let Some((&peer, _)) = nearest else {
            return Next::Unknown;
        };
        let bears = self.open.remove(&peer).expect("it was just seen");
        self.asked.insert(peer);
        Next::Ask(peer, bears)
    }

    /// What the bearer of `asked` has answered: peers and the names they have proven. Those of the wanted name are found; those
    /// of a beginning of it that is longer than `asked` are asked in turn; the rest leads away and is dropped.
    pub fn answered(&mut self, asked: &Address, hints: Vec<(PeerId, Address)>) {
        for (peer, bears) in hints.into_iter().take(MAX_HINTS) {
            self.hint(peer, bears, asked.depth());
        }
    }

    fn hint(&mut self, peer: PeerId, bears: Address, deeper_than: usize) {
        if bears == self.name {
            self.found.insert(peer);
        } else if bears.covers(&self.name)
            && bears.depth() > deeper_than
            && !self.asked.contains(&peer)
        {
            let known = self.open.get(&peer).map_or(0, Address::depth);
            if bears.depth() > known {
                self.open.insert(peer, bears);
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

/// The order in which to try several peers: those that answer before those that fail, then the near before the far, then the
/// idle before the busy. `turn` spreads calls over those that are equal in all this: count it up for each call.
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
fn rank(candidate: &Candidate) -> (u32, bool, u128, u32) {
    let rtt = candidate
        .rtt
        .map_or(u128::MAX, |rtt| rtt.as_millis() / EQUAL_RTT.as_millis());
    (
        candidate.failures,
        !candidate.connected,
        rtt,
        candidate.load,
    )
}
