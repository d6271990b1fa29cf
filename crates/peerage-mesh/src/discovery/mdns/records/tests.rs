//! What is built is what others read.

use std::str::FromStr;

use super::{
    super::message::{Packet, decode},
    *,
};

const PEER: &str = "12D3KooWBsAAvJjUPiVD9BDQW83gqC35ojMhZDYfuq34TRXqTmao";

fn profile(name: &str) -> Profile {
    Profile {
        peer: PeerId::from_str(PEER).unwrap(),
        did: "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK".into(),
        name: name.into(),
        label: "a".repeat(32),
        ttl: 120,
    }
}

fn addresses(texts: &[&str]) -> Vec<Multiaddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn records(name: &str) -> Records {
    let addresses = addresses(&[
        "/ip6/fd99::1/tcp/4001",
        "/ip4/10.0.0.1/udp/4001/quic-v1",
        "/ip4/10.0.0.1/tcp/4002",
    ]);
    Records::new(&profile(name), &addresses).unwrap().unwrap()
}

fn read(packet: &[u8]) -> Message {
    Message::from_vec(packet).unwrap()
}

fn strings(record: &Record) -> Vec<String> {
    let RData::TXT(txt) = &record.data else {
        panic!("not TXT");
    };
    txt.txt_data
        .iter()
        .map(|text| String::from_utf8(text.to_vec()).unwrap())
        .collect()
}

fn browse(service: Service, tone: Tone<'_>) -> Vec<u8> {
    records("office")
        .packet(Reply::Browse(service), tone)
        .unwrap()
}

#[test]
fn we_understand_ourselves() {
    let Packet::Response(peers) = decode(&browse(Service::P2p, Tone::Multicast)).unwrap() else {
        panic!("a query");
    };
    assert_eq!(peers.len(), 1);
    assert_eq!(peers[0].peer.to_string(), PEER);
    assert_eq!(peers[0].ttl, 120);
    let best_first = [
        "/ip4/10.0.0.1/tcp/4002",
        "/ip4/10.0.0.1/udp/4001/quic-v1",
        "/ip6/fd99::1/tcp/4001",
    ];
    assert_eq!(peers[0].addresses, addresses(&best_first));
}

/// What go-libp2p wants: in one packet a pointer, SRV, one TXT, and an address of SRV's target. What
/// rust-libp2p wants: the TXT among the additional records. What js-libp2p wants: one pointer.
#[test]
fn one_packet_has_what_each_implementation_wants() {
    let message = read(&browse(Service::P2p, Tone::Multicast));
    let [pointer] = &message.answers[..] else {
        panic!("one answer");
    };
    assert_eq!(pointer.name.to_string(), "_p2p._udp.local.");
    let RData::PTR(target) = &pointer.data else {
        panic!("not PTR");
    };
    let of = |kind| -> Vec<&Record> {
        message
            .additionals
            .iter()
            .filter(|record| record.record_type() == kind)
            .collect()
    };
    let (srv, txt) = (of(RecordType::SRV), of(RecordType::TXT));
    assert_eq!((srv.len(), txt.len()), (1, 1));
    assert!(srv[0].name == target.0 && txt[0].name == target.0);
    assert_eq!(strings(txt[0]).len(), 3);
    let RData::SRV(srv) = &srv[0].data else {
        panic!("not SRV");
    };
    assert_eq!(srv.port, 4002);
    assert_eq!(of(RecordType::A)[0].name, srv.target);
    assert_eq!(of(RecordType::AAAA)[0].name, srv.target);
    assert!(
        message
            .additionals
            .iter()
            .all(|record| record.mdns_cache_flush)
    );
    assert!(!pointer.mdns_cache_flush);
}

#[test]
fn browsers_see_name_and_did() {
    let message = read(&browse(Service::Peerage, Tone::Multicast));
    let RData::PTR(target) = &message.answers[0].data else {
        panic!("not PTR");
    };
    assert_eq!(target.0.to_string(), "office-XqTmao._peerage._tcp.local.");
    let txt = message
        .additionals
        .iter()
        .find(|r| r.record_type() == RecordType::TXT)
        .unwrap();
    let lines = strings(txt);
    assert!(lines.contains(&format!("peer={PEER}")));
    assert!(lines.contains(&"name=office".to_owned()));
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("did=did:key:z6Mk"))
    );
    let Packet::Response(peers) = decode(&browse(Service::Peerage, Tone::Multicast)).unwrap()
    else {
        panic!("a query");
    };
    assert!(peers.is_empty());
}

