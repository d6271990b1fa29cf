//! Seen is not trusted: a stranger sees and calls what is public, and nothing else.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use axum::body::Body;
use http::Request;
use peerage::{Node, PeerId};
use peerage_core::{peer_book::Relation, policy::Audience};
use peerage_lab::{Lab, Script, counted, introduced, related, until, until_watched};
use peerage_services::shares::State;
use serde_json::json;

use super::asked::{ask, card, listed, post, problem, tool_call};

/// Shares a counted function with an audience and returns the counter.
pub(crate) fn share(node: &Node, name: &str, audience: &str) -> Arc<AtomicUsize> {
    let counter = Arc::default();
    let service = counted(&counter).into_router(&node.context().tasks);
    let audience: Audience = audience.parse().unwrap();
    let shares = &node.context().shares;
    shares.add_service(name, audience, service).unwrap();
    counter
}

pub(crate) async fn ready(node: &Node, name: &str) {
    let shares = &node.context().shares;
    until_watched(&mut shares.changes(), "the share is ready", |_| {
        matches!(shares.get(name).map(|s| s.state()), Some(State::Ready(_)))
    })
    .await;
}

pub(crate) async fn sees(node: &Node, peer: PeerId, names: &[&str]) {
    until(node, &format!("a card that lists {names:?}"), |book| {
        let card = book.get(&peer).and_then(|record| record.card.as_ref());
        card.is_some_and(|card| card.servers().iter().map(|s| &s.name).eq(names))
    })
    .await;
}

/// Two strangers who know each other's cards.
async fn two(lab: &Lab) -> (Node, Node) {
    let a = lab.place("a");
    let b = lab.place("b").knowing(&a);
    let (a, b) = (a.start().await, b.start().await);
    introduced(&[&a, &b]).await;
    (a, b)
}

