//! Streams by protocol id: a handle that opens them, and bounded queues in which they arrive.
//!
//! Takes the place of `libp2p-stream`: many openings are in flight at once, a full queue refuses
//! instead of dropping in silence, no lock is taken while a connection is polled, and nothing stays
//! behind when a connection closes. What goes over a stream never passes through the swarm's task.

mod behaviour;
mod handler;
mod stream;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use libp2p::{Stream, StreamProtocol};
use peerage_core::PeerId;
use thiserror::Error;
use tokio::{
    sync::{Notify, Semaphore, mpsc, oneshot},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

pub(crate) use behaviour::Behaviour;
pub use stream::PeerStream;

use crate::limits::Budget;

/// Streams that we may have open towards one peer at once. With those inbound it stays under the
/// limit of the muxer (1,024), for Yamux closes the whole connection when that is passed.
pub(crate) const MAX_OUTBOUND: usize = 384;
/// Openings that wait for a connection's task.
const MAX_OPENING: usize = 256;
/// How long the negotiation of a stream may take.
pub(crate) const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the end of one of two connections is waited for, after no stream could be opened on it.
const HANDOVER: Duration = Duration::from_secs(2);

/// Bytes that went over the streams of one peer.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    /// Those of them that were taken.
    taken: Mutex<(u64, u64)>,
}

impl Traffic {
    /// In and out, since the first connection to the peer that is up.
    pub(crate) fn total(&self) -> (u64, u64) {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (of(&self.bytes_in), of(&self.bytes_out))
    }

    /// In and out, since this was last asked.
    pub(crate) fn take(&self) -> (u64, u64) {
        let total = self.total();
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *taken, total);
        (total.0 - before.0, total.1 - before.1)
    }
}

/// Why a stream could not be opened.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenError {
    /// There is no connection to the peer.
    #[error("there is no connection to the peer")]
    NotConnected,
    /// The peer does not speak the protocol.
    #[error("the peer does not speak {0}")]
    Unsupported(String),
    /// The peer speaks the protocol and takes no further stream now.
    #[error("the peer is busy and takes no further stream of {0} now")]
    Busy(String),
    /// As many streams to the peer are open as may be.
    #[error("as many streams to the peer are open as may be ({MAX_OUTBOUND})")]
    TooMany,
    /// The peer did not answer in time.
    #[error("the peer did not answer within {} s", OPEN_TIMEOUT.as_secs())]
    Timeout,
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(String),
}

/// Why a protocol cannot be accepted.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProtocolError {
    /// It is not the name of a protocol.
    #[error("{0:?} is no protocol: a protocol begins with /")]
    Name(String),
    /// It is there already.
    #[error("{0} is accepted already")]
    Taken(String),
    /// None of its streams could ever wait.
    #[error("the queue of {0} has no room")]
    NoRoom(String),
}

/// Where the streams of one protocol arrive. Once dropped, the protocol is no longer offered.
#[derive(Debug)]
pub struct Accept(mpsc::Receiver<(PeerId, PeerStream)>);

impl Accept {
    /// The next stream and who opened it; `None` when the mesh has stopped.
    pub async fn next(&mut self) -> Option<(PeerId, PeerStream)> {
        self.0.recv().await
    }
}

/// Opens streams. Clones share their connections.
#[derive(Clone, Debug, Default)]
pub(crate) struct Streams {
    links: Arc<RwLock<HashMap<PeerId, Link>>>,
    /// By peer and not by connection, so that what the last moments of one carried is counted too.
    traffic: Arc<Mutex<HashMap<PeerId, Arc<Traffic>>>>,
    /// Told when a peer's connection that is used has changed.
    changed: Arc<Notify>,
}

/// The connection of a peer that new streams go over.
#[derive(Clone, Debug)]
struct Link {
    opens: mpsc::Sender<Open>,
    places: Arc<Semaphore>,
    line: Line,
    /// How many connections to the peer there are.
    connections: usize,
}

impl Link {
    async fn open(&self, protocol: &StreamProtocol) -> Result<PeerStream, OpenError> {
        let place = self
            .places
            .clone()
            .try_acquire_owned()
            .map_err(|_| OpenError::TooMany)?;
        let (reply, answer) = oneshot::channel();
        let open = Open {
            protocol: protocol.clone(),
            reply,
        };
        self.opens
            .send(open)
            .await
            .map_err(|_| OpenError::NotConnected)?;
        let closed = || OpenError::Broken("it was closed meanwhile".into());
        // A wish that is sent while the connection's task ends may stay in the queue, whose other end is
        // held here, and is then neither answered nor dropped.
        let stream = tokio::select! {
            biased;
            answer = answer => answer.map_err(|_| closed())??,
            () = self.line.ended.cancelled() => return Err(closed()),
        };
        Ok(PeerStream::new(stream, &self.line, Some(place)))
    }
}

/// What the streams of one connection share.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    traffic: Arc<Traffic>,
    /// Cancelled when the connection has ended.
    ended: CancellationToken,
    retired: Arc<AtomicBool>,
}

impl Line {
    fn new(traffic: Arc<Traffic>) -> Self {
        Self {
            traffic,
            ended: CancellationToken::new(),
            retired: Arc::default(),
        }
    }

    /// Whether another connection to the peer is used by now: this one ends when nothing runs on it.
    pub(crate) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Relaxed)
    }

    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.retired, &other.retired)
    }

    fn retire(&self, retired: bool) {
        self.retired.store(retired, Ordering::Relaxed);
    }
}

/// A wish for a stream, sent to a connection's task.
#[derive(Debug)]
struct Open {
    protocol: StreamProtocol,
    reply: oneshot::Sender<Result<Stream, OpenError>>,
}

