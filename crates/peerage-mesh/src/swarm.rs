//! The one loop that owns the swarm: control only, no call's data passes through it.

mod listen;
mod supervise;

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use futures::StreamExt;
use libp2p::{
    Swarm, identify,
    swarm::{
        ConnectionId, SwarmEvent,
        dial_opts::{DialOpts, PeerCondition},
    },
};
use peerage_core::{
    Multiaddr, PeerId, dial,
    peer_book::{PeerEvent, Source},
};
use tokio::{
    sync::{
        mpsc::{self, error::TrySendError},
        oneshot, watch,
    },
    task::JoinHandle,
};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    Book, Tasks, admission,
    behaviour::{Behaviour, BehaviourEvent},
    book,
    call::Calls,
    limits::Budget,
    mesh::MeshConfig,
    ping, streams, translate,
    transport::{self, TransportError},
};

/// Wishes that wait for the loop.
pub(crate) const COMMANDS: usize = 64;
/// Who may wait for one connection at once.
const MAX_WAITING: usize = 256;
/// How often the loop looks after what no event announces.
const TICK: Duration = Duration::from_secs(1);

/// What the handle asks of the loop.
#[derive(Debug)]
pub(crate) enum Command {
    /// Connect now, without waiting for the plan; the answer tells why it failed.
    Connect(PeerId, oneshot::Sender<Result<(), String>>),
    /// Close all connections with a peer; the text goes to the book as the cause.
    Close(PeerId, String),
    /// Panic: proves the supervision.
    #[cfg(test)]
    Panic,
}

/// Somebody who waits for a connection.
pub(crate) struct Waiting {
    reply: oneshot::Sender<Result<(), String>>,
    /// The attempt was under way already: it may fail because the peer was not there when it began, so
    /// another one is made before the wish fails.
    late: bool,
}

/// Events after which others of this node's tasks have their turn: somebody may make connections as fast as
/// they are refused.
const TURN: usize = 8;
/// A peer that is connected.
#[derive(Debug)]
pub(crate) struct Connected {
    /// The connection that the book was told of.
    told: Option<ConnectionId>,
    /// Pings it; held for its drop.
    _ping: AbortOnDropHandle<()>,
}

/// What outlives a swarm that has to be built anew.
pub(crate) struct Control {
    pub(crate) config: MeshConfig,
    pub(crate) book: Book,
    pub(crate) streams: streams::Factory,
    pub(crate) calls: Calls,
    pub(crate) budget: Budget,
    pub(crate) tasks: Tasks,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) own_commands: mpsc::Sender<Command>,
    pub(crate) listening: watch::Sender<Vec<Multiaddr>>,
    pub(crate) waiting: HashMap<PeerId, Vec<Waiting>>,
    pub(crate) connections: HashMap<ConnectionId, (PeerId, PeerEvent)>,
    pub(crate) peers: HashMap<PeerId, Connected>,
    pub(crate) listeners: Listeners,
    pub(crate) causes: HashMap<PeerId, String>,
    pub(crate) swept: Instant,
}

impl Control {
    /// Builds a swarm that listens where the configuration says.
    pub(crate) fn build(&self) -> Result<Swarm<Behaviour>, TransportError> {
        let keypair = self.config.identity.keypair();
        let admission = admission::Behaviour::new(self.budget.clone(), self.config.gating.clone());
        let streams = self.streams.behaviour();
        let behaviour = Behaviour::new(keypair, &self.config.agent, admission, streams);
        transport::swarm(keypair, self.config.transports, behaviour, &self.budget)
    }

    async fn run(&mut self, swarm: &mut Swarm<Behaviour>) {
        let mut changes = self.book.watch();
        let mut tick = tokio::time::interval(TICK);
        let mut again = Instant::now();
        let mut events: usize = 0;
        loop {
            // What an event or a command changes, the book tells: the plan follows that.
            tokio::select! {
                event = swarm.select_next_some() => {
                    self.handle(swarm, event);
                    events = events.wrapping_add(1);
                    if events.is_multiple_of(TURN) {
                        tokio::task::yield_now().await;
                    }
                    continue;
                }
                command = self.commands.recv() => {
                    match command {
                        Some(command) => self.obey(swarm, command),
                        None => return,
                    }
                    continue;
                }
                _ = changes.recv() => {
                    // One look at the plan serves every change that is queued.
                    changes = changes.resubscribe();
                }
                () = tokio::time::sleep_until(again.into()) => {}
                _ = tick.tick() => self.look_after(swarm),
            }
            again = self.follow_plan(swarm);
        }
    }