#[test]
fn any_name_can_be_told() {
    let long = "ü".repeat(400);
    for name in ["", "  ", "a.b c\\d", "\u{0}\n", "日本のノード", &long] {
        let packet = records(name)
            .packet(Reply::Browse(Service::Peerage), Tone::Multicast)
            .unwrap();
        let RData::PTR(target) = &read(&packet).answers[0].data else {
            panic!("not PTR");
        };
        assert_eq!(target.0.num_labels(), 4);
        assert!(
            std::str::from_utf8(target.0.iter().next().unwrap())
                .unwrap()
                .ends_with("-XqTmao")
        );
    }
}

#[test]
fn a_goodbye_has_no_time_to_live() {
    let message = read(&browse(Service::P2p, Tone::Goodbye));
    assert!(message.all_sections().all(|record| record.ttl == 0));
    let Packet::Response(peers) = decode(&browse(Service::P2p, Tone::Goodbye)).unwrap() else {
        panic!("a query");
    };
    assert_eq!(peers[0].ttl, 0);
}

fn ask(name: &str, kind: RecordType, known: Option<(Name, u32)>) -> Query {
    let mut message = Message::new(77, MessageType::Query, OpCode::Query);
    let name = Name::from_ascii(name).unwrap();
    message.add_query(hickory_proto::op::Query::query(name.clone(), kind));
    if let Some((target, ttl)) = known {
        message.add_answer(shared(name, ttl, target));
    }
    match decode(&message.to_vec().unwrap()).unwrap() {
        Packet::Query(query) => query,
        Packet::Response(_) => panic!("a response"),
    }
}

#[test]
fn each_question_has_its_answer() {
    let records = records("office");
    let label = "a".repeat(32);
    let asked = |name: &str, kind| records.wanted(&ask(name, kind, None));
    for kind in [RecordType::PTR, RecordType::ANY] {
        assert_eq!(
            asked("_P2P._udp.LOCAL.", kind),
            [Reply::Browse(Service::P2p)]
        );
        assert_eq!(
            asked("_peerage._tcp.local.", kind),
            [Reply::Browse(Service::Peerage)]
        );
        assert_eq!(asked("_services._dns-sd._udp.local.", kind), [Reply::Types]);
    }
    let instance = format!("{label}._p2p._udp.local.");
    assert_eq!(
        asked(&instance, RecordType::TXT),
        [Reply::Resolve(Service::P2p)]
    );
    let instance = "office-XqTmao._peerage._tcp.local.";
    assert_eq!(
        asked(instance, RecordType::SRV),
        [Reply::Resolve(Service::Peerage)]
    );
    assert_eq!(
        asked(&format!("{label}.local."), RecordType::AAAA),
        [Reply::Host]
    );
    assert!(asked("_p2p._udp.local.", RecordType::TXT).is_empty());
    assert!(asked("_http._tcp.local.", RecordType::PTR).is_empty());
    for reply in [Reply::Types, Reply::Host, Reply::Resolve(Service::Peerage)] {
        let message = read(&records.packet(reply, Tone::Multicast).unwrap());
        assert_eq!(message.answers.len(), 2, "{reply:?}");
    }
}

#[test]
fn a_known_answer_is_not_repeated() {
    let records = records("office");
    let known = |ttl| Some((records.p2p.instance.clone(), ttl));
    let asked = |known| records.wanted(&ask("_p2p._udp.local.", RecordType::PTR, known));
    assert!(asked(known(60)).is_empty());
    assert_eq!(asked(known(59)).len(), 1);
    let other = Name::from_ascii("b._p2p._udp.local.").unwrap();
    assert_eq!(asked(Some((other, 120))).len(), 1);
}

#[test]
fn ordinary_dns_gets_its_question_back() {
    let query = ask("_p2p._udp.local.", RecordType::PTR, None);
    let message = read(&browse(Service::P2p, Tone::Legacy(&query)));
    assert_eq!(message.metadata.id, 77);
    assert_eq!(message.queries[0].name.to_string(), "_p2p._udp.local.");
    assert!(
        message
            .all_sections()
            .all(|record| record.ttl <= 10 && !record.mdns_cache_flush)
    );
}

#[test]
fn many_addresses_fit_one_frame() {
    let profile = profile(&"n".repeat(300));
    assert_eq!(Records::new(&profile, &[]).unwrap(), None);
    let many: Vec<Multiaddr> = (0..200)
        .map(|n| format!("/ip6/2001:db8:1234:5678:9abc:def0:1234:{n:x}/udp/40001/quic-v1"))
        .map(|text| text.parse().unwrap())
        .collect();
    let records = Records::new(&profile, &many).unwrap().unwrap();
    for service in [Service::P2p, Service::Peerage] {
        let packet = records
            .packet(Reply::Browse(service), Tone::Multicast)
            .unwrap();
        assert!(packet.len() <= 1452, "{}", packet.len());
    }
}
