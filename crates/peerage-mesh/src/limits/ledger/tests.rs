use proptest::prelude::*;

use super::*;
use crate::limits::PeerLimits;

fn small() -> Limits {
    Limits {
        connections: 8,
        connections_per_second: 10,
        streams: 40,
        bytes_in_flight: 1000,
        member: PeerLimits {
            streams: 16,
            bytes_in_flight: 600,
            calls_per_second: 20,
        },
        stranger: PeerLimits {
            streams: 4,
            bytes_in_flight: 100,
            calls_per_second: 5,
        },
    }
}

fn peers(count: usize) -> Vec<PeerId> {
    (0..count).map(|_| PeerId::random()).collect()
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Take(usize, Resource, u64),
    Give(usize),
    Relate(usize, bool),
    Pass(u64),
    Tidy,
}

fn step() -> impl Strategy<Value = Step> {
    let resource = prop_oneof![
        Just(Resource::Connections),
        Just(Resource::Streams),
        Just(Resource::Bytes)
    ];
    prop_oneof![
        6 => (0..6_usize, resource, 1..120_u64).prop_map(|(p, r, n)| Step::Take(p, r, n)),
        3 => (0..100_usize).prop_map(Step::Give),
        1 => (0..6_usize, any::<bool>()).prop_map(|(p, s)| Step::Relate(p, s)),
        1 => (0..3000_u64).prop_map(Step::Pass),
        1 => Just(Step::Tidy),
    ]
}

proptest! {
    /// Whatever is taken and given back, and whoever becomes what meanwhile: the sums are right, no
    /// ceiling is passed, and in the end nothing is held.
    #[test]
    fn the_sums_are_right_and_no_ceiling_is_passed(steps in prop::collection::vec(step(), 1..300)) {
        let (limits, peers) = (small(), peers(6));
        let mut now = Instant::now();
        let mut ledger = Ledger::new(limits, now);
        let mut taken: Vec<(PeerId, Resource, u64)> = Vec::new();
        for step in steps {
            match step {
                Step::Take(peer, resource, amount) => {
                    let peer = peers[peer];
                    let (amount, done) = match resource {
                        Resource::Connections => (1, ledger.connect(peer, now)),
                        Resource::Streams => (1, ledger.stream(peer, now)),
                        Resource::Bytes => (amount, ledger.hold(peer, amount, now)),
                    };
                    if done.is_ok() {
                        taken.push((peer, resource, amount));
                    }
                }
                Step::Give(which) if !taken.is_empty() => {
                    let (peer, resource, amount) = taken.swap_remove(which % taken.len());
                    ledger.give(&peer, resource, amount);
                }
                Step::Give(_) => {}
                Step::Relate(peer, stranger) => ledger.relate(&peers[peer], stranger),
                Step::Pass(millis) => now += Duration::from_millis(millis),
                Step::Tidy => ledger.tidy(now),
            }
            let sum = |resource| {
                let of = taken.iter().filter(|(_, r, _)| *r == resource);
                of.map(|(_, _, amount)| amount).sum::<u64>()
            };
            prop_assert_eq!(ledger.all, Used {
                connections: sum(Resource::Connections),
                streams: sum(Resource::Streams),
                bytes_in_flight: sum(Resource::Bytes),
            });
            prop_assert!(ledger.all.connections <= limits.connections);
            prop_assert!(ledger.all.bytes_in_flight <= limits.bytes_in_flight);
            prop_assert!(ledger.all.streams <= limits.streams + limits.streams / 8);
            let mut strangers = Used::default();
            for account in ledger.accounts.values().filter(|a| a.stranger) {
                strangers.plus(&account.held);
            }
            prop_assert_eq!(ledger.strangers, strangers);
        }
        for (peer, resource, amount) in taken {
            ledger.give(&peer, resource, amount);
        }
        prop_assert_eq!((ledger.all, ledger.strangers), (Used::default(), Used::default()));
        ledger.tidy(now + SHUT_OUT * 2);
        prop_assert!(ledger.accounts.is_empty());
    }
}

#[test]
fn strangers_leave_half_of_everything_to_members() {
    let now = Instant::now();
    let mut ledger = Ledger::new(small(), now);
    let made = peers(100)
        .into_iter()
        .filter(|peer| ledger.connect(*peer, now).is_ok())
        .count();
    assert_eq!(made, 4);
    let member = PeerId::random();
    ledger.standing(member, now);
    ledger.relate(&member, false);
    for _ in 0..4 {
        ledger
            .connect(member, now)
            .expect("there is room for a member");
    }
    let refused = ledger.usage(now).refused;
    assert_eq!(refused, [(Cause::Connections, 96)]);
}