impl Streams {
    /// Opens a stream of `protocol` over the connection to `peer`. Nothing is said before a stream is open:
    /// when the connection ends meanwhile, it is opened over the one that has taken its place.
    pub(crate) async fn open(
        &self,
        peer: &PeerId,
        protocol: &StreamProtocol,
    ) -> Result<PeerStream, OpenError> {
        let link = self.link(peer).ok_or(OpenError::NotConnected)?;
        match link.open(protocol).await {
            Err(error @ (OpenError::Broken(_) | OpenError::NotConnected)) => {
                match self.instead_of(peer, &link).await {
                    Some(other) => other.open(protocol).await,
                    None => Err(error),
                }
            }
            opened => opened,
        }
    }

    /// The connection that takes the place of one on which no stream could be opened. When both sides have
    /// dialled at once, one of the two ends a moment later, and either side may be the first to end it.
    async fn instead_of(&self, peer: &PeerId, broken: &Link) -> Option<Link> {
        let other = async {
            loop {
                let changed = self.changed.notified();
                let now = self.link(peer)?;
                if !now.line.is(&broken.line) {
                    return Some(now);
                }
                if now.connections < 2 {
                    return None;
                }
                changed.await;
            }
        };
        timeout(HANDOVER, other).await.ok().flatten()
    }

    /// Whether there is a connection to open streams over.
    pub(crate) fn is_connected(&self, peer: &PeerId) -> bool {
        let links = self.links.read().unwrap_or_else(PoisonError::into_inner);
        links.contains_key(peer)
    }

    /// How many connections to a peer there are: one, but for a while after both have dialled.
    pub(crate) fn connections(&self, peer: &PeerId) -> usize {
        self.link(peer).map_or(0, |link| link.connections)
    }

    /// Bytes that went over each peer's streams since the last call.
    pub(crate) fn take_traffic(&self) -> Vec<(PeerId, u64, u64)> {
        let mut taken = Vec::new();
        self.traffic().retain(|peer, traffic| {
            // Asked before the bytes are taken: who lets go in between is counted the next time.
            let open = Arc::strong_count(traffic) > 1;
            let (bytes_in, bytes_out) = traffic.take();
            if bytes_in + bytes_out > 0 {
                taken.push((*peer, bytes_in, bytes_out));
            }
            open
        });
        taken
    }

    /// The counters of a peer, which its connections and streams share.
    pub(crate) fn traffic_of(&self, peer: PeerId) -> Arc<Traffic> {
        self.traffic().entry(peer).or_default().clone()
    }

    fn traffic(&self) -> MutexGuard<'_, HashMap<PeerId, Arc<Traffic>>> {
        self.traffic.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn link(&self, peer: &PeerId) -> Option<Link> {
        let links = self.links.read().unwrap_or_else(PoisonError::into_inner);
        links.get(peer).cloned()
    }

    fn set_link(&self, peer: PeerId, link: Option<Link>) {
        let mut links = self.links.write().unwrap_or_else(PoisonError::into_inner);
        match link {
            Some(link) => links.insert(peer, link),
            None => links.remove(&peer),
        };
        drop(links);
        self.changed.notify_waiters();
    }
}

/// One protocol that is accepted, with the queue its streams go to.
#[derive(Clone, Debug)]
struct Protocol {
    name: StreamProtocol,
    queue: mpsc::Sender<(PeerId, PeerStream)>,
}

/// Makes the streams' behaviour for a swarm, and again for one that takes its place.
#[derive(Debug)]
pub(crate) struct Factory {
    streams: Streams,
    protocols: Arc<[Protocol]>,
    budget: Budget,
}

impl Factory {
    /// The behaviour of a new swarm. Connections of an earlier one are forgotten.
    pub(crate) fn behaviour(&self) -> Behaviour {
        let mut links = self
            .streams
            .links
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        links.clear();
        Behaviour::new(
            self.streams.clone(),
            self.protocols.clone(),
            self.budget.clone(),
        )
    }

    /// The handle, which serves every swarm.
    pub(crate) fn handle(&self) -> Streams {
        self.streams.clone()
    }
}

/// Streams of further protocols, by their names.
pub(crate) type Raw = HashMap<String, Accept>;

/// A protocol by its name, if it is one.
pub(crate) fn protocol(name: &str) -> Option<StreamProtocol> {
    StreamProtocol::try_from_owned(name.to_owned()).ok()
}

/// Accepts the mesh's `own` protocols and `further` ones (name, length of the queue), with one queue
/// for each.
pub(crate) fn new<const N: usize>(
    own: [(StreamProtocol, usize); N],
    further: &[(String, usize)],
    budget: &Budget,
) -> Result<(Factory, [Accept; N], Raw), ProtocolError> {
    let mut protocols = Vec::new();
    let mut accept = |name, length| {
        let (queue, arrivals) = mpsc::channel(length);
        protocols.push(Protocol { name, queue });
        Accept(arrivals)
    };
    let accepts = own.clone().map(|(name, length)| accept(name, length));
    let mut raw = Raw::new();
    for (name, length) in further {
        let known = protocol(name).ok_or_else(|| ProtocolError::Name(name.clone()))?;
        if raw.contains_key(name) || own.iter().any(|(own, _)| *own == known) {
            return Err(ProtocolError::Taken(name.clone()));
        }
        if *length == 0 {
            return Err(ProtocolError::NoRoom(name.clone()));
        }
        raw.insert(name.clone(), accept(known, *length));
    }
    let factory = Factory {
        streams: Streams::default(),
        protocols: protocols.into(),
        budget: budget.clone(),
    };
    Ok((factory, accepts, raw))
}

#[cfg(test)]
mod tests;
