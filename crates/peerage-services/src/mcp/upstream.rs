//! A shared server that speaks HTTP by itself, reached as by a reverse proxy that changes nothing.

use std::{
    fmt, io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    BoxError,
    body::{Body, Bytes, HttpBody},
    response::{IntoResponse, Response},
};
use http::{
    HeaderMap, HeaderName, HeaderValue, Request, StatusCode, Uri,
    header::{
        AUTHORIZATION, CONNECTION, EXPECT, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE,
        TRAILER, TRANSFER_ENCODING, UPGRADE,
    },
    uri::{PathAndQuery, Scheme},
};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use peerage_core::problem::Problem;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::{failure::Failure, hop::Wanted};

/// How long a connection to the upstream may take to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the upstream may take until its response begins; the body then has no limit.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5 * 60);
/// How long an unused connection is kept.
const POOL_IDLE: Duration = Duration::from_secs(60);
/// Unused connections that are kept.
const POOL_SIZE: usize = 16;
/// What helps when the upstream fails.
const HINT: &str = "check that the server runs and that the URL it is shared under is right";
/// Headers that belong to one connection, besides those that `Connection` names.
const HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    EXPECT,
];

/// An MCP server at a URL. Bodies stream both ways, unread; redirects are passed on, not followed.
#[derive(Clone)]
pub struct HttpUpstream {
    url: Arc<Uri>,
    withheld: Option<Arc<str>>,
    client: Arc<Client<HttpsConnector<HttpConnector>, Body>>,
    stopped: CancellationToken,
}

/// Why a URL cannot be shared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UpstreamError {
    /// Not a URL.
    #[error("not a URL: {0}")]
    NotAUrl(#[from] http::uri::InvalidUri),
    /// Neither `http` nor `https`, or without a host.
    #[error("the URL must begin with http:// or https:// and name a host")]
    NotHttp,
    /// A user name or password stands in the URL, where it would be lost silently.
    #[error("the URL must not hold a user name or password")]
    Credentials,
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
}

impl fmt::Debug for HttpUpstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A query may hold a key.
        f.debug_struct("HttpUpstream")
            .field("host", &self.url.host())
            .field("path", &self.url.path())
            .finish_non_exhaustive()
    }
}

impl HttpUpstream {
    /// A server at `url`. Nothing is connected before the first call.
    ///
    /// # Errors
    /// If `url` is not a plain `http` or `https` URL, or TLS cannot be set up.
    pub fn new(url: &str) -> Result<Self, UpstreamError> {
        let url: Uri = url.parse()?;
        let http = url.scheme() == Some(&Scheme::HTTP) || url.scheme() == Some(&Scheme::HTTPS);
        let Some(authority) = url.authority().filter(|_| http) else {
            return Err(UpstreamError::NotHttp);
        };
        if authority.as_str().contains('@') {
            return Err(UpstreamError::Credentials);
        }
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        // Named, because more than one provider may be linked and then there is no default.
        let provider = rustls::crypto::ring::default_provider();
        let tls = HttpsConnectorBuilder::new()
            .with_provider_and_webpki_roots(provider)?
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(POOL_IDLE)
            .pool_max_idle_per_host(POOL_SIZE)
            .build(tls);
        Ok(Self {
            url: Arc::new(url),
            withheld: None,
            client: Arc::new(client),
            stopped: CancellationToken::new(),
        })
    }

    /// Never sends `token`, which authenticates callers to this node and not to the upstream.
    #[must_use]
    pub fn withholding(mut self, token: &str) -> Self {
        self.withheld = Some(token.into());
        self
    }

    /// Breaks off what still streams: nobody shares this server any more.
    pub(super) fn stop(&self) {
        self.stopped.cancel();
    }

    /// Passes one request on and its response back.
    pub async fn handle(&self, request: Request<Body>) -> Response {
        let (mut parts, body) = request.into_parts();
        parts.uri = self.target(parts.uri.query());
        parts.version = http::Version::HTTP_11;
        let request = Request::from_parts(parts, body);
        let upgrade = Wanted::of(&request);
        let (mut parts, body) = request.into_parts();
        strip_hop_by_hop(&mut parts.headers);
        if let Some(upgrade) = &upgrade {
            upgrade.ask(&mut parts.headers);
        }
        // The client sets the upstream's own.
        parts.headers.remove(HOST);
        if let Some(token) = &self.withheld {
            let holds = |value: &HeaderValue| {
                value
                    .as_bytes()
                    .windows(token.len())
                    .any(|part| part == token.as_bytes())
            };
            if parts.headers.get_all(AUTHORIZATION).iter().any(holds) {
                parts.headers.remove(AUTHORIZATION);
            }
        }
        // What other layers attached is for this process only.
        parts.extensions.clear();
        match timeout(
            HEAD_TIMEOUT,
            self.client.request(Request::from_parts(parts, body)),
        )
        .await
        {
            Ok(Ok(response)) => {
                let (mut parts, body) = response.into_parts();
                strip_hop_by_hop(&mut parts.headers);
                // Whoever called joins the connections: see `crate::hop`.
                Response::from_parts(parts, Body::new(UntilStopped::new(body, &self.stopped)))
            }
            Ok(Err(e)) => {
                tracing::debug!(error = ?e, upstream = ?self, "an HTTP upstream failed");
                let (code, what) = if e.is_connect() {
                    (
                        "upstream_unreachable",
                        "the shared HTTP server cannot be reached",
                    )
                } else {
                    (
                        "upstream_failed",
                        "the shared HTTP server broke off the call",
                    )
                };
                problem(StatusCode::BAD_GATEWAY, code, what)
            }
            Err(_) => problem(
                StatusCode::GATEWAY_TIMEOUT,
                "upstream_timeout",
                "the shared HTTP server did not answer in time",
            ),
        }
    }

    /// The upstream's URL; a query of the request is used if the URL has none itself.
    fn target(&self, query: Option<&str>) -> Uri {
        let (Some(query), None) = (query, self.url.query()) else {
            return Uri::clone(&self.url);
        };
        let mut parts = Uri::clone(&self.url).into_parts();
        let path = format!("{}?{query}", self.url.path());
        parts.path_and_query = PathAndQuery::try_from(path).ok().or(parts.path_and_query);
        Uri::from_parts(parts).unwrap_or_else(|_| Uri::clone(&self.url))
    }
}

/// A response that ends with an error when its server is not shared any more.
struct UntilStopped {
    body: Incoming,
    stopped: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl UntilStopped {
    fn new(body: Incoming, stopped: &CancellationToken) -> Self {
        Self {
            body,
            stopped: Box::pin(stopped.clone().cancelled_owned()),
        }
    }
}

impl HttpBody for UntilStopped {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.stopped.as_mut().poll(cx).is_ready() {
            let error = io::Error::other("the server is not shared any more");
            return Poll::Ready(Some(Err(error.into())));
        }
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        frame.map(|frame| frame.map(|frame| frame.map_err(BoxError::from)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<_> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| HeaderName::try_from(name.trim()).ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

fn problem(status: StatusCode, code: &str, detail: &str) -> Response {
    Failure(Problem::new(status.as_u16(), code, detail).hint(HINT)).into_response()
}

#[cfg(test)]
mod tests;
