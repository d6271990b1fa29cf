//! What the swarm says, in the words of the peer book.

use libp2p::{
    Multiaddr, TransportError,
    core::ConnectedPoint,
    identify,
    multiaddr::Protocol,
    swarm::{ConnectionError, DialError},
};
use peerage_core::{
    peer_book::{Path, PeerEvent},
    reach::{ip, is_loopback, is_relayed, seen_from},
};

/// A connection that is up.
pub(crate) fn connected(endpoint: &ConnectedPoint) -> PeerEvent {
    let address = endpoint.get_remote_address();
    PeerEvent::Connected {
        path: if is_relayed(address) {
            Path::Relayed
        } else {
            Path::Direct
        },
        address: without_peer(address.clone()),
        outbound: endpoint.is_dialer(),
    }
}

/// What identify has told of a peer. Loopback addresses mean the peer's own machine, so they are of use
/// only where the peer was reached at one. One of everywhere is where the peer was reached.
pub(crate) fn identified(info: identify::Info, reached_at: Option<&Multiaddr>) -> PeerEvent {
    let same_machine = reached_at.is_none_or(is_loopback);
    let met = reached_at.filter(|at| !is_relayed(at)).and_then(ip);
    let seen = |address: Multiaddr| match met {
        Some(met) => seen_from(&address, met),
        None => Some(address).filter(|address| !is_unspecified(address)),
    };
    PeerEvent::Identified {
        agent: info.agent_version,
        addresses: info
            .listen_addrs
            .into_iter()
            .filter_map(seen)
            .filter(|address| same_machine || !is_loopback(address))
            .map(without_peer)
            .collect(),
    }
}

fn is_unspecified(address: &Multiaddr) -> bool {
    ip(address).is_some_and(|ip| ip.is_unspecified())
}

/// Why an attempt failed, for people; `None` when it was given up because another one is under way.
pub(crate) fn dial_error(error: &DialError) -> Option<String> {
    Some(match error {
        DialError::DialPeerConditionFalse(_) => return None,
        DialError::LocalPeerId { .. } => "that is this node itself".into(),
        DialError::NoAddresses => "no address of it is known".into(),
        DialError::Aborted => "the attempt was given up".into(),
        DialError::WrongPeerId { obtained, address } => {
            format!("another peer ({obtained}) answers at {address}")
        }
        DialError::Denied { cause } => {
            format!("this node refused the connection: {}", root_cause(cause))
        }
        DialError::Transport(errors) => {
            let tried: Vec<_> = errors.iter().map(|(a, e)| attempt(a, e)).collect();
            tried.join("; ")
        }
    })
}

/// Why a connection ended, for people.
pub(crate) fn close_cause(cause: Option<ConnectionError>) -> Option<String> {
    cause.map(|cause| match cause {
        ConnectionError::KeepAliveTimeout => "nothing ran on it and nobody wanted it".into(),
        ConnectionError::IO(error) => root_cause(&error),
    })
}

fn attempt(address: &Multiaddr, error: &TransportError<std::io::Error>) -> String {
    match error {
        TransportError::MultiaddrNotSupported(address) => format!("{address} is not supported"),
        TransportError::Other(error) => format!("{address}: {}", root_cause(error)),
    }
}

/// The innermost cause: the layers above it only repeat that something failed.
fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// The address without its trailing `/p2p/…`, as the book keeps it.
pub(crate) fn without_peer(mut address: Multiaddr) -> Multiaddr {
    if matches!(address.iter().last(), Some(Protocol::P2p(_))) {
        address.pop();
    }
    address
}

#[cfg(test)]
mod tests;
