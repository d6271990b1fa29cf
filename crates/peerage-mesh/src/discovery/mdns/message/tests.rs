//! Packets of every implementation, and bytes of none.

mod captured;

use hickory_proto::rr::rdata::{PTR, TXT};
use proptest::prelude::*;

use super::*;

const ONE: &str = "12D3KooWBsAAvJjUPiVD9BDQW83gqC35ojMhZDYfuq34TRXqTmao";
const OTHER: &str = "12D3KooWFQZyxy1z9GCi7ARTehrjfqVgwjtCYhuvgq9fu9pjLYs6";

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex
        .chars()
        .map(|c| u8::try_from(c.to_digit(16).unwrap()).unwrap())
        .collect();
    digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}

fn told(packet: &[u8]) -> Vec<(String, Vec<String>, u32)> {
    let Packet::Response(peers) = decode(packet).unwrap() else {
        panic!("a query");
    };
    let text = |announced: Announced| {
        let addresses = announced.addresses.iter().map(ToString::to_string);
        (
            announced.peer.to_string(),
            addresses.collect(),
            announced.ttl,
        )
    };
    peers.into_iter().map(text).collect()
}

fn one(peer: &str, addresses: &[&str], ttl: u32) -> Vec<(String, Vec<String>, u32)> {
    let addresses = addresses.iter().map(ToString::to_string).collect();
    vec![(peer.to_owned(), addresses, ttl)]
}

#[test]
fn js_libp2p_is_understood() {
    let addresses = ["/ip4/127.0.0.1/tcp/45031", "/ip4/10.99.0.2/tcp/45031"];
    assert_eq!(told(&bytes(captured::JS)), one(OTHER, &addresses, 120));
}

#[test]
fn py_libp2p_is_understood() {
    let expected = one(ONE, &["/ip4/10.99.0.2/tcp/4009"], 4500);
    assert_eq!(told(&bytes(captured::PYTHON)), expected);
    assert_eq!(told(&bytes(captured::PYTHON_ANNOUNCEMENT)), expected);
    assert_eq!(told(&bytes(captured::PYTHON_GOODBYE))[0].2, 0);
}

#[test]
fn rust_libp2p_is_understood() {
    let peer = "12D3KooWDFM2CNTChhnVxbY8JU7kjwm3JqGE1PvwUZNSLTLb9G4x";
    let expected = one(peer, &["/ip4/10.99.0.2/tcp/46287"], 360);
    assert_eq!(told(&bytes(captured::RUST)), expected);
}

#[test]
fn go_libp2p_is_understood() {
    let addresses = [
        "/ip4/10.99.0.2/tcp/4011",
        "/ip4/127.0.0.1/tcp/4011",
        "/ip4/10.99.0.2/udp/4011/quic-v1",
    ];
    assert_eq!(told(&bytes(captured::GO)), one(ONE, &addresses, 3200));
    assert_eq!(told(&bytes(captured::GO_GOODBYE)), one(ONE, &addresses, 0));
    let Packet::Query(query) = decode(&bytes(captured::GO_PROBE)).unwrap() else {
        panic!("a probe asks");
    };
    assert_eq!(query.questions.len(), 1);
}

fn response(answers: Vec<Record>, additionals: Vec<Record>) -> Vec<u8> {
    let mut message = Message::new(0, MessageType::Response, OpCode::Query);
    message.add_answers(answers).add_additionals(additionals);
    message.to_vec().unwrap()
}

fn txt(owner: &Name, ttl: u32, lines: &[String]) -> Record {
    Record::from_rdata(owner.clone(), ttl, RData::TXT(TXT::new(lines.to_vec())))
}

fn pointer(target: &Name, ttl: u32) -> Record {
    Record::from_rdata(P2P.clone(), ttl, RData::PTR(PTR(target.clone())))
}

fn instance(label: &str) -> Name {
    P2P.prepend_label(label).unwrap()
}