    /// Dials whom the plan names, and says when to ask it again.
    fn follow_plan(&mut self, swarm: &mut Swarm<Behaviour>) -> Instant {
        let now = book::now();
        let plan = self.book.read(|book| dial::plan(book, now));
        for peer in plan.dial {
            self.dial(swarm, peer);
        }
        let wait = plan.again.map_or(TICK, |again| again.saturating_sub(now));
        Instant::now() + wait
    }

    fn dial(&mut self, swarm: &mut Swarm<Behaviour>, peer: PeerId) {
        let addresses = self
            .book
            .get(&peer)
            .map(|record| dial::addresses(&record))
            .unwrap_or_default();
        let options = DialOpts::peer_id(peer)
            .condition(PeerCondition::DisconnectedAndNotDialing)
            .addresses(addresses)
            .build();
        self.book.apply(peer, PeerEvent::Dialing);
        if let Err(error) = swarm.dial(options)
            && let Some(cause) = translate::dial_error(&error)
        {
            self.dial_failed(peer, cause);
        }
    }

    fn obey(&mut self, swarm: &mut Swarm<Behaviour>, command: Command) {
        match command {
            Command::Connect(peer, reply) => {
                if swarm.is_connected(&peer) {
                    let _ = reply.send(Ok(()));
                    return;
                }
                let waiting = self.waiting.entry(peer).or_default();
                if waiting.len() >= MAX_WAITING {
                    let _ = reply.send(Err("too many wait for a connection to it".into()));
                    return;
                }
                let late = self.book.get(&peer).is_some_and(|r| r.dialing);
                waiting.push(Waiting { reply, late });
                if !late {
                    self.dial(swarm, peer);
                }
            }
            Command::Close(peer, cause) => {
                if swarm.is_connected(&peer) {
                    self.causes.insert(peer, cause);
                    let _ = swarm.disconnect_peer_id(peer);
                }
            }
            #[cfg(test)]
            Command::Panic => panic!("asked to"),
        }
    }

