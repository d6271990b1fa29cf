//! The two ends of a measure: nodes on loopback, the answering one in a process of its own.

use std::{io::Write, process::Stdio};

use anyhow::{Context, Result};
use axum::{Router, routing::post};
use bytes::Bytes;
use clap::{Args, ValueEnum};
use futures::{AsyncReadExt, AsyncWriteExt};
use peerage_core::{Identity, Multiaddr, PeerId, peer_book::PeerBook};
use peerage_mesh::{
    Accept, Book, Inbound, Limits, Mesh, MeshConfig, PeerStream, Tasks, Transports,
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

/// Threads of each process.
pub(crate) const WORKERS: usize = 2;
/// The bare echo: frames of a length (big endian, 32 bits) and as many bytes.
pub(crate) const ECHO: &str = "/peerage-bench/echo/1";
/// Bytes of a frame at the most.
const MAX_FRAME: usize = 64 * 1024;
/// Bare streams that wait to be taken up.
const ECHO_QUEUE: usize = 256;

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

    fn word(self) -> &'static str {
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
    /// On this processor.
    #[arg(long, default_value_t = 1)]
    pub(crate) cpu: usize,
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
        let (node, mut inbound) = Self::start(transport, Vec::new())?;
        let streams = inbound.streams(ECHO).context("the echo was named")?;
        node.tasks
            .spawn("echo", echo_all(streams, node.tasks.clone()));
        let routes = Router::new().route("/echo", post(|body: Bytes| async move { body }));
        node.tasks.spawn("serve", inbound.serve(routes));
        Ok(node)
    }

    /// A node that asks `peer`.
    pub(crate) async fn asking(transport: Transport, peer: (PeerId, Multiaddr)) -> Result<Self> {
        let id = peer.0;
        let (node, _) = Self::start(transport, vec![peer])?;
        node.mesh.connect(id).await?;
        Ok(node)
    }

    fn start(transport: Transport, peers: Vec<(PeerId, Multiaddr)>) -> Result<(Self, Inbound)> {
        let identity = Identity::generate();
        let id = identity.peer_id();
        let tasks = Tasks::new();
        let config = MeshConfig {
            identity,
            listen: vec![transport.listen()],
            peers,
            agent: "peerage-bench/0".to_owned(),
            // The two ends know nothing of membership.
            limits: Limits::default().alike(),
            transports: Transports::Network,
            protocols: vec![(ECHO.to_owned(), ECHO_QUEUE)],
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

/// Starts the other process on a processor; it ends when the child is dropped.
pub(crate) async fn other(
    transport: Transport,
    cpu: usize,
) -> Result<(Child, (PeerId, Multiaddr))> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(["serve", "--transport", transport.word()])
        .args(["--cpu", &cpu.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let out = child.stdout.take().context("its output is a pipe")?;
    let line = BufReader::new(out).lines().next_line().await?;
    let line = line.context("the other process ended at its start")?;
    let (id, address) = line
        .split_once(' ')
        .context("it says who it is and where")?;
    Ok((child, (id.parse()?, address.parse()?)))
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
