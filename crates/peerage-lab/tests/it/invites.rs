//! Invitations work once, for a while, and for nobody who altered them.

use std::sync::Arc;

use axum::body::Body;
use futures::future::join_all;
use peerage::Node;
use peerage_core::{invite::Invite, peer_book::Relation, policy::Audience};
use peerage_lab::{Lab, counted, introduced, related, until_true};
use peerage_services::{members::unix_now, trust};
use serde_json::json;

use super::asked::{post, problem};

#[tokio::test]
async fn an_invitation_works_once() {
    let lab = Lab::new();
    let a = lab.place("a").start().await;
    let b = lab.place("joiner").start().await;
    let c = lab.place("c").start().await;
    let code = a.invite(60).unwrap();
    let first = b.join(&code).await.unwrap();
    assert_eq!(first.inviter, a.peer_id().to_base58());
    assert!(first.name.ends_with("/joiner"), "{first:?}");
    assert!(first.name.starts_with(&first.mesh), "{first:?}");

    let used = c.join(&code).await.unwrap_err();
    assert_eq!((used.status, used.code.as_str()), (403, "invite_used"));
    assert!(used.hint.is_some());
    assert_eq!(
        c.context().members.own_names().len(),
        1,
        "only its own mesh"
    );
    // The answer may have been lost: the same key may ask again, and gets the same name.
    let again = b.join(&code).await.unwrap();
    assert_eq!(again, first);
    join_all([a, b, c].map(Node::stop)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_that_use_one_at_once_one_is_admitted() {
    let lab = Lab::new();
    let a = lab.place("a").start().await;
    let code = a.invite(60).unwrap();
    let joiners = join_all((0..5).map(|n| {
        let place = lab.place(&format!("j{n}"));
        async move { place.start().await }
    }))
    .await;
    let joined = join_all(joiners.iter().map(|node| node.join(&code))).await;
    let (admitted, refused): (Vec<_>, Vec<_>) = joined.into_iter().partition(Result::is_ok);
    assert_eq!(admitted.len(), 1);
    for problem in refused {
        assert_eq!(problem.unwrap_err().code, "invite_used");
    }
    a.stop().await;
    join_all(joiners.into_iter().map(Node::stop)).await;
}

#[tokio::test]
async fn an_expired_invitation_is_refused_by_both_sides() {
    let lab = Lab::new();
    let a = lab.place("a").start().await;
    let b = lab.place("b").start().await;
    let code = a.invite(1).unwrap();
    let invite = Invite::decode(&code).unwrap();
    until_true("a second has passed", || invite.is_expired_at(unix_now())).await;
    let expired = b.join(&code).await.unwrap_err();
    assert_eq!(
        (expired.status, expired.code.as_str()),
        (403, "invite_expired")
    );
    // The inviter does not take the joiner's word for the time.
    let longer = a.invite(60).unwrap();
    let wish = json!({ "secret": invite.secret(), "name": "b" }).to_string();
    reach(&b, &longer).await;
    let refused = problem(post(&b, a.peer_id(), trust::JOIN_PATH, wish).await);
    assert_eq!(
        (refused.status, refused.code.as_str()),
        (403, "invite_expired")
    );
    assert!(refused.hint.is_some());
    for seconds in [0, 8 * 24 * 3600] {
        assert_eq!(a.invite(seconds).unwrap_err().code, "bad_expiry");
    }
    join_all([a, b].map(Node::stop)).await;
}

/// Lets a node know where the maker of an invitation is, without using it.
async fn reach(node: &Node, code: &str) {
    let invite = Invite::decode(code).unwrap();
    let discovered = peerage_core::peer_book::PeerEvent::Discovered {
        addresses: invite.addresses().to_vec(),
        source: peerage_core::peer_book::Source::Invite,
        holds: None,
    };
    node.book().apply(invite.inviter(), discovered);
    node.context().mesh.connect(invite.inviter()).await.unwrap();
}

#[tokio::test]
async fn altered_unknown_and_own_invitations_are_refused_and_told() {
    let lab = Lab::new();
    let a = lab.place("a").start().await;
    let b = lab.place("b").start().await;
    let code = a.invite(60).unwrap();
    for at in (0..code.len()).step_by(7) {
        let mut altered = code.clone().into_bytes();
        altered[at] = if altered[at] == b'a' { b'b' } else { b'a' };
        let altered = String::from_utf8(altered).unwrap();
        let refused = b.join(&altered).await.unwrap_err();
        assert_eq!(
            (refused.status, refused.code.as_str()),
            (400, "bad_invite"),
            "{at}"
        );
        assert!(refused.hint.is_some());
        assert!(!refused.detail.contains(&altered), "a code is a secret");
    }
    for text in [
        "",
        " ",
        "peerage-",
        "hello",
        &code[..code.len() - 3],
        &"x".repeat(100_000),
    ] {
        assert_eq!(b.join(text).await.unwrap_err().code, "bad_invite");
    }
    let addresses = Invite::decode(&code).unwrap().addresses().to_vec();
    let guessed = Invite::new(&a.peer_id(), addresses, unix_now() + 60).unwrap();
    let unknown = b.join(&guessed.encode()).await.unwrap_err();
    assert_eq!(
        (unknown.status, unknown.code.as_str()),
        (403, "unknown_invite")
    );
    let own = a.join(&code).await.unwrap_err();
    assert_eq!((own.status, own.code.as_str()), (409, "own_invite"));
    // After all of that the real one still works.
    b.join(&code).await.unwrap();
    join_all([a, b].map(Node::stop)).await;
}

#[tokio::test]
async fn malformed_wishes_are_problems() {
    let lab = Lab::new();
    let a = lab.place("a").start().await;
    let b = lab.place("b").start().await;
    let code = a.invite(60).unwrap();
    reach(&b, &code).await;
    let secret = "00".repeat(16);
    for wish in [
        String::new(),
        "{".to_owned(),
        "[]".to_owned(),
        json!({ "secret": secret }).to_string(),
        json!({ "secret": "zz", "name": "b" }).to_string(),
        json!({ "secret": secret, "name": "b", "rights": ["grant"] }).to_string(),
        json!({ "secret": secret, "name": "b".repeat(10_000) }).to_string(),
    ] {
        let (status, body) = post(&b, a.peer_id(), trust::JOIN_PATH, wish.clone()).await;
        assert!(status.is_client_error(), "{wish}: {status}");
        let refused = problem((status, body));
        assert!(!refused.detail.contains(&secret), "{refused}");
    }
    let (status, _) = post(
        &b,
        a.peer_id(),
        trust::JOIN_PATH,
        Body::from(vec![0xff; 100]),
    )
    .await;
    assert!(status.is_client_error());
    join_all([a, b].map(Node::stop)).await;
}

#[tokio::test]
async fn a_name_that_is_taken_gets_a_number() {
    let lab = Lab::new();
    let a = lab.place("same").start().await;
    let mut joiners = Vec::new();
    let mut names = Vec::new();
    for home in ["one", "two"] {
        let node = lab.place_at(home, "same").start().await;
        let joined = node.join(&a.invite(60).unwrap()).await.unwrap();
        names.push(joined.name.rsplit('/').next().unwrap().to_owned());
        joiners.push(node);
    }
    assert_eq!(names, ["same-2", "same-3"]);
    // Names stay with their keys: who joins again has the name it had.
    let again = joiners[0].join(&a.invite(60).unwrap()).await.unwrap();
    assert!(again.name.ends_with("/same-2"), "{again:?}");
    a.stop().await;
    join_all(joiners.into_iter().map(Node::stop)).await;
}

#[tokio::test]
async fn membership_outlives_restarts_of_either_side() {
    let lab = Lab::new();
    let (inviter, joiner) = (lab.place("a"), lab.place("b"));
    let (mut a, mut b) = (inviter.start().await, joiner.start().await);
    let code = a.invite(60).unwrap();
    let name = b.join(&code).await.unwrap().name;
    introduced(&[&a, &b]).await;
    for round in 0..4 {
        if round % 2 == 0 {
            a.stop().await;
            a = inviter.start().await;
        } else {
            b.stop().await;
            b = joiner.start().await;
        }
        introduced(&[&a, &b]).await;
        related(&a, b.peer_id(), Relation::Member).await;
        related(&b, a.peer_id(), Relation::Member).await;
        // That it is a member was stored; which name it bears it shows again.
        let members = &a.context().members;
        until_true("the name is shown", || {
            let names = members.names_of(&b.peer_id());
            names.iter().map(|n| n.as_str()).eq([name.as_str()])
        })
        .await;
        assert!(
            b.context()
                .members
                .own_names()
                .iter()
                .any(|n| n.as_str() == name)
        );
    }
    // What was used is known after the restarts.
    let c = lab.place("c").start().await;
    assert_eq!(c.join(&code).await.unwrap_err().code, "invite_used");
    assert_eq!(b.join(&code).await.unwrap().name, name);
    join_all([a, b, c].map(Node::stop)).await;
}

#[tokio::test]
async fn an_invitation_that_was_not_used_outlives_a_restart() {
    let lab = Lab::new();
    let inviter = lab.place("a");
    let a = inviter.start().await;
    let code = a.invite(60).unwrap();
    a.stop().await;
    let b = lab.place("b").start().await;
    let nobody = b.join(&code).await.unwrap_err();
    assert_eq!(nobody.code, "unreachable");
    assert!(nobody.hint.is_some());
    let a = inviter.start().await;
    b.join(&code).await.unwrap();
    join_all([a, b].map(Node::stop)).await;
}

/// The introduction that begins with the connection shows no grant yet; it must not outlast the join.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_joined_may_call_at_once() {
    let lab = Lab::new();
    let a = lab.place("inviter").start().await;
    let service = counted(&Arc::default()).into_router(&a.context().tasks);
    let shares = &a.context().shares;
    shares
        .add_service("count", Audience::Mesh, service)
        .unwrap();
    for round in 0..20 {
        let b = lab.place(&format!("j{round}")).start().await;
        let code = a.invite(60).unwrap();
        reach(&b, &code).await;
        // Introductions are under way while it joins.
        let (joined, _) = tokio::join!(b.join(&code), async {
            for _ in 0..round % 4 {
                b.context()
                    .introductions
                    .again(b.context(), a.peer_id())
                    .await
                    .unwrap();
            }
        });
        joined.unwrap();
        let tool = format!("{}/count/touch", a.peer_id());
        let called = b.call(&tool, json!({})).await;
        assert!(called.is_ok(), "round {round}: {called:?}");
        b.stop().await;
    }
    a.stop().await;
}
