//! The swarm with its transports: TCP and QUIC, Noise or TLS 1.3, Yamux; memory in the lab.

mod memory;

use std::{num::NonZeroUsize, time::Duration};

use libp2p::{
    Swarm, SwarmBuilder, Transport as _, core::upgrade, identity::Keypair, noise, swarm::Config,
    tcp, tls, yamux,
};
use thiserror::Error;

use crate::behaviour::Behaviour;

/// Streams on one connection. More than both directions may use together (`streams::MAX_INBOUND` and
/// `MAX_OUTBOUND`), and no more, for above it the muxer's windows no longer adapt.
const MAX_STREAMS: usize = 1024;
/// How long a connection stays on which nothing runs and that nobody wants.
const IDLE: Duration = Duration::from_secs(10);

/// By which ways a mesh reaches others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transports {
    /// TCP and QUIC, over IPv4 and IPv6.
    #[default]
    Network,
    /// Memory, within this process: for tests with many nodes.
    Memory,
}

/// Why a swarm could not be built.
#[derive(Debug, Error)]
#[error("the transport cannot be set up")]
pub struct TransportError(#[source] Box<dyn std::error::Error + Send + Sync>);

impl TransportError {
    fn of(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self(Box::new(error))
    }
}

/// Builds a swarm.
pub(crate) fn swarm(
    keypair: &Keypair,
    transports: Transports,
    behaviour: Behaviour,
) -> Result<Swarm<Behaviour>, TransportError> {
    match transports {
        Transports::Network => network(keypair, behaviour),
        Transports::Memory => memory(keypair, behaviour),
    }
}

fn network(keypair: &Keypair, behaviour: Behaviour) -> Result<Swarm<Behaviour>, TransportError> {
    let builder = SwarmBuilder::with_existing_identity(keypair.clone())
        .with_tokio()
        .with_tcp(
            tcp::Config::default().nodelay(true),
            // Noise first: never slower than TLS in our measurements, and every libp2p speaks it.
            (noise::Config::new, tls::Config::new),
            muxer,
        )
        .map_err(TransportError::of)?
        .with_quic_config(|mut config| {
            config.max_concurrent_stream_limit = 1024;
            config.max_idle_timeout = 30_000;
            config.keep_alive_interval = Duration::from_secs(10);
            config
        });
    Ok(builder
        .with_behaviour(|_| behaviour)
        .unwrap_or_else(|never| match never {})
        .with_swarm_config(config)
        .build())
}

fn memory(keypair: &Keypair, behaviour: Behaviour) -> Result<Swarm<Behaviour>, TransportError> {
    let noise = noise::Config::new(keypair).map_err(TransportError::of)?;
    let transport = memory::Memory::default()
        .upgrade(upgrade::Version::V1Lazy)
        .authenticate(noise)
        .multiplex(muxer())
        .boxed();
    let config = config(Config::with_tokio_executor());
    let me = keypair.public().to_peer_id();
    Ok(Swarm::new(transport, behaviour, me, config))
}

fn muxer() -> yamux::Config {
    let mut config = yamux::Config::default();
    config.set_max_num_streams(MAX_STREAMS);
    config
}

fn config(config: Config) -> Config {
    let mailbox = NonZeroUsize::new(256).expect("256 is not zero");
    config
        .with_idle_connection_timeout(IDLE)
        .with_notify_handler_buffer_size(mailbox)
        .with_max_negotiating_inbound_streams(512)
        .with_smart_dial()
}
