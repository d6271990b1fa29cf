//! What a request asks of an MCP server: read from its body only where some rule depends on more than the server.

mod message;

use std::time::Duration;

use axum::{body::Body, extract::Request};
use bytes::Bytes;
use http::{Method, header::UPGRADE};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use peerage_core::problem::Problem;
use tokio::time::timeout;

pub(super) use self::message::OfServer;
use self::message::meant;

use crate::policy::{Asked, Subject};

/// Bytes of a body that is read to see what it asks for. Where rules name tools, there are no larger calls.
pub(super) const MAX_READ: usize = 16 * 1024 * 1024;
/// How long reading it may take.
const READ_DEADLINE: Duration = Duration::from_secs(60);
impl OfServer {
    pub(super) fn of<'a>(&'a self, server: &'a str) -> Asked<'a> {
        match self {
            Self::Session | Self::List => Asked::Session(server),
            Self::Whole => Asked::Server(server),
            Self::Tool(tool) => Asked::Tool(server, tool),
        }
    }
}

/// What the request asks for, and the request, whose body may have been read.
pub(super) async fn asked(
    subject: &Subject,
    server: &str,
    request: Request,
) -> Result<(Request, OfServer), Problem> {
    if !super::depends(subject, server) {
        return Ok((request, OfServer::Whole));
    }
    if request.headers().contains_key(UPGRADE) {
        let text = "rules of this node name tools, and what goes over an upgraded connection cannot be seen";
        return Err(Problem::new(403, "unreadable_call", text).hint("call with POST"));
    }
    if request.method() != Method::POST {
        return Ok((request, OfServer::Session));
    }
    let (head, body) = request.into_parts();
    let bytes = read(body).await?;
    let asked = meant(&bytes)?;
    Ok((Request::from_parts(head, Body::from(bytes)), asked))
}

async fn read(body: Body) -> Result<Bytes, Problem> {
    let all = Limited::new(body, MAX_READ).collect();
    let late = || Problem::new(408, "body_too_slow", "the body did not arrive in time");
    let read = timeout(READ_DEADLINE, all).await.map_err(|_| late())?;
    read.map(http_body_util::Collected::to_bytes)
        .map_err(|error| {
            if error.is::<LengthLimitError>() {
                let text = format!(
                    "where rules of this node name tools, a call has at most {MAX_READ} bytes"
                );
                Problem::new(413, "too_large", text)
            } else {
                Problem::new(
                    400,
                    "bad_request",
                    format!("the body cannot be read: {error}"),
                )
            }
        })
}
