use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use libp2p_identity::PeerId;
use proptest::{
    collection::vec,
    prelude::{any, prop_assert, prop_assert_eq, proptest},
};

use super::{Candidate, Knows, Lookup, MAX_ASKED, Next, order};
use crate::{address::Address, identity::Identity};

fn peer(n: u8) -> PeerId {
    Identity::from_secret([n; 32]).peer_id()
}

fn name(text: &str) -> Address {
    text.parse().unwrap()
}

fn at(n: u8, text: &str) -> (PeerId, Address) {
    (peer(n), name(text))
}

#[test]
fn who_is_known_is_not_asked_for() {
    let known = [
        at(1, "o://acme"),
        at(2, "o://acme/sales/bot"),
        at(3, "o://acme/sales/bot"),
    ];
    let mut lookup = Lookup::new(name("o://acme/sales/bot"), known);
    let Next::Found(found) = lookup.step() else {
        panic!("it is known")
    };
    assert_eq!(
        BTreeSet::from_iter(found),
        BTreeSet::from([peer(2), peer(3)])
    );
}

#[test]
fn the_nearest_is_asked_step_by_step() {
    let known = [
        at(1, "o://acme"),
        at(2, "o://acme/sales"),
        at(3, "o://other"),
        at(4, "o://acme/sales/bots"),
    ];
    let mut lookup = Lookup::new(name("o://acme/sales/team/bot"), known);
    let sales = name("o://acme/sales");
    assert_eq!(lookup.step(), Next::Ask(peer(2), sales.clone()));
    lookup.answered(
        &sales,
        vec![
            at(5, "o://acme/sales/team"),
            at(6, "o://acme/sales/team/bot2"),
        ],
    );
    let team = name("o://acme/sales/team");
    assert_eq!(lookup.step(), Next::Ask(peer(5), team.clone()));
    lookup.answered(&team, vec![at(7, "o://acme/sales/team/bot")]);
    assert_eq!(lookup.step(), Next::Found(vec![peer(7)]));
}

#[test]
fn a_silent_peer_is_passed_over_and_the_end_is_told() {
    let mut lookup = Lookup::new(
        name("o://acme/sales/bot"),
        [at(1, "o://acme"), at(2, "o://acme/sales")],
    );
    assert_eq!(lookup.step(), Next::Ask(peer(2), name("o://acme/sales")));
    assert_eq!(lookup.step(), Next::Ask(peer(1), name("o://acme")));
    assert_eq!(lookup.step(), Next::Unknown);
    assert_eq!(Lookup::new(name("o://acme"), []).step(), Next::Unknown);
}

#[test]
fn hints_that_lead_back_or_away_are_not_followed() {
    let mut lookup = Lookup::new(name("o://acme/sales/bot"), [at(1, "o://acme/sales")]);
    let sales = name("o://acme/sales");
    assert_eq!(lookup.step(), Next::Ask(peer(1), sales.clone()));
    let hints = vec![
        at(1, "o://acme/sales"),
        at(2, "o://acme"),
        at(3, "o://acme/sales"),
        at(4, "o://evil/sales/bot"),
        at(5, "o://acme/sales/bot/below"),
    ];
    lookup.answered(&sales, hints);
    assert_eq!(lookup.step(), Next::Unknown);
}

fn candidate(n: u8) -> Candidate {
    Candidate {
        peer: peer(n),
        connected: true,
        failures: 0,
        rtt: Some(Duration::from_millis(10)),
        load: 0,
    }
}

#[test]
fn the_healthy_come_first_and_then_those_that_will_take_the_shortest_time() {
    let failing = Candidate {
        failures: 1,
        rtt: Some(Duration::ZERO),
        ..candidate(1)
    };
    let far = Candidate {
        rtt: Some(Duration::from_millis(80)),
        ..candidate(2)
    };
    let busy = Candidate {
        load: 3,
        ..candidate(3)
    };
    let away = Candidate {
        connected: false,
        ..candidate(4)
    };
    let all = vec![failing, far, busy, away, candidate(5)];
    for turn in 0..10 {
        let ordered = order(all.clone(), turn);
        assert_eq!(ordered, [5, 3, 2, 4, 1].map(peer));
    }
}

#[test]
fn equals_take_turns() {
    let all: Vec<_> = (1..=4).map(candidate).collect();
    let mut first = BTreeMap::new();
    for turn in 0..400 {
        *first.entry(order(all.clone(), turn)[0]).or_insert(0) += 1;
    }
    assert_eq!(first.into_values().collect::<Vec<_>>(), [100; 4]);
    assert_eq!(order(Vec::new(), 7), []);
}

proptest! {
    /// Whatever peers answer, a search ends, and finds nobody who was not said to bear the name.
    #[test]
    fn every_search_ends(
        begin in vec((0_u8..40, 0_usize..6), 0..8),
        answers in vec(vec((any::<u8>(), 0_usize..6), 0..20), 0..64),
    ) {
        let names = ["o://ab", "o://ab/cd", "o://ab/cd/ef", "o://ab/cd/ef/gh", "o://ab/xx", "o://yy"].map(name);
        let wanted = names[3].clone();
        let peers: Vec<PeerId> = (0..=255).map(peer).collect();
        let hint = |(n, at): (u8, usize)| (peers[usize::from(n)], names[at].clone());
        let mut bearers: BTreeSet<PeerId> = BTreeSet::new();
        let mut told = |hints: &[(PeerId, Address)]| {
            bearers.extend(hints.iter().filter(|(_, bears)| *bears == wanted).map(|(peer, _)| *peer));
        };
        let begin: Vec<_> = begin.into_iter().map(hint).collect();
        told(&begin);
        let mut lookup = Lookup::new(wanted.clone(), begin);
        let mut answers = answers.into_iter();
        let mut asked = BTreeSet::new();
        loop {
            match lookup.step() {
                Next::Ask(peer, bears) => {
                    prop_assert!(asked.insert(peer), "asked twice");
                    let hints: Vec<_> = answers.next().unwrap_or_default().into_iter().map(hint).collect();
                    told(&hints);
                    lookup.answered(&bears, hints);
                }
                Next::Found(found) => {
                    prop_assert!(found.iter().all(|peer| bearers.contains(peer)));
                    break;
                }
                Next::Unknown => {
                    break;
                }
                Next::TooFar => {
                    prop_assert_eq!(asked.len(), MAX_ASKED);
                    break;
                }
            }
        }
        prop_assert!(asked.len() <= MAX_ASKED);
    }
}

#[test]
fn who_only_may_know_is_asked_after_those_who_bear_a_beginning() {
    let mut lookup = Lookup::new(name("o://acme/sales/bot"), [at(1, "o://acme")]);
    lookup.near(peer(2), &name("o://acme/laptop"), Knows::Member);
    lookup.near(peer(3), &name("o://acme/sales/desk"), Knows::Giver);
    lookup.near(peer(4), &name("o://acme/home"), Knows::Giver);
    lookup.near(peer(5), &name("o://other/home"), Knows::Giver);
    let (acme, sales) = (name("o://acme"), name("o://acme/sales"));
    for (wanted, by) in [(3, &sales), (1, &acme), (4, &acme), (2, &acme)] {
        assert_eq!(lookup.step(), Next::Ask(peer(wanted), by.clone()));
    }
    assert_eq!(lookup.step(), Next::Unknown);
}
