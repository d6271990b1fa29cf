//! Which of several connections to a peer is used.

use peerage_core::peer_book::PeerBook;

use super::*;
use crate::{Book, Limits, limits::Budget};

fn behaviour(me: PeerId) -> Behaviour {
    let book = Book::new(PeerBook::new(me, 0));
    let budget = Budget::new(Limits::default(), &book);
    let (factory, [], _) = crate::streams::new([], &[], &budget).unwrap();
    factory.behaviour().of(me)
}

/// A connection comes up, dialled by this side or by the other.
fn up(behaviour: &mut Behaviour, peer: PeerId, outbound: bool) -> ConnectionId {
    static NEXT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(1);
    let next = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let id = ConnectionId::new_unchecked(next);
    behaviour.handler(peer, id, outbound);
    behaviour.choose(peer);
    id
}

/// Two ids, the smaller of which dials first.
fn two() -> (PeerId, PeerId) {
    let (one, other) = (PeerId::random(), PeerId::random());
    if dial::dials_first(&one, &other) {
        (one, other)
    } else {
        (other, one)
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_dialled_from_both_sides_at_once_both_use_that_of_the_smaller() {
    let (smaller, greater) = two();
    for earlier_is_outbound in [true, false] {
        let mut here = behaviour(smaller);
        let mut there = behaviour(greater);
        let first = up(&mut here, greater, earlier_is_outbound);
        let first_there = up(&mut there, smaller, !earlier_is_outbound);
        tokio::time::advance(Duration::from_secs(1)).await;
        let second = up(&mut here, greater, !earlier_is_outbound);
        let second_there = up(&mut there, smaller, earlier_is_outbound);
        let (used, used_there) = if earlier_is_outbound {
            (first, first_there)
        } else {
            (second, second_there)
        };
        assert_eq!(here.used(&greater), Some(used));
        assert_eq!(there.used(&smaller), Some(used_there));
    }
}

/// A peer that was killed leaves a connection that nobody has closed, and makes another when it is back.
#[tokio::test(start_paused = true)]
async fn a_connection_that_comes_later_takes_the_place_whoever_dialled() {
    let (smaller, greater) = two();
    for (me, peer) in [(smaller, greater), (greater, smaller)] {
        let mut behaviour = behaviour(me);
        let dead = up(&mut behaviour, peer, true);
        tokio::time::advance(SAME_MOMENT).await;
        let alive = up(&mut behaviour, peer, false);
        assert_eq!(behaviour.used(&peer), Some(alive));
        let connections = &behaviour.connections[&peer];
        assert!(
            connections
                .iter()
                .any(|c| c.id == dead && c.link.line.is_retired())
        );

        behaviour.closed(peer, alive);
        assert_eq!(behaviour.used(&peer), Some(dead), "there is no other");
    }
}
