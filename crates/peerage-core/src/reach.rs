//! What an address says of where it can be used from.

use multiaddr::{Multiaddr, Protocol};

/// Whether an address means the machine that uses it: `127.0.0.0/8` or `::1`.
#[must_use]
pub fn is_loopback(address: &Multiaddr) -> bool {
    match address.iter().next() {
        Some(Protocol::Ip4(ip)) => ip.is_loopback(),
        Some(Protocol::Ip6(ip)) => ip.is_loopback(),
        _ => false,
    }
}

/// Whether an address means something on one network interface only: `fe80::/10`.
#[must_use]
pub fn is_link_local(address: &Multiaddr) -> bool {
    matches!(address.iter().next(), Some(Protocol::Ip6(ip)) if ip.is_unicast_link_local())
}

/// Whether an address goes through a relay.
#[must_use]
pub fn is_relayed(address: &Multiaddr) -> bool {
    address.iter().any(|part| part == Protocol::P2pCircuit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_apart() {
        let is = |text: &str, kind: fn(&Multiaddr) -> bool| kind(&text.parse().unwrap());
        assert!(is("/ip4/127.8.0.1/tcp/1", is_loopback));
        assert!(is("/ip6/::1/udp/1/quic-v1", is_loopback));
        assert!(!is("/ip4/10.0.0.1/tcp/1", is_loopback));
        assert!(!is("/memory/1", is_loopback));
        assert!(is("/ip6/fe80::1/tcp/1", is_link_local));
        assert!(!is("/ip6/2001:db8::1/tcp/1", is_link_local));
        assert!(is("/ip4/10.0.0.1/tcp/1/p2p-circuit", is_relayed));
    }
}
