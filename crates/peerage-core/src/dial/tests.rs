use super::*;
use crate::peer_book::PeerEvent;

const START: Now = Duration::from_secs(1_000_000);

fn peer(n: u8) -> PeerId {
    crate::Identity::from_secret([n; 32]).peer_id()
}

fn sighting(n: u16) -> PeerEvent {
    PeerEvent::Discovered {
        addresses: vec![format!("/ip4/127.0.0.1/tcp/{n}").parse().unwrap()],
        source: Source::Mdns,
        holds: Some(Duration::from_secs(120)),
    }
}

fn soon() -> Now {
    START + Duration::from_secs(1)
}

#[test]
fn a_sighted_peer_is_dialled_once() {
    let mut book = PeerBook::new(peer(1), 7);
    book.apply(peer(2), sighting(1), START);
    assert_eq!(plan(&book, soon()).dial, [peer(2)]);
    book.apply(peer(2), PeerEvent::Dialing, soon());
    assert_eq!(plan(&book, soon()), Plan::default());
}

#[test]
fn a_failure_is_waited_out_and_the_wait_is_told() {
    let mut book = PeerBook::new(peer(1), 7);
    book.apply(peer(2), sighting(1), START);
    book.apply(
        peer(2),
        PeerEvent::DialFailed {
            cause: "refused".into(),
        },
        START,
    );
    let planned = plan(&book, START);
    assert!(planned.dial.is_empty());
    let again = planned.again.expect("it says when to ask again");
    assert!(again > START && again <= START + Duration::from_secs(1));
    assert_eq!(plan(&book, again).dial, [peer(2)]);
}

#[test]
fn a_new_address_ends_the_wait() {
    let mut book = PeerBook::new(peer(1), 7);
    book.apply(peer(2), sighting(1), START);
    for _ in 0..10 {
        book.apply(
            peer(2),
            PeerEvent::DialFailed {
                cause: "refused".into(),
            },
            START,
        );
    }
    assert!(plan(&book, soon()).dial.is_empty());
    book.apply(peer(2), sighting(2), START);
    assert_eq!(plan(&book, soon()).dial, [peer(2)]);
}

#[test]
fn nobody_dials_who_was_only_heard_of_long_ago() {
    let mut book = PeerBook::new(peer(1), 7);
    book.apply(peer(2), sighting(1), START);
    assert!(
        plan(&book, START + Duration::from_secs(121))
            .dial
            .is_empty()
    );
    book.apply(peer(2), PeerEvent::Related(Relation::Member), START);
    let later = START + Duration::from_secs(100_000);
    assert_eq!(
        plan(&book, later).dial,
        [peer(2)],
        "a member is always wanted"
    );
}

#[test]
fn members_come_first_and_no_more_are_dialled_than_may_be() {
    let mut book = PeerBook::new(peer(0), 7);
    for n in 1..=100 {
        book.apply(peer(n), sighting(u16::from(n)), START);
    }
    book.apply(peer(99), PeerEvent::Related(Relation::Member), START);
    let dial = plan(&book, soon()).dial;
    assert_eq!(dial.len(), MAX_DIALING);
    assert_eq!(dial[0], peer(99));
}

#[test]
fn both_sides_agree_who_dials_first() {
    for n in 1..20 {
        assert_ne!(
            dials_first(&peer(0), &peer(n)),
            dials_first(&peer(n), &peer(0))
        );
    }
    assert!(head_start(true, 0.99) < head_start(false, 0.0));
}

#[test]
fn waits_double_up_to_a_ceiling() {
    let wait = |failures, relation| back_off(failures, relation, 1.0);
    assert_eq!(wait(1, Relation::Member), Duration::from_secs(1));
    assert_eq!(wait(3, Relation::Member), Duration::from_secs(4));
    assert_eq!(wait(u32::MAX, Relation::Member), Duration::from_secs(60));
    assert_eq!(wait(u32::MAX, Relation::Stranger), Duration::from_secs(600));
    assert_eq!(
        back_off(1, Relation::Member, 0.0),
        Duration::from_millis(500)
    );
}

#[test]
fn an_address_that_worked_is_tried_before_one_that_was_only_heard_of() {
    let mut book = PeerBook::new(peer(1), 7);
    book.apply(peer(2), sighting(1), START);
    book.apply(peer(2), sighting(2), soon());
    let good: Multiaddr = "/ip4/127.0.0.1/tcp/1".parse().unwrap();
    let connected = PeerEvent::Connected {
        address: good.clone(),
        path: crate::peer_book::Path::Direct,
        outbound: true,
    };
    book.apply(peer(2), connected, START);
    assert_eq!(addresses(book.get(&peer(2)).unwrap())[0], good);
}

#[test]
fn surplus_strangers_go_and_members_stay() {
    let mut book = PeerBook::new(peer(0), 7);
    for n in 1..=80 {
        let connected = PeerEvent::Connected {
            address: "/ip4/127.0.0.1/tcp/1".parse().unwrap(),
            path: crate::peer_book::Path::Direct,
            outbound: false,
        };
        book.apply(
            peer(n),
            connected,
            START + Duration::from_secs(u64::from(n)),
        );
    }
    book.apply(peer(80), PeerEvent::Related(Relation::Member), START);
    let gone = surplus(&book, soon());
    assert_eq!(gone.len(), 79 - MAX_STRANGERS);
    assert!(!gone.contains(&peer(80)) && !gone.contains(&peer(1)));
}
