use std::time::Duration;

use bytes::Bytes;
use peerage_core::{
    Identity, PeerId,
    peer_book::{Path, PeerEvent, Source},
};
use tokio::time::timeout;

use crate::node::{Node, PATIENCE, get};

async fn introduce(who: &Node, to: &Node) {
    let event = PeerEvent::Discovered {
        addresses: vec![to.address().await],
        source: Source::Mdns,
        holds: Some(PATIENCE),
    };
    who.mesh.book().apply(to.id, event);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_that_find_each_other_at_the_same_moment_can_call_both_ways() {
    for round in 0..10 {
        let a = Node::echo(10 + round, "/ip4/127.0.0.1/tcp/0", &[]).await;
        let b = Node::echo(30 + round, "/ip4/127.0.0.1/tcp/0", &[]).await;
        tokio::join!(introduce(&a, &b), introduce(&b, &a));
        tokio::join!(a.until_connected(b.id), b.until_connected(a.id));
        let word = Bytes::from_static(b"word");
        assert_eq!(a.post(b.id, word.clone()).await, word);
        assert_eq!(b.post(a.id, word.clone()).await, word);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_comes_back_is_connected_again_without_an_operator() {
    let listen = "/ip4/127.0.0.1/tcp/0";
    let a = Node::echo(1, listen, &[]).await;
    let b = Node::echo(2, listen, &[&a]).await;
    b.until_connected(a.id).await;
    let at = a.address().await.to_string();
    a.tasks.stop().await;
    drop(a.mesh);
    b.until(|mesh| mesh.book().get(&a.id).is_some_and(|r| r.link.is_none()))
        .await;
    let again = Node::echo(1, &at, &[]).await;
    b.until_connected(again.id).await;
    let word = Bytes::from_static(b"word");
    assert_eq!(b.post(again.id, word.clone()).await, word);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_book_learns_address_round_trip_agent_and_path() {
    let a = Node::echo(1, "/ip4/127.0.0.1/tcp/0", &[]).await;
    let b = Node::echo(2, "/ip4/127.0.0.1/tcp/0", &[&a]).await;
    b.until(|mesh| {
        mesh.book()
            .get(&a.id)
            .is_some_and(|r| r.rtt.is_some() && r.agent.is_some())
    })
    .await;
    let record = b.mesh.book().get(&a.id).unwrap();
    assert_eq!(record.link.unwrap().path, Path::Direct);
    assert_eq!(record.agent.as_deref(), Some("test/0"));
    assert!(
        record
            .addresses
            .iter()
            .any(|known| known.last_good.is_some())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn another_key_at_a_known_address_is_refused_and_told() {
    let a = Node::echo(1, "/ip4/127.0.0.1/tcp/0", &[]).await;
    let b = Node::echo(2, "/ip4/127.0.0.1/tcp/0", &[]).await;
    let other: PeerId = Identity::from_secret([9; 32]).peer_id();
    let event = PeerEvent::Discovered {
        addresses: vec![a.address().await],
        source: Source::Config,
        holds: None,
    };
    b.mesh.book().apply(other, event);
    let error = timeout(PATIENCE, b.mesh.call(other, get("/")))
        .await
        .expect("it ends by itself")
        .unwrap_err();
    assert!(error.to_string().contains("another peer"), "{error}");
}

/// Two that have dialled each other at once, mostly with a connection from each.
async fn crossed(listen: &str) -> (Node, Node) {
    let mut secret = 50;
    loop {
        let a = Node::echo(secret, listen, &[]).await;
        let b = Node::echo(secret + 1, listen, &[]).await;
        tokio::join!(introduce(&a, &b), introduce(&b, &a));
        // Without the head start that the plan gives to one of them. With TCP the two may become a
        // single connection that neither answers on; then both fail here, and the plan dials again.
        let _ = tokio::join!(a.mesh.connect(b.id), b.mesh.connect(a.id));
        tokio::join!(a.until_connected(b.id), b.until_connected(a.id));
        if a.mesh.connections(&b.id) == 2 || secret > 90 {
            return (a, b);
        }
        secret += 2;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_that_dial_each_other_at_once_one_connection_remains() {
    for listen in ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"] {
        let (a, b) = crossed(listen).await;
        let word = Bytes::from_static(b"word");
        let mut again = tokio::time::interval(Duration::from_millis(250));
        let one = async {
            // Calls go on meanwhile, and none is lost.
            while (a.mesh.connections(&b.id), b.mesh.connections(&a.id)) != (1, 1) {
                assert_eq!(a.post(b.id, word.clone()).await, word);
                assert_eq!(b.post(a.id, word.clone()).await, word);
                again.tick().await;
            }
        };
        timeout(PATIENCE, one).await.expect("the other is closed");
        assert_eq!(a.post(b.id, word.clone()).await, word);
        assert_eq!(b.post(a.id, word.clone()).await, word);
    }
}
