//! The peer book as the running node shares it: changed by events, watched by everyone.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use peerage_core::{
    PeerId,
    peer_book::{Now, PeerBook, PeerEvent, PeerRecord},
};
use tokio::sync::broadcast;

/// Changes that a slow watcher may be behind; then it is told so and reads the book anew.
const WATCH_QUEUE: usize = 1024;

/// A shared [`PeerBook`] with the clock of this machine. Clones share the book.
#[derive(Clone, Debug)]
pub struct Book {
    inner: Arc<Mutex<PeerBook>>,
    changes: broadcast::Sender<Change>,
}

/// A peer of whom something has changed; [`Book::get`] tells what is known now.
#[derive(Clone, Debug)]
pub struct Change {
    /// Who.
    pub peer: PeerId,
    /// What happened.
    pub event: PeerEvent,
}

impl Book {
    /// Shares a book.
    #[must_use]
    pub fn new(book: PeerBook) -> Self {
        Self {
            inner: Arc::new(Mutex::new(book)),
            changes: broadcast::Sender::new(WATCH_QUEUE),
        }
    }

    /// Takes in what happened just now, and tells the watchers if it changed something.
    pub fn apply(&self, peer: PeerId, event: PeerEvent) {
        let changed = self.lock().apply(peer, event.clone(), now());
        if changed {
            // Nobody may be watching.
            let _ = self.changes.send(Change { peer, event });
        }
    }

    /// What is known of a peer.
    #[must_use]
    pub fn get(&self, peer: &PeerId) -> Option<PeerRecord> {
        self.lock().get(peer).cloned()
    }

    /// Reads the book as a whole. The book is locked meanwhile: do not keep `read` busy.
    pub fn read<T>(&self, read: impl FnOnce(&PeerBook) -> T) -> T {
        read(&self.lock())
    }

    /// Told of every change from now on. A watcher that falls behind is told how far.
    #[must_use]
    pub fn watch(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, PeerBook> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The time since the Unix epoch by this machine's clock.
#[must_use]
pub fn now() -> Now {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}
