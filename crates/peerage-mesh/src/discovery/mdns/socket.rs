//! A UDP socket for multicast DNS on one interface and no other.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6},
};

use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};
use tokio::net::UdpSocket;

/// The port of multicast DNS.
pub(super) const PORT: u16 = 5353;
const GROUP_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb);
/// Packets come from the link itself: no router passes this on and lets it be 255 (RFC 6762, 11).
const HOPS: u32 = 255;

/// Where packets to everybody on an interface go, over the family of `address`.
pub(super) fn group(index: u32, address: IpAddr) -> SocketAddr {
    match address {
        IpAddr::V4(_) => SocketAddr::from((GROUP_V4, PORT)),
        IpAddr::V6(_) => SocketAddrV6::new(GROUP_V6, PORT, 0, index).into(),
    }
}

/// Joins the group on the interface `index`, where this machine has `address`.
///
/// # Errors
///
/// If the system does not allow it, for example because the interface has no multicast or because
/// another responder does not share the port.
pub(super) fn open(index: u32, address: IpAddr) -> io::Result<UdpSocket> {
    let socket = match address {
        IpAddr::V4(address) => v4(index, address)?,
        IpAddr::V6(_) => v6(index)?,
    };
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket.into())
}

fn v4(index: u32, address: Ipv4Addr) -> io::Result<Socket> {
    let socket = shared(Domain::IPV4)?;
    // Without this, Linux also delivers what arrives on interfaces that other sockets joined.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket.set_multicast_all_v4(false)?;
    socket.bind(&bound(group(index, address.into())).into())?;
    socket.join_multicast_v4_n(&GROUP_V4, &InterfaceIndexOrAddress::Index(index))?;
    socket.set_multicast_if_v4(&address)?;
    socket.set_multicast_loop_v4(true)?;
    socket.set_multicast_ttl_v4(HOPS)?;
    Ok(socket)
}

fn v6(index: u32) -> io::Result<Socket> {
    let socket = shared(Domain::IPV6)?;
    socket.set_only_v6(true)?;
    socket.bind(&bound(group(index, Ipv6Addr::UNSPECIFIED.into())).into())?;
    socket.join_multicast_v6(&GROUP_V6, index)?;
    socket.set_multicast_if_v6(index)?;
    socket.set_multicast_loop_v6(true)?;
    socket.set_multicast_hops_v6(HOPS)?;
    Ok(socket)
}

/// A socket whose port others may use too: every responder of a machine has the same.
///
/// On Linux the reuse of the address is enough, and the reuse of the port is harmful: recent kernels (seen
/// with 6.18) hand a packet that came from another machine to any one socket of those that reuse the port,
/// chosen by a hash, whichever interface they have joined the group on.
fn shared(domain: Domain) -> io::Result<Socket> {
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_address(true)?;
    #[cfg(all(unix, not(any(target_os = "linux", target_os = "android"))))]
    socket.set_reuse_port(true)?;
    Ok(socket)
}

/// Where to bind. On Unix, the group itself: so the socket takes no packets that are meant for
/// another responder's port, and over IPv6 the scope ties it to its interface. Windows cannot.
fn bound(group: SocketAddr) -> SocketAddr {
    if cfg!(unix) {
        return group;
    }
    match group {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, PORT).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, PORT).into(),
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_not_asked_to_spread_packets_over_the_sockets() {
        for domain in [Domain::IPV4, Domain::IPV6] {
            let socket = shared(domain).unwrap();
            assert!(socket.reuse_address().unwrap());
            assert!(!socket.reuse_port().unwrap());
        }
    }
}
