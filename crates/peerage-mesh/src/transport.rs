//! The swarm with its transports: TCP and QUIC, Noise or TLS 1.3, Yamux; memory in the lab.

mod counted;
mod memory;
mod paced;
mod security;
mod steady;

use std::{num::NonZeroUsize, time::Duration};

use futures::future::Either;
use libp2p::{
    PeerId, Swarm, Transport as _,
    core::{
        muxing::StreamMuxerBox,
        transport::{Boxed, OrTransport, timeout::TransportTimeout},
        upgrade,
    },
    identity::Keypair,
    noise, quic,
    swarm::Config,
    tcp, yamux,
};
use thiserror::Error;

pub use self::memory::vanish;
use self::{counted::Counted, paced::Paced, security::Security, steady::Steady};
use crate::{behaviour::Behaviour, limits::Budget};

/// Streams on one connection. More than both directions use together (a member's budget and
/// `streams::MAX_OUTBOUND`), and no more, for above it the muxer's windows no longer adapt.
const MAX_STREAMS: usize = 1024;
/// How long it may take until a connection is made and both ends have proved who they are.
const MAKING: Duration = Duration::from_secs(10);
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
    budget: &Budget,
) -> Result<Swarm<Behaviour>, TransportError> {
    let transport = match transports {
        Transports::Network => network(keypair)?,
        Transports::Memory => memory(keypair)?,
    };
    let budget = budget.clone();
    let counted = transport.map(move |(peer, muxer), _| {
        let counted = Counted::new(muxer, peer, budget);
        (peer, StreamMuxerBox::new(counted))
    });
    let counted = TransportTimeout::new(counted, MAKING).boxed();
    let config = config(Config::with_tokio_executor());
    let me = keypair.public().to_peer_id();
    Ok(Swarm::new(counted, behaviour, me, config))
}

fn network(keypair: &Keypair) -> Result<Boxed<(PeerId, StreamMuxerBox)>, TransportError> {
    let tcp = Steady::new(tcp::tokio::Transport::new(
        tcp::Config::default().nodelay(true),
    ))
    .map(|socket, _| Paced::new(socket))
    .upgrade(upgrade::Version::V1Lazy)
    .authenticate(Security::new(keypair)?)
    .multiplex(muxer())
    .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)));
    let mut config = quic::Config::new(keypair);
    config.max_concurrent_stream_limit = 1024;
    config.max_idle_timeout = 30_000;
    config.keep_alive_interval = Duration::from_secs(10);
    let quic = quic::tokio::Transport::new(config)
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)));
    Ok(OrTransport::new(quic, tcp)
        .map(|either, _| match either {
            Either::Left(secured) | Either::Right(secured) => secured,
        })
        .boxed())
}

fn memory(keypair: &Keypair) -> Result<Boxed<(PeerId, StreamMuxerBox)>, TransportError> {
    let noise = noise::Config::new(keypair).map_err(TransportError::of)?;
    Ok(memory::Memory::default()
        .upgrade(upgrade::Version::V1Lazy)
        .authenticate(noise)
        .multiplex(muxer())
        .boxed())
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
