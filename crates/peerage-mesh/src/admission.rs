//! Who may connect: asks the budget at each step of a connection, and closes those of whom it shuts out.

use std::{
    collections::HashMap,
    convert::Infallible,
    task::{Context, Poll},
};

use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    swarm::{
        CloseConnection, ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler,
        THandlerInEvent, THandlerOutEvent, ToSwarm, dummy,
    },
};

use crate::limits::{Budget, Held};

/// See the module's page. Takes the place of `libp2p-connection-limits`, which counts all peers alike and
/// remembers each key that ever connected.
#[derive(Debug)]
pub(crate) struct Behaviour {
    budget: Budget,
    held: HashMap<ConnectionId, Held>,
}

impl Behaviour {
    pub(crate) fn new(budget: Budget) -> Self {
        budget.restart();
        Self {
            budget,
            held: HashMap::new(),
        }
    }

    fn admit(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.budget.end(id);
        let held = self.budget.connect(peer).map_err(ConnectionDenied::new)?;
        self.held.insert(id, held);
        Ok(dummy::ConnectionHandler)
    }

    fn over(&mut self, id: ConnectionId) {
        self.budget.end(id);
        self.held.remove(&id);
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        id: ConnectionId,
        _: &Multiaddr,
        from: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.budget.begin(id, from).map_err(ConnectionDenied::new)
    }

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.admit(id, peer)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: Option<PeerId>,
        _: &[Multiaddr],
        _: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        let may = peer.map_or(Ok(()), |peer| self.budget.may_connect(&peer));
        may.map(|()| Vec::new()).map_err(ConnectionDenied::new)
    }

    fn handle_established_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.admit(id, peer)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionClosed(closed) => self.over(closed.connection_id),
            FromSwarm::DialFailure(failure) => self.over(failure.connection_id),
            FromSwarm::ListenFailure(failure) => self.over(failure.connection_id),
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
        self.budget
            .poll_closing(cx)
            .map(|peer_id| ToSwarm::CloseConnection {
                peer_id,
                connection: CloseConnection::All,
            })
    }
}
