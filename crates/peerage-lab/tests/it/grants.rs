//! Grants are given below names, delivered, renewed, revoked, and count wherever the root is known.

use std::sync::atomic::Ordering::SeqCst;

use futures::future::join_all;
use peerage::{Node, Problem};
use peerage_core::{
    address::Address,
    did::Did,
    grant::{Grant, Rights},
    peer_book::Relation,
};
use peerage_lab::{Lab, introduced, related, until_true};
use peerage_services::{
    members::Gift,
    trust::{self, Given},
};
use serde_json::json;

use super::strangers::{ready, sees, share};

/// A name below the mesh of a node.
pub(crate) fn below(node: &Node, path: &str) -> Address {
    let (mesh, _) = node.context().members.own_mesh().unwrap();
    format!("{mesh}/{path}").parse().unwrap()
}

pub(crate) fn gift(to: &Node, path: Address, rights: &[&str], seconds: u64) -> Gift {
    Gift {
        subject: Did::from_peer_id(&to.peer_id()).unwrap(),
        path,
        rights: Rights::new(rights).unwrap(),
        seconds,
    }
}

pub(crate) async fn give(by: &Node, gift: Gift) -> Result<Given, Problem> {
    trust::give(by.context(), &gift).await
}

pub(crate) async fn revoke(by: &Node, grant: &Grant) {
    let id = *grant.ids.last().unwrap();
    trust::revoke(by.context(), id).await.unwrap();
}

/// The home of the mesh, and members of it that know each other.
pub(crate) async fn mesh<const N: usize>(lab: &Lab, names: [&str; N]) -> (Node, [Node; N]) {
    let home = lab.place("home");
    let root = home.start().await;
    let members = join_all(names.map(|name| {
        let place = lab.place(name).knowing(&home);
        async move { place.start().await }
    }))
    .await;
    for member in &members {
        member.join(&root.invite(60).unwrap()).await.unwrap();
        introduced(&[&root, member]).await;
        related(&root, member.peer_id(), Relation::Member).await;
        related(member, root.peer_id(), Relation::Member).await;
    }
    let members = members.try_into().unwrap_or_else(|_| unreachable!());
    (root, members)
}

pub(crate) async fn stop(nodes: impl IntoIterator<Item = Node>) {
    join_all(nodes.into_iter().map(Node::stop)).await;
}

#[tokio::test]
async fn a_grant_opens_what_is_for_its_name_and_its_revocation_closes_it() {
    let lab = Lab::new();
    let (a, [b]) = mesh(&lab, ["b"]).await;
    let calls = share(&a, "sales", below(&a, "sales").as_str());
    ready(&a, "sales").await;
    let tool = format!("{}/sales/touch", a.peer_id());
    let refused = b.call(&tool, json!({})).await.unwrap_err();
    assert_eq!(refused.code, "not_on_the_list");

    let bot = below(&a, "sales/bot");
    let given = give(&a, gift(&b, bot.clone(), &["be", "call"], 600))
        .await
        .unwrap();
    assert!(given.undelivered.is_none(), "{given:?}");
    assert!(b.context().members.own_names().contains(&bot));
    sees(&b, a.peer_id(), &["sales"]).await;
    b.call(&tool, json!({})).await.unwrap();

    revoke(&a, &given.grant).await;
    let refused = b.call(&tool, json!({})).await.unwrap_err();
    assert_eq!(refused.code, "not_on_the_list", "it is a member still");
    sees(&b, a.peer_id(), &[]).await;
    until_true("the holder knows", || {
        !b.context().members.own_names().contains(&bot)
    })
    .await;
    assert_eq!(calls.load(SeqCst), 1);
    let again = trust::take(b.context(), &given.chain.to_string()).await;
    assert_eq!(again.unwrap_err().code, "grant_revoked");
    stop([a, b]).await;
}

