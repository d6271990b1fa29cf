//! MCP of 2026-07-28 and newer: no sessions; all requests of one caller share one child.

use std::{sync::Arc, time::Duration};

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, request::Parts};
use serde_json::json;
use tokio::time::Instant;

use super::{
    Shared,
    fault::{
        Fault, HEADER_MISMATCH, INVALID_REQUEST, METHOD_NOT_FOUND, MISSING_CAPABILITY,
        UNSUPPORTED_VERSION,
    },
    flight::Purpose,
    headers::{self, META_VERSION, Taste, WITH_SESSIONS},
    link::{Era, Link},
    message::{Kind, Message},
    reply,
};

/// How long a server that said so counts as one that knows only sessions.
const LEGACY_FOR: Duration = Duration::from_secs(10 * 60);
/// How long a server that said nothing does: it may only have been slow to start.
const SILENT_FOR: Duration = Duration::from_secs(60);

/// Answers the POST of a client that speaks without sessions.
pub(super) async fn post(
    server: &Shared,
    caller: &str,
    parts: &Parts,
    message: &Message,
) -> Result<Response, Fault> {
    match message.kind() {
        Kind::Request { .. } => {
            headers::check_modern(&parts.headers, message)?;
            request(server, caller, &parts.headers, message).await
        }
        Kind::Notification { .. } => {
            let link = server.sessions().find_shared(caller);
            if let Some(link) = link {
                link.tell(message)?;
            }
            Ok(StatusCode::ACCEPTED.into_response())
        }
        Kind::Response { .. } => Err(Fault::bad_request(
            INVALID_REQUEST,
            "unexpected_response",
            "servers of 2026-07-28 ask nothing, so there is nothing to answer",
            "repeat the request with `inputResponses`",
        )),
    }
}

async fn request(
    server: &Shared,
    caller: &str,
    headers: &HeaderMap,
    message: &Message,
) -> Result<Response, Fault> {
    if server.is_legacy() {
        return Err(only_sessions(message));
    }
    let link = server.link(caller)?;
    let purpose = match message.method() {
        Some("server/discover") if link.claim_probe() => Purpose::Probe,
        Some("subscriptions/listen") => Purpose::Listen,
        Some("tools/list") => Purpose::ToolList,
        _ => Purpose::Ordinary,
    };
    if purpose != Purpose::Probe && link.era() == Era::Unknown {
        if link.claim_probe() {
            link.probe(message)?;
        }
        link.settled().await;
    }
    if purpose != Purpose::Probe && server.learn(&link) {
        return Err(only_sessions(message));
    }
    if message.method() == Some("tools/call") {
        link.tools().check(headers, message)?;
    }
    let ticket = link.call(message, purpose)?;
    if purpose != Purpose::Probe {
        return Ok(reply::respond(ticket, &server.limits, Taste::of(headers), status).await);
    }
    let response = reply::respond(ticket, &server.limits, Taste::Json, discover_status).await;
    server.learn(&link);
    Ok(response)
}

impl Shared {
    /// The running child for requests of `caller` without a session, or a new one.
    fn link(&self, caller: &str) -> Result<Arc<Link>, Fault> {
        let mut sessions = self.sessions();
        if let Some(link) = sessions.find_shared(caller) {
            return Ok(link);
        }
        let link = self.start(caller, true, &mut sessions)?;
        sessions.add_shared(caller, link.clone());
        Ok(link)
    }

    fn is_legacy(&self) -> bool {
        let until = self.legacy_until.lock();
        let until = until.unwrap_or_else(std::sync::PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }

    /// Remembers what a child showed about the server; true if it knows only sessions.
    fn learn(&self, link: &Link) -> bool {
        let lasts = match link.era() {
            // It can still serve the session that its client opens next.
            Era::Legacy => LEGACY_FOR,
            Era::Silent => {
                link.end();
                SILENT_FOR
            }
            Era::Unknown | Era::Modern | Era::Ended => return false,
        };
        let until = self.legacy_until.lock();
        *until.unwrap_or_else(std::sync::PoisonError::into_inner) = Some(Instant::now() + lasts);
        true
    }
}

/// The HTTP status of an answer that is alone.
pub(super) fn status(error: Option<i64>) -> StatusCode {
    match error {
        Some(HEADER_MISMATCH | MISSING_CAPABILITY | UNSUPPORTED_VERSION) => StatusCode::BAD_REQUEST,
        Some(METHOD_NOT_FOUND) => StatusCode::NOT_FOUND,
        _ => StatusCode::OK,
    }
}

/// Clients take an error with a 4xx status as the sign to fall back to `initialize`.
fn discover_status(error: Option<i64>) -> StatusCode {
    match (error, status(error)) {
        (Some(_), StatusCode::OK) => StatusCode::BAD_REQUEST,
        (_, status) => status,
    }
}

fn only_sessions(message: &Message) -> Fault {
    let hint = "send `initialize` to open a session";
    if message.method() == Some("server/discover") {
        return Fault::new(
            StatusCode::NOT_FOUND,
            METHOD_NOT_FOUND,
            "only_sessions",
            "the MCP server does not know `server/discover`",
            hint,
        );
    }
    Fault::bad_request(
        UNSUPPORTED_VERSION,
        "only_sessions",
        "the MCP server is older than 2026-07-28",
        hint,
    )
    .with("supported", json!(WITH_SESSIONS))
    .with(
        "requested",
        json!(message.param_text(&["_meta", META_VERSION])),
    )
}
