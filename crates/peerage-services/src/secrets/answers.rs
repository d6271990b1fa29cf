//! Answers of what is shared, on their way to peers.

use axum::{
    body::{Body, HttpBody},
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::header::CONTENT_TYPE;
use peerage_mesh::Origin;

use super::{
    Message, Mode,
    body::{Refused, Searched},
    requests::WHOLE,
};
use crate::{context::Context, failure::Failure, mcp::MCP_PREFIX};

/// A tower layer (by `axum::middleware::from_fn_with_state`) that searches what shares answer to peers. A short answer is refused
/// as a whole where that is wished; a long one, or a stream, is cut off before a credential.
pub async fn answers(State(ctx): State<Context>, request: Request, next: Next) -> Response {
    let origin = request.extensions().get::<Origin>().copied();
    let path = request.uri().path();
    let (Some(who @ Origin::Peer(peer)), Some(rest)) = (origin, path.strip_prefix(MCP_PREFIX))
    else {
        return next.run(request).await;
    };
    let share = rest.split('/').next().unwrap_or_default();
    let mode = ctx.secrets.for_answer(&peer, share);
    if mode == Mode::Off {
        return next.run(request).await;
    }
    let mut message = Message {
        who,
        code: "secret_in_answer",
        about: format!("{} {path}", request.method()),
        mode,
        events: false,
    };
    let response = next.run(request).await;
    let kind = response.headers().get(CONTENT_TYPE);
    message.events = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
    let size = response.body().size_hint().exact();
    if mode != Mode::Refuse || size.is_none_or(|size| size > WHOLE) {
        let refused = Refused::default();
        return response.map(|body| Body::new(Searched::new(body, &ctx.secrets, message, refused)));
    }
    let (head, body) = response.into_parts();
    match ctx.secrets.whole(&message, body).await {
        Ok(body) => Response::from_parts(head, body),
        Err(problem) => Failure(problem).into_response(),
    }
}
