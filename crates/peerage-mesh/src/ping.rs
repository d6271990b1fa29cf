//! Ping under `/ipfs/ping/1.0.0`: asks, and always answers.
//!
//! The stock behaviour stops answering once the other side does not speak ping itself, and js-libp2p
//! then takes the connection for dead. Here both directions are independent streams.
//! Specification: <https://github.com/libp2p/specs/blob/master/ping/ping.md>.

use std::{
    future::Future,
    pin::pin,
    time::{Duration, Instant},
};

use futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::StreamProtocol;
use peerage_core::{PeerId, peer_book::PeerEvent};
use thiserror::Error;
use tokio::time::timeout;

use crate::{
    Book, Tasks,
    streams::{Accept, OpenError, PeerStream, Streams, Traffic},
};

/// The protocol.
pub(crate) const PROTOCOL: StreamProtocol = StreamProtocol::new("/ipfs/ping/1.0.0");
/// Bytes of one ping.
const SIZE: usize = 32;
/// Between two pings.
const INTERVAL: Duration = Duration::from_secs(5);
/// How long an answer may take, and how long opening a stream for it.
const DEADLINE: Duration = Duration::from_secs(4);
/// Answers missed in a row until a connection is taken for dead. A peer that vanishes without a word is
/// so noticed after 13 s at the latest.
const MAX_MISSED: u32 = 2;
/// Bytes that go out while an answer is waited for and show that it is only late: behind a long body on a
/// slow line. One that is gone takes no more than what fits into this machine's buffers, and that at once.
const STILL_GOING: u64 = 16 * 1024;
/// Fresh streams on which an answer is looked for, when the one before has ended.
const FRESH: u32 = 2;
/// How long a stream on which nobody pings is answered.
const IDLE: Duration = Duration::from_secs(120);

/// Why a ping had no answer.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PingError {
    /// No stream could be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The answer did not come in time.
    #[error("no answer within {} s", DEADLINE.as_secs())]
    Timeout,
    /// The stream broke.
    #[error("the stream broke")]
    Broken(#[from] std::io::Error),
    /// The answer was not what was sent.
    #[error("the answer was not what was sent")]
    Mismatch,
}

/// A stream on which pings are asked, one after the other.
#[derive(Debug)]
pub struct Pinger(PeerStream);

impl Pinger {
    pub(crate) async fn open(streams: &Streams, peer: &PeerId) -> Result<Self, PingError> {
        let mut stream = streams.open(peer, &PROTOCOL).await?;
        stream.ignore_for_keep_alive();
        Ok(Self(stream))
    }

    /// Asks once and tells how long the answer took.
    pub async fn ask(&mut self) -> Result<Duration, PingError> {
        let payload: [u8; SIZE] = rand::random();
        let start = Instant::now();
        let mut answer = [0; SIZE];
        let exchange = async {
            self.0.write_all(&payload).await?;
            self.0.flush().await?;
            self.0.read_exact(&mut answer).await
        };
        timeout(DEADLINE, exchange)
            .await
            .map_err(|_| PingError::Timeout)??;
        if answer == payload {
            Ok(start.elapsed())
        } else {
            Err(PingError::Mismatch)
        }
    }
}

/// Pings a peer for as long as there is a connection to it, and tells the book. Returns the cause when
/// the peer has stopped answering; `None` when the connection has ended or the peer never answers.
pub(crate) async fn watch(streams: Streams, book: Book, peer: PeerId) -> Option<String> {
    let mut pinger = None;
    let mut missed = 0;
    let traffic = streams.traffic_of(peer);
    while streams.is_connected(&peer) {
        // Boxed, so that a task that sleeps, which most do, is not as large as one that pings.
        let asked = Box::pin(observed(once(&streams, &peer, &mut pinger), &traffic));
        let (answer, late) = asked.await;
        match answer {
            Ok(rtt) => {
                missed = 0;
                book.apply(peer, PeerEvent::Measured(rtt));
            }
            Err(PingError::Open(OpenError::Unsupported(_))) => return None,
            Err(PingError::Open(OpenError::NotConnected)) => break,
            // Whoever says so is there.
            Err(PingError::Open(OpenError::Busy(_) | OpenError::TooMany)) => {}
            Err(_) if late => pinger = None,
            Err(error) => {
                tracing::debug!(%peer, %error, "a ping failed");
                missed += 1;
                if missed >= MAX_MISSED {
                    return Some(format!("it did not answer {MAX_MISSED} pings: {error}"));
                }
                continue;
            }
        }
        tokio::time::sleep(INTERVAL).await;
    }
    None
}

/// The answer, and whether something else went over the connection in the last half of the time for it.
async fn observed(
    asked: impl Future<Output = Result<Duration, PingError>>,
    traffic: &Traffic,
) -> (Result<Duration, PingError>, bool) {
    let mut asked = pin!(asked);
    if let Ok(answer) = timeout(DEADLINE / 2, asked.as_mut()).await {
        return (answer, false);
    }
    let before = traffic.total();
    let answer = asked.await;
    let after = traffic.total();
    let moved = after.0 > before.0 || after.1 - before.1 >= STILL_GOING;
    (answer, moved)
}

/// Pings on the stream of the ping before, or on a fresh one. A stream that has ended is no answer missed:
/// js-libp2p and py-libp2p end one on which nobody has pinged for ten seconds, and one of two connections
/// ends a moment after both sides have dialled.
async fn once(
    streams: &Streams,
    peer: &PeerId,
    pinger: &mut Option<Pinger>,
) -> Result<Duration, PingError> {
    let mut fresh = 0;
    loop {
        let mut asking = match pinger.take() {
            Some(rested) => rested,
            None => {
                fresh += 1;
                let opened = timeout(DEADLINE, Pinger::open(streams, peer)).await;
                opened.map_err(|_| PingError::Timeout)??
            }
        };
        match asking.ask().await {
            Ok(rtt) => {
                *pinger = Some(asking);
                return Ok(rtt);
            }
            Err(PingError::Broken(_)) if fresh < FRESH => {}
            Err(error) => return Err(error),
        }
    }
}

/// Answers every ping that arrives.
pub(crate) async fn answer(mut accept: Accept, tasks: Tasks) {
    while let Some((_, stream)) = accept.next().await {
        tasks.spawn("pong", echo(stream));
    }
}

async fn echo(mut stream: PeerStream) {
    stream.ignore_for_keep_alive();
    let mut payload = [0; SIZE];
    while let Ok(Ok(())) = timeout(IDLE, stream.read_exact(&mut payload)).await {
        let answer = async {
            stream.write_all(&payload).await?;
            stream.flush().await
        };
        if !matches!(timeout(DEADLINE, answer).await, Ok(Ok(()))) {
            return;
        }
    }
    let _ = timeout(DEADLINE, stream.close()).await;
}

#[cfg(test)]
mod tests;
