//! What the adapter itself answers when a call cannot be served: a JSON-RPC error that echoes the
//! caller's id and says in `data` which case it is and what helps.

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header::CONTENT_TYPE};
use serde_json::{Value, json};

/// JSON-RPC: the bytes are not JSON.
pub(super) const PARSE_ERROR: i64 = -32700;
/// JSON-RPC: JSON, but not a request that can be served.
pub(super) const INVALID_REQUEST: i64 = -32600;
/// JSON-RPC: no such method.
pub(super) const METHOD_NOT_FOUND: i64 = -32601;
/// JSON-RPC: wrong parameters.
pub(super) const INVALID_PARAMS: i64 = -32602;
/// JSON-RPC: something went wrong on this side.
pub(super) const INTERNAL_ERROR: i64 = -32603;
/// What MCP servers answer to an unknown session.
pub(super) const SESSION_NOT_FOUND: i64 = -32001;
/// MCP 2026-07-28: headers and body contradict each other.
pub(super) const HEADER_MISMATCH: i64 = -32020;
/// MCP 2026-07-28: the client lacks a capability.
pub(super) const MISSING_CAPABILITY: i64 = -32021;
/// MCP 2026-07-28: the protocol version is not supported.
pub(super) const UNSUPPORTED_VERSION: i64 = -32022;

/// One refusal or failure.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    status: StatusCode,
    rpc: i64,
    message: String,
    data: Value,
}

impl Fault {
    /// `rpc` is the JSON-RPC code; `code` and `hint` go into `data`.
    pub(super) fn new(
        status: StatusCode,
        rpc: i64,
        code: &str,
        message: impl Into<String>,
        hint: &str,
    ) -> Self {
        Self {
            status,
            rpc,
            message: message.into(),
            data: json!({ "code": code, "hint": hint }),
        }
    }

    /// The request itself is wrong.
    pub(super) fn bad_request(
        rpc: i64,
        code: &str,
        message: impl Into<String>,
        hint: &str,
    ) -> Self {
        Self::new(StatusCode::BAD_REQUEST, rpc, code, message, hint)
    }

    /// The call was accepted and then failed; told in-band.
    pub(super) fn failed(code: &str, message: impl Into<String>, hint: &str) -> Self {
        Self::new(StatusCode::OK, INTERNAL_ERROR, code, message, hint)
    }

    /// The server's process ended with the call in flight.
    pub(super) fn ended(reason: &str) -> Self {
        Self::failed(
            "server_ended",
            format!("the MCP server ended: {reason}"),
            "the call may or may not have taken effect; call again to start the server afresh",
        )
    }

    /// Too much at once.
    pub(super) fn busy(code: &str, message: impl Into<String>) -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            INTERNAL_ERROR,
            code,
            message,
            "end what is not needed any more, or try again later",
        )
    }

    /// The server's process does not take any more input.
    pub(super) fn server_busy() -> Self {
        Self::busy("server_busy", "the MCP server does not read its input")
    }

    /// No such session of this caller.
    pub(super) fn no_session() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            SESSION_NOT_FOUND,
            "session_not_found",
            "there is no such session, or it has ended",
            "send `initialize` without Mcp-Session-Id to begin a new one",
        )
    }

    /// What a stream said is not kept any more.
    pub(super) fn stream_gone() -> Self {
        Self::new(
            StatusCode::GONE,
            INVALID_REQUEST,
            "stream_gone",
            "what came after this Last-Event-ID is not kept any more",
            "the call may or may not have taken effect",
        )
    }

    /// A request whose id cannot be used.
    pub(super) fn no_id() -> Self {
        Self::bad_request(
            INVALID_REQUEST,
            "invalid_id",
            "`id` must be a string or a number",
            "give every request an id of its own",
        )
    }

    /// A request under an id that is still in use.
    pub(super) fn duplicate_id() -> Self {
        Self::bad_request(
            INVALID_REQUEST,
            "duplicate_id",
            "a request with this id is in flight",
            "give every request an id of its own",
        )
    }

    /// Adds a member to `data`.
    pub(super) fn with(mut self, name: &str, value: Value) -> Self {
        self.data[name] = value;
        self
    }

    /// The JSON-RPC code.
    pub(super) fn rpc(&self) -> i64 {
        self.rpc
    }

    /// The JSON-RPC error for `id` as it was written; `null` if there is none.
    pub(super) fn body(&self, id: Option<&str>) -> Bytes {
        let error = json!({ "code": self.rpc, "message": self.message, "data": self.data });
        let id = id.unwrap_or("null");
        format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#).into()
    }

    /// The HTTP response for `id`.
    pub(super) fn response(&self, id: Option<&str>) -> Response {
        json_response(self.status, self.body(id))
    }
}

/// A response with a JSON body.
pub(super) fn json_response(status: StatusCode, body: Bytes) -> Response {
    let mut response = (status, Body::from(body)).into_response();
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
