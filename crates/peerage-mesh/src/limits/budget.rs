//! The accounts as the running node shares them: who takes something gives it back by dropping it.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use futures::task::AtomicWaker;
use libp2p::{Multiaddr, swarm::ConnectionId};
use peerage_core::{
    PeerId,
    peer_book::{PeerBook, PeerEvent, Relation},
    score::{Deed, Effect},
};
use tokio::{sync::broadcast::error::RecvError, time::Instant};

use super::{
    Cause, Limits, Refusal, Usage,
    ledger::{Ledger, Resource, Standing},
};
use crate::{Book, Change, book};

/// The budgets of a node. Clones share them.
#[derive(Clone, Debug)]
pub struct Budget(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    ledger: Mutex<Ledger>,
    book: Book,
    /// Woken when somebody is shut out.
    closer: AtomicWaker,
}

/// What a peer has taken, bytes of its calls where this is handed out; given back when it is dropped.
#[derive(Debug)]
pub struct Held {
    budget: Budget,
    peer: PeerId,
    resource: Resource,
    amount: u64,
}

impl Held {
    /// So many more, if they fit.
    ///
    /// # Errors
    ///
    /// The cause; what was held before stays held.
    pub fn grow(&mut self, bytes: u64) -> Result<(), Refusal> {
        let now = Instant::now();
        self.budget.lock().hold(self.peer, bytes, now)?;
        self.amount += bytes;
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut ledger = self.budget.lock();
        ledger.give(&self.peer, self.resource, self.amount);
    }
}

impl Budget {
    /// Nothing is in use. The book says who is a member.
    #[must_use]
    pub fn new(limits: Limits, book: &Book) -> Self {
        Self(Arc::new(Shared {
            ledger: Mutex::new(Ledger::new(limits, Instant::now())),
            book: book.clone(),
            closer: AtomicWaker::new(),
        }))
    }

    /// Whether a peer may make a call now.
    ///
    /// # Errors
    ///
    /// [`Cause::Calls`] or [`Cause::Bytes`], and when to come again.
    pub fn call(&self, peer: PeerId) -> Result<(), Refusal> {
        let called = self.lock().call(peer, Instant::now());
        called.inspect_err(|refusal| self.over_limit(peer, *refusal))
    }

    /// Whether this node may hold so many bytes more for a call of a peer.
    ///
    /// # Errors
    ///
    /// [`Cause::Bytes`].
    pub fn hold(&self, peer: PeerId, bytes: u64) -> Result<Held, Refusal> {
        self.lock().hold(peer, bytes, Instant::now())?;
        Ok(self.held(peer, Resource::Bytes, bytes))
    }

    /// Counts bytes of an answer, which this node holds whether they fit or not: as long as they do not,
    /// the peer makes no further call.
    #[must_use]
    pub fn hold_answer(&self, peer: PeerId, bytes: u64) -> Held {
        let mut ledger = self.lock();
        ledger.add(peer, Resource::Bytes, bytes, Instant::now());
        drop(ledger);
        self.held(peer, Resource::Bytes, bytes)
    }

