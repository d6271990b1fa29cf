//! What runs on every connection, listed.

use std::time::Duration;

use libp2p::{
    connection_limits::{self, ConnectionLimits},
    identify,
    identity::Keypair,
    swarm::NetworkBehaviour,
};

use crate::streams;

/// Connections that are being made to us.
const MAX_PENDING_INBOUND: u32 = 128;
/// Connections that others have made to us.
const MAX_INBOUND: u32 = 512;
/// Connections in all.
const MAX_CONNECTIONS: u32 = 1024;
/// Connections with one peer: two while both dial at once, and one that replaces a dead one.
const MAX_PER_PEER: u32 = 4;
/// The version of the network, told by identify.
const NETWORK: &str = "/peerage/1.0.0";

/// The behaviours of the swarm.
#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    pub(crate) limits: connection_limits::Behaviour,
    pub(crate) identify: identify::Behaviour,
    pub(crate) streams: streams::Behaviour,
}

impl Behaviour {
    pub(crate) fn new(keypair: &Keypair, agent: &str, streams: streams::Behaviour) -> Self {
        let limits = ConnectionLimits::default()
            .with_max_pending_incoming(Some(MAX_PENDING_INBOUND))
            .with_max_established_incoming(Some(MAX_INBOUND))
            .with_max_established(Some(MAX_CONNECTIONS))
            .with_max_established_per_peer(Some(MAX_PER_PEER));
        let identify = identify::Config::new(NETWORK.to_owned(), keypair.public())
            .with_agent_version(agent.to_owned())
            .with_interval(Duration::from_secs(300))
            .with_push_listen_addr_updates(true);
        Self {
            limits: connection_limits::Behaviour::new(limits),
            identify: identify::Behaviour::new(identify),
            streams: streams.of(keypair.public().to_peer_id()),
        }
    }
}
