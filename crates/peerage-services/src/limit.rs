//! The limit: each call of a peer has to fit into what that peer may use, here.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{self, Poll},
    time::Duration,
};

use axum::{
    body::{Body, HttpBody},
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderValue, header::RETRY_AFTER};
use http_body::{Frame, SizeHint};
use peerage_core::{PeerId, problem::Problem};
use peerage_mesh::{Budget, Held, Origin, Refusal};
use tokio::time::{Sleep, sleep};

use crate::{context::Context, failure::Failure};

/// How long a refusal is held back: whoever asks again at once would cost as much as one who is answered.
const PACE: Duration = Duration::from_millis(250);
/// Bytes of a body from which on it counts. What is smaller fits into what its stream holds anyway.
const COUNTED_FROM: u64 = 64 * 1024;
/// How long a request's body may pause.
const BODY_IDLE: Duration = Duration::from_secs(60);

/// A tower layer (by `axum::middleware::from_fn_with_state`) that answers calls of a peer beyond its budget
/// with 429, the cause and `Retry-After`.
pub async fn limit(State(ctx): State<Context>, request: Request, next: Next) -> Response {
    let Some(Origin::Peer(peer)) = request.extensions().get::<Origin>().copied() else {
        return next.run(request).await;
    };
    let budget = ctx.mesh.budget();
    let held = match budget
        .call(peer)
        .and_then(|()| hold(budget, peer, &request))
    {
        Ok(held) => Arc::new(held),
        Err(refusal) => return refuse(peer, refusal).await,
    };
    let request = request.map(|body| Body::new(Incoming::new(body, held.clone())));
    let response = next.run(request).await;
    if let Some(refusal) = held.exceeded() {
        return refuse(peer, refusal).await;
    }
    match response.body().size_hint().exact() {
        Some(size) if size >= COUNTED_FROM => {
            let held = budget.hold_answer(peer, size);
            response.map(|body| Body::new(Answer { body, _held: held }))
        }
        _ => response,
    }
}

/// Holds what is known of the size of a request before it is read.
fn hold(budget: &Budget, peer: PeerId, request: &Request) -> Result<HeldRequest, Refusal> {
    let size = request.body().size_hint().exact();
    let counted = size
        .filter(|size| *size >= COUNTED_FROM)
        .unwrap_or_default();
    Ok(HeldRequest(Mutex::new(Reading {
        held: budget.hold(peer, counted)?,
        sized: size.is_some(),
        exceeded: None,
    })))
}

async fn refuse(peer: PeerId, refusal: Refusal) -> Response {
    tracing::debug!(%peer, %refusal, "refused a call");
    let text = format!("this node takes no further call of yours now: {refusal}");
    let problem = Problem::new(429, refusal.cause.as_str(), text)
        .hint("wait as long as Retry-After says; members of a mesh may do more than strangers");
    hold_back(problem, refusal.retry_after).await
}

/// The answer to one who asks too much: held back for a moment, and with the time after which to come again.
pub(crate) async fn hold_back(problem: Problem, retry_after: Duration) -> Response {
    sleep(PACE).await;
    let seconds = retry_after.as_secs() + u64::from(retry_after.subsec_nanos() > 0);
    let mut response = Failure(problem).into_response();
    let headers = response.headers_mut();
    headers.insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    response
}

/// What this node holds of a request: until it is answered, and while its body is still read after that.
struct HeldRequest(Mutex<Reading>);

struct Reading {
    held: Held,
    /// All of it is held already.
    sized: bool,
    exceeded: Option<Refusal>,
}

impl HeldRequest {
    fn grow(&self, bytes: u64) -> Result<(), Refusal> {
        let mut reading = self.lock();
        if reading.sized {
            return Ok(());
        }
        let grown = reading.held.grow(bytes);
        reading.exceeded = grown.err();
        grown
    }

    fn exceeded(&self) -> Option<Refusal> {
        self.lock().exceeded
    }

    fn lock(&self) -> MutexGuard<'_, Reading> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a body ended early.
#[derive(Debug, thiserror::Error)]
enum BodyError {
    #[error("nothing came of the body for {} s", BODY_IDLE.as_secs())]
    Idle,
    #[error(transparent)]
    Refused(Refusal),
}

/// The body of a request: counted as it comes where its size was not known, and not waited for without end.
struct Incoming {
    body: Body,
    held: Arc<HeldRequest>,
    idle: Option<Pin<Box<Sleep>>>,
}

impl Incoming {
    fn new(body: Body, held: Arc<HeldRequest>) -> Self {
        Self {
            body,
            held,
            idle: None,
        }
    }
}

impl HttpBody for Incoming {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) else {
            let idle = self.idle.get_or_insert_with(|| Box::pin(sleep(BODY_IDLE)));
            let idle = idle.as_mut().poll(cx);
            return idle.map(|()| Some(Err(axum::Error::new(BodyError::Idle))));
        };
        self.idle = None;
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
            && let Err(refusal) = self.held.grow(data.len() as u64)
        {
            let error = axum::Error::new(BodyError::Refused(refusal));
            return Poll::Ready(Some(Err(error)));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of an answer, which counts until it is read.
struct Answer {
    body: Body,
    _held: Held,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