#[tokio::test]
async fn whoever_holds_a_name_grants_below_it_and_nothing_else() {
    let lab = Lab::new();
    let (a, [b, c]) = mesh(&lab, ["b", "c"]).await;
    let calls = share(&a, "sales", below(&a, "sales").as_str());
    ready(&a, "sales").await;
    let sales = below(&a, "sales");
    give(&a, gift(&b, sales.clone(), &["be", "call", "grant"], 600))
        .await
        .unwrap();
    for (path, rights) in [
        ("other", "call"),
        ("sales2/bot", "call"),
        ("sales/bot", "publish"),
    ] {
        let refused = give(&b, gift(&c, below(&a, path), &[rights], 600)).await;
        assert_eq!(
            refused.unwrap_err().code,
            "may_not_grant",
            "{path} {rights}"
        );
    }
    let refused = give(&c, gift(&b, below(&a, "node-c/bot"), &["call"], 600)).await;
    assert_eq!(
        refused.unwrap_err().code,
        "may_not_grant",
        "it may not grant at all"
    );

    let bot = sales.child("bot").unwrap();
    let given = give(&b, gift(&c, bot.clone(), &["be", "call"], 6_000))
        .await
        .unwrap();
    let holds = b.context().members.holds();
    let (own, _) = holds.iter().find(|(grant, _)| grant.path == sales).unwrap();
    assert!(
        given.grant.expires <= own.expires,
        "never longer than its own"
    );
    // B and C may not know each other: then C takes it by hand.
    if given.undelivered.is_some() {
        trust::take(c.context(), &given.chain.to_string())
            .await
            .unwrap();
    }
    sees(&c, a.peer_id(), &["sales"]).await;
    let tool = format!("{}/sales/touch", a.peer_id());
    c.call(&tool, json!({})).await.unwrap();

    // Revoked by B, refused by A.
    revoke(&b, &given.grant).await;
    let refuses = || {
        a.context()
            .members
            .names_of(&c.peer_id())
            .iter()
            .all(|name| *name != bot)
    };
    until_true("the root's home is told", refuses).await;
    assert_eq!(
        c.call(&tool, json!({})).await.unwrap_err().code,
        "not_on_the_list"
    );
    assert_eq!(calls.load(SeqCst), 1);
    stop([a, b, c]).await;
}

#[tokio::test]
async fn a_node_that_was_away_is_told_when_it_comes() {
    let lab = Lab::new();
    let home = lab.place("home");
    let away = lab.place("away").knowing(&home);
    let (a, b, c) = (
        home.start().await,
        away.start().await,
        lab.place("c").start().await,
    );
    for node in [&b, &c] {
        node.join(&a.invite(60).unwrap()).await.unwrap();
    }
    let bot = below(&a, "bot");
    let given = give(&a, gift(&c, bot.clone(), &["be", "call"], 600))
        .await
        .unwrap();
    b.stop().await;
    revoke(&a, &given.grant).await;
    let b = away.start().await;
    let knows = || !b.context().members.revocations().unwrap().is_empty();
    until_true("it is told", knows).await;
    // Also after a restart without the others.
    a.stop().await;
    b.stop().await;
    let b = away.start().await;
    assert_eq!(b.context().members.revocations().unwrap().len(), 1);
    stop([b, c]).await;
}

#[tokio::test]
async fn a_grant_is_renewed_before_it_ends_and_a_revoked_one_is_not() {
    let lab = Lab::new();
    let (a, [b]) = mesh(&lab, ["b"]).await;
    let bot = below(&a, "bot");
    let given = give(&a, gift(&b, bot.clone(), &["be", "call"], 12))
        .await
        .unwrap();
    let expires = || {
        let holds = b.context().members.holds();
        holds
            .into_iter()
            .find(|(grant, _)| grant.path == bot)
            .map(|(grant, _)| grant.expires)
    };
    assert_eq!(expires(), Some(given.grant.expires));
    until_true("it is renewed", || {
        expires().is_some_and(|end| end > given.grant.expires)
    })
    .await;
    // The one that was given first stands for all that came of it.
    let (latest, _) = a
        .context()
        .members
        .given()
        .unwrap()
        .into_iter()
        .filter(|(grant, _)| grant.path == bot)
        .max_by_key(|(grant, _)| grant.expires)
        .unwrap();
    revoke(&a, &latest).await;
    until_true("it is gone", || expires().is_none()).await;
    stop([a, b]).await;
}

#[tokio::test]
async fn a_stranger_takes_a_grant_by_hand_and_is_a_member() {
    let lab = Lab::new();
    let home = lab.place("home");
    let (a, b) = (
        home.start().await,
        lab.place("b").knowing(&home).start().await,
    );
    introduced(&[&a, &b]).await;
    let partner = below(&a, "partners/bob");
    let given = give(&a, gift(&b, partner.clone(), &["be", "call"], 600))
        .await
        .unwrap();
    let why = given
        .undelivered
        .expect("B is asked, and does not know the mesh");
    assert_eq!(why.status, 403, "{why}");
    assert!(!b.context().members.own_names().contains(&partner));
    trust::take(b.context(), &given.chain.to_string())
        .await
        .unwrap();
    related(&a, b.peer_id(), Relation::Member).await;
    assert_eq!(a.context().members.names_of(&b.peer_id()), [partner]);
    // It proves nothing for another key.
    let stolen = trust::take(a.context(), &given.chain.to_string()).await;
    assert_eq!(stolen.unwrap_err().code, "bad_grant");
    stop([a, b]).await;
}
