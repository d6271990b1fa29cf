//! A client of a running node's local API: over its Unix socket, else over TCP with its token.

mod events;
mod nodes;

use std::{path::PathBuf, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{body::Incoming, client::conn::http1, upgrade::Upgraded};
use hyper_util::rt::TokioIo;
use peerage_core::problem::Problem;
use peerage_mesh::Tasks;
use peerage_services::api::NodeFile;
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    time::timeout,
};

pub(crate) use self::{
    events::{Event, Events},
    nodes::{find, find_named, not_running},
};
use super::Failure;

/// How long a connection to a node on this machine may take.
const CONNECT: Duration = Duration::from_secs(2);
/// How long a node may take to show that it is there.
const ALIVE: Duration = Duration::from_secs(5);
/// How long an answer may take when the command does not say.
const ANSWER: Duration = Duration::from_secs(30);
/// The most bytes of an answer.
const MAX_ANSWER: usize = 64 * 1024 * 1024;
/// The most bytes of a token file.
const MAX_TOKEN: usize = 1024;
/// What an MCP session over the local API is asked for by.
const MCP_UPGRADE: &str = "mcp-stdio";

/// A client of one running node.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    node: NodeFile,
    tasks: Tasks,
}

/// A connection to the node, and how it goes.
struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    host: HeaderValue,
    authorization: Option<HeaderValue>,
}

impl Client {
    /// A client of the node that wrote this file.
    pub(crate) fn new(node: NodeFile) -> Self {
        Self {
            node,
            tasks: Tasks::new(),
        }
    }

    /// What the node wrote about itself.
    pub(crate) const fn node(&self) -> &NodeFile {
        &self.node
    }

    /// Whether the node is there, even if it refuses or is slow. That somebody takes connections is not
    /// enough: a child that a killed node was just starting has the node's sockets open until it runs.
    pub(crate) async fn is_up(&self) -> bool {
        let asked = self.exchange(Method::GET, "/api/v1/node", Bytes::new(), ALIVE);
        asked.await.map_or_else(
            |failure| !["node_not_running", "node_gone"].contains(&failure.code()),
            |_| true,
        )
    }

    /// Whether the node's process is still there.
    pub(crate) fn is_alive(&self) -> bool {
        nodes::is_alive(self.node.pid)
    }

