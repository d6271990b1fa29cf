//! What runs on every connection, listed.

use std::time::Duration;

use libp2p::{identify, identity::Keypair, swarm::NetworkBehaviour};

use crate::{admission, streams};

/// The version of the network, told by identify.
const NETWORK: &str = "/peerage/1.0.0";

/// The behaviours of the swarm.
#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    pub(crate) admission: admission::Behaviour,
    pub(crate) identify: identify::Behaviour,
    pub(crate) streams: streams::Behaviour,
}

impl Behaviour {
    pub(crate) fn new(
        keypair: &Keypair,
        agent: &str,
        admission: admission::Behaviour,
        streams: streams::Behaviour,
    ) -> Self {
        let identify = identify::Config::new(NETWORK.to_owned(), keypair.public())
            .with_agent_version(agent.to_owned())
            .with_interval(Duration::from_secs(300))
            .with_push_listen_addr_updates(true);
        Self {
            admission,
            identify: identify::Behaviour::new(identify),
            streams: streams.of(keypair.public().to_peer_id()),
        }
    }
}
