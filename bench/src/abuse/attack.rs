//! The hostile behaviours, each as fast as it can until its process is ended.

use std::{io::Write, time::Duration};

use anyhow::{Context, Result};
use bytes::Bytes;
use clap::ValueEnum;
use futures::{AsyncWriteExt, StreamExt, future::join_all, stream};
use http::Request;
use http_body_util::{BodyExt, Full};
use peerage::{Multiaddr, PeerId};
use peerage_core::{
    Identity,
    card::{Card, CardContent, MAX_CARD_BYTES},
    multiaddr::Protocol,
};
use peerage_mesh::Mesh;
use tokio::{net::TcpStream, time::sleep};

use super::{PATH, get, peer};

/// The protocols that a node speaks with every peer.
const PROTOCOLS: [&str; 4] = [
    "/http/1.1",
    "/ipfs/ping/1.0.0",
    "/ipfs/id/1.0.0",
    "/ipfs/id/push/1.0.0",
];
/// Bytes that are no message of any of them.
const GARBAGE: [u8; 16 * 1024] = [0xa5; 16 * 1024];
/// The head of a request that never ends.
const HEAD: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\nx: ";
/// A moment between two attempts of those that hold what they get.
const AGAIN: Duration = Duration::from_millis(100);

/// What a hostile peer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Attack {
    /// Opens streams, 300 at once, and holds them for a moment.
    Openings,
    /// Sends garbage on every protocol.
    Garbage,
    /// Sends heads of requests far beyond their limit.
    Frames,
    /// Holds as many streams as it gets, each with half a head.
    Slow,
    /// Holds connections on which it says nothing.
    HalfOpen,
    /// Makes connections and drops them.
    Churn,
    /// Connects with one key after the other.
    Keys,
    /// Makes calls, 64 at once.
    Calls,
    /// Shows cards of the greatest size, each with a key of its own.
    Cards,
}

impl Attack {
    /// Says that it begins, and goes on until its process is ended.
    pub(super) async fn run(self, node: &Multiaddr) -> Result<()> {
        let (mesh, id, _tasks) = peer(Identity::generate(), node)?;
        let _ = mesh.connect(id).await;
        let mut out = std::io::stdout();
        writeln!(out, "begins")?;
        out.flush()?;
        let socket = socket(node)?;
        let mut held = Vec::new();
        loop {
            match self {
                Self::Openings => openings(&mesh, id).await,
                Self::Garbage => garbage(&mesh, id, &GARBAGE).await,
                Self::Frames => garbage(&mesh, id, &[HEAD, &[b'a'; 256 * 1024]].concat()).await,
                Self::Slow => slow(&mesh, id).await,
                Self::HalfOpen => {
                    held.extend(TcpStream::connect(&socket).await);
                    if held.len() >= 900 {
                        held.clear();
                    }
                }
                Self::Churn => drop(TcpStream::connect(&socket).await),
                Self::Keys => keys(node).await?,
                Self::Calls => calls(&mesh, id).await?,
                Self::Cards => cards(node).await?,
            }
        }
    }
}

async fn openings(mesh: &Mesh, node: PeerId) {
    let opened = stream::iter(0..1_000).map(|_| mesh.open_stream(node, PROTOCOLS[0]));
    let held: Vec<_> = opened.buffer_unordered(300).collect().await;
    if held.iter().all(Result::is_err) {
        sleep(AGAIN).await;
    }
}

async fn garbage(mesh: &Mesh, node: PeerId, bytes: &[u8]) {
    let all = PROTOCOLS.iter().cycle().take(32);
    let sent = all.map(|protocol| async {
        if let Ok(mut stream) = mesh.open_stream(node, protocol).await {
            let _ = tokio::time::timeout(AGAIN, stream.write_all(bytes)).await;
            return true;
        }
        false
    });
    if !join_all(sent).await.contains(&true) {
        sleep(AGAIN).await;
    }
}

async fn slow(mesh: &Mesh, node: PeerId) {
    let mut held = Vec::new();
    for _ in 0..100 {
        if let Ok(mut stream) = mesh.open_stream(node, PROTOCOLS[0]).await {
            let _ = stream.write_all(HEAD).await;
            let _ = stream.flush().await;
            held.push(stream);
        }
    }
    sleep(AGAIN * 20).await;
}

async fn calls(mesh: &Mesh, node: PeerId) -> Result<()> {
    let requests = (0..256).map(|_| get(PATH)).collect::<Result<Vec<_>>>()?;
    let calls = stream::iter(requests).map(|request| async {
        if let Ok(answer) = mesh.call(node, request).await {
            let _ = answer.into_body().collect().await;
        }
    });
    calls.buffer_unordered(64).collect::<Vec<()>>().await;
    Ok(())
}

async fn keys(node: &Multiaddr) -> Result<()> {
    let (mesh, id, tasks) = peer(Identity::generate(), node)?;
    let _ = mesh.connect(id).await;
    tasks.stop().await;
    Ok(())
}

async fn cards(node: &Multiaddr) -> Result<()> {
    let identity = Identity::generate();
    let filler = "x".repeat(MAX_CARD_BYTES - 4096);
    let content = CardContent {
        name: "big".to_owned(),
        metadata: [("filler".to_owned(), filler.into())].into_iter().collect(),
        ..CardContent::default()
    };
    let now = peerage_mesh::book::now().as_secs();
    let card = Card::issue(&identity, content, now, now + 3600)?;
    let (mesh, id, tasks) = peer(identity, node)?;
    let body = Full::new(Bytes::copy_from_slice(card.bytes())).map_err(|never| match never {});
    let request = Request::post("/api/v1/cards").header("content-type", "application/json");
    // What is refused is refused: the next key follows.
    let _ = mesh.call(id, request.body(body.boxed_unsync())?).await;
    tasks.stop().await;
    Ok(())
}

/// The node's address for a plain socket.
fn socket(node: &Multiaddr) -> Result<String> {
    let (mut host, mut port) = (None, None);
    for part in node {
        match part {
            Protocol::Ip4(ip) => host = Some(ip),
            Protocol::Tcp(number) => port = Some(number),
            _ => {}
        }
    }
    let (host, port) = host.zip(port).context("it listens over TCP and IPv4")?;
    Ok(format!("{host}:{port}"))
}