#[test]
fn several_strings_and_several_records_are_one_peer() {
    let name = instance("abc");
    let line = |key: &str, port: u16| format!("{key}=/ip4/10.0.0.1/tcp/{port}/p2p/{ONE}");
    let first = txt(&name, 120, &[line("dnsaddr", 1), line("dnsaddr2", 2)]);
    let second = txt(&name, 120, &[line("dnsaddr", 3)]);
    let packet = response(vec![pointer(&name, 60), first], vec![second]);
    let ports = [
        "/ip4/10.0.0.1/tcp/1",
        "/ip4/10.0.0.1/tcp/2",
        "/ip4/10.0.0.1/tcp/3",
    ];
    assert_eq!(told(&packet), one(ONE, &ports, 60));
}

#[test]
fn what_is_no_address_of_the_peer_is_passed_over() {
    let name = instance("abc");
    let lines = [
        format!("dnsaddr=/ip4/10.0.0.1/tcp/1/p2p/{ONE}"),
        format!("dnsaddr=/ip4/10.0.0.2/tcp/1/p2p/{OTHER}"),
        "dnsaddr=/ip4/10.0.0.3/tcp/1".to_owned(),
        format!("dnsaddr=/dns4/example.com/tcp/1/p2p/{ONE}"),
        format!("dnsaddr=/ip4/10.0.0.4/tcp/1/p2p/{OTHER}/p2p-circuit/p2p/{ONE}"),
        format!("dnsaddrs=/ip4/10.0.0.5/tcp/1/p2p/{ONE}"),
        format!("/ip4/10.0.0.6/tcp/1/p2p/{ONE}"),
        "dnsaddr=".to_owned(),
        "dnsaddr".to_owned(),
        String::new(),
    ];
    let packet = response(Vec::new(), vec![txt(&name, 120, &lines)]);
    assert_eq!(told(&packet), one(ONE, &["/ip4/10.0.0.1/tcp/1"], 120));
}

#[test]
fn records_of_other_services_are_passed_over() {
    let elsewhere = Name::from_ascii("abc._http._tcp.local.").unwrap();
    let line = format!("dnsaddr=/ip4/10.0.0.1/tcp/1/p2p/{ONE}");
    let packet = response(vec![txt(&elsewhere, 120, &[line])], Vec::new());
    assert!(told(&packet).is_empty());
}

#[test]
fn peers_and_addresses_are_bounded() {
    let line = |port: usize| format!("dnsaddr=/ip4/10.0.0.1/tcp/{port}/p2p/{ONE}");
    let lines: Vec<String> = (0..60).map(line).collect();
    let records = |count: usize, lines: &[String]| -> Vec<Record> {
        (0..count)
            .map(|n| txt(&instance(&format!("n{n}")), 120, lines))
            .collect()
    };
    let told_of_one = told(&response(records(1, &lines), Vec::new()));
    assert_eq!(told_of_one[0].1.len(), MAX_ADDRESSES);
    let told_of_many = told(&response(records(60, &lines[..1]), Vec::new()));
    assert_eq!(told_of_many.len(), MAX_PEERS);
}

#[test]
fn foreign_messages_are_refused() {
    assert!(matches!(
        decode(&[0; MAX_PACKET + 1]),
        Err(DecodeError::TooLong(_))
    ));
    assert!(matches!(decode(b"hello"), Err(DecodeError::Malformed(_))));
    let update = Message::new(0, MessageType::Query, OpCode::Update);
    assert!(matches!(
        decode(&update.to_vec().unwrap()),
        Err(DecodeError::Foreign)
    ));
    let refusal = Message::error_msg(0, OpCode::Query, ResponseCode::Refused);
    assert!(matches!(
        decode(&refusal.to_vec().unwrap()),
        Err(DecodeError::Foreign)
    ));
}

proptest! {
    #[test]
    fn garbage_is_survived(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let _any = decode(&bytes);
    }

    #[test]
    fn damaged_packets_are_survived(
        which in 0_usize..4,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let packets = [captured::JS, captured::PYTHON, captured::RUST, captured::GO];
        let mut packet = bytes(packets[which]);
        for (place, byte) in damage {
            let place = place.index(packet.len());
            packet[place] = byte;
        }
        let _any = decode(&packet);
        packet.truncate(cut.index(packet.len()));
        let _any = decode(&packet);
    }
}
