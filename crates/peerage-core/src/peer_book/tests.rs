use super::*;

const START: Now = Duration::from_secs(1_000_000);

fn peer(n: u32) -> PeerId {
    let mut secret = [0; 32];
    secret[..4].copy_from_slice(&n.to_be_bytes());
    crate::Identity::from_secret(secret).peer_id()
}

fn sighting() -> PeerEvent {
    PeerEvent::Discovered {
        addresses: vec!["/ip4/127.0.0.1/tcp/1".parse().unwrap()],
        source: Source::Mdns,
        holds: Some(Duration::from_secs(120)),
    }
}

#[test]
fn a_node_does_not_know_itself() {
    let mut book = PeerBook::new(peer(1), 7);
    assert!(!book.apply(peer(1), sighting(), START));
    assert!(book.is_empty());
}

#[test]
fn a_sighting_that_tells_nothing_new_is_no_change() {
    let mut book = PeerBook::new(peer(1), 7);
    assert!(book.apply(peer(2), sighting(), START));
    assert!(!book.apply(peer(2), sighting(), START));
}

#[test]
fn invented_peers_fill_the_book_to_its_limit_and_push_out_nobody_who_is_wanted() {
    let mut book = PeerBook::new(peer(0), 7);
    book.apply(peer(1), PeerEvent::Related(Relation::Member), START);
    for n in 2..5_000 {
        book.apply(peer(n), sighting(), START);
    }
    assert_eq!(book.len(), MAX_PEERS);
    assert!(book.left_out() > 0);
    assert!(book.get(&peer(1)).is_some());
    let later = START + Duration::from_secs(500);
    book.apply(peer(6_000), sighting(), later);
    assert!(book.get(&peer(6_000)).is_some(), "old sightings make room");
    assert!(book.get(&peer(1)).is_some());
}

#[test]
fn addresses_of_a_peer_are_bounded_and_the_one_that_works_stays() {
    let mut book = PeerBook::new(peer(1), 7);
    let connected = PeerEvent::Connected {
        address: "/ip4/10.0.0.1/tcp/9".parse().unwrap(),
        path: Path::Direct,
        outbound: true,
    };
    book.apply(peer(2), connected, START);
    for n in 0..100 {
        let event = PeerEvent::Discovered {
            addresses: vec![format!("/ip4/10.0.0.2/tcp/{n}").parse().unwrap()],
            source: Source::Mdns,
            holds: None,
        };
        book.apply(peer(2), event, START);
    }
    let record = book.get(&peer(2)).unwrap();
    assert_eq!(record.addresses.len(), MAX_ADDRESSES);
    assert!(record.addresses.iter().any(|a| a.last_good.is_some()));
}

#[test]
fn round_trips_are_smoothed() {
    let mut book = PeerBook::new(peer(1), 7);
    book.apply(
        peer(2),
        PeerEvent::Measured(Duration::from_millis(8)),
        START,
    );
    book.apply(
        peer(2),
        PeerEvent::Measured(Duration::from_millis(16)),
        START,
    );
    assert_eq!(
        book.get(&peer(2)).unwrap().rtt,
        Some(Duration::from_millis(9))
    );
}

#[test]
fn what_is_stored_comes_back_without_the_state_of_the_run() {
    let mut book = PeerBook::new(peer(1), 7);
    book.apply(peer(2), sighting(), START);
    book.apply(peer(2), PeerEvent::Related(Relation::Member), START);
    let connected = PeerEvent::Connected {
        address: "/ip4/127.0.0.1/tcp/1".parse().unwrap(),
        path: Path::Direct,
        outbound: true,
    };
    book.apply(peer(2), connected, START);
    let stored = serde_json::to_string(book.get(&peer(2)).unwrap()).unwrap();

    let mut again = PeerBook::new(peer(1), 7);
    again.restore(peer(2), serde_json::from_str(&stored).unwrap());
    let record = again.get(&peer(2)).unwrap();
    assert_eq!(record.link, None);
    assert!(
        record.wanted(START),
        "a member is dialled without discovery"
    );
    assert!(record.addresses[0].last_good.is_some());
}

#[test]
fn a_long_cause_is_cut_at_a_character() {
    let mut book = PeerBook::new(peer(1), 7);
    let cause = "ä".repeat(10_000);
    book.apply(peer(2), PeerEvent::DialFailed { cause }, START);
    let kept = book.get(&peer(2)).unwrap().last_error.clone().unwrap();
    assert!(kept.len() <= MAX_TEXT);
}

#[test]
fn cards_of_invented_keys_are_bounded_and_members_keep_theirs() {
    let mut book = PeerBook::new(peer(1), 7);
    let card = |n: u32| {
        let identity = crate::Identity::from_secret([u8::try_from(n).unwrap(); 32]);
        let filler = "x".repeat(crate::card::MAX_CARD_BYTES - 4096);
        let content = crate::card::CardContent {
            name: "big".to_owned(),
            metadata: [("filler".to_owned(), filler.into())].into_iter().collect(),
            ..crate::card::CardContent::default()
        };
        let card = Card::issue(&identity, content, START.as_secs(), START.as_secs() + 60).unwrap();
        (identity.peer_id(), PeerEvent::CardAccepted(Arc::new(card)))
    };
    let (member, event) = card(100);
    book.apply(member, PeerEvent::Related(Relation::Member), START);
    book.apply(member, event, START);
    for n in 0..50 {
        let (stranger, event) = card(n);
        book.apply(stranger, event, START + Duration::from_secs(n.into()));
        assert!(
            book.get(&stranger).unwrap().card.is_some(),
            "the latest is kept"
        );
    }
    let held = |relation| {
        let of = book.iter().filter(|(_, r)| r.relation == relation);
        of.filter_map(|(_, r)| r.card.as_ref())
            .map(|card| card.bytes().len())
            .sum::<usize>()
    };
    assert!(held(Relation::Stranger) <= MAX_STRANGERS_CARDS);
    assert!(held(Relation::Stranger) > MAX_STRANGERS_CARDS / 2);
    assert!(held(Relation::Member) > 0);
}
