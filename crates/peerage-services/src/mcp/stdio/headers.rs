//! What the HTTP headers of an MCP request must say, and whether they agree with its body.

use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderMap, StatusCode, header};

use super::{
    fault::{Fault, HEADER_MISMATCH, INVALID_PARAMS, INVALID_REQUEST},
    message::Message,
};

/// Names the session of a client that speaks 2025-11-25 or older.
pub(super) const SESSION_ID: &str = "mcp-session-id";
/// Names the last event that a client saw, when it asks for the rest of a stream.
pub(super) const LAST_EVENT_ID: &str = "last-event-id";
/// Names the protocol version of a request.
pub(super) const PROTOCOL_VERSION: &str = "mcp-protocol-version";
/// Repeats the method of the body.
const METHOD: &str = "mcp-method";
/// Repeats the tool, prompt or resource that the body is about.
const NAME: &str = "mcp-name";

/// `_meta` member with the protocol version of a request.
pub(super) const META_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
/// `_meta` member with what the client can do.
pub(super) const META_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
/// `_meta` member with who the client is.
pub(super) const META_CLIENT: &str = "io.modelcontextprotocol/clientInfo";
/// `_meta` member that asks for log messages.
pub(super) const META_LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
/// `_meta` member that ties a notification to its subscription.
pub(super) const META_SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";

/// The first version without sessions. Versions are dates, so they compare as text.
pub(super) const FIRST_MODERN: &str = "2026-07-28";
/// The first version whose clients understand an event that only tells where a stream begins.
pub(super) const FIRST_RESUMABLE: &str = "2025-11-25";
/// The versions with sessions.
pub(super) const WITH_SESSIONS: [&str; 4] =
    ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];

/// The one value of a header, if it is there.
pub(super) fn single<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h str>, Fault> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(mismatch(format!("the header {name} stands twice")));
    }
    match value.to_str() {
        Ok(value) => Ok(Some(value)),
        Err(_) => Err(mismatch(format!("the header {name} is not plain text"))),
    }
}

/// Whether this request belongs to the revisions without sessions.
pub(super) fn is_modern(headers: &HeaderMap, message: &Message) -> bool {
    match message.method() {
        Some("initialize") => false,
        Some("server/discover" | "subscriptions/listen") => true,
        _ => match message.param_text(&["_meta", META_VERSION]) {
            Some(version) => version.as_str() >= FIRST_MODERN || !headers.contains_key(SESSION_ID),
            None => {
                matches!(single(headers, PROTOCOL_VERSION), Ok(Some(v)) if v >= FIRST_MODERN)
            }
        },
    }
}

/// A POST must carry JSON and take JSON and streams.
pub(super) fn check_post(headers: &HeaderMap) -> Result<(), Fault> {
    let json = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"));
    if !json {
        return Err(Fault::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            INVALID_REQUEST,
            "unsupported_media_type",
            "the body must be application/json",
            "set Content-Type: application/json",
        ));
    }
    if accepts(headers, "application", "json") && accepts(headers, "text", "event-stream") {
        return Ok(());
    }
    Err(not_acceptable())
}

/// A GET must take streams.
pub(super) fn check_get(headers: &HeaderMap) -> Result<(), Fault> {
    if accepts(headers, "text", "event-stream") {
        return Ok(());
    }
    Err(not_acceptable())
}

fn not_acceptable() -> Fault {
    Fault::new(
        StatusCode::NOT_ACCEPTABLE,
        INVALID_REQUEST,
        "not_acceptable",
        "the answer may be JSON or a stream of events, and the client must accept both",
        "set Accept: application/json, text/event-stream",
    )
}

/// In which form a client prefers an answer that has nothing before it: the one that it names first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taste {
    /// Plain JSON, which is also smaller.
    Json,
    /// A stream of one event.
    Events,
}

impl Taste {
    /// What `Accept` says.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let first = headers.get(header::ACCEPT);
        let first = first
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let events = first.trim_start().get(..17);
        match events.is_some_and(|it| it.eq_ignore_ascii_case("text/event-stream")) {
            true => Self::Events,
            false => Self::Json,
        }
    }
}

