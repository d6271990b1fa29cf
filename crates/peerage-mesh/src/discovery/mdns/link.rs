//! A network interface and what can be reached through it.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use if_addrs::{IfAddr, IfOperStatus};
use libp2p::Multiaddr;
use peerage_core::reach::{ip, seen_from};

use super::Interfaces;

#[cfg(test)]
mod tests;

/// Interfaces that are used; a machine with more has virtual ones without end.
const MAX_LINKS: usize = 32;

/// An interface, with the addresses this machine has on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) name: String,
    pub(super) index: u32,
    networks: Vec<Network>,
}

/// An address of this machine and how many of its bits name the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Network {
    ip: IpAddr,
    prefix: u8,
}

impl Network {
    fn contains(self, other: IpAddr) -> bool {
        match (self.ip, other) {
            (IpAddr::V4(ip), IpAddr::V4(other)) => {
                let mask = u32::MAX
                    .checked_shl(32 - u32::from(self.prefix.min(32)))
                    .unwrap_or(0);
                (ip.to_bits() ^ other.to_bits()) & mask == 0
            }
            (IpAddr::V6(ip), IpAddr::V6(other)) => {
                let mask = u128::MAX
                    .checked_shl(128 - u32::from(self.prefix.min(128)))
                    .unwrap_or(0);
                (ip.to_bits() ^ other.to_bits()) & mask == 0
            }
            _ => false,
        }
    }
}

impl Link {
    /// Whether only this machine is behind it.
    pub(super) fn is_loopback(&self) -> bool {
        self.networks.iter().any(|network| network.ip.is_loopback())
    }

    /// Whether an address is on the network of this interface.
    pub(super) fn contains(&self, ip: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(ip))
    }

    /// Whether an address is this machine's own.
    pub(super) fn owns(&self, ip: IpAddr) -> bool {
        self.networks.iter().any(|network| network.ip == ip)
    }

    /// The address to send from over IPv4.
    pub(super) fn v4(&self) -> Option<Ipv4Addr> {
        self.networks.iter().find_map(|network| match network.ip {
            IpAddr::V4(ip) => Some(ip),
            IpAddr::V6(_) => None,
        })
    }

    /// An address of this machine over IPv6, preferably the link's own, which stays when others come
    /// and go. Loopback has none: systems do not route IPv6 multicast there, and IPv4 serves it.
    pub(super) fn v6(&self) -> Option<Ipv6Addr> {
        if self.is_loopback() {
            return None;
        }
        let all = || {
            self.networks.iter().filter_map(|network| match network.ip {
                IpAddr::V6(ip) => Some(ip),
                IpAddr::V4(_) => None,
            })
        };
        all()
            .find(Ipv6Addr::is_unicast_link_local)
            .or_else(|| all().next())
    }

    /// Those listen addresses that a neighbour on this interface can dial.
    ///
    /// Link-local IPv6 is left out, because a multiaddr does not say on which of the dialer's links.
    pub(super) fn reachable(&self, listen: &[Multiaddr]) -> Vec<Multiaddr> {
        let here = |ip: IpAddr| {
            self.contains(ip) && ip.is_loopback() <= self.is_loopback() && !is_link_local_v6(ip)
        };
        listen
            .iter()
            .filter(|address| ip(address).is_some_and(here))
            .cloned()
            .collect()
    }

    /// Those addresses of a neighbour on this interface that make sense. py-libp2p tells `0.0.0.0` where
    /// it listens everywhere, which is where it speaks from.
    pub(super) fn believable(&self, source: IpAddr, told: &[Multiaddr]) -> Vec<Multiaddr> {
        let near = source.is_loopback() || (self.is_loopback() && self.contains(source));
        let usable =
            |ip: IpAddr| !ip.is_multicast() && !is_link_local_v6(ip) && (near || !ip.is_loopback());
        let mut believed = Vec::new();
        for address in told.iter().filter_map(|told| seen_from(told, source)) {
            if ip(&address).is_some_and(usable) && !believed.contains(&address) {
                believed.push(address);
            }
        }
        believed
    }
}

fn is_link_local_v6(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}

/// The interfaces that there are now.
///
/// # Errors
///
/// If the system does not tell.
pub(super) fn scan(which: Interfaces) -> io::Result<Vec<Link>> {
    let mut links: BTreeMap<u32, Link> = BTreeMap::new();
    for interface in if_addrs::get_if_addrs()? {
        let down = matches!(
            interface.oper_status,
            IfOperStatus::Down | IfOperStatus::NotPresent | IfOperStatus::LowerLayerDown
        );
        let Some(index) = interface.index.filter(|_| !down) else {
            continue;
        };
        let network = match &interface.addr {
            IfAddr::V4(v4) => Network {
                ip: v4.ip.into(),
                prefix: v4.prefixlen,
            },
            IfAddr::V6(v6) => Network {
                ip: v6.ip.into(),
                prefix: v6.prefixlen,
            },
        };
        links
            .entry(index)
            .or_insert_with(|| Link {
                name: interface.name,
                index,
                networks: Vec::new(),
            })
            .networks
            .push(network);
    }
    let mut links: Vec<Link> = links.into_values().collect();
    links.retain(|link| which == Interfaces::All || link.is_loopback());
    for link in &mut links {
        link.networks.sort_unstable();
    }
    links.truncate(MAX_LINKS);
    Ok(links)
}