#[tokio::test]
async fn a_strangers_call_is_refused_and_reaches_nothing() {
    let lab = Lab::new();
    let (a, b) = two(&lab).await;
    let calls = share(&a, "mesh", "mesh");
    let script = Script::new(&lab.folder().join("script"), "{\"content\":[]}");
    let spec = script.share("child", "mesh").try_into().unwrap();
    a.context().shares.add(spec).unwrap();
    ready(&a, "mesh").await;
    ready(&a, "child").await;
    let before = script.lines().len();

    for name in ["mesh", "child"] {
        let tool = format!("{}/{name}/run", a.peer_id());
        let refused = b.call(&tool, json!({})).await.unwrap_err();
        assert_eq!(
            (refused.status, refused.code.as_str()),
            (403, "not_a_member")
        );
        assert!(
            !refused.detail.is_empty() && refused.hint.is_some(),
            "{refused:?}"
        );
        for path in [format!("/mcp/{name}"), format!("/mcp/{name}/more")] {
            let raw = problem(post(&b, a.peer_id(), &path, tool_call("run")).await);
            assert_eq!((raw.status, raw.code.as_str()), (403, "not_a_member"));
            assert!(raw.hint.is_some_and(|hint| hint.contains("invite")));
        }
    }
    assert_eq!(calls.load(SeqCst), 0);
    assert_eq!(script.lines().len(), before, "nothing reached the child");
    assert_eq!(script.calls(), 0);

    // What does not exist is refused in the same words, so that nobody learns what there is.
    let there = problem(post(&b, a.peer_id(), "/mcp/mesh", tool_call("run")).await);
    let nothing = problem(post(&b, a.peer_id(), "/mcp/nothing", tool_call("run")).await);
    assert_eq!(there, nothing);
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn the_local_api_is_absent_from_the_mesh() {
    let lab = Lab::new();
    let home = lab.place_at("home", "a");
    let other = lab.place_at("home", "b").knowing(&home);
    let (a, b) = (home.start().await, other.start().await);
    introduced(&[&a, &b]).await;
    related(&a, b.peer_id(), Relation::Member).await;
    // Not even a member may ask for it.
    for path in [
        "/api/v1/node",
        "/api/v1/peers",
        "/api/v1/shares",
        "/api/v1/openapi.json",
        "/api/v1/invites",
        "/api/v1/stop",
        "/mcp",
        "/peers/self/mcp/x",
        "/",
        "/.well-known/agent-card.json/../../api/v1/node",
        "//api/v1/node",
        "/mcp/../api/v1/node",
    ] {
        for request in [Request::get(path), Request::post(path)] {
            let request = request.body(Body::empty()).unwrap();
            let (status, body) = ask(&b, a.peer_id(), request).await;
            let text = String::from_utf8_lossy(&body);
            assert!(
                matches!(status.as_u16(), 403 | 404),
                "{path}: {status} {text}"
            );
        }
    }
    assert!(!a.context().tasks.token().is_cancelled());
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_stranger_sees_what_is_public_and_may_call_it() {
    let lab = Lab::new();
    let (a, b) = two(&lab).await;
    let open = share(&a, "open", "public");
    let closed = share(&a, "closed", "mesh");
    let key = share(&a, "key", &b.peer_id().to_base58());
    let nobody = share(&a, "other", &a.peer_id().to_base58());
    sees(&b, a.peer_id(), &["key", "open"]).await;
    let shown = card(&b, a.peer_id()).await.to_string();
    assert!(shown.contains("\"open\""));
    assert!(
        !shown.contains("closed") && !shown.contains("\"other\""),
        "{shown}"
    );
    for (name, times) in [("open", 2), ("key", 1)] {
        for _ in 0..times {
            let tool = format!("{}/{name}/touch", a.peer_id());
            b.call(&tool, json!({})).await.unwrap();
        }
    }
    assert_eq!((open.load(SeqCst), key.load(SeqCst)), (2, 1));
    let tool = format!("{}/other/touch", a.peer_id());
    let refused = b.call(&tool, json!({})).await.unwrap_err();
    // In the words of the mesh: a stranger does not learn that there is a list.
    assert_eq!(
        (refused.status, refused.code.as_str()),
        (403, "not_a_member")
    );
    assert_eq!((closed.load(SeqCst), nobody.load(SeqCst)), (0, 0));
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn trust_opens_and_untrust_closes_and_both_are_told_at_once() {
    let lab = Lab::new();
    let (a, b) = two(&lab).await;
    let calls = share(&a, "mesh", "mesh");
    ready(&a, "mesh").await;
    let tool = format!("{}/mesh/touch", a.peer_id());
    let members = &a.context().members;
    for round in 1..=3 {
        assert!(members.trust(b.peer_id(), true).unwrap());
        sees(&b, a.peer_id(), &["mesh"]).await;
        b.call(&tool, json!({})).await.unwrap();
        assert_eq!(calls.load(SeqCst), round);
        assert!(members.trust(b.peer_id(), false).unwrap());
        sees(&b, a.peer_id(), &[]).await;
        let refused = b.call(&tool, json!({})).await.unwrap_err();
        assert_eq!(refused.status, 403);
        assert_eq!(calls.load(SeqCst), round);
    }
    // Trust has one direction.
    members.trust(b.peer_id(), true).unwrap();
    let theirs = share(&b, "theirs", "mesh");
    ready(&b, "theirs").await;
    let tool = format!("{}/theirs/touch", b.peer_id());
    assert_eq!(a.call(&tool, json!({})).await.unwrap_err().status, 403);
    assert_eq!(theirs.load(SeqCst), 0);
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn trust_outlives_a_restart() {
    let lab = Lab::new();
    let place = lab.place("a");
    let b = lab.place("b").knowing(&place).start().await;
    let a = place.start().await;
    introduced(&[&a, &b]).await;
    a.context().members.trust(b.peer_id(), true).unwrap();
    a.stop().await;
    let a = place.start().await;
    let calls = share(&a, "mesh", "mesh");
    introduced(&[&a, &b]).await;
    sees(&b, a.peer_id(), &["mesh"]).await;
    let tool = format!("{}/mesh/touch", a.peer_id());
    b.call(&tool, json!({})).await.unwrap();
    assert_eq!(calls.load(SeqCst), 1);
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_list_of_names_and_keys_lets_these_in_and_no_other_member() {
    let lab = Lab::new();
    let owner = lab.place("owner");
    let (named, keyed, other) = (lab.place("named"), lab.place("keyed"), lab.place("other"));
    let owner = owner.start().await;
    let mut nodes = Vec::new();
    let mut names = Vec::new();
    for place in [&named, &keyed, &other] {
        let node = place.start().await;
        names.push(node.join(&owner.invite(60).unwrap()).await.unwrap().name);
        introduced(&[&owner, &node]).await;
        nodes.push(node);
    }
    let list = format!("{},{}", names[0], nodes[1].peer_id());
    let calls = share(&owner, "few", &list);
    sees(&nodes[0], owner.peer_id(), &["few"]).await;
    sees(&nodes[1], owner.peer_id(), &["few"]).await;
    for node in &nodes[..2] {
        node.call("owner/few/touch", json!({})).await.unwrap();
    }
    let refused = nodes[2]
        .call("owner/few/touch", json!({}))
        .await
        .unwrap_err();
    assert_eq!(
        (refused.status, refused.code.as_str()),
        (403, "not_on_the_list")
    );
    assert!(refused.hint.is_some());
    assert_eq!(calls.load(SeqCst), 2);
    assert!(listed(&nodes[2], owner.peer_id()).is_empty());
    let shown = card(&nodes[2], owner.peer_id()).await.to_string();
    assert!(!shown.contains("few"), "{shown}");
    owner.stop().await;
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test]
async fn what_a_stranger_shares_is_not_offered_to_this_machines_agents() {
    let lab = Lab::new();
    let (a, b) = two(&lab).await;
    share(&a, "open", "public");
    sees(&b, a.peer_id(), &["open"]).await;
    let api = peerage_lab::LocalApi::of(&b);
    let tools = api.get("/api/v1/tools").await.json();
    assert_eq!(tools, json!([]));
    a.stop().await;
    b.stop().await;
}
