//! What peers do moves their score: who does wrong is slowed, then refused, and can be forgiven; a bad link is no wrong.

use axum::body::Body;
use http::{Method, Request};
use peerage::{Node, PeerId};
use peerage_core::{
    peer_book::{PeerEvent, Relation},
    score::{Deed, Effect},
};
use peerage_lab::{Lab, LocalApi, introduced, related, until, until_true};
use serde_json::{Value, json};

use super::{
    asked::{card, post},
    audit::audit,
    strangers::{ready, share},
};

fn effect(node: &Node, peer: PeerId) -> Effect {
    let record = node.book().get(&peer);
    let now = peerage_mesh::book::now();
    record.map_or(Effect::None, |record| record.score.effect(now))
}

async fn score(node: &Node, peer: PeerId) -> Value {
    let path = format!("/api/v1/peers/{peer}");
    LocalApi::of(node).get(&path).await.json()["score"].clone()
}

#[tokio::test]
async fn who_shows_forged_cards_is_refused_says_why_and_can_be_forgiven() {
    let lab = Lab::new();
    let a_place = lab.place("a");
    let b = lab.place("b").knowing(&a_place);
    let (a, b) = (a_place.start().await, b.start().await);
    introduced(&[&a, &b]).await;
    // Its own card, altered behind its signature.
    let own = LocalApi::of(&b).get("/api/v1/card").await;
    let forged = String::from_utf8(own.body.to_vec()).unwrap();
    let forged = forged.replace("\"name\":\"b\"", "\"name\":\"a\"");
    let mut tries = 0;
    while effect(&a, b.peer_id()) != Effect::Refused {
        tries += 1;
        assert!(tries <= 5, "{}", score(&a, b.peer_id()).await);
        let (status, body) = post(&b, a.peer_id(), "/api/v1/cards", forged.clone()).await;
        assert_eq!(status, 422, "{}", String::from_utf8_lossy(&body));
    }
    until(&a, "the connection is closed", |book| {
        book.get(&b.peer_id())
            .is_some_and(|record| record.link.is_none())
    })
    .await;
    let budget = a.context().mesh.budget();
    until_true("it is shut out", || {
        budget.usage().shut_out.contains(&b.peer_id())
    })
    .await;
    let why = score(&a, b.peer_id()).await;
    assert_eq!(
        (&why["effect"], &why["reasons"][0]["deed"]),
        (&json!("refused"), &json!("forged"))
    );
    assert!(
        why["points"].as_f64().unwrap() >= 59.0 && why["until"].is_string(),
        "{why}"
    );
    let told = audit(&a, &format!("who={}", b.peer_id())).await;
    assert!(
        told.iter()
            .any(|line| line.action == "card" && line.rule.as_deref() == Some("bad_card"))
    );

    let path = format!("/api/v1/peers/{}/score", b.peer_id());
    let forgiven = LocalApi::of(&a).json(Method::DELETE, &path, "").await;
    assert_eq!(forgiven.status, 204);
    assert_eq!(score(&a, b.peer_id()).await["points"], 0.0);
    until(&a, "it is let in again", |book| {
        book.get(&b.peer_id())
            .is_some_and(|record| record.link.is_some())
    })
    .await;
    card(&b, a.peer_id()).await;
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn what_a_peer_did_is_known_after_a_restart_and_who_is_slowed_has_a_tenth() {
    let lab = Lab::new();
    let a_place = lab.place("a");
    let b = lab.place("b").knowing(&a_place);
    let (a, b) = (a_place.start().await, b.start().await);
    introduced(&[&a, &b]).await;
    for _ in 0..2 {
        a.context().did(b.peer_id(), Deed::Forged, "a card");
    }
    assert_eq!(effect(&a, b.peer_id()), Effect::Slowed);
    a.stop().await;
    let a = a_place.start().await;
    introduced(&[&a, &b]).await;
    assert_eq!(effect(&a, b.peer_id()), Effect::Slowed);
    let calls = (0..40).map(|_| async {
        let request = Request::get("/.well-known/agent-card.json").body(Body::empty());
        let answer = b
            .context()
            .call_unintroduced(a.peer_id(), request.unwrap())
            .await;
        answer.unwrap().status().as_u16()
    });
    let answers = futures::future::join_all(calls).await;
    // 5 a second for a stranger that is slowed, twice as many at once, some of which the introductions took.
    let answered = answers.iter().filter(|status| **status == 200).count();
    assert!((1..=20).contains(&answered), "{answers:?}");
    assert!(answers.contains(&429));
    a.stop().await;
    b.stop().await;
}

/// Losses in the middle of calls, attempts that meet nobody, answers that do not come: reliability falls, and
/// nobody is slowed or refused.
#[tokio::test]
async fn an_honest_peer_on_a_bad_link_is_never_banned() {
    let lab = Lab::new();
    let b_place = lab.place_at("home", "b");
    let a_place = lab.place_at("home", "a").knowing(&b_place);
    let b = b_place.start().await;
    for round in 0..10 {
        let a = a_place.start().await;
        introduced(&[&a, &b]).await;
        related(&b, a.peer_id(), Relation::Member).await;
        share(&a, "files", "mesh");
        ready(&a, "files").await;
        let calls = (0..8).map(|_| b.call("a/files/touch", json!({})));
        let cut = async {
            if round % 2 == 0 {
                b.context().mesh.disconnect(a.peer_id(), "cut").await;
            }
            drop(a);
        };
        let _ = tokio::join!(futures::future::join_all(calls), cut);
        // And nobody is there.
        let lost = b.call("a/files/touch", json!({})).await;
        assert!(lost.is_err());
        b.book().apply(
            a_place.peer_id(),
            PeerEvent::Did {
                deed: Deed::Failed,
                count: 1000,
                detail: "late".to_owned(),
            },
        );
        assert_eq!(effect(&b, a_place.peer_id()), Effect::None, "round {round}");
    }
    let why = score(&b, a_place.peer_id()).await;
    assert_eq!(
        (&why["effect"], &why["points"]),
        (&json!("none"), &json!(0.0)),
        "{why}"
    );
    assert!(why["reliability"].as_f64().unwrap() < 0.5, "{why}");
    let a = a_place.start().await;
    introduced(&[&a, &b]).await;
    share(&a, "files", "mesh");
    ready(&a, "files").await;
    b.call("a/files/touch", json!({})).await.unwrap();
    assert_eq!(effect(&a, b.peer_id()), Effect::None);
    a.stop().await;
    b.stop().await;
}