#[test]
fn a_peer_that_goes_on_sending_what_is_no_request_is_shut_out() {
    let mut now = Instant::now();
    let mut ledger = Ledger::new(small(), now);
    let peer = PeerId::random();
    for _ in 0..GARBAGE_BURST {
        ledger.garbage(peer, now);
    }
    assert_eq!(ledger.closing(), None, "it may have been a mistake");
    now += Duration::from_secs(2);
    ledger.garbage(peer, now);
    assert_eq!(ledger.closing(), None, "it was long ago");
    for _ in 0..GARBAGE_BURST {
        ledger.garbage(peer, now);
    }
    assert_eq!(ledger.closing(), Some(peer));
    assert_eq!(ledger.connect(peer, now).unwrap_err().cause, Cause::ShutOut);
    let refused = ledger.usage(now).refused;
    let garbage = u64::from(2 * GARBAGE_BURST + 1);
    assert_eq!(refused, [(Cause::Garbage, garbage), (Cause::ShutOut, 1)]);
    now += SHUT_OUT;
    ledger.connect(peer, now).expect("it is over");
}

#[test]
fn a_peer_that_is_full_is_told_and_then_reset_and_then_shut_out() {
    let now = Instant::now();
    let mut limits = small();
    limits.stranger.calls_per_second = 100_000;
    let mut ledger = Ledger::new(limits, now);
    let peer = PeerId::random();
    let standing = ledger.standing(peer, now);
    for _ in 0..4 {
        ledger.stream(peer, now).unwrap();
        assert!(!standing.is_full());
    }
    for _ in 0..TOLD {
        ledger.stream(peer, now).unwrap();
        assert!(standing.is_full());
    }
    assert_eq!(ledger.stream(peer, now).unwrap_err().cause, Cause::Streams);
    assert_eq!(ledger.closing(), None);
    for _ in 0..10_000 {
        let _ = ledger.stream(peer, now);
    }
    assert_eq!(ledger.closing(), Some(peer));
    assert_eq!(ledger.closing(), None, "it is said once");
    assert_eq!(ledger.connect(peer, now).unwrap_err().cause, Cause::ShutOut);
    assert_eq!(ledger.usage(now).shut_out, [peer]);
    ledger
        .connect(PeerId::random(), now)
        .expect("others are not concerned");
    for _ in 0..4 + TOLD {
        ledger.give(&peer, Resource::Streams, 1);
    }
    assert!(!standing.is_full());
    ledger
        .connect(peer, now + SHUT_OUT)
        .expect("after a while it may come back");
}

#[test]
fn calls_that_come_too_fast_are_told_when_to_come_again() {
    let now = Instant::now();
    let mut ledger = Ledger::new(small(), now);
    let peer = PeerId::random();
    for _ in 0..10 {
        ledger.call(peer, now).unwrap();
    }
    let refusal = ledger.call(peer, now).unwrap_err();
    assert_eq!(refusal.cause, Cause::Calls);
    assert_eq!(refusal.retry_after, Duration::from_millis(200));
    ledger.call(peer, now + refusal.retry_after).unwrap();
    ledger
        .call(PeerId::random(), now)
        .expect("another peer has a budget of its own");
}

#[test]
fn who_holds_as_much_as_may_be_makes_no_further_call() {
    let now = Instant::now();
    let mut ledger = Ledger::new(small(), now);
    let peer = PeerId::random();
    ledger.hold(peer, 60, now).unwrap();
    assert_eq!(ledger.hold(peer, 60, now).unwrap_err().cause, Cause::Bytes);
    ledger.add(peer, Resource::Bytes, 60, now);
    assert_eq!(ledger.call(peer, now).unwrap_err().cause, Cause::Bytes);
    ledger.give(&peer, Resource::Bytes, 120);
    ledger.call(peer, now).unwrap();
}

#[test]
fn coming_back_gives_nothing_that_was_used_up() {
    let now = Instant::now();
    let mut ledger = Ledger::new(small(), now);
    let peer = PeerId::random();
    ledger.connect(peer, now).unwrap();
    while ledger.call(peer, now).is_ok() {}
    ledger.give(&peer, Resource::Connections, 1);
    ledger.tidy(now);
    ledger.connect(peer, now).unwrap();
    ledger
        .call(peer, now)
        .expect_err("the same key has the same budget");
}

#[test]
fn invented_keys_take_no_more_memory_than_is_set() {
    let now = Instant::now();
    let mut ledger = Ledger::new(small(), now);
    for peer in peers(2 * MAX_ACCOUNTS) {
        if ledger.connect(peer, now).is_ok() {
            ledger.give(&peer, Resource::Connections, 1);
        }
    }
    assert!(ledger.accounts.len() <= MAX_ACCOUNTS);
    ledger.tidy(now + Duration::from_secs(20));
    assert!(ledger.accounts.is_empty());
}
