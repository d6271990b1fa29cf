//! An MCP server of our own as HTTP routes: Streamable HTTP in the current protocol and the one before.

use std::{io, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    middleware::{self, Next},
    response::Response,
};
use http::{HeaderMap, Method, StatusCode, header};
use peerage_core::problem::Problem;
use peerage_mesh::Tasks;
use rmcp::{
    ServerHandler,
    transport::{
        StreamableHttpServerConfig, StreamableHttpService,
        streamable_http_server::session::local::LocalSessionManager,
    },
};

/// The most sessions of one server at a time. The current protocol has none: these are older clients.
const MAX_SESSIONS: usize = 256;

/// How long a session without traffic is kept.
const IDLE: Duration = Duration::from_secs(15 * 60);

/// How often a silent stream shows that it lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The largest request, in bytes.
const MAX_REQUEST_BYTES: usize = 16 << 20;

/// Which names of this host a request may be addressed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hosts {
    /// Names of loopback only, against web pages that rebind their name to 127.0.0.1.
    Loopback,
    /// Any: whoever routes to this server has checked.
    Any,
}

/// Routes that answer at `/` with what `make` makes: once per session, or per request where there is none.
pub(super) fn router<S: ServerHandler>(
    make: impl Fn() -> S + Send + Sync + 'static,
    hosts: Hosts,
    tasks: &Tasks,
) -> Router {
    let mut sessions = LocalSessionManager::default();
    sessions.session_config.keep_alive = Some(IDLE);
    let sessions = Arc::new(sessions);
    let mut config = StreamableHttpServerConfig::default()
        .with_sse_keep_alive(Some(KEEP_ALIVE))
        .with_max_request_body_bytes(MAX_REQUEST_BYTES)
        .with_cancellation_token(tasks.token().child_token());
    if hosts == Hosts::Any {
        config = config.disable_allowed_hosts();
    }
    let make = move || Ok::<_, io::Error>(make());
    let service = StreamableHttpService::new(make, sessions.clone(), config);
    Router::new()
        .fallback_service(service)
        .layer(middleware::from_fn_with_state(sessions, limit_sessions))
}

async fn limit_sessions(
    State(sessions): State<Arc<LocalSessionManager>>,
    request: Request,
    next: Next,
) -> Response {
    if begins_session(request.method(), request.headers())
        && sessions.sessions.read().await.len() >= MAX_SESSIONS
    {
        let detail = format!("this server has {MAX_SESSIONS} sessions open already");
        let problem = Problem::new(503, "too_many_sessions", detail)
            .hint("close clients that are not needed, or wait until theirs expire");
        return answer(&problem);
    }
    next.run(request).await
}

/// Only the first request of an older client names neither a session nor a version.
fn begins_session(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::POST
        && !headers.contains_key("mcp-session-id")
        && !headers.contains_key("mcp-protocol-version")
}

fn answer(problem: &Problem) -> Response {
    let mut response = Response::new(Body::from(problem.to_json()));
    *response.status_mut() =
        StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        http::HeaderValue::from_static(Problem::MEDIA_TYPE),
    );
    response
}
