//! Cards reach peers when they change, and those that do not hold are refused and told.

use axum::body::Body;
use http::{StatusCode, header::CONTENT_TYPE};
use peerage::Node;
use peerage_core::{
    PeerId,
    card::{Card, CardContent, MAX_CARD_BYTES},
    policy::Audience,
};
use peerage_lab::{Lab, counted, introduced, until};
use peerage_services::{card::TELL_PATH, members::unix_now};
use serde_json::{Value, json};

use super::asked::{card, listed, post, problem};

async fn two(lab: &Lab) -> (Node, Node) {
    let a = lab.place_at("home", "a");
    let b = lab.place_at("home", "b").knowing(&a);
    let (a, b) = (a.start().await, b.start().await);
    introduced(&[&a, &b]).await;
    (a, b)
}

async fn lists(node: &Node, peer: PeerId, names: &[&str]) {
    until(
        node,
        &format!("a card that lists {names:?} with tools"),
        |book| {
            let card = book.get(&peer).and_then(|record| record.card.as_ref());
            card.is_some_and(|card| {
                card.servers().iter().map(|s| &s.name).eq(names)
                    && card.servers().iter().all(|s| !s.tools.is_empty())
            })
        },
    )
    .await;
}

#[tokio::test]
async fn what_is_shared_and_no_longer_shared_is_told_at_once() {
    let lab = Lab::new();
    let (a, b) = two(&lab).await;
    let shares = &a.context().shares;
    for round in 0..3 {
        for name in ["one", "two"] {
            let service = counted(&std::sync::Arc::default()).into_router(&a.context().tasks);
            shares.add_service(name, Audience::Mesh, service).unwrap();
        }
        lists(&b, a.peer_id(), &["one", "two"]).await;
        let held = b.book().get(&a.peer_id()).unwrap().card.unwrap();
        let tool = &held.servers()[0].tools[0];
        assert_eq!(tool["name"], "touch", "round {round}");
        assert_eq!(tool["inputSchema"]["type"], "object");
        assert!(shares.remove("one").await.unwrap());
        lists(&b, a.peer_id(), &["two"]).await;
        assert!(shares.remove("two").await.unwrap());
        lists(&b, a.peer_id(), &[]).await;
    }
    a.stop().await;
    b.stop().await;
}

fn content(name: &str) -> CardContent {
    CardContent {
        name: name.to_owned(),
        version: "1".to_owned(),
        ..CardContent::default()
    }
}

#[tokio::test]
async fn cards_that_do_not_hold_are_refused_and_told() {
    let lab = Lab::new();
    let (a, b) = two(&lab).await;
    let me = &b.context().identity;
    let held = a.book().get(&b.peer_id()).unwrap().card.unwrap();
    let now = unix_now();
    let mut altered: Value = serde_json::from_slice(held.bytes()).unwrap();
    altered["description"] = json!("somebody else's words");
    let mut byte = held.bytes().to_vec();
    let at = byte.windows(4).position(|four| four == b"name").unwrap() + 8;
    byte[at] ^= 1;
    let foreign = Card::issue(&a.context().identity, content("a"), now, now + 60).unwrap();
    let expired = Card::issue(me, content("b"), now - 7200, now - 3600).unwrap();
    let older = Card::issue(me, content("b"), held.issued() - 100, now + 3600).unwrap();
    let future = Card::issue(me, content("b"), now + 3600, now + 7200).unwrap();
    for (what, bytes) in [
        ("altered", serde_json::to_vec(&altered).unwrap()),
        ("one bit", byte),
        ("another's", foreign.bytes().to_vec()),
        ("expired", expired.bytes().to_vec()),
        ("older", older.bytes().to_vec()),
        ("from the future", future.bytes().to_vec()),
        ("empty", Vec::new()),
        ("no card", b"{}".to_vec()),
        ("garbage", vec![0xff; 1000]),
        ("deep", "[".repeat(100_000).into_bytes()),
    ] {
        let refused = problem(post(&b, a.peer_id(), TELL_PATH, bytes).await);
        assert_eq!(
            (refused.status, refused.code.as_str()),
            (422, "bad_card"),
            "{what}"
        );
        let record = a.book().get(&b.peer_id()).unwrap();
        assert_eq!(
            record.card.as_ref(),
            Some(&held),
            "{what}: the held one stays"
        );
        assert!(record.card_error.is_some(), "{what}: the book says why");
    }
    let huge = problem(post(&b, a.peer_id(), TELL_PATH, vec![b' '; MAX_CARD_BYTES + 1]).await);
    assert_eq!(huge.status, 413);
    // A newer one that holds is taken.
    let newer = Card::issue(me, content("renamed"), now + 1, now + 3600).unwrap();
    let (status, _) = post(&b, a.peer_id(), TELL_PATH, newer.bytes().to_vec()).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let record = a.book().get(&b.peer_id()).unwrap();
    assert_eq!(record.card.unwrap().name(), "renamed");
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_card_of_almost_a_mebibyte_goes_through() {
    let lab = Lab::new();
    let place = lab.place("a");
    let b = lab.place("b").knowing(&place).start().await;
    let a = place.start().await;
    introduced(&[&a, &b]).await;
    let now = unix_now();
    let mut big = content("big");
    let text = "x".repeat(MAX_CARD_BYTES - 4096);
    big.metadata.insert("filler".to_owned(), json!(text));
    let big = Card::issue(&b.context().identity, big, now + 1, now + 3600).unwrap();
    assert!(big.bytes().len() > MAX_CARD_BYTES - 4096);
    let (status, _) = post(&b, a.peer_id(), TELL_PATH, big.bytes().to_vec()).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let record = a.book().get(&b.peer_id()).unwrap();
    assert_eq!(record.card.unwrap().bytes(), big.bytes());
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn grants_that_cannot_be_read_or_are_not_the_callers_prove_nothing() {
    let lab = Lab::new();
    let (a, b) = two(&lab).await;
    let c = lab.place("c").knowing(&lab.place("nobody")).start().await;
    let service = counted(&std::sync::Arc::default()).into_router(&a.context().tasks);
    let shares = &a.context().shares;
    shares.add_service("mesh", Audience::Mesh, service).unwrap();
    lists(&b, a.peer_id(), &["mesh"]).await;
    let discovered = peerage_core::peer_book::PeerEvent::Discovered {
        addresses: a.context().mesh.listening().borrow().clone(),
        source: peerage_core::peer_book::Source::Config,
        holds: None,
    };
    c.book().apply(a.peer_id(), discovered);
    introduced(&[&a, &c]).await;
    // A chain is no secret, and of no use to anybody but its subject.
    let stolen = b.context().members.chains()[0].to_string();
    for (shown, status) in [(stolen.as_str(), 200), ("garbage", 400), ("", 400)] {
        let request = http::Request::get("/.well-known/agent-card.json")
            .header("peerage-grant", shown)
            .header(CONTENT_TYPE, "application/json")
            .body(Body::empty())
            .unwrap();
        let (answered, body) = super::asked::ask(&c, a.peer_id(), request).await;
        assert_eq!(answered.as_u16(), status, "{shown}");
        assert!(!String::from_utf8_lossy(&body).contains("\"mesh\""));
        let (refused, _) = post(&c, a.peer_id(), "/mcp/mesh", "{}").await;
        assert_eq!(refused.as_u16(), 403);
    }
    assert!(!card(&c, a.peer_id()).await.to_string().contains("\"mesh\""));
    assert!(listed(&c, a.peer_id()).is_empty());
    for node in [a, b, c] {
        node.stop().await;
    }
}
