//! Where a node listens: what was asked for, or TCP and QUIC on a port of its own.

use std::net::{Ipv4Addr, Ipv6Addr};

use libp2p::{Swarm, multiaddr::Protocol};
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

/// Begins to listen where the configuration says.
pub(crate) fn begin(swarm: &mut Swarm<Behaviour>, config: &MeshConfig) -> Result<(), ListenError> {
    if config.listen.is_empty() {
        return by_default(swarm, &config.identity.peer_id());
    }
    for address in &config.listen {
        swarm
            .listen_on(address.clone())
            .map_err(|error| ListenError::Address {
                address: address.clone(),
                cause: cause(&error),
            })?;
    }
    Ok(())
}

/// Listens where an earlier swarm of this node did, as far as that is still possible.
pub(super) fn again(swarm: &mut Swarm<Behaviour>, addresses: &[Multiaddr]) {
    for address in addresses {
        if let Err(error) = swarm.listen_on(address.clone()) {
            tracing::warn!(%address, %error, "cannot listen there again");
        }
    }
}

/// On every interface, with a port that follows from the node's id, so that after a restart it is
/// found at the addresses its peers remember. A port that is taken is replaced by a free one.
fn by_default(swarm: &mut Swarm<Behaviour>, me: &PeerId) -> Result<(), ListenError> {
    let port = port_of(me);
    let mut listening = false;
    let mut last = String::new();
    for ip in [
        Protocol::Ip4(Ipv4Addr::UNSPECIFIED),
        Protocol::Ip6(Ipv6Addr::UNSPECIFIED),
    ] {
        for quic in [false, true] {
            let taken = [port, 0]
                .into_iter()
                .map(|port| swarm.listen_on(address(ip.clone(), quic, port)))
                .find_map(|listener| match listener {
                    Ok(_) => Some(()),
                    Err(error) => {
                        last = cause(&error);
                        None
                    }
                });
            listening |= taken.is_some();
        }
    }
    if listening {
        Ok(())
    } else {
        Err(ListenError::Nowhere(last))
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
