//! One HTTP call to whom a name means: one of them, the same one while a session lasts.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{self, Poll},
};

use axum::{
    Router,
    body::{Body, HttpBody},
};
use bytes::Bytes;
use http::{Request, Response};
use http_body::{Frame, SizeHint};
use peerage_core::{PeerId, problem::Problem};

use super::{Failed, Load, Meant, forward::sign, sessions::Session, try_each};
use crate::context::{Context, ask, is_away};

/// Makes a call to one of those who are meant, and says to whom; `own` answers for this node itself. A call that carries an
/// `Mcp-Session-Id` goes to the peer that gave the session. What is behind a gateway is signed and sent there. The answer streams.
///
/// # Errors
///
/// Why nobody has answered.
pub async fn call(
    ctx: &Context,
    own: &Router,
    meant: Meant,
    request: Request<Body>,
) -> Result<(PeerId, Response<Body>), Problem> {
    let request = match &meant.name {
        Some(name) if meant.via.is_some() => sign(ctx, name, request).await?,
        _ => request,
    };
    relay(ctx, own, meant, request).await
}

/// Makes a call as it is.
pub(super) async fn relay(
    ctx: &Context,
    own: &Router,
    mut meant: Meant,
    request: Request<Body>,
) -> Result<(PeerId, Response<Body>), Problem> {
    let name = meant.name.clone();
    let session = name
        .as_ref()
        .and_then(|name| Session::of(name, request.headers()));
    if let Some(peer) = session.and_then(|session| ctx.names.sessions().get(&session)) {
        meant.peers.retain(|other| *other != peer);
        meant.peers.insert(0, peer);
    }
    let (parts, body) = request.into_parts();
    let body = Kept::new(body);
    let attempt = |peer| {
        let request = Request::from_parts(parts.clone(), Body::new(body.lend()));
        let body = body.clone();
        async move {
            if peer == ctx.me() {
                return Ok(ask(own, request).await);
            }
            ctx.call(peer, request).await.map_err(|error| Failed {
                unsent: is_away(&error) && body.is_whole(),
                error,
            })
        }
    };
    let (peer, response) = try_each(ctx, meant, attempt).await?;
    if let Some(session) = name.and_then(|name| Session::of(&name, response.headers())) {
        ctx.names.sessions().put(session, peer);
    }
    let load = ctx.names.load(peer);
    Ok((
        peer,
        response.map(|body| Body::new(Counted { body, _load: load })),
    ))
}

/// A body that can be sent again to another peer while nothing of it was read.
#[derive(Clone)]
struct Kept {
    body: Arc<Mutex<Option<Body>>>,
    size: SizeHint,
    empty: bool,
}

impl Kept {
    fn new(body: Body) -> Self {
        Self {
            size: body.size_hint(),
            empty: body.is_end_stream(),
            body: Arc::new(Mutex::new(Some(body))),
        }
    }

    fn take(&self) -> Option<Body> {
        let mut body = self.body.lock().unwrap_or_else(PoisonError::into_inner);
        body.take()
    }

    fn is_whole(&self) -> bool {
        let body = self.body.lock().unwrap_or_else(PoisonError::into_inner);
        body.is_some()
    }

    fn lend(&self) -> Lent {
        Lent {
            kept: self.clone(),
            body: None,
        }
    }
}

/// The body as it is sent: taken when it is read first.
struct Lent {
    kept: Kept,
    body: Option<Body>,
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.body.is_none() {
            self.body = self.kept.take();
        }
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body
            .as_ref()
            .map_or(self.kept.empty, HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body
            .as_ref()
            .map_or_else(|| self.kept.size, HttpBody::size_hint)
    }
}

/// The body of an answer: the call is under way until it has been read.
struct Counted {
    body: Body,
    _load: Load,
}

impl HttpBody for Counted {
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