    /// `GET` of JSON.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        let body = self
            .exchange(Method::GET, path, Bytes::new(), ANSWER)
            .await?;
        decode(&body)
    }

    /// Another method, with a JSON body, that is answered with JSON.
    pub(crate) async fn send<B: Serialize, T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &B,
        within: Duration,
    ) -> Result<T, Failure> {
        let body = self.exchange(method, path, encode(body)?, within).await?;
        decode(&body)
    }

    /// `POST` of JSON that is answered with JSON within 30 seconds.
    pub(crate) async fn post<B: Serialize, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<T, Failure> {
        self.send(Method::POST, path, body, ANSWER).await
    }

    /// A method without a body; the answer is nothing, or does not matter.
    pub(crate) async fn act(&self, method: Method, path: &str) -> Result<(), Failure> {
        self.exchange(method, path, Bytes::new(), ANSWER)
            .await
            .map(drop)
    }

    /// `POST` of JSON that is answered with a stream of events, the whole of it within a time.
    pub(crate) async fn events<B: Serialize>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<Events, Failure> {
        let mut connection = self.connect().await?;
        let mut request = connection.request(Method::POST, path, encode(body)?)?;
        let accept = HeaderValue::from_static("text/event-stream, application/json");
        request.headers_mut().insert(header::ACCEPT, accept);
        let response = connection
            .sender
            .send_request(request)
            .await
            .map_err(broken)?;
        if response.status().is_success() {
            return Ok(Events::new(response.into_body()));
        }
        Err(refused(response).await)
    }

    /// `GET` that is answered with a stream of events.
    pub(crate) async fn follow(&self, path: &str) -> Result<Events, Failure> {
        let mut connection = self.connect().await?;
        let mut request = connection.request(Method::GET, path, Bytes::new())?;
        let accept = HeaderValue::from_static("text/event-stream");
        request.headers_mut().insert(header::ACCEPT, accept);
        let response = connection
            .sender
            .send_request(request)
            .await
            .map_err(broken)?;
        if response.status().is_success() {
            return Ok(Events::new(response.into_body()));
        }
        Err(refused(response).await)
    }

    /// An MCP session as a stream of newline-delimited JSON.
    pub(crate) async fn mcp(&self) -> Result<TokioIo<Upgraded>, Failure> {
        let mut connection = self.connect().await?;
        let mut request = connection.request(Method::GET, "/mcp", Bytes::new())?;
        let headers = request.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static(MCP_UPGRADE));
        let sent = timeout(ANSWER, connection.sender.send_request(request)).await;
        let response = sent.map_err(|_| late(ANSWER))?.map_err(broken)?;
        match response.status() {
            StatusCode::SWITCHING_PROTOCOLS => hyper::upgrade::on(response)
                .await
                .map(TokioIo::new)
                .map_err(broken),
            status if status.is_success() => Err(Failure::failed(
                "unexpected_answer",
                format!(
                    "the node at {} does not speak MCP on a stream",
                    self.node.api
                ),
            )),
            _ => Err(refused(response).await),
        }
    }

    /// One request and its whole answer.
    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        within: Duration,
    ) -> Result<Bytes, Failure> {
        let exchange = async {
            let mut connection = self.connect().await?;
            let request = connection.request(method, path, body)?;
            let response = connection
                .sender
                .send_request(request)
                .await
                .map_err(broken)?;
            if !response.status().is_success() {
                return Err(refused(response).await);
            }
            let body = Limited::new(response.into_body(), MAX_ANSWER)
                .collect()
                .await;
            body.map(http_body_util::Collected::to_bytes)
                .map_err(broken)
        };
        timeout(within, exchange).await.map_err(|_| late(within))?
    }

    /// Connects over the socket; over TCP only where the socket cannot be used at all, as in a container that
    /// sees the home folder through a mount.
    async fn connect(&self) -> Result<Connection, Failure> {
        let gone = |_| not_running(Some(&self.node.name));
        let socket = timeout(CONNECT, UnixStream::connect(&self.node.socket)).await;
        if let Ok(Ok(stream)) = socket {
            let sender = self.handshake(stream).await?;
            return Ok(Connection {
                sender,
                host: HeaderValue::from_static("localhost"),
                authorization: None,
            });
        }
        let address = self
            .node
            .api
            .trim_start_matches("http://")
            .trim_end_matches('/');
        if !self.is_alive() {
            return Err(not_running(Some(&self.node.name)));
        }
        let authorization = self.token()?;
        let stream = timeout(CONNECT, TcpStream::connect(address)).await;
        let stream = stream.map_err(|_| late(CONNECT))?.map_err(gone)?;
        let sender = self.handshake(stream).await?;
        let host = HeaderValue::from_str(address).map_err(|_| unreadable(&self.node.api))?;
        Ok(Connection {
            sender,
            host,
            authorization: Some(authorization),
        })
    }

    async fn handshake<S>(&self, stream: S) -> Result<http1::SendRequest<Full<Bytes>>, Failure>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(broken)?;
        self.tasks.spawn("api connection", async move {
            // Whoever sent the request is told the same.
            drop(connection.with_upgrades().await);
        });
        Ok(sender)
    }

    fn token(&self) -> Result<HeaderValue, Failure> {
        let path = PathBuf::from(&self.node.token_file);
        let what = || format!("cannot read {}", path.display());
        let text = std::fs::read_to_string(&path).map_err(|e| Failure::io(what(), &e))?;
        let token = text.trim();
        let value = HeaderValue::from_str(&format!("Bearer {token}"));
        let mut value = match value {
            Ok(value) if token.len() <= MAX_TOKEN => value,
            _ => return Err(unreadable(&self.node.token_file)),
        };
        value.set_sensitive(true);
        Ok(value)
    }
}

impl Connection {
    fn request(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, Failure> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, &self.host)
            .header(header::ACCEPT, "application/json");
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        request
            .body(Full::new(body))
            .map_err(|error| Failure::usage(format!("cannot ask for {path}: {error}")))
    }
}

/// A part of a path, so that names with slashes stay one part.
pub(crate) fn segment(text: &str) -> String {
    let mut part = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            part.push(char::from(byte));
        } else {
            part.push_str(&format!("%{byte:02X}"));
        }
    }
    part
}

/// The problem that an answer tells.
async fn refused(response: Response<Incoming>) -> Failure {
    let status = response.status().as_u16();
    let body = Limited::new(response.into_body(), Problem::MAX_BYTES)
        .collect()
        .await;
    let problem = body
        .ok()
        .and_then(|body| Problem::from_json(&body.to_bytes()));
    problem
        .unwrap_or_else(|| {
            let detail = format!("the node answered with HTTP status {status}");
            Problem::new(status, "unexpected_answer", detail)
        })
        .into()
}

fn encode<B: Serialize>(body: &B) -> Result<Bytes, Failure> {
    let bytes = serde_json::to_vec(body);
    bytes
        .map(Bytes::from)
        .map_err(|error| Failure::usage(error.to_string()))
}

fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|error| {
        let detail = format!("the node's answer cannot be read: {error}");
        Failure::failed("unexpected_answer", detail)
            .hint("is the running node of another version? `peerage down`, then `peerage up`")
    })
}

fn broken(error: impl std::fmt::Display) -> Failure {
    Failure::failed(
        "node_gone",
        format!("the node ended the connection: {error}"),
    )
}

fn late(within: Duration) -> Failure {
    let detail = format!("the node did not answer within {} s", within.as_secs());
    Problem::new(504, "node_late", detail).into()
}

fn unreadable(what: &str) -> Failure {
    Failure::failed("node_file_invalid", format!("cannot use what {what} says"))
}

#[cfg(test)]
mod tests;
