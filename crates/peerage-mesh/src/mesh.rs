//! The mesh: the handle by which everything else reaches peers.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use http::{Request, Response};
use peerage_core::{Identity, Multiaddr, PeerId};
use thiserror::Error;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::timeout,
};

use crate::{
    Book, Gating, Tasks,
    call::{self, Body, CallError, Calls, Inbound, ResponseBody},
    limits::{Budget, Cause, Limits},
    ping::{self, PingError, Pinger},
    streams::{self, OpenError, PeerStream, ProtocolError, Streams},
    swarm::{self, COMMANDS, Command, Control, ListenError, Listeners},
    transport::{TransportError, Transports},
};

/// Streams of calls that wait to be taken up.
const CALL_QUEUE: usize = 1024;
/// Streams of pings that wait to be taken up.
const PING_QUEUE: usize = 64;
/// How long making a connection may take.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// What a mesh needs to know.
#[derive(Clone, Debug)]
pub struct MeshConfig {
    /// Whose mesh it is.
    pub identity: Identity,
    /// Where to listen. Empty: TCP and QUIC on every interface, on a port that follows from the id.
    pub listen: Vec<Multiaddr>,
    /// Peers that are always wanted.
    pub peers: Vec<(PeerId, Multiaddr)>,
    /// What the node says that it runs, `name/version`.
    pub agent: String,
    /// TCP and QUIC, or memory.
    pub transports: Transports,
    /// Protocols beside calls whose streams are accepted: the id (it begins with `/`), and how many
    /// streams may wait to be taken up, beyond which further ones are refused. They arrive at
    /// [`Inbound::streams`].
    pub protocols: Vec<(String, usize)>,
    /// What peers may use.
    pub limits: Limits,
    /// Who decides who may connect and whom this node dials; without one nobody is refused.
    pub gating: Option<Arc<dyn Gating>>,
}

/// Why a mesh could not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// The transport cannot be set up.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// It cannot listen.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// A protocol cannot be accepted.
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
}

/// The mesh. Clones are handles to the same one.
#[derive(Clone, Debug)]
pub struct Mesh {
    me: PeerId,
    book: Book,
    streams: Streams,
    calls: Calls,
    budget: Budget,
    pub(crate) commands: mpsc::Sender<Command>,
    listening: watch::Receiver<Vec<Multiaddr>>,
}

impl Mesh {
    /// Starts a mesh. The second value is what arrives: the service that answers it can be built with
    /// the handle in its hands, so nothing is set afterwards.
    pub fn spawn(
        config: MeshConfig,
        book: &Book,
        tasks: &Tasks,
    ) -> Result<(Self, Inbound), StartError> {
        let budget = Budget::new(config.limits, book);
        let own = [(call::PROTOCOL, CALL_QUEUE), (ping::PROTOCOL, PING_QUEUE)];
        let (factory, [calls_in, pings], raw) = streams::new(own, &config.protocols, &budget)?;
        let calls = Calls::new(factory.handle(), tasks.clone());
        let (commands, wishes) = mpsc::channel(COMMANDS);
        let (listening, addresses) = watch::channel(Vec::new());
        let mesh = Self {
            me: config.identity.peer_id(),
            book: book.clone(),
            streams: factory.handle(),
            calls: calls.clone(),
            budget: budget.clone(),
            commands: commands.clone(),
            listening: addresses,
        };
        swarm::name_configured(book, &config.peers);
        let mut control = Control {
            config,
            book: book.clone(),
            streams: factory,
            calls,
            budget: budget.clone(),
            tasks: tasks.clone(),
            commands: wishes,
            own_commands: commands,
            listening,
            waiting: HashMap::new(),
            connections: HashMap::new(),
            peers: HashMap::new(),
            listeners: Listeners::default(),
            causes: HashMap::new(),
            swept: Instant::now(),
        };
        let mut swarm = control.build()?;
        control.listeners.begin(&mut swarm, &control.config)?;
        tasks.spawn("swarm", control.supervise(swarm));
        tasks.spawn("relations", budget.clone().follow());
        tasks.spawn("pings", ping::answer(pings, tasks.clone()));
        let inbound = Inbound {
            accept: calls_in,
            raw,
            budget,
            tasks: tasks.clone(),
        };
        Ok((mesh, inbound))
    }

