//! How much the book keeps of strangers' cards.

use std::collections::BTreeMap;

use super::{PeerRecord, Relation};
use crate::PeerId;

/// Bytes of strangers' cards kept at the most; past it those go that were heard of longest ago.
pub const MAX_STRANGERS_CARDS: usize = 32 * 1024 * 1024;

/// Lets go of strangers' cards when there are too many, but not of the `latest`: somebody may come with
/// one key after the other, each with as large a card as may be.
pub(super) fn bound(peers: &mut BTreeMap<PeerId, PeerRecord>, latest: &PeerId) {
    let size = |record: &PeerRecord| record.card.as_ref().map_or(0, |card| card.bytes().len());
    let mut held: Vec<_> = peers
        .iter_mut()
        .filter(|(_, r)| r.relation == Relation::Stranger && r.card.is_some())
        .collect();
    let mut total: usize = held.iter().map(|(_, record)| size(record)).sum();
    held.sort_by_key(|(peer, r)| (*peer == latest, r.link.is_some(), r.last_seen));
    for (_, record) in held {
        if total <= MAX_STRANGERS_CARDS {
            return;
        }
        total -= size(record);
        record.card = None;
    }
}
