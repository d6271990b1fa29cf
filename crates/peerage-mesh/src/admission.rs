//! Who may connect: asks the budget, and who decides for the owner, at each step of a connection, and closes those of whom
//! the budget shuts out.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::Arc,
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

use peerage_core::reach::ip;

use crate::{
    Forbidden, Gating,
    limits::{Budget, Cause, Held},
};

/// See the module's page. Takes the place of `libp2p-connection-limits`, which counts all peers alike and
/// remembers each key that ever connected.
#[derive(Debug)]
pub(crate) struct Behaviour {
    budget: Budget,
    gating: Option<Arc<dyn Gating>>,
    held: HashMap<ConnectionId, Held>,
}

impl Behaviour {
    pub(crate) fn new(budget: Budget, gating: Option<Arc<dyn Gating>>) -> Self {
        budget.restart();
        Self {
            budget,
            gating,
            held: HashMap::new(),
        }
    }

    fn admit(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        at: &Multiaddr,
        dialled: bool,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.budget.end(id);
        self.ask(Some(peer), |gating| {
            gating.may_connect(&peer, ip(at), dialled)
        })?;
        if !dialled {
            let admitted = self.budget.admit(id, peer, at);
            admitted.map_err(ConnectionDenied::new)?;
        }
        let held = self.budget.connect(peer).map_err(ConnectionDenied::new)?;
        self.held.insert(id, held);
        Ok(dummy::ConnectionHandler)
    }

    fn ask(
        &self,
        peer: Option<PeerId>,
        question: impl FnOnce(&dyn Gating) -> Result<(), Forbidden>,
    ) -> Result<(), ConnectionDenied> {
        let answer = self.gating.as_deref().map_or(Ok(()), question);
        answer.map_err(|forbidden| {
            tracing::debug!(?peer, %forbidden, "refused a connection");
            match peer {
                Some(peer) => self.budget.refused(peer, Cause::Policy),
                None => self.budget.count(Cause::Policy, 1),
            }
            ConnectionDenied::new(forbidden)
        })
    }

    fn over(&mut self, id: ConnectionId) {
        self.budget.end(id);
        self.budget.release(id);
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
        if let Some(from) = ip(from) {
            self.ask(None, |gating| gating.may_come(from))?;
        }
        self.budget.begin(id, from).map_err(ConnectionDenied::new)
    }

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        from: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.admit(id, peer, from, false)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: Option<PeerId>,
        _: &[Multiaddr],
        _: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        if let Some(peer) = peer {
            self.ask(Some(peer), |gating| gating.may_dial(&peer))?;
            let may = self.budget.may_connect(&peer);
            may.map_err(ConnectionDenied::new)?;
        }
        Ok(Vec::new())
    }

    fn handle_established_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        at: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.admit(id, peer, at, true)
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
