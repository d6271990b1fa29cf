//! What an address says of where it can be used from.

use std::net::IpAddr;

use multiaddr::{Multiaddr, Protocol};

/// The IP address that an address begins with.
#[must_use]
pub fn ip(address: &Multiaddr) -> Option<IpAddr> {
    match address.iter().next()? {
        Protocol::Ip4(ip) => Some(ip.into()),
        Protocol::Ip6(ip) => Some(ip.into()),
        _ => None,
    }
}

/// The address as it can be used by somebody who has met its owner at `met`: some implementations tell
/// `0.0.0.0` or `::` where they listen everywhere. `None` when they were met over the other version of IP; any
/// other address is given back as it is.
#[must_use]
pub fn seen_from(address: &Multiaddr, met: IpAddr) -> Option<Multiaddr> {
    match ip(address).filter(IpAddr::is_unspecified) {
        None => Some(address.clone()),
        Some(ip) if ip.is_ipv4() == met.is_ipv4() => address.replace(0, |_| Some(met.into())),
        Some(_) => None,
    }
}

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
    fn an_address_of_everywhere_is_where_its_owner_was_met() {
        let seen = |address: &str, met: &str| {
            let seen = seen_from(&address.parse().unwrap(), met.parse().unwrap());
            seen.map(|address| address.to_string())
        };
        let everywhere = "/ip4/0.0.0.0/tcp/1";
        assert_eq!(seen(everywhere, "10.0.0.9").unwrap(), "/ip4/10.0.0.9/tcp/1");
        assert_eq!(
            seen("/ip6/::/tcp/1", "fd00::9").unwrap(),
            "/ip6/fd00::9/tcp/1"
        );
        assert_eq!(seen(everywhere, "fd00::9"), None);
        for other in [
            "/ip4/10.0.0.1/tcp/1",
            "/dns4/example.com/tcp/1",
            "/memory/1",
        ] {
            assert_eq!(seen(other, "10.0.0.9").unwrap(), other);
        }
    }

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