    fn handle(&mut self, swarm: &Swarm<Behaviour>, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::ConnectionEstablished {
                peer_id,
                connection_id,
                endpoint,
                ..
            } => {
                let connected = translate::connected(&endpoint);
                self.connections.insert(connection_id, (peer_id, connected));
                self.connected(peer_id, swarm.behaviour().streams.used(&peer_id));
            }
            SwarmEvent::ConnectionClosed {
                peer_id,
                connection_id,
                num_established,
                cause,
                ..
            } => {
                self.connections.remove(&connection_id);
                if num_established == 0 {
                    self.lost(peer_id, translate::close_cause(cause));
                } else {
                    self.tell(peer_id, swarm.behaviour().streams.used(&peer_id));
                }
            }
            SwarmEvent::OutgoingConnectionError {
                peer_id: Some(peer),
                error,
                ..
            } => {
                // A peer that came in by itself meanwhile is reached.
                if !swarm.is_connected(&peer)
                    && let Some(cause) = translate::dial_error(&error)
                {
                    self.dial_failed(peer, cause);
                }
            }
            SwarmEvent::Behaviour(BehaviourEvent::Identify(
                identify::Event::Received {
                    peer_id,
                    connection_id,
                    info,
                }
                | identify::Event::Pushed {
                    peer_id,
                    connection_id,
                    info,
                },
            )) => self.identified(peer_id, connection_id, info),
            event => self.listener(swarm, event),
        }
    }

    fn identified(&self, peer: PeerId, connection: ConnectionId, told: identify::Info) {
        let reached_at = match self.connections.get(&connection) {
            Some((_, PeerEvent::Connected { address, .. })) => Some(address),
            _ => None,
        };
        self.book
            .apply(peer, translate::identified(told, reached_at));
    }

    fn listener(&mut self, swarm: &Swarm<Behaviour>, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::NewListenAddr {
                listener_id,
                address,
            } => self.listeners.found(listener_id, &address),
            SwarmEvent::ExpiredListenAddr { .. } => {}
            SwarmEvent::ListenerClosed {
                listener_id,
                reason,
                ..
            } => {
                tracing::warn!(?reason, "a listener closed");
                self.listeners.closed(listener_id);
            }
            SwarmEvent::ListenerError { error, .. } => {
                tracing::warn!(%error, "a listener failed");
                return;
            }
            _ => return,
        }
        self.listening
            .send_replace(swarm.listeners().cloned().collect());
    }

    fn connected(&mut self, peer: PeerId, used: Option<ConnectionId>) {
        tracing::debug!(%peer, "connected");
        if !self.peers.contains_key(&peer) {
            let ping = AbortOnDropHandle::new(self.ping(peer));
            let connected = Connected {
                told: None,
                _ping: ping,
            };
            self.peers.insert(peer, connected);
        }
        self.tell(peer, used);
        for Waiting { reply, .. } in self.waiting.remove(&peer).unwrap_or_default() {
            let _ = reply.send(Ok(()));
        }
    }

    /// Tells the book which of the connections to a peer is used, when that has changed.
    fn tell(&mut self, peer: PeerId, used: Option<ConnectionId>) {
        let Some(connected) = self.peers.get_mut(&peer) else {
            return;
        };
        // One that is not known here yet is about to be.
        if let Some(used) = used.filter(|used| connected.told != Some(*used))
            && let Some((_, event)) = self.connections.get(&used)
        {
            connected.told = Some(used);
            self.book.apply(peer, event.clone());
        }
    }

    fn ping(&self, peer: PeerId) -> JoinHandle<()> {
        let (streams, book) = (self.streams.handle(), self.book.clone());
        let commands = self.own_commands.clone();
        self.tasks.spawn("ping", async move {
            if let Some(cause) = ping::watch(streams, book, peer).await {
                let _ = commands.send(Command::Close(peer, cause)).await;
            }
        })
    }

    fn lost(&mut self, peer: PeerId, cause: Option<String>) {
        let cause = self.causes.remove(&peer).or(cause);
        tracing::debug!(%peer, cause, "disconnected");
        self.peers.remove(&peer);
        self.calls.forget(&peer);
        self.book.apply(peer, PeerEvent::Disconnected { cause });
    }

    fn dial_failed(&mut self, peer: PeerId, cause: String) {
        tracing::debug!(%peer, cause, "could not connect");
        // The book first: whoever is told may look there.
        self.book.apply(
            peer,
            PeerEvent::DialFailed {
                cause: cause.clone(),
            },
        );
        for Waiting { reply, late } in self.waiting.remove(&peer).unwrap_or_default() {
            let reply = if late {
                // Where no more wishes fit, this one fails now.
                match self.own_commands.try_send(Command::Connect(peer, reply)) {
                    Err(TrySendError::Full(Command::Connect(_, reply))) => reply,
                    _ => continue,
                }
            } else {
                reply
            };
            let _ = reply.send(Err(cause.clone()));
        }
    }

    /// Counts bytes, closes warm streams that are no longer used, and lets go of strangers when there
    /// are too many of them.
    fn look_after(&mut self, swarm: &mut Swarm<Behaviour>) {
        if self.swept.elapsed() < TICK * 5 {
            return;
        }
        self.swept = Instant::now();
        self.calls.sweep();
        self.budget.tidy();
        self.listeners.again(swarm);
        for (peer, bytes_in, bytes_out) in self.streams.handle().take_traffic() {
            let event = PeerEvent::Transferred {
                bytes_in,
                bytes_out,
            };
            self.book.apply(peer, event);
        }
        let surplus = self.book.read(|book| dial::surplus(book, book::now()));
        let connected: Vec<PeerId> = swarm.connected_peers().copied().collect();
        for peer in connected {
            let keep = !surplus.contains(&peer);
            swarm.behaviour_mut().streams.keep(peer, keep);
        }
    }
}

/// Tells the book of the peers that the configuration names.
pub(crate) fn name_configured(book: &Book, peers: &[(PeerId, Multiaddr)]) {
    for (peer, address) in peers {
        book.apply(
            *peer,
            PeerEvent::Discovered {
                addresses: vec![address.clone()],
                source: Source::Config,
                holds: None,
            },
        );
    }
}

pub use listen::ListenError;
pub(crate) use listen::Listeners;

#[cfg(test)]
mod tests;
