//! What is told and believed on which interface.

use super::*;

fn link(networks: &[(&str, u8)]) -> Link {
    let network = |(ip, prefix): &(&str, u8)| Network {
        ip: ip.parse().unwrap(),
        prefix: *prefix,
    };
    Link {
        name: "test0".into(),
        index: 7,
        networks: networks.iter().map(network).collect(),
    }
}

fn listen() -> Vec<Multiaddr> {
    [
        "/ip4/127.0.0.1/tcp/1",
        "/ip4/10.0.0.1/tcp/1",
        "/ip4/192.168.1.1/tcp/1",
        "/ip6/::1/tcp/1",
        "/ip6/fd00::1/tcp/1",
        "/ip6/fe80::1/tcp/1",
        "/ip4/0.0.0.0/tcp/1",
        "/dns4/example.com/tcp/1",
        "/memory/5",
    ]
    .map(|text| text.parse().unwrap())
    .to_vec()
}

fn texts(addresses: &[Multiaddr]) -> Vec<String> {
    addresses.iter().map(ToString::to_string).collect()
}

#[test]
fn each_interface_tells_its_own_addresses() {
    let ethernet = link(&[("10.0.0.1", 24), ("fd00::1", 64), ("fe80::1", 64)]);
    let told = texts(&ethernet.reachable(&listen()));
    assert_eq!(told, ["/ip4/10.0.0.1/tcp/1", "/ip6/fd00::1/tcp/1"]);
    let loopback = link(&[("127.0.0.1", 8), ("::1", 128)]);
    let told = texts(&loopback.reachable(&listen()));
    assert_eq!(told, ["/ip4/127.0.0.1/tcp/1", "/ip6/::1/tcp/1"]);
}

#[test]
fn even_a_network_of_everything_tells_no_loopback() {
    let all = link(&[("10.0.0.1", 0)]);
    let told = texts(&all.reachable(&listen()));
    assert!(!told.contains(&"/ip4/127.0.0.1/tcp/1".to_owned()));
    assert!(all.contains("1.2.3.4".parse().unwrap()));
}

#[test]
fn strangers_cannot_point_at_this_machine() {
    let ethernet = link(&[("10.0.0.1", 24)]);
    let mut told = listen();
    told.push("/ip4/224.0.0.251/tcp/1".parse().unwrap());
    let believed = ethernet.believable("10.0.0.9".parse().unwrap(), &told);
    let expected = [
        "/ip4/10.0.0.1/tcp/1",
        "/ip4/192.168.1.1/tcp/1",
        "/ip6/fd00::1/tcp/1",
        "/ip4/10.0.0.9/tcp/1",
    ];
    assert_eq!(texts(&believed), expected);
    let loopback = link(&[("127.0.0.1", 8)]);
    let believed = loopback.believable("127.0.0.1".parse().unwrap(), &told);
    assert!(texts(&believed).contains(&"/ip4/127.0.0.1/tcp/1".to_owned()));
    assert!(!texts(&believed).contains(&"/ip4/0.0.0.0/tcp/1".to_owned()));
}

#[test]
fn everywhere_is_where_it_was_said() {
    let ethernet = link(&[("10.0.0.1", 24), ("fe80::1", 64)]);
    let told = ["/ip4/0.0.0.0/tcp/1", "/ip6/::/tcp/1", "/ip4/10.0.0.9/tcp/1"];
    let told = told.map(|text| text.parse().unwrap());
    let heard_from = |source: &str| texts(&ethernet.believable(source.parse().unwrap(), &told));
    assert_eq!(heard_from("10.0.0.9"), ["/ip4/10.0.0.9/tcp/1"]);
    assert_eq!(heard_from("fe80::9"), ["/ip4/10.0.0.9/tcp/1"]);
}

#[test]
fn loopback_is_found() {
    let links = scan(Interfaces::Loopback).unwrap();
    assert!(links.iter().all(Link::is_loopback));
    assert!(
        links
            .iter()
            .any(|link| link.owns("127.0.0.1".parse().unwrap()))
    );
}