fn accepts(headers: &HeaderMap, kind: &str, subtype: &str) -> bool {
    let mut values = headers.get_all(header::ACCEPT).iter().peekable();
    if values.peek().is_none() {
        return true;
    }
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter(|range| {
            let q = range
                .split(';')
                .skip(1)
                .find_map(|p| p.trim().strip_prefix("q="));
            q.and_then(|q| q.parse::<f32>().ok()) != Some(0.0)
        })
        .filter_map(|range| range.split(';').next()?.trim().split_once('/'))
        .any(|(k, s)| {
            (k == "*" || k.eq_ignore_ascii_case(kind))
                && (s == "*" || s.eq_ignore_ascii_case(subtype))
        })
}

/// The version header of a request within a session, if there is one, must name a version that has
/// sessions, or the one that was agreed on.
pub(super) fn check_session_version(
    headers: &HeaderMap,
    agreed: Option<&str>,
) -> Result<(), Fault> {
    match single(headers, PROTOCOL_VERSION)? {
        Some(v) if !WITH_SESSIONS.contains(&v) && agreed != Some(v) => Err(Fault::bad_request(
            INVALID_REQUEST,
            "unsupported_version",
            format!("this session does not speak {v:?}"),
            "send the version that `initialize` agreed on",
        )),
        _ => Ok(()),
    }
}

/// A modern request must say the same in its headers as in its body.
pub(super) fn check_modern(headers: &HeaderMap, message: &Message) -> Result<(), Fault> {
    let version = single(headers, PROTOCOL_VERSION)?;
    let Some(meant) = message.param_text(&["_meta", META_VERSION]) else {
        return Err(missing_meta(META_VERSION));
    };
    match version {
        None => return Err(mismatch("the header MCP-Protocol-Version is missing")),
        Some(v) if v != meant => {
            return Err(mismatch(format!(
                "the header MCP-Protocol-Version is {v:?}, `_meta` says {meant:?}"
            )));
        }
        Some(_) => {}
    }
    let capabilities = message.param(&["_meta", META_CAPABILITIES]);
    if meant == FIRST_MODERN && !capabilities.is_some_and(|raw| raw.starts_with('{')) {
        return Err(missing_meta(META_CAPABILITIES));
    }
    if single(headers, METHOD)?.is_none() {
        return Err(mismatch("the header Mcp-Method is missing"));
    }
    check_method(headers, message)?;
    check_name(headers, message)
}

/// Whatever the version: a method in the headers must be the one in the body.
pub(super) fn check_method(headers: &HeaderMap, message: &Message) -> Result<(), Fault> {
    match (single(headers, METHOD)?, message.method()) {
        (Some(said), Some(meant)) if said != meant => Err(mismatch(format!(
            "the header Mcp-Method is {said:?}, the body says {meant:?}"
        ))),
        _ => Ok(()),
    }
}

fn check_name(headers: &HeaderMap, message: &Message) -> Result<(), Fault> {
    let (member, required) = match message.method() {
        Some("tools/call" | "prompts/get") => ("name", true),
        Some("resources/read") => ("uri", true),
        Some("tasks/get" | "tasks/update" | "tasks/cancel") => ("taskId", false),
        _ => return Ok(()),
    };
    let Some(meant) = message.param_text(&[member]) else {
        return Ok(());
    };
    let Some(raw) = single(headers, NAME)? else {
        return if required {
            Err(mismatch("the header Mcp-Name is missing"))
        } else {
            Ok(())
        };
    };
    match decode(raw) {
        Some(said) if said == meant => Ok(()),
        Some(said) => Err(mismatch(format!(
            "the header Mcp-Name is {said:?}, the body says {meant:?}"
        ))),
        None => Err(mismatch("the header Mcp-Name is not valid Base64")),
    }
}

/// Values that are not plain ASCII travel as `=?base64?…?=`.
pub(super) fn decode(value: &str) -> Option<String> {
    let encoded = value
        .strip_prefix("=?base64?")
        .and_then(|rest| rest.strip_suffix("?="));
    match encoded {
        Some(encoded) => String::from_utf8(BASE64_STANDARD.decode(encoded).ok()?).ok(),
        None => Some(value.to_owned()),
    }
}

/// Headers and body say different things.
pub(super) fn mismatch(message: impl Into<String>) -> Fault {
    Fault::bad_request(
        HEADER_MISMATCH,
        "header_mismatch",
        message,
        "headers must repeat what the body says",
    )
}

fn missing_meta(member: &str) -> Fault {
    Fault::bad_request(
        INVALID_PARAMS,
        "missing_meta",
        format!("`params._meta` lacks a valid {member:?}"),
        "every request of 2026-07-28 carries its protocol version and client capabilities",
    )
}

#[cfg(test)]
mod tests;
