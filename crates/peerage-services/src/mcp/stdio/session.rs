//! MCP of 2025-11-25 and older: `initialize` opens a session, and each session has its own child.

use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, request::Parts};

use super::{
    Shared,
    fault::{Fault, INVALID_REQUEST},
    flight::Purpose,
    headers::{
        self, FIRST_MODERN, FIRST_RESUMABLE, LAST_EVENT_ID, PROTOCOL_VERSION, SESSION_ID, Taste,
    },
    link::{EventId, Link},
    message::{Kind, Message},
    method_not_allowed, reply, sessionless,
};

/// Answers the POST of a client that speaks with sessions.
pub(super) async fn post(
    server: &Shared,
    caller: &str,
    parts: &Parts,
    message: &Message,
) -> Result<Response, Fault> {
    if let (Some("initialize"), Kind::Request { .. }) = (message.method(), message.kind()) {
        return initialize(server, caller, &parts.headers, message).await;
    }
    let link = find(server, caller, &parts.headers)?;
    if let Kind::Request { .. } = message.kind() {
        let ticket = link.call(message, Purpose::Ordinary)?;
        let resumable = link.version().as_deref() >= Some(FIRST_RESUMABLE);
        let taste = Taste::of(&parts.headers);
        return Ok(reply::respond_in_session(ticket, &server.limits, taste, resumable).await);
    }
    link.tell(message)?;
    Ok(StatusCode::ACCEPTED.into_response())
}

/// Opens the stream of what the server says on its own.
pub(super) fn get(server: &Shared, caller: &str, parts: &Parts) -> Result<Response, Fault> {
    let headers = &parts.headers;
    let version = headers::single(headers, PROTOCOL_VERSION)?;
    if !headers.contains_key(SESSION_ID) && version.is_some_and(|v| v >= FIRST_MODERN) {
        return Err(method_not_allowed());
    }
    headers::check_get(headers)?;
    let link = find(server, caller, headers)?;
    let after = headers::single(headers, LAST_EVENT_ID)?;
    let reader = match after.and_then(EventId::parse) {
        Some(after) => link.resume(after).ok_or_else(Fault::stream_gone)?,
        None => link.listen(None),
    };
    let resumable = link.version().as_deref() >= Some(FIRST_RESUMABLE);
    Ok(reply::listen(reader, server.limits.heartbeat, resumable))
}

/// Ends a session and its child.
pub(super) fn delete(server: &Shared, caller: &str, parts: &Parts) -> Result<Response, Fault> {
    let link = find(server, caller, &parts.headers)?;
    link.end();
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn initialize(
    server: &Shared,
    caller: &str,
    headers: &HeaderMap,
    message: &Message,
) -> Result<Response, Fault> {
    // To clients that say they are modern, a server that does not know `initialize` says it their way.
    let status = match headers::single(headers, PROTOCOL_VERSION)? {
        Some(version) if version >= FIRST_MODERN => sessionless::status,
        _ => |_| StatusCode::OK,
    };
    let (id, link) = {
        let mut sessions = server.sessions();
        let link = match sessions.take_spare(caller) {
            Some(link) => link,
            None => server.start(caller, false, &mut sessions)?,
        };
        (sessions.add(caller, link.clone()), link)
    };
    let ticket = link.call(message, Purpose::Opening)?;
    let mut response = reply::respond(ticket, &server.limits, Taste::Json, status).await;
    // An error ends the child with the session that it did not open.
    if link.alive() {
        let id = HeaderValue::from_str(&id).map_err(|_| Fault::no_session())?;
        response.headers_mut().insert(SESSION_ID, id);
    }
    Ok(response)
}

fn find(server: &Shared, caller: &str, headers: &HeaderMap) -> Result<Arc<Link>, Fault> {
    let Some(id) = headers::single(headers, SESSION_ID)? else {
        return Err(Fault::bad_request(
            INVALID_REQUEST,
            "no_session",
            "the header Mcp-Session-Id is missing",
            "send `initialize` first and repeat the Mcp-Session-Id of its answer",
        ));
    };
    let link = server
        .sessions()
        .find(caller, id)
        .ok_or_else(Fault::no_session)?;
    headers::check_session_version(headers, link.version().as_deref())?;
    Ok(link)
}
