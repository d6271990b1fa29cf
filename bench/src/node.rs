//! The two ends of a measure: nodes on loopback, the answering one in a process of its own.

use std::io::Write;

use anyhow::{Context, Result};
use axum::{
    Router,
    body::Body,
    extract::{DefaultBodyLimit, Path},
    routing::{get, post},
};
use bytes::Bytes;
use clap::{Args, ValueEnum};
use futures::{AsyncReadExt, AsyncWriteExt};
use http_body_util::BodyExt;
use peerage_core::{
    Identity, Multiaddr, PeerId,
    peer_book::{PeerBook, PeerEvent, Source},
};
use peerage_mesh::{
    Accept, Book, Inbound, Limits, Mesh, MeshConfig, PeerStream, Tasks, Transports,
};

use crate::ways::{CHUNK, Repeated};

/// Threads of each process.
pub(crate) const WORKERS: usize = 2;
/// The bare echo: frames of a length (big endian, 32 bits) and as many bytes.
pub(crate) const ECHO: &str = "/peerage-bench/echo/1";
/// A bare transfer: one byte (1 if the asking side sends), the count (big endian, 64 bits), the bytes; and
/// when the asking side has sent, the count that arrived.
pub(crate) const BULK: &str = "/peerage-bench/bulk/1";
/// Bytes of a frame at the most.
const MAX_FRAME: usize = 64 * 1024;
/// Bare streams that wait to be taken up.
const QUEUE: usize = 256;

/// Over what a measure runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Transport {
    /// TCP, Noise, Yamux.
    Tcp,
    /// QUIC.
    Quic,
}

impl Transport {
    /// As it stands in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tcp => "TCP+Noise",
            Self::Quic => "QUIC",
        }
    }

    /// As it stands on command lines.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Quic => "quic",
        }
    }

    /// Any free port of this machine.
    pub(crate) fn listen(self) -> Multiaddr {
        let address = match self {
            Self::Tcp => "/ip4/127.0.0.1/tcp/0",
            Self::Quic => "/ip4/127.0.0.1/udp/0/quic-v1",
        };
        address.parse().expect("it is an address")
    }
}

/// What the answering process is told.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[arg(long)]
    transport: Transport,
}

/// A node of a measure.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) mesh: Mesh,
    pub(crate) tasks: Tasks,
    pub(crate) id: PeerId,
}

impl Node {
    /// A node that echoes, by call and by bare stream.
    pub(crate) fn answering(transport: Transport) -> Result<Self> {
        let (node, mut inbound) = Self::start(transport, Identity::generate())?;
        let streams = inbound.streams(ECHO).context("the echo was named")?;
        node.tasks
            .spawn("echo", echo_all(streams, node.tasks.clone()));
        let streams = inbound.streams(BULK).context("the transfers were named")?;
        node.tasks
            .spawn("bulk", bulk_all(streams, node.tasks.clone()));
        node.tasks.spawn("serve", inbound.serve(routes()));
        Ok(node)
    }

    /// A node that asks `peer`.
    pub(crate) async fn asking(transport: Transport, peer: (PeerId, Multiaddr)) -> Result<Self> {
        let node = Self::alone(transport)?;
        node.learn(peer.clone());
        node.mesh.connect(peer.0).await?;
        Ok(node)
    }

    /// A node that knows nobody.
    pub(crate) fn alone(transport: Transport) -> Result<Self> {
        Ok(Self::start(transport, Identity::generate())?.0)
    }

    /// Tells the node where a peer is; it dials that by itself.
    pub(crate) fn learn(&self, (peer, address): (PeerId, Multiaddr)) {
        let discovered = PeerEvent::Discovered {
            addresses: vec![address],
            source: Source::Config,
            holds: None,
        };
        self.mesh.book().apply(peer, discovered);
    }

