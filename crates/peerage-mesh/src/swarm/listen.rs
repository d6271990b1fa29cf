//! Where a node listens: what was asked for, or TCP and QUIC on a port of its own.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, Ipv6Addr},
};

use libp2p::{Swarm, core::transport::ListenerId, multiaddr::Protocol};
use peerage_core::{Multiaddr, PeerId};
use thiserror::Error;

use crate::{behaviour::Behaviour, mesh::MeshConfig};

/// Ports that nodes choose from; below those that systems give out to clients.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// Why a node cannot listen.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ListenError {
    /// An address that was asked for cannot be used.
    #[error("cannot listen at {address}: {cause}")]
    Address {
        /// Which one.
        address: Multiaddr,
        /// Why, for people.
        cause: String,
    },
    /// None of the addresses that are tried by default can be used.
    #[error("cannot listen at any address: {0}")]
    Nowhere(String),
}

/// What a node listens at: as it was asked for, with the ports that were found. What closes is opened
/// again, by the same swarm or the next.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    up: HashMap<ListenerId, Multiaddr>,
    down: Vec<Multiaddr>,
}

impl Listeners {
    /// Begins to listen where the configuration says.
    pub(crate) fn begin(
        &mut self,
        swarm: &mut Swarm<Behaviour>,
        config: &MeshConfig,
    ) -> Result<(), ListenError> {
        if config.listen.is_empty() {
            return self.by_default(swarm, &config.identity.peer_id());
        }
        for address in &config.listen {
            self.listen(swarm, address)
                .map_err(|cause| ListenError::Address {
                    address: address.clone(),
                    cause,
                })?;
        }
        Ok(())
    }

    /// A listener is up at an address. A port that was left open is settled by it.
    pub(super) fn found(&mut self, listener: ListenerId, address: &Multiaddr) {
        if let Some(asked) = self.up.get_mut(&listener) {
            *asked = asked
                .iter()
                .zip(address)
                .map(|(asked, found)| match asked {
                    Protocol::Tcp(0) | Protocol::Udp(0) | Protocol::Memory(0) => found,
                    _ => asked,
                })
                .collect();
        }
    }

    /// A listener has closed.
    pub(super) fn closed(&mut self, listener: ListenerId) {
        self.down.extend(self.up.remove(&listener));
    }

    /// The swarm they belonged to is gone.
    pub(super) fn closed_all(&mut self) {
        self.down
            .extend(self.up.drain().map(|(_, address)| address));
    }

    /// Listens again where something has closed, as far as that is possible now.
    pub(super) fn again(&mut self, swarm: &mut Swarm<Behaviour>) {
        for address in std::mem::take(&mut self.down) {
            if let Err(cause) = self.listen(swarm, &address) {
                tracing::warn!(%address, cause, "cannot listen there again yet");
                self.down.push(address);
            }
        }
    }

    fn listen(&mut self, swarm: &mut Swarm<Behaviour>, address: &Multiaddr) -> Result<(), String> {
        let listener = swarm
            .listen_on(address.clone())
            .map_err(|error| cause(&error))?;
        self.up.insert(listener, address.clone());
        Ok(())
    }

    /// On every interface, with a port that follows from the node's id, so that after a restart it is
    /// found at the addresses its peers remember. A port that is taken is replaced by a free one.
    fn by_default(&mut self, swarm: &mut Swarm<Behaviour>, me: &PeerId) -> Result<(), ListenError> {
        let port = port_of(me);
        let mut last = String::new();
        for ip in [
            Protocol::Ip4(Ipv4Addr::UNSPECIFIED),
            Protocol::Ip6(Ipv6Addr::UNSPECIFIED),
        ] {
            for quic in [false, true] {
                for port in [port, 0] {
                    match self.listen(swarm, &address(ip.clone(), quic, port)) {
                        Ok(()) => break,
                        Err(cause) => last = cause,
                    }
                }
            }
        }
        if self.up.is_empty() {
            Err(ListenError::Nowhere(last))
        } else {
            Ok(())
        }
    }
}

fn port_of(me: &PeerId) -> u16 {
    let bytes = me.to_bytes();
    let seed = bytes.iter().fold(0_u32, |hash, byte| {
        hash.wrapping_mul(31).wrapping_add(u32::from(*byte))
    });
    let width = u32::from(PORTS.end - PORTS.start);
    PORTS.start + u16::try_from(seed % width).expect("the range of ports fits 16 bits")
}

fn address(ip: Protocol<'static>, quic: bool, port: u16) -> Multiaddr {
    let base = Multiaddr::empty().with(ip);
    if quic {
        base.with(Protocol::Udp(port)).with(Protocol::QuicV1)
    } else {
        base.with(Protocol::Tcp(port))
    }
}

fn cause(error: &libp2p::TransportError<std::io::Error>) -> String {
    match error {
        libp2p::TransportError::MultiaddrNotSupported(_) => {
            "such addresses are not supported".into()
        }
        libp2p::TransportError::Other(error) => error.to_string(),
    }
}
