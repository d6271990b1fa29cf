//! The book on the disk: what is known of peers is kept, so that a restarted node dials those it knew.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use peerage_core::{
    PeerId,
    card::Card,
    peer_book::{PeerBook, PeerEvent, PeerRecord},
};
use peerage_mesh::Book;
use serde_json::value::RawValue;
use tokio::sync::broadcast::error::RecvError;

use crate::{
    members::unix_now,
    store::{Batch, Store, StoreError, Table},
};

/// How long changes are gathered before they are written together.
const GATHER: Duration = Duration::from_secs(1);

/// Reads the book of the node `me`. Stored cards are verified again; those that do not hold are left.
///
/// # Errors
///
/// [`StoreError`] when the store fails.
pub fn open(store: &Store, me: PeerId) -> Result<Book, StoreError> {
    let mut book = PeerBook::new(me, rand::random());
    let cards: BTreeMap<String, Box<RawValue>> = store.all(Table::Cards)?.into_iter().collect();
    for (key, mut record) in store.all::<PeerRecord>(Table::Peers)? {
        let Ok(peer) = key.parse::<PeerId>() else {
            continue;
        };
        record.card = cards
            .get(&key)
            .and_then(|card| Card::verify(card.get().as_bytes(), &peer, unix_now()).ok())
            .map(Arc::new);
        book.restore(peer, record);
    }
    Ok(Book::new(book))
}

/// Writes what changes, until the node stops.
pub async fn run(store: Store, book: Book) {
    let mut changes = book.watch();
    let mut tick = tokio::time::interval(GATHER);
    let mut dirty = Dirty::default();
    loop {
        tokio::select! {
            change = changes.recv() => match change {
                Ok(change) => dirty.mark(change.peer, &change.event),
                Err(RecvError::Lagged(_)) => dirty.mark_all(&book),
                Err(RecvError::Closed) => return,
            },
            _ = tick.tick() => {
                if dirty.is_empty() {
                    continue;
                }
                let batch = dirty.take(&book);
                let store = store.clone();
                let written = tokio::task::spawn_blocking(move || store.write(batch)).await;
                if let Ok(Err(error)) = written {
                    tracing::error!(%error, "what is known of peers cannot be kept");
                }
            }
        }
    }
}

/// Writes what is known of one peer now: for what is told to somebody as done.
///
/// # Errors
///
/// [`StoreError`] when the store fails.
pub fn keep(store: &Store, book: &Book, peer: PeerId) -> Result<(), StoreError> {
    let mut dirty = Dirty::default();
    dirty.records.insert(peer);
    dirty.cards.insert(peer);
    store.write(dirty.take(book))
}

/// Writes all that is known, as the node stops.
///
/// # Errors
///
/// [`StoreError`] when the store fails.
pub fn flush(store: &Store, book: &Book) -> Result<(), StoreError> {
    let mut dirty = Dirty::default();
    dirty.mark_all(book);
    store.write(dirty.take(book))
}

#[derive(Default)]
struct Dirty {
    records: BTreeSet<PeerId>,
    cards: BTreeSet<PeerId>,
}

impl Dirty {
    fn mark(&mut self, peer: PeerId, event: &PeerEvent) {
        self.records.insert(peer);
        if matches!(event, PeerEvent::CardAccepted(_)) {
            self.cards.insert(peer);
        }
    }

    fn mark_all(&mut self, book: &Book) {
        book.read(|book| {
            for (peer, record) in book.iter() {
                self.records.insert(*peer);
                if record.card.is_some() {
                    self.cards.insert(*peer);
                }
            }
        });
    }

    fn is_empty(&self) -> bool {
        self.records.is_empty() && self.cards.is_empty()
    }

    fn take(&mut self, book: &Book) -> Batch {
        let mut batch = Batch::default();
        for peer in std::mem::take(&mut self.records) {
            // A peer that made room for another is gone from the disk too.
            match book.get(&peer) {
                Some(record) => batch.put(Table::Peers, &peer.to_base58(), &record),
                None => batch.remove(Table::Peers, &peer.to_base58()),
            }
        }
        for peer in std::mem::take(&mut self.cards) {
            let card = book.get(&peer).and_then(|record| record.card);
            let json = card.and_then(|card| String::from_utf8(card.bytes().to_vec()).ok());
            match json.and_then(|json| RawValue::from_string(json).ok()) {
                Some(card) => batch.put(Table::Cards, &peer.to_base58(), &card),
                None => batch.remove(Table::Cards, &peer.to_base58()),
            }
        }
        batch
    }
}