    /// A node and what arrives at it.
    pub(crate) fn start(transport: Transport, identity: Identity) -> Result<(Self, Inbound)> {
        let id = identity.peer_id();
        let tasks = Tasks::new();
        let config = MeshConfig {
            identity,
            listen: vec![transport.listen()],
            peers: Vec::new(),
            agent: "peerage-bench/0".to_owned(),
            // The two ends know nothing of membership.
            limits: Limits::default().alike(),
            gating: None,
            transports: Transports::Network,
            protocols: [ECHO, BULK].map(|name| (name.to_owned(), QUEUE)).to_vec(),
        };
        let book = Book::new(PeerBook::new(id, 1));
        let (mesh, inbound) = Mesh::spawn(config, &book, &tasks)?;
        Ok((Self { mesh, tasks, id }, inbound))
    }

    /// Where it listens.
    pub(crate) async fn address(&self) -> Result<Multiaddr> {
        let mut listening = self.mesh.listening();
        let addresses = listening
            .wait_for(|addresses| !addresses.is_empty())
            .await?;
        Ok(addresses[0].clone())
    }
}

/// Answers until the process that started this one closes its input.
pub(crate) async fn serve(options: &Options) -> Result<()> {
    let node = Node::answering(options.transport)?;
    let mut out = std::io::stdout();
    writeln!(out, "{} {}", node.id, node.address().await?)?;
    out.flush()?;
    tokio::io::copy(&mut tokio::io::stdin(), &mut tokio::io::sink()).await?;
    node.tasks.stop().await;
    Ok(())
}

fn routes() -> Router {
    Router::new()
        .route("/echo", post(|body: Bytes| async move { body }))
        .route(
            "/bytes/{count}",
            get(|Path(count): Path<u64>| async move { Body::new(Repeated::new(count)) }),
        )
        .route("/sink", post(sink).layer(DefaultBodyLimit::disable()))
}

async fn sink(mut body: Body) -> String {
    let mut total = 0;
    while let Some(Ok(frame)) = body.frame().await {
        total += frame.data_ref().map_or(0, Bytes::len);
    }
    total.to_string()
}

async fn bulk_all(mut streams: Accept, tasks: Tasks) {
    while let Some((_, stream)) = streams.next().await {
        tasks.spawn("transfer", async move {
            // The asking side hears of it by the reset.
            let _ = bulk(stream).await;
        });
    }
}

async fn bulk(mut stream: PeerStream) -> Result<()> {
    let (mut send, mut count) = ([0], [0; 8]);
    stream.read_exact(&mut send).await?;
    stream.read_exact(&mut count).await?;
    let count = u64::from_be_bytes(count);
    if send == [0] {
        let mut body = Repeated::new(count);
        while let Some(chunk) = body.chunk() {
            stream.write_all(&chunk).await?;
        }
    } else {
        let total = drain(&mut stream, count).await?;
        stream.write_all(&total.to_be_bytes()).await?;
    }
    Ok(stream.close().await?)
}

/// Reads so many bytes, or as many as there are.
pub(crate) async fn drain(stream: &mut PeerStream, count: u64) -> Result<u64> {
    let (mut buffer, mut total) = (vec![0; CHUNK], 0);
    while total < count {
        match stream.read(&mut buffer).await? {
            0 => break,
            read => total += read as u64,
        }
    }
    Ok(total)
}

async fn echo_all(mut streams: Accept, tasks: Tasks) {
    while let Some((_, stream)) = streams.next().await {
        tasks.spawn("frames", async move {
            // The asking side hears of it by the reset.
            let _ = echo(stream).await;
        });
    }
}

async fn echo(mut stream: PeerStream) -> Result<()> {
    let mut frame = Vec::new();
    loop {
        read_frame(&mut stream, &mut frame).await?;
        stream.write_all(&frame).await?;
        stream.flush().await?;
    }
}

/// Reads one frame, its length included.
pub(crate) async fn read_frame(stream: &mut PeerStream, frame: &mut Vec<u8>) -> Result<()> {
    frame.resize(4, 0);
    stream.read_exact(&mut frame[..]).await?;
    let length = u32::from_be_bytes([frame[0], frame[1], frame[2], frame[3]]) as usize;
    anyhow::ensure!(length <= MAX_FRAME, "a frame of {length} bytes");
    frame.resize(4 + length, 0);
    stream.read_exact(&mut frame[4..]).await?;
    Ok(())
}
