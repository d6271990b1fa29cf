//! In which order several peers of one name are called, by what is known of them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use peerage_core::{
    PeerId,
    lookup::{Candidate, order as by_merit},
};

use crate::context::Context;

/// The calls of this node that are under way, by peer.
#[derive(Clone, Debug, Default)]
pub(super) struct Loads(Arc<Mutex<HashMap<PeerId, u32>>>);

/// A call under way, counted while this lives.
#[derive(Debug)]
pub struct Load {
    peer: PeerId,
    loads: Loads,
}

impl Loads {
    pub(super) fn begin(&self, peer: PeerId) -> Load {
        let mut loads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *loads.entry(peer).or_default() += 1;
        Load {
            peer,
            loads: self.clone(),
        }
    }

    fn of(&self, peer: &PeerId) -> u32 {
        let loads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        loads.get(peer).copied().unwrap_or_default()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let mut loads = self.loads.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = loads.get_mut(&self.peer) {
            *count -= 1;
            if *count == 0 {
                loads.remove(&self.peer);
            }
        }
    }
}

/// The peers in the order in which to call them.
pub(super) fn order(ctx: &Context, peers: Vec<PeerId>) -> Vec<PeerId> {
    if peers.len() < 2 {
        return peers;
    }
    let book = ctx.mesh.book();
    let candidate = |peer: PeerId| {
        let record = book.get(&peer);
        Candidate {
            peer,
            connected: record.as_ref().is_some_and(|record| record.link.is_some()),
            failures: record.as_ref().map_or(0, |record| record.failures),
            rtt: record.as_ref().and_then(|record| record.rtt),
            load: ctx.names.loads.of(&peer),
        }
    };
    by_merit(peers.into_iter().map(candidate).collect(), ctx.names.turn())
}