    /// This node.
    #[must_use]
    pub fn me(&self) -> PeerId {
        self.me
    }

    /// All that is known of peers.
    #[must_use]
    pub fn book(&self) -> &Book {
        &self.book
    }

    /// The addresses this node listens at, as they come and go; without the `/p2p` part.
    #[must_use]
    pub fn listening(&self) -> watch::Receiver<Vec<Multiaddr>> {
        self.listening.clone()
    }

    /// How many inbound streams were refused for want of room.
    #[must_use]
    pub fn refused_streams(&self) -> u64 {
        let streams = [Cause::Streams, Cause::StreamRate, Cause::Queue];
        let refused = self.budget.usage().refused;
        let of_streams = refused.iter().filter(|(cause, _)| streams.contains(cause));
        of_streams.map(|(_, count)| count).sum()
    }

    /// What peers may use, what they use and what they were refused.
    #[must_use]
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Calls a peer: connects first if need be, then sends `request` on a warm stream. Only the path
    /// and query of its URI are sent. The answer's head is there when this returns; dropping the
    /// future or the body cancels the call. Deadlines are the caller's.
    pub async fn call(
        &self,
        peer: PeerId,
        request: Request<Body>,
    ) -> Result<Response<ResponseBody>, CallError> {
        let place = self.calls.place(peer).await?;
        self.connect(peer).await?;
        self.calls.send(place, request).await
    }

    /// Opens a bare stream of `protocol` to a peer, and connects first if need be: the side door for
    /// what is not a call. Dropping the stream resets it.
    pub async fn open_stream(&self, peer: PeerId, protocol: &str) -> Result<PeerStream, CallError> {
        self.connect(peer).await?;
        let opened = match streams::protocol(protocol) {
            Some(name) => self.streams.open(&peer, &name).await,
            // Nobody speaks what is not a name.
            None => Err(OpenError::Unsupported(protocol.to_owned())),
        };
        opened.map_err(|source| CallError::Open { peer, source })
    }

    /// Makes sure that there is a connection to a peer, within [`CONNECT_TIMEOUT`].
    pub async fn connect(&self, peer: PeerId) -> Result<(), CallError> {
        if self.streams.is_connected(&peer) {
            return Ok(());
        }
        let unreachable = |cause: String| CallError::Unreachable { peer, cause };
        let (reply, answer) = oneshot::channel();
        self.commands
            .send(Command::Connect(peer, reply))
            .await
            .map_err(|_| CallError::Stopping)?;
        match timeout(CONNECT_TIMEOUT, answer).await {
            Ok(Ok(connected)) => connected.map_err(unreachable),
            Ok(Err(_)) => Err(CallError::Stopping),
            Err(_) => Err(unreachable(format!(
                "no connection within {} s",
                CONNECT_TIMEOUT.as_secs()
            ))),
        }
    }

    /// Whether there is a connection to a peer.
    #[must_use]
    pub fn is_connected(&self, peer: &PeerId) -> bool {
        self.streams.is_connected(peer)
    }

    /// How many connections to a peer there are: one, but for a while after both have dialled.
    #[must_use]
    pub fn connections(&self, peer: &PeerId) -> usize {
        self.streams.connections(peer)
    }

    /// Closes the connections with a peer; `cause` is kept in the book.
    pub async fn disconnect(&self, peer: PeerId, cause: &str) {
        // A loop that has ended has closed every connection.
        let _ = self
            .commands
            .send(Command::Close(peer, cause.to_owned()))
            .await;
    }

    /// Opens a stream for pings to a peer that is connected.
    pub async fn pinger(&self, peer: &PeerId) -> Result<Pinger, PingError> {
        Pinger::open(&self.streams, peer).await
    }
}
