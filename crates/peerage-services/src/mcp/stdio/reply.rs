//! The HTTP response to a request: plain JSON if the answer is all there is to say, else a stream of
//! server-sent events.

use std::{convert::Infallible, time::Duration};

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures::{StreamExt, stream};
use http::{
    HeaderName, HeaderValue, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE},
};
use tokio::time::timeout;

use super::{
    fault::json_response,
    flight::Event,
    limits::Limits,
    link::{Listener, Ticket},
};

/// Keeps a stream open and is ignored by every reader.
const COMMENT: &[u8] = b": \n\n";

/// Waits for the first thing to say and makes the response of it. `status` gives the HTTP status of an
/// answer that is alone, from its JSON-RPC error code.
pub(super) async fn respond(
    ticket: Ticket,
    limits: &Limits,
    status: fn(Option<i64>) -> StatusCode,
) -> Response {
    match timeout(limits.stream_after, ticket.next()).await {
        Ok(Some(Event::Final { body, error })) => json_response(status(error), body),
        Ok(Some(Event::Related(body))) => open(ticket, event(&body), limits.heartbeat),
        Ok(None) | Err(_) => open(ticket, Bytes::from_static(COMMENT), limits.heartbeat),
    }
}

/// The stream of what belongs to no request.
pub(super) fn listen(listener: Listener, heartbeat: Duration) -> Response {
    let rest = stream::unfold(listener, move |listener| async move {
        let chunk = match timeout(heartbeat, listener.next()).await {
            Ok(message) => event(&message?),
            Err(_) => Bytes::from_static(COMMENT),
        };
        Some((Ok::<_, Infallible>(chunk), listener))
    });
    let first = stream::iter([Ok(Bytes::from_static(COMMENT))]);
    event_stream(Body::from_stream(first.chain(rest)))
}

fn open(ticket: Ticket, first: Bytes, heartbeat: Duration) -> Response {
    let rest = stream::unfold(Some(ticket), move |ticket| async move {
        let ticket = ticket?;
        let (chunk, ticket) = match timeout(heartbeat, ticket.next()).await {
            Ok(Some(Event::Related(body))) => (event(&body), Some(ticket)),
            Ok(Some(Event::Final { body, .. })) => (event(&body), None),
            Ok(None) => return None,
            Err(_) => (Bytes::from_static(COMMENT), Some(ticket)),
        };
        Some((Ok::<_, Infallible>(chunk), ticket))
    });
    let first = stream::iter([Ok(first)]);
    event_stream(Body::from_stream(first.chain(rest)))
}

fn event(message: &[u8]) -> Bytes {
    const BEFORE: &[u8] = b"event: message\ndata: ";
    const AFTER: &[u8] = b"\n\n";
    let mut event = Vec::with_capacity(BEFORE.len() + message.len() + AFTER.len());
    event.extend_from_slice(BEFORE);
    event.extend_from_slice(message);
    event.extend_from_slice(AFTER);
    event.into()
}

fn event_stream(body: Body) -> Response {
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(
        CACHE_CONTROL,
        HeaderValue::from_static("no-cache, no-transform"),
    );
    // Reverse proxies would otherwise hold events back.
    headers.insert(
        HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    );
    response
}
