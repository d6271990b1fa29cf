//! Who is here: tells in the log when a member or a trusted peer comes and goes.

use std::collections::HashSet;

use peerage_core::{
    PeerId,
    peer_book::{PeerEvent, PeerRecord, Relation},
};
use peerage_mesh::{Book, Change};
use tokio::sync::broadcast::error::RecvError;

/// Follows the book until the node stops. Strangers come and go unmentioned.
pub async fn run(book: Book) {
    let mut changes = book.watch();
    let mut here = HashSet::new();
    loop {
        match changes.recv().await {
            Ok(Change { peer, event }) => follow(&book, &mut here, peer, &event),
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}

fn follow(book: &Book, here: &mut HashSet<PeerId>, peer: PeerId, event: &PeerEvent) {
    let Some(record) = book.get(&peer) else {
        here.remove(&peer);
        return;
    };
    match event {
        PeerEvent::Connected { .. } | PeerEvent::CardAccepted(_) | PeerEvent::Related(_) => {
            let known = record.relation != Relation::Stranger;
            if let (true, Some(link), Some(card)) = (known, &record.link, &record.card)
                && here.insert(peer)
            {
                let (name, address) = (card.name(), &link.address);
                tracing::info!(name, %peer, %address, "a peer is here");
            }
        }
        PeerEvent::Disconnected { cause } if here.remove(&peer) => {
            let (name, cause) = (name(&record), cause.as_deref().unwrap_or("it left"));
            tracing::info!(name, %peer, cause, "a peer is gone");
        }
        _ => {}
    }
}

fn name(record: &PeerRecord) -> &str {
    record.card.as_ref().map_or("", |card| card.name())
}
