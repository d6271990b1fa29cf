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
    headers::Taste,
    limits::Limits,
    link::{EventId, Reader, Ticket},
};

/// Keeps a stream open and is ignored by every reader.
const COMMENT: &[u8] = b": \n\n";

/// Tells a client when to ask for the rest of a stream that broke, in milliseconds.
const RETRY_MS: u64 = 1000;
/// An answer longer than this is sent as plain JSON where that is possible: some clients take far
/// larger results so than as one event of a stream.
const MAX_ONLY_EVENT: usize = 1 << 20;

/// Waits for the first thing to say and makes the response of it. `status` gives the HTTP status of an
/// answer that is alone, from its JSON-RPC error code.
pub(super) async fn respond(
    ticket: Ticket,
    limits: &Limits,
    taste: Taste,
    status: fn(Option<i64>) -> StatusCode,
) -> Response {
    match timeout(limits.stream_after, ticket.next()).await {
        Ok(Some(Event::Final { body, error })) => {
            let status = status(error);
            if taste == Taste::Events && status == StatusCode::OK && body.len() <= MAX_ONLY_EVENT {
                return event_stream(Body::from(event(&body)));
            }
            json_response(status, body)
        }
        Ok(Some(Event::Related(body))) => open(ticket, event(&body), limits.heartbeat),
        Ok(None) | Err(_) => open(ticket, Bytes::from_static(COMMENT), limits.heartbeat),
    }
}

/// The same for a request within a session: its stream can be resumed, and `primed` clients are told so
/// at its beginning.
pub(super) async fn respond_in_session(
    ticket: Ticket,
    limits: &Limits,
    taste: Taste,
    primed: bool,
) -> Response {
    if taste == Taste::Json {
        let alone = timeout(limits.stream_after, ticket.answer_alone()).await;
        if let Ok(Some(Event::Final { body, .. })) = alone {
            return json_response(StatusCode::OK, body);
        }
    }
    listen(ticket.stream(), limits.heartbeat, primed)
}

/// A stream that can be resumed.
pub(super) fn listen(reader: Reader, heartbeat: Duration, primed: bool) -> Response {
    let first = match primed {
        true => Bytes::from(format!(
            "id: {}\nretry: {RETRY_MS}\ndata: \n\n",
            reader.begin()
        )),
        false => Bytes::from_static(COMMENT),
    };
    let rest = stream::unfold(Some(reader), move |reader| async move {
        let mut reader = reader?;
        let chunk = match timeout(heartbeat, reader.next()).await {
            Ok(Some((id, Event::Related(body)))) => event_with_id(id, &body),
            Ok(Some((id, Event::Final { body, .. }))) => {
                return Some((Ok(event_with_id(id, &body)), None));
            }
            Ok(None) => return None,
            Err(_) => Bytes::from_static(COMMENT),
        };
        Some((Ok::<_, Infallible>(chunk), Some(reader)))
    });
    let first = stream::iter([Ok(first)]);
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
    written("", message)
}

fn event_with_id(id: EventId, message: &[u8]) -> Bytes {
    written(&format!("id: {id}\n"), message)
}

fn written(id: &str, message: &[u8]) -> Bytes {
    const BEFORE: &[u8] = b"event: message\ndata: ";
    const AFTER: &[u8] = b"\n\n";
    [id.as_bytes(), BEFORE, message, AFTER].concat().into()
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
