//! `/mcp` for this machine: every tool this node may call as one MCP server, over Streamable HTTP or, by
//! an HTTP upgrade, as the byte stream that stdio clients speak.

use axum::{
    Router,
    body::Body,
    extract::Request,
    response::{IntoResponse, Response},
    routing::any,
};
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use hyper_util::rt::TokioIo;
use peerage_mesh::Tasks;
use tower::ServiceExt;

use super::aggregate::Aggregate;

/// The protocol to upgrade to: MCP's stdio framing, newline-delimited JSON both ways.
pub const STDIO_UPGRADE: &str = "mcp-stdio";

/// The local routes.
pub fn local_routes(aggregate: &Aggregate, tasks: &Tasks) -> Router {
    let (server, tasks) = (aggregate.clone(), tasks.clone());
    let routes = aggregate.routes();
    let answer = move |mut request: Request| {
        let (server, routes, tasks) = (server.clone(), routes.clone(), tasks.clone());
        async move {
            if wants_stream(request.headers()) {
                return stream(server, &tasks, request);
            }
            *request.uri_mut() = Uri::from_static("/");
            match routes.oneshot(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            }
        }
    };
    Router::new().route("/mcp", any(answer))
}

fn wants_stream(headers: &HeaderMap) -> bool {
    let upgrade = headers.get(header::UPGRADE);
    upgrade.is_some_and(|value| {
        value
            .as_bytes()
            .eq_ignore_ascii_case(STDIO_UPGRADE.as_bytes())
    })
}

fn stream(server: Aggregate, tasks: &Tasks, mut request: Request) -> Response {
    let upgraded = hyper::upgrade::on(&mut request);
    tasks.spawn("mcp stream", async move {
        let served = match upgraded.await {
            Ok(stream) => server
                .serve_stream(TokioIo::new(stream))
                .await
                .map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = served {
            tracing::debug!(error, "a stream client has left");
        }
    });
    let mut response = (StatusCode::SWITCHING_PROTOCOLS, Body::empty()).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static(STDIO_UPGRADE));
    response
}
