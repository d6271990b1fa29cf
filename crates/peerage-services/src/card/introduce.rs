//! One introduction: ask for the card, check it against the connection's key, and put it in the book.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::body::{Body, to_bytes};
use http::{HeaderValue, Request, header::CONNECTION};
use peerage_core::{
    PeerId,
    card::{Card, CardError, MAX_CARD_BYTES},
    peer_book::PeerEvent,
    problem::Problem,
    score::Deed,
};
use tokio::{sync::Semaphore, time::timeout};

use super::{CARD_PATH, GRANT_HEADER, OwnCard};
use crate::{context::Context, members::unix_now};

/// How long one introduction may take.
const DEADLINE: Duration = Duration::from_secs(20);

/// Introductions under way at once for which nobody waits: a thousand peers that come at the same time take
/// no more memory at any moment than so many.
const AT_ONCE: usize = 16;
/// How long one of them holds up others: some peers answer late on purpose.
const TURN: Duration = Duration::from_secs(1);

/// Who has been introduced on the connection that is up now.
#[derive(Debug)]
pub struct Introductions {
    pub(super) own: OwnCard,
    done: Mutex<HashMap<PeerId, Arc<Once>>>,
    places: Semaphore,
}

impl Default for Introductions {
    fn default() -> Self {
        Self {
            own: OwnCard::default(),
            done: Mutex::default(),
            places: Semaphore::new(AT_ONCE),
        }
    }
}

/// What is done with the stream of an introduction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stream {
    /// Kept, for the call that follows.
    Kept,
    /// Closed, for nothing follows.
    Closed,
}

/// How it went. Locked while it is under way, so that nobody does it twice at once.
type Once = tokio::sync::Mutex<Went>;

/// How an introduction went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Went {
    /// It has not been tried on this connection.
    #[default]
    Untried,
    /// Each side has what it needs.
    Well,
    /// The peer has shown no card, or none that holds. It can be called all the same, and is asked
    /// again now and then.
    Badly,
}

impl Introductions {
    /// This node's own card, as each caller may see it.
    #[must_use]
    pub fn own(&self) -> &OwnCard {
        &self.own
    }

    /// Introduces this node to a peer unless that was tried on this connection. A peer that has no card
    /// can be called all the same: the book says why it has none.
    ///
    /// # Errors
    ///
    /// A problem when the peer cannot be reached at all.
    pub async fn ensure(&self, ctx: &Context, peer: PeerId) -> Result<(), Problem> {
        self.introduce(ctx, peer, Stream::Kept).await
    }

    /// As [`Introductions::ensure`], when it is its turn, for nobody waits for it.
    pub(super) async fn ensure_by_and_by(&self, ctx: &Context, peer: PeerId) {
        let Ok(place) = self.places.acquire().await else {
            return;
        };
        let mut introduced = std::pin::pin!(self.introduce(ctx, peer, Stream::Closed));
        // What went wrong stands in the book.
        if timeout(TURN, introduced.as_mut()).await.is_err() {
            drop(place);
            let _ = introduced.await;
        }
    }

    async fn introduce(&self, ctx: &Context, peer: PeerId, then: Stream) -> Result<(), Problem> {
        let once = self.once(peer);
        let mut went = once.lock().await;
        if *went != Went::Untried && ctx.mesh.is_connected(&peer) {
            return Ok(());
        }
        // What ends here early, dropped with its caller, has not been tried.
        *went = Went::Untried;
        let asked = timeout(DEADLINE, ask(ctx, peer, then)).await;
        *went = match &asked {
            Ok(Ok(())) => Went::Well,
            Ok(Err(problem)) if problem.code == "unreachable" => Went::Untried,
            _ => Went::Badly,
        };
        match asked {
            Ok(Ok(())) => {}
            Ok(Err(problem)) if problem.code == "unreachable" => return Err(problem),
            Ok(Err(problem)) => refused(ctx, peer, &problem.detail),
            Err(_) => refused(ctx, peer, "it did not show a card in time"),
        }
        Ok(())
    }

