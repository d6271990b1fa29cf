//! The swarm's side of the streams: knows each peer's connections and which one is used.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    swarm::{
        ConnectionClosed, ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour,
        NotifyHandler, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
    },
};
use peerage_core::dial;
use tokio::{
    sync::{Semaphore, mpsc},
    time::Instant,
};

use super::{
    Line, Link, MAX_OPENING, MAX_OUTBOUND, Protocol, Streams,
    handler::{Handler, Keep},
};
use crate::limits::Budget;

/// How far apart two connections may come up that both sides have dialled at once. One that comes later
/// was made by a peer that holds the other for lost.
const SAME_MOMENT: Duration = Duration::from_secs(5);

/// See the module's page.
#[derive(Debug)]
pub(crate) struct Behaviour {
    streams: Streams,
    protocols: Arc<[Protocol]>,
    budget: Budget,
    connections: HashMap<PeerId, Vec<Connection>>,
    unwanted: HashSet<PeerId>,
    me: Option<PeerId>,
    notices: VecDeque<(PeerId, ConnectionId, Keep)>,
    waker: Option<Waker>,
}

#[derive(Debug)]
struct Connection {
    id: ConnectionId,
    since: Instant,
    outbound: bool,
    link: Link,
}

impl Behaviour {
    pub(super) fn new(streams: Streams, protocols: Arc<[Protocol]>, budget: Budget) -> Self {
        Self {
            streams,
            protocols,
            budget,
            connections: HashMap::new(),
            unwanted: HashSet::new(),
            me: None,
            notices: VecDeque::new(),
            waker: None,
        }
    }

    /// Says whose swarm this is, which decides between two connections to one peer.
    pub(crate) fn of(mut self, me: PeerId) -> Self {
        self.me = Some(me);
        self
    }

    /// Whether the connection to a peer is kept while no stream is open on it; by default it is.
    pub(crate) fn keep(&mut self, peer: PeerId, wanted: bool) {
        let changed = if wanted {
            self.unwanted.remove(&peer)
        } else {
            self.connections.contains_key(&peer) && self.unwanted.insert(peer)
        };
        if changed {
            self.choose(peer);
        }
    }

    /// The connection to a peer that is used: of those that came up last, at about the same moment.
    pub(crate) fn used(&self, peer: &PeerId) -> Option<ConnectionId> {
        let mine = self.me.is_some_and(|me| dial::dials_first(&me, peer));
        let connections = self.connections.get(peer)?;
        let latest = connections.last()?.since;
        connections
            .iter()
            .enumerate()
            .filter(|(_, c)| latest.duration_since(c.since) < SAME_MOMENT)
            .max_by_key(|(position, c)| (c.outbound == mine, *position))
            .map(|(_, connection)| connection.id)
    }

    /// Chooses the one connection that new streams go over. Of two that were dialled from both sides
    /// at the same moment, both peers keep the one of the smaller id; of two dialled from one side or at
    /// different moments, the later, for the earlier may be the dead half of a network that has changed,
    /// or of a peer that was killed and is back. The others close as soon as what runs on them has ended.
    fn choose(&mut self, peer: PeerId) {
        let used = self.used(&peer);
        let wanted = !self.unwanted.contains(&peer);
        let connections = self.connections.get(&peer).map_or(&[][..], Vec::as_slice);
        let mut link = None;
        for connection in connections {
            let is_used = Some(connection.id) == used;
            let keep = if is_used && wanted {
                Keep::Up
            } else {
                Keep::UntilIdle
            };
            self.notices.push_back((peer, connection.id, keep));
            connection.link.line.retire(!is_used);
            if is_used {
                link = Some(Link {
                    connections: connections.len(),
                    ..connection.link.clone()
                });
            }
        }
        self.streams.set_link(peer, link);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn handler(&mut self, peer: PeerId, id: ConnectionId, outbound: bool) -> Handler {
        let (opens, wishes) = mpsc::channel(MAX_OPENING);
        let line = Line::new(self.streams.traffic_of(peer));
        let link = Link {
            opens,
            places: Arc::new(Semaphore::new(MAX_OUTBOUND)),
            line: line.clone(),
            connections: 1,
        };
        self.connections.entry(peer).or_default().push(Connection {
            id,
            since: Instant::now(),
            outbound,
            link,
        });
        Handler::new(
            peer,
            self.budget.clone(),
            self.protocols.clone(),
            wishes,
            line,
        )
    }

    fn closed(&mut self, peer: PeerId, id: ConnectionId) {
        if let Some(connections) = self.connections.get_mut(&peer) {
            connections.retain(|c| c.id != id);
            if connections.is_empty() {
                self.connections.remove(&peer);
                self.unwanted.remove(&peer);
            }
            self.notices.retain(|(_, notice, _)| *notice != id);
            self.choose(peer);
        }
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler(peer, id, false))
    }

    fn handle_established_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler(peer, id, true))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(up) => self.choose(up.peer_id),
            FromSwarm::ConnectionClosed(ConnectionClosed {
                peer_id,
                connection_id,
                ..
            }) => self.closed(peer_id, connection_id),
            // Another behaviour may deny a connection after this one has made its handler.
            FromSwarm::DialFailure(failure) => {
                if let Some(peer) = failure.peer_id {
                    self.closed(peer, failure.connection_id);
                }
            }
            FromSwarm::ListenFailure(failure) => {
                if let Some(peer) = failure.peer_id {
                    self.closed(peer, failure.connection_id);
                }
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(
        &mut self,
        _: PeerId,
        _: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {}
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Infallible, THandlerInEvent<Self>>> {
        if let Some((peer_id, id, event)) = self.notices.pop_front() {
            return Poll::Ready(ToSwarm::NotifyHandler {
                peer_id,
                handler: NotifyHandler::One(id),
                event,
            });
        }
        self.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

#[cfg(test)]
mod tests;