    /// What is in use and what was refused.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.lock().usage(Instant::now())
    }

    /// A connection is being made from an address.
    pub(crate) fn begin(&self, id: ConnectionId, from: &Multiaddr) -> Result<(), Refusal> {
        self.lock().begin(id, from, Instant::now())
    }

    /// It is made, or has failed.
    pub(crate) fn end(&self, id: ConnectionId) {
        self.lock().end(id);
    }

    /// The swarm is built anew.
    pub(crate) fn restart(&self) {
        self.lock().restart();
    }

    /// Whether a peer that this node dials is not shut out.
    pub(crate) fn may_connect(&self, peer: &PeerId) -> Result<(), Refusal> {
        self.lock().may_connect(peer, Instant::now())
    }

    /// A peer has proved who it is.
    pub(crate) fn connect(&self, peer: PeerId) -> Result<Held, Refusal> {
        let stranger = self.is_stranger(&peer);
        let (out, slowed) = self.lasts(&peer);
        let now = Instant::now();
        let mut ledger = self.lock();
        ledger.standing(peer, now);
        ledger.relate(&peer, stranger);
        // What it did before this node was started again, or before its account was forgotten, counts still.
        ledger.judge(peer, out, slowed, now);
        ledger.connect(peer, now)?;
        drop(ledger);
        Ok(self.held(peer, Resource::Connections, 1))
    }

    /// Whether a stranger's network has room for its connection; asked when its key is known.
    pub(crate) fn admit(
        &self,
        id: ConnectionId,
        peer: PeerId,
        from: &Multiaddr,
    ) -> Result<(), Refusal> {
        let stranger = self.is_stranger(&peer);
        let now = Instant::now();
        let mut ledger = self.lock();
        ledger.standing(peer, now);
        ledger.relate(&peer, stranger);
        ledger.admit(id, peer, from, now)
    }

    /// A connection has ended.
    pub(crate) fn release(&self, id: ConnectionId) {
        self.lock().release(id);
    }

    /// A peer has opened a stream.
    pub(crate) fn stream(&self, peer: PeerId) -> Result<Held, Refusal> {
        let mut ledger = self.lock();
        let opened = ledger.stream(peer, Instant::now());
        let closing = ledger.is_closing();
        drop(ledger);
        if let Err(refusal) = opened {
            self.over_limit(peer, refusal);
        }
        if closing {
            self.0.closer.wake();
        }
        opened.map(|()| self.held(peer, Resource::Streams, 1))
    }

    /// What came on a stream of a peer was no request.
    pub(crate) fn garbage(&self, peer: PeerId) {
        let mut ledger = self.lock();
        ledger.garbage(peer, Instant::now());
        let closing = ledger.is_closing();
        drop(ledger);
        self.did(
            peer,
            Deed::Garbage,
            "what was sent is no request".to_owned(),
        );
        if closing {
            self.0.closer.wake();
        }
    }

    /// Whether streams of a peer fit.
    pub(crate) fn standing(&self, peer: PeerId) -> Arc<Standing> {
        self.lock().standing(peer, Instant::now())
    }

    /// Counts what was refused elsewhere.
    pub(crate) fn refused(&self, peer: PeerId, cause: Cause) {
        let now = Instant::now();
        self.lock().refuse(Some(peer), cause, Duration::ZERO, now);
    }

    /// Counts what was refused elsewhere, so many times, to nobody who is known.
    pub(crate) fn count(&self, cause: Cause, times: u64) {
        self.lock().count(cause, times);
    }

    /// Forgets whoever is gone and could begin anew anyway. Called now and then.
    pub(crate) fn tidy(&self) {
        self.lock().tidy(Instant::now());
    }

    /// The next peer whose connections are to be closed.
    pub(crate) fn poll_closing(&self, cx: &Context<'_>) -> Poll<PeerId> {
        self.0.closer.register(cx.waker());
        self.lock().closing().map_or(Poll::Pending, Poll::Ready)
    }

    /// Keeps up with what peers are to this node.
    pub(crate) async fn follow(self) {
        let mut changes = self.0.book.watch();
        loop {
            let peers = match changes.recv().await {
                Ok(Change {
                    peer,
                    event: PeerEvent::Related(_),
                }) => vec![peer],
                Ok(Change {
                    peer,
                    event: PeerEvent::Did { .. },
                }) => {
                    self.judge(peer);
                    continue;
                }
                Ok(Change {
                    peer,
                    event: PeerEvent::Forgiven,
                }) => {
                    self.lock().forgive(&peer);
                    continue;
                }
                Ok(_) => continue,
                Err(RecvError::Lagged(_)) => self.lock().peers(),
                Err(RecvError::Closed) => return,
            };
            for peer in peers {
                let stranger = self.is_stranger(&peer);
                self.lock().relate(&peer, stranger);
            }
        }
    }

    /// How long a peer is shut out and slowed by its score.
    fn lasts(&self, peer: &PeerId) -> (Duration, Duration) {
        let now = book::now();
        self.0.book.read(|book| {
            let score = book.get(peer).map(|record| &record.score);
            let lasts = |effect| score.map(|score| score.lasts(effect, now));
            let (out, slowed) = (lasts(Effect::Refused), lasts(Effect::Slowed));
            (out.unwrap_or_default(), slowed.unwrap_or_default())
        })
    }

    /// Does what follows from a peer's score.
    fn judge(&self, peer: PeerId) {
        let (out, slowed) = self.lasts(&peer);
        let mut ledger = self.lock();
        ledger.judge(peer, out, slowed, Instant::now());
        let closing = ledger.is_closing();
        drop(ledger);
        if closing {
            self.0.closer.wake();
        }
    }

    /// Tells the book that a peer wanted more than its own limits. What others have taken is not its fault.
    fn over_limit(&self, peer: PeerId, refusal: Refusal) {
        if refusal.own {
            self.did(peer, Deed::OverLimit, refusal.to_string());
        }
    }

    fn did(&self, peer: PeerId, deed: Deed, detail: String) {
        let count = 1;
        let event = PeerEvent::Did {
            deed,
            count,
            detail,
        };
        self.0.book.apply(peer, event);
    }

    fn is_stranger(&self, peer: &PeerId) -> bool {
        let known = |book: &PeerBook| book.get(peer).map(|record| record.relation);
        self.0.book.read(known).unwrap_or_default() == Relation::Stranger
    }

    fn held(&self, peer: PeerId, resource: Resource, amount: u64) -> Held {
        Held {
            budget: self.clone(),
            peer,
            resource,
            amount,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.0.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
