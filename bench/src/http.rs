//! A client of the local API of a real node.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http::{HeaderMap, Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    process::{Child, Command},
    task::JoinSet,
};

use crate::process;

/// How long a node may take to start.
const START: Duration = Duration::from_secs(20);
/// Between two looks whether something is there.
const LOOK: Duration = Duration::from_millis(2);

/// A running node: the real program. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Node {
    child: Child,
    folder: PathBuf,
}

impl Node {
    /// Starts `peerage up` with these arguments, by way of `before` (a program and its arguments).
    pub(crate) fn start(
        (home, name): (&Path, &str),
        before: &[&str],
        arguments: &[String],
        cpu: Option<usize>,
    ) -> Result<Self> {
        let program = process::beside("peerage", "target/release")
            .context("not built: cargo build --release -p peerage")?;
        let program = program.to_str().context("a path that is text")?;
        let words = [before, &[program]].concat();
        let mut command = Command::new(words[0]);
        command
            .args(&words[1..])
            .arg("--home")
            .arg(home)
            .args(["--name", name, "up", "--api", "127.0.0.1:0"])
            .args(arguments)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .kill_on_drop(true);
        Ok(Self {
            child: process::spawn(&mut command, cpu)?,
            folder: home.join("nodes").join(name),
        })
    }

    /// Memory in use, KiB.
    pub(crate) fn resident_kib(&self) -> Option<u64> {
        process::resident_kib(&self.child.id()?.to_string())
    }

    /// Ends it and waits until it has.
    pub(crate) async fn stop(mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }

    /// A client, over the node's Unix socket, as soon as there is one.
    pub(crate) async fn client(&self) -> Result<Client> {
        let socket = self.folder.join("node.sock");
        let start = Instant::now();
        loop {
            if let Ok(stream) = UnixStream::connect(&socket).await {
                return Client::over(stream, None).await;
            }
            ensure!(start.elapsed() < START, "the node does not start");
            tokio::time::sleep(LOOK).await;
        }
    }

    /// A client over TCP with the node's token, once the node says that it is up.
    pub(crate) async fn tcp_client(&self) -> Result<Client> {
        let start = Instant::now();
        let file = loop {
            if let Ok(file) = std::fs::read(self.folder.join("node.json")) {
                break file;
            }
            ensure!(start.elapsed() < START, "the node does not start");
            tokio::time::sleep(LOOK).await;
        };
        let file: Value = serde_json::from_slice(&file)?;
        let api = file["api"].as_str().context("it has an API")?;
        let stream = TcpStream::connect(api.trim_start_matches("http://")).await?;
        stream.set_nodelay(true)?;
        let token = std::fs::read_to_string(self.folder.join("api.token"))?;
        Client::over(stream, Some(token.trim())).await
    }

    /// The first address at which it listens, with its id.
    pub(crate) async fn address(&self) -> Result<String> {
        let mut client = self.client().await?;
        let start = Instant::now();
        loop {
            let node = client.get("/api/v1/node").await?;
            if let Some(address) = node["listen"][0].as_str() {
                let id = node["peer_id"].as_str().context("it has an id")?;
                let whole = address.contains("/p2p/");
                return Ok(if whole {
                    address.to_owned()
                } else {
                    format!("{address}/p2p/{id}")
                });
            }
            ensure!(start.elapsed() < START, "the node listens nowhere");
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// One connection to a node.
#[derive(Debug)]
pub(crate) struct Client {
    sender: SendRequest<Full<Bytes>>,
    /// What goes with each request.
    pub(crate) headers: HeaderMap,
    /// Drives the connection.
    _connection: JoinSet<()>,
}

impl Client {
    async fn over<S>(stream: S, token: Option<&str>) -> Result<Self>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            // Whoever asks hears of it.
            let _ = connection.await;
        });
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, "localhost".parse()?);
        headers.insert(header::CONTENT_TYPE, "application/json".parse()?);
        headers.insert(header::ACCEPT, "application/json".parse()?);
        if let Some(token) = token {
            headers.insert(header::AUTHORIZATION, format!("Bearer {token}").parse()?);
        }
        Ok(Self {
            sender,
            headers,
            _connection: driver,
        })
    }

    async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Response<Bytes>> {
        let mut request = request;
        request.headers_mut().extend(self.headers.clone());
        self.sender.ready().await?;
        let (head, body) = self.sender.send_request(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Response::from_parts(head, body))
    }

    /// JSON from a path.
    pub(crate) async fn get(&mut self, path: &str) -> Result<Value> {
        let answer = self.send(Request::get(path).body(Full::default())?).await?;
        ensure!(answer.status().is_success(), "answered {}", answer.status());
        Ok(serde_json::from_slice(answer.body())?)
    }

    /// Posts JSON; the answer, whatever it is.
    pub(crate) async fn post(&mut self, path: &str, body: &Value) -> Result<Response<Bytes>> {
        let body = Full::new(Bytes::from(body.to_string()));
        self.send(Request::post(path).body(body)?).await
    }

    pub(crate) async fn put(&mut self, path: &str, body: &Value) -> Result<Response<Bytes>> {
        let body = Full::new(Bytes::from(body.to_string()));
        self.send(Request::put(path).body(body)?).await
    }

    /// An MCP request and its answer, from JSON or from a stream of events.
    pub(crate) async fn mcp(&mut self, path: &str, request: &Value) -> Result<(HeaderMap, Value)> {
        let answer = self.post(path, request).await?;
        let text = std::str::from_utf8(answer.body())?;
        ensure!(
            answer.status().is_success(),
            "answered {}: {text}",
            answer.status()
        );
        let events = text.lines().filter_map(|line| line.strip_prefix("data:"));
        for document in std::iter::once(text).chain(events) {
            if let Ok(message) = serde_json::from_str::<Value>(document)
                && message["id"] == request["id"]
            {
                ensure!(message["error"].is_null(), "answered {message}");
                return Ok((answer.headers().clone(), message));
            }
        }
        bail!("no answer in {text:?}")
    }
}
