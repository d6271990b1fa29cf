//! Peerage's own side of the measures: calls, and the bare streams they stand on.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use clap::Args;
use futures::{AsyncReadExt, AsyncWriteExt};
use http::Request;
use http_body_util::{BodyExt, Empty, Full};
use peerage_core::{Multiaddr, PeerId};
use peerage_mesh::{Body, Mesh, PeerStream};

use crate::{
    node::{self, BULK, ECHO, Node, Transport},
    ways::{Ask, PAYLOAD, Repeated, Side},
};

/// What the asking process is told.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[arg(long)]
    transport: Transport,
    /// What the answering one said.
    place: String,
}

/// The asking side.
#[derive(Clone, Debug)]
pub(crate) struct Ours {
    transport: Transport,
    peer: (PeerId, Multiaddr),
    mesh: Mesh,
}

impl Ours {
    /// Connected to one who serves; ends with the process.
    pub(crate) async fn new(options: &Options) -> Result<Self> {
        let (id, address) = options.place.split_once(' ').context("no place")?;
        let peer: (PeerId, Multiaddr) = (id.parse()?, address.parse()?);
        let node = Node::asking(options.transport, peer.clone()).await?;
        Ok(Self {
            transport: options.transport,
            peer,
            mesh: node.mesh,
        })
    }
}

/// Asks in one of the ways.
#[derive(Debug)]
pub(crate) enum Asker {
    /// Frames on a stream that stays open.
    Bare(Frames),
    /// A frame on a stream of its own.
    Fresh(Mesh, PeerId),
    /// A call.
    Call(Mesh, PeerId, Bytes),
}

/// A stream of frames.
#[derive(Debug)]
pub(crate) struct Frames {
    stream: PeerStream,
    frame: Vec<u8>,
    echoed: Vec<u8>,
}

impl Frames {
    async fn open(mesh: &Mesh, peer: PeerId) -> Result<Self> {
        let mut frame = u32::try_from(PAYLOAD)?.to_be_bytes().to_vec();
        frame.resize(4 + PAYLOAD, b'x');
        Ok(Self {
            stream: mesh.open_stream(peer, ECHO).await?,
            frame,
            echoed: Vec::new(),
        })
    }

    async fn ask(&mut self) -> Result<()> {
        self.stream.write_all(&self.frame).await?;
        self.stream.flush().await?;
        node::read_frame(&mut self.stream, &mut self.echoed).await?;
        ensure!(
            self.echoed == self.frame,
            "another answer than what was sent"
        );
        Ok(())
    }
}

impl Ask for Asker {
    async fn ask(&mut self) -> Result<()> {
        match self {
            Self::Bare(frames) => frames.ask().await,
            Self::Fresh(mesh, peer) => Frames::open(mesh, *peer).await?.ask().await,
            Self::Call(mesh, peer, payload) => {
                let echoed = call(mesh, *peer, payload.clone()).await?;
                ensure!(echoed == *payload, "another answer than what was sent");
                Ok(())
            }
        }
    }
}

impl Side for Ours {
    type Asker = Asker;

    async fn asker(&self, way: &str) -> Result<Asker> {
        let (mesh, peer) = (&self.mesh, self.peer.0);
        Ok(match way {
            "bare" => Asker::Bare(Frames::open(mesh, peer).await?),
            "fresh" => Asker::Fresh(mesh.clone(), peer),
            "call" => Asker::Call(mesh.clone(), peer, Bytes::from(vec![b'x'; PAYLOAD])),
            other => bail!("{other} is no way"),
        })
    }

    async fn transfer(&self, way: &str, send: bool, bytes: u64) -> Result<()> {
        let peer = self.peer.0;
        let total = match (way, send) {
            ("bare", send) => {
                let stream = self.mesh.open_stream(peer, BULK).await?;
                bare_transfer(stream, send, bytes).await?
            }
            ("call", true) => {
                let body = Repeated::new(bytes).map_err(|never| match never {});
                let request = Request::post("/sink").body(body.boxed_unsync())?;
                let answer = self.mesh.call(peer, request).await?;
                let total = answer.into_body().collect().await?.to_bytes();
                std::str::from_utf8(&total)?.parse()?
            }
            ("call", false) => {
                let body: Body = Empty::new().map_err(|never| match never {}).boxed_unsync();
                let request = Request::get(format!("/bytes/{bytes}")).body(body)?;
                let mut answer = self.mesh.call(peer, request).await?.into_body();
                let mut total = 0;
                while let Some(frame) = answer.frame().await {
                    total += frame?.data_ref().map_or(0, Bytes::len) as u64;
                }
                total
            }
            (other, _) => bail!("{other} is no way"),
        };
        ensure!(total == bytes, "{total} of {bytes} bytes arrived");
        Ok(())
    }

    async fn first(&self, _: &str) -> Result<Duration> {
        let node = Node::alone(self.transport)?;
        let payload = Bytes::from(vec![b'x'; PAYLOAD]);
        let start = Instant::now();
        node.learn(self.peer.clone());
        call(&node.mesh, self.peer.0, payload).await?;
        let took = start.elapsed();
        node.tasks.stop().await;
        Ok(took)
    }
}

/// Says which way and how much, and sends or receives that.
async fn bare_transfer(mut stream: PeerStream, send: bool, bytes: u64) -> Result<u64> {
    stream.write_all(&[u8::from(send)]).await?;
    stream.write_all(&bytes.to_be_bytes()).await?;
    if send {
        let mut body = Repeated::new(bytes);
        while let Some(chunk) = body.chunk() {
            stream.write_all(&chunk).await?;
        }
        stream.flush().await?;
        let mut total = [0; 8];
        stream.read_exact(&mut total).await?;
        return Ok(u64::from_be_bytes(total));
    }
    stream.flush().await?;
    node::drain(&mut stream, bytes).await
}

/// One call that sends `body` and reads the whole answer.
pub(crate) async fn call(mesh: &Mesh, peer: PeerId, body: Bytes) -> Result<Bytes> {
    let body: Body = Full::new(body)
        .map_err(|never| match never {})
        .boxed_unsync();
    let answer = mesh.call(peer, Request::post("/echo").body(body)?).await?;
    ensure!(answer.status().is_success(), "answered {}", answer.status());
    Ok(answer.into_body().collect().await?.to_bytes())
}