    /// Introduces this node again, for what it shows has changed.
    ///
    /// # Errors
    ///
    /// As [`Introductions::ensure`].
    pub async fn again(&self, ctx: &Context, peer: PeerId) -> Result<(), Problem> {
        self.forget_outcome(peer).await;
        self.ensure(ctx, peer).await
    }

    /// As [`Introductions::again`], when it is its turn, for nobody waits for it.
    pub(super) async fn again_by_and_by(&self, ctx: &Context, peer: PeerId) {
        self.forget_outcome(peer).await;
        self.ensure_by_and_by(ctx, peer).await;
    }

    /// One that is under way ends first: what it shows is older, and must not arrive after the next.
    async fn forget_outcome(&self, peer: PeerId) {
        *self.once(peer).lock().await = Went::Untried;
    }

    /// The connection has ended: the next one begins with an introduction.
    pub(super) fn forget(&self, peer: &PeerId) {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        done.remove(peer);
    }

    /// Forgets those that are no longer connected, as far as none is under way: whoever falls behind with
    /// the book does not hear of each that went, and one may be asked for after it went.
    pub(super) fn keep(&self, connected: impl Fn(&PeerId) -> bool) {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        done.retain(|peer, once| connected(peer) || Arc::strong_count(once) > 1);
    }

    /// Whether the introduction went well.
    pub(super) async fn is_done(&self, peer: PeerId) -> bool {
        *self.once(peer).lock().await == Went::Well
    }

    fn once(&self, peer: PeerId) -> Arc<Once> {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        done.entry(peer).or_default().clone()
    }
}

/// Asks a peer for its card and takes it into the book.
async fn ask(ctx: &Context, peer: PeerId, then: Stream) -> Result<(), Problem> {
    let mut request = Request::get(CARD_PATH);
    if then == Stream::Closed {
        request = request.header(CONNECTION, "close");
    }
    for chain in ctx.members.chains() {
        let value = HeaderValue::try_from(chain.to_string()).expect("a chain is ASCII text");
        request = request.header(GRANT_HEADER, value);
    }
    let request = request.body(Body::empty()).expect("the parts are valid");
    let response = ctx.call_unintroduced(peer, request).await?;
    let status = response.status();
    if !status.is_success() {
        let text = format!("it answered {status} instead of a card");
        return Err(Problem::new(502, "no_card", text));
    }
    let bytes = to_bytes(response.into_body(), MAX_CARD_BYTES)
        .await
        .map_err(|error| Problem::new(502, "bad_card", format!("its card: {error}")))?;
    accept(ctx, peer, &bytes)
        .map_err(|error| Problem::new(502, "bad_card", format!("its card was refused: {error}")))
}

/// Checks a card that came over a connection with `peer`, and takes it into the book unless it is the
/// one that is there.
///
/// # Errors
///
/// Why it was refused; the book says so too.
pub(super) fn accept(ctx: &Context, peer: PeerId, bytes: &[u8]) -> Result<(), CardError> {
    let checked = Card::verify(bytes, &peer, unix_now()).and_then(|card| {
        let held = ctx.mesh.book().get(&peer).and_then(|record| record.card);
        if let Some(held) = held {
            card.check_newer_than(&held)?;
            if held.bytes() == card.bytes() {
                return Ok(None);
            }
        }
        Ok(Some(card))
    });
    match checked {
        Ok(Some(card)) => {
            ctx.mesh
                .book()
                .apply(peer, PeerEvent::CardAccepted(Arc::new(card)));
            Ok(())
        }
        Ok(None) => Ok(()),
        Err(error) => {
            let deed = match &error {
                error if error.is_forgery() => Some(Deed::Forged),
                CardError::Json(_) | CardError::WrongKey { .. } => Some(Deed::Garbage),
                _ => None,
            };
            if let Some(deed) = deed {
                ctx.did(peer, deed, error.to_string());
            }
            ctx.audit
                .refused(peer, "card", &error.to_string(), "bad_card");
            refused(ctx, peer, &error.to_string());
            Err(error)
        }
    }
}

fn refused(ctx: &Context, peer: PeerId, cause: &str) {
    tracing::warn!(%peer, cause, "no introduction");
    let cause = cause.to_owned();
    ctx.mesh
        .book()
        .apply(peer, PeerEvent::CardRefused { cause });
}
