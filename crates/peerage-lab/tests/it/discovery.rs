//! Two and three nodes that start in any order, or at once, all know each other's cards.

use futures::future::join_all;
use peerage::Node;
use peerage_lab::{Lab, Place, WITHIN, introduced, shuffled, until};
use tokio::time::timeout;

/// Starts the places in this order, one after the other, and waits until all know each other.
async fn in_order(places: &[Place], order: &[usize]) {
    let mut nodes = Vec::new();
    for place in order {
        nodes.push(places[*place].start().await);
    }
    all_know(nodes).await;
}

async fn all_know(nodes: Vec<Node>) {
    introduced(&nodes.iter().collect::<Vec<_>>()).await;
    for node in &nodes {
        for other in nodes
            .iter()
            .filter(|other| other.peer_id() != node.peer_id())
        {
            let record = node.book().get(&other.peer_id()).unwrap();
            assert_eq!(record.card.unwrap().name(), other.status().name);
        }
    }
    join_all(nodes.into_iter().map(Node::stop)).await;
}

#[tokio::test]
async fn two_that_start_in_any_order_know_each_other() {
    for order in [[0, 1], [1, 0]] {
        let lab = Lab::new();
        in_order(&lab.places(2), &order).await;
    }
}

#[tokio::test]
async fn three_that_start_in_any_order_know_each_other() {
    let orders = [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ];
    join_all(orders.map(|order| async move {
        let lab = Lab::new();
        in_order(&lab.places(3), &order).await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_that_start_at_once_know_each_other() {
    for round in 0..8 {
        for count in [2, 3] {
            let lab = Lab::new();
            let places = lab.places(count);
            let order = shuffled(count, round);
            let nodes = join_all(order.iter().map(|place| places[*place].start())).await;
            all_know(nodes).await;
        }
    }
}

#[tokio::test]
async fn one_address_is_enough_for_both() {
    let lab = Lab::new();
    let a = lab.place("a");
    let b = lab.place("b").knowing(&a);
    for b_first in [true, false] {
        let (one, other) = if b_first { (&b, &a) } else { (&a, &b) };
        let nodes = vec![one.start().await, other.start().await];
        all_know(nodes).await;
    }
}

#[tokio::test]
async fn a_chain_of_acquaintances_stays_a_chain() {
    let lab = Lab::new();
    let a = lab.place("a");
    let b = lab.place("b").knowing(&a);
    let c = lab.place("c").knowing(&b);
    let (a, b, c) = (a.start().await, b.start().await, c.start().await);
    introduced(&[&a, &b]).await;
    introduced(&[&b, &c]).await;
    // Nobody is told of peers by peers: a stranger's word is no way to make a node dial.
    assert!(a.book().get(&c.peer_id()).is_none());
    join_all([a, b, c].map(Node::stop)).await;
}

/// Over loopback TCP, found by mDNS alone, all in the same second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_find_each_other_by_mdns() {
    let lab = Lab::new();
    let nodes = join_all(["x", "y", "z"].map(|name| {
        Node::builder(lab.folder().join(name))
            .name(name)
            .listen("/ip4/127.0.0.1/tcp/0".parse().unwrap())
            .spawn()
    }))
    .await;
    let nodes: Vec<Node> = nodes.into_iter().map(Result::unwrap).collect();
    if multicast(&nodes[0]).await {
        all_know(nodes).await;
    } else {
        eprintln!("skipped: multicast does not work on loopback here");
        join_all(nodes.into_iter().map(Node::stop)).await;
    }
}

/// Whether mDNS works on some interface, once it has found out.
async fn multicast(node: &Node) -> bool {
    let state = |want: fn(&str) -> bool| node.status().mdns.iter().any(|on| want(&on.state));
    let known = async {
        let mut look = tokio::time::interval(std::time::Duration::from_millis(20));
        loop {
            look.tick().await;
            let status = node.status().mdns;
            let open = status.is_empty() || status.iter().any(|on| on.state == "starting");
            if state(|state| state == "up") || !open {
                return;
            }
        }
    };
    let _ = timeout(WITHIN / 3, known).await;
    state(|state| state == "up")
}

#[tokio::test]
async fn a_restarted_node_redials_whom_it_knew_without_being_told() {
    let lab = Lab::new();
    let a = lab.place_at("home", "a");
    let b = lab.place_at("home", "b").knowing(&a);
    let nodes = [a.start().await, b.start().await];
    introduced(&[&nodes[0], &nodes[1]]).await;
    for node in [&nodes[0], &nodes[1]] {
        until(node, "members of one home's mesh", |book| {
            book.iter()
                .all(|(_, r)| r.relation == peerage_core::peer_book::Relation::Member)
        })
        .await;
    }
    join_all(nodes.map(Node::stop)).await;

    // Neither is told of the other now: what they have is what they kept.
    let (a, b) = (a.knowing_nobody(), b.knowing_nobody());
    for order in [[&a, &b], [&b, &a]] {
        let mut nodes = Vec::new();
        for place in order {
            nodes.push(place.start().await);
        }
        all_know(nodes).await;
    }
}
