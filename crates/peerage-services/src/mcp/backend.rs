//! What stands behind a shared server's route.

use axum::{Router, body::Body};
use http::{Request, Response};
use tower::ServiceExt;

use super::{stdio::StdioServer, upstream::HttpUpstream};

/// A server that this node shares, whatever it is made of. Between nodes it always speaks Streamable
/// HTTP. Cloning gives another handle to the same server.
#[derive(Clone, Debug)]
pub enum Backend {
    /// A command that speaks MCP on its standard streams.
    Stdio(StdioServer),
    /// A server that speaks Streamable HTTP by itself.
    Http(HttpUpstream),
    /// A server within this process. It must answer at any path and for any `Host`.
    Service(Router),
}

impl Backend {
    /// Answers one HTTP request of `caller`: the peer id of the node it came from, or `local`.
    pub async fn handle(&self, caller: &str, request: Request<Body>) -> Response<Body> {
        match self {
            Self::Stdio(server) => server.handle(caller, request).await,
            Self::Http(upstream) => upstream.handle(request).await,
            Self::Service(router) => match router.clone().oneshot(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            },
        }
    }

    /// Ends what runs for it, and waits until it is gone.
    pub async fn stop(&self) {
        match self {
            Self::Stdio(server) => server.stop().await,
            Self::Http(upstream) => upstream.stop(),
            Self::Service(_) => {}
        }
    }
}
