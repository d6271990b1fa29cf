//! iroh: QUIC between two keys, one stream for each call.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use iroh::{
    Endpoint, EndpointAddr, EndpointId,
    endpoint::{Connection, RecvStream, SendStream, presets},
};
use tokio::task::JoinSet;

use crate::ways::{Ask, CHUNK, PAYLOAD, Repeated, Side};

const ALPN: &[u8] = b"peerage-bench/1";
/// The first byte of a stream: what is wanted.
const ECHO: u8 = 0;
const RECEIVE: u8 = 1;
const SEND: u8 = 2;

async fn endpoint() -> Result<Endpoint> {
    // Neither relays nor look-ups: both ends are on this machine.
    let endpoint = Endpoint::builder(presets::Minimal)
        .alpns(vec![ALPN.to_vec()])
        .clear_ip_transports()
        .bind_addr((Ipv4Addr::LOCALHOST, 0))?
        .bind()
        .await?;
    Ok(endpoint)
}

/// Answers until the input ends.
pub(crate) async fn serve() -> Result<()> {
    let endpoint = endpoint().await?;
    let socket = endpoint.bound_sockets();
    let socket = socket.first().context("it is bound")?;
    let place = format!("{}@{socket}", endpoint.id());
    let mut connections = JoinSet::new();
    connections.spawn(async move {
        let mut tasks = JoinSet::new();
        while let Some(incoming) = endpoint.accept().await {
            tasks.spawn(async move {
                // The asking side hears of it by its streams.
                if let Ok(connection) = incoming.await {
                    let _ = answer_all(connection).await;
                }
            });
        }
    });
    crate::reached_at(&place).await
}

async fn answer_all(connection: Connection) -> Result<()> {
    let mut tasks = JoinSet::new();
    loop {
        let (send, receive) = connection.accept_bi().await?;
        while tasks.try_join_next().is_some() {}
        tasks.spawn(answer(send, receive));
    }
}

async fn answer(mut send: SendStream, mut receive: RecvStream) -> Result<()> {
    let mut kind = [0];
    receive.read_exact(&mut kind).await?;
    match kind[0] {
        ECHO => {
            let payload = receive.read_to_end(CHUNK).await?;
            send.write_all(&payload).await?;
        }
        RECEIVE => {
            let mut wanted = [0; 8];
            receive.read_exact(&mut wanted).await?;
            let mut body = Repeated::new(u64::from_be_bytes(wanted));
            while let Some(chunk) = body.chunk() {
                send.write_chunk(chunk).await?;
            }
        }
        SEND => {
            let total = drain(&mut receive).await?;
            send.write_all(&total.to_be_bytes()).await?;
        }
        other => bail!("{other} is nothing that is known"),
    }
    send.finish()?;
    Ok(())
}

async fn drain(receive: &mut RecvStream) -> Result<u64> {
    let mut total = 0;
    while let Some(chunk) = receive.read_chunk(CHUNK).await? {
        total += chunk.len() as u64;
    }
    Ok(total)
}

/// The asking side.
#[derive(Clone, Debug)]
pub(crate) struct Iroh {
    peer: EndpointAddr,
    /// Kept: connections end with their endpoint.
    _endpoint: Endpoint,
    connection: Connection,
}

impl Iroh {
    /// Connected to one who serves.
    pub(crate) async fn new(place: &str) -> Result<Self> {
        let (id, socket) = place.split_once('@').context("no place")?;
        let (id, socket): (EndpointId, SocketAddr) = (id.parse()?, socket.parse()?);
        let peer = EndpointAddr::new(id).with_ip_addr(socket);
        let endpoint = endpoint().await?;
        let connection = endpoint.connect(peer.clone(), ALPN).await?;
        Ok(Self {
            peer,
            _endpoint: endpoint,
            connection,
        })
    }
}

/// Asks on one stream for each call.
#[derive(Debug)]
pub(crate) struct Asker {
    connection: Connection,
    payload: Bytes,
}

impl Asker {
    fn new(connection: Connection) -> Self {
        Self {
            connection,
            payload: Bytes::from(vec![b'x'; PAYLOAD]),
        }
    }
}

impl Ask for Asker {
    async fn ask(&mut self) -> Result<()> {
        let (mut send, mut receive) = self.connection.open_bi().await?;
        let mut request = [ECHO; 1 + PAYLOAD];
        request[1..].copy_from_slice(&self.payload);
        send.write_all(&request).await?;
        send.finish()?;
        let echoed = receive.read_to_end(CHUNK).await?;
        ensure!(echoed == self.payload, "another answer than what was sent");
        Ok(())
    }
}

impl Side for Iroh {
    type Asker = Asker;

    async fn asker(&self, _: &str) -> Result<Asker> {
        Ok(Asker::new(self.connection.clone()))
    }

    async fn transfer(&self, _: &str, send: bool, bytes: u64) -> Result<()> {
        let (mut out, mut back) = self.connection.open_bi().await?;
        let total = if send {
            out.write_all(&[SEND]).await?;
            let mut body = Repeated::new(bytes);
            while let Some(chunk) = body.chunk() {
                out.write_chunk(chunk).await?;
            }
            out.finish()?;
            let mut total = [0; 8];
            back.read_exact(&mut total).await?;
            u64::from_be_bytes(total)
        } else {
            out.write_all(&[RECEIVE]).await?;
            out.write_all(&bytes.to_be_bytes()).await?;
            out.finish()?;
            drain(&mut back).await?
        };
        ensure!(total == bytes, "{total} of {bytes} bytes arrived");
        Ok(())
    }

    async fn first(&self, _: &str) -> Result<Duration> {
        let endpoint = endpoint().await?;
        let start = Instant::now();
        let connection = endpoint.connect(self.peer.clone(), ALPN).await?;
        Asker::new(connection).ask().await?;
        let took = start.elapsed();
        endpoint.close().await;
        Ok(took)
    }
}
