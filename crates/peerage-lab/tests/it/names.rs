//! Peers are called by name: found step by step, proved by grants, and of several the one that is there.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use axum::Router;
use bytes::Bytes;
use futures::future::join_all;
use peerage::{Multiaddr, Node, Problem};
use peerage_core::{
    Identity,
    address::Address,
    did::Did,
    grant::{Chain, Rights},
    lookup::{Answer, Bearer},
    multiaddr::Protocol,
    peer_book::PeerBook,
};
use peerage_lab::{Lab, LocalApi, introduced, until, until_true};
use peerage_mesh::{Book, Limits, Mesh, MeshConfig, Tasks, Transports};
use peerage_services::{
    api::ResolveView,
    members::Gift,
    names::{self, Meant},
    trust,
};
use serde_json::json;

use super::{
    asked::{ask, problem},
    grants::{below, gift, give, mesh, revoke, stop},
    strangers::{ready, share},
};

async fn resolve(node: &Node, name: &Address) -> Result<Meant, Problem> {
    names::resolve(node.context(), name.as_str()).await
}

/// Those who were asked, as the steps tell.
fn asked(meant: &Meant) -> Vec<String> {
    let asked = meant.steps.iter().filter_map(|step| step.asked.as_ref());
    asked.map(|(_, by)| by.to_string()).collect()
}

/// A root, `sales` below it, `sales/assistant` below that, and somebody who knows the root alone. The
/// assistant shares `quotes`.
struct Organisation {
    root: Node,
    sales: Node,
    assistant: Node,
    asker: Node,
    calls: Arc<AtomicUsize>,
    name: Address,
}

impl Organisation {
    async fn start(lab: &Lab) -> Self {
        let (root, [sales, asker]) = mesh(lab, ["sales", "asker"]).await;
        let name = below(&root, "sales");
        let may = ["be", "call", "grant"];
        give(&root, gift(&sales, name.clone(), &may, 600))
            .await
            .unwrap();
        // The assistant is known to sales, and to nobody else.
        let place = lab.place("assistant");
        let sales_address: Multiaddr = sales.context().addresses()[0]
            .clone()
            .with(Protocol::P2p(sales.peer_id()));
        let assistant = place.builder().peer(sales_address).spawn().await.unwrap();
        introduced(&[&sales, &assistant]).await;
        let name = name.child("assistant").unwrap();
        let given = give(&sales, gift(&assistant, name.clone(), &["be", "call"], 600)).await;
        trust::take(assistant.context(), &given.unwrap().chain.to_string())
            .await
            .unwrap();
        let calls = share(&assistant, "quotes", "mesh");
        ready(&assistant, "quotes").await;
        Self {
            root,
            sales,
            assistant,
            asker,
            calls,
            name,
        }
    }

    fn tool(&self) -> String {
        format!("{}/quotes/touch", self.name)
    }
}

#[tokio::test]
async fn a_name_three_levels_down_is_found_from_the_root_and_called() {
    let lab = Lab::new();
    let all = Organisation::start(&lab).await;
    let meant = resolve(&all.asker, &all.name).await.unwrap();
    assert_eq!(meant.peers, [all.assistant.peer_id()]);
    let (mesh, _) = all.root.context().members.own_mesh().unwrap();
    let sales = all.name.parent().unwrap();
    assert_eq!(asked(&meant), [mesh.to_string(), sales.to_string()]);
    let result = all.asker.call(&all.tool(), json!({})).await.unwrap();
    let origin = &result["_meta"]["dev.peerage/origin"];
    assert_eq!(origin["name"], all.name.as_str(), "{origin}");
    assert_eq!(origin["peer"], all.assistant.peer_id().to_base58());
    // Now it is known, by what it has shown.
    let meant = resolve(&all.asker, &all.name).await.unwrap();
    assert!(asked(&meant).is_empty(), "{meant:?}");
    // Relative to who stands beside it, and to itself.
    all.assistant
        .call("self/quotes/touch", json!({}))
        .await
        .unwrap();
    let near = names::resolve(all.sales.context(), "sales/assistant").await;
    assert_eq!(near.unwrap().peers, [all.assistant.peer_id()]);
    let me = names::resolve(all.assistant.context(), "../sales/assistant").await;
    assert_eq!(me.unwrap().peers, [all.assistant.peer_id()]);
    assert_eq!(all.calls.load(SeqCst), 2);

    // Through the local API, too.
    let api = LocalApi::of(&all.asker);
    let path = all.name.as_str().replace('/', "%2F");
    let answered = api.get(&format!("/api/v1/resolve/{path}")).await;
    let view: ResolveView = serde_json::from_slice(&answered.body).unwrap();
    assert_eq!(view.peers[0].peer_id, all.assistant.peer_id().to_base58());
    let answered = api.get(&format!("/api/v1/peers/{path}/card")).await;
    assert_eq!(answered.json()["name"], "assistant");
    stop([all.root, all.sales, all.assistant, all.asker]).await;
}

#[tokio::test]
async fn what_nobody_knows_and_who_does_not_answer_is_said_in_time() {
    let lab = Lab::new();
    let all = Organisation::start(&lab).await;
    let nobody = all.name.parent().unwrap().child("nobody").unwrap();
    let unknown = resolve(&all.asker, &nobody).await.unwrap_err();
    assert_eq!(
        (unknown.status, unknown.code.as_str()),
        (404, "unknown_name")
    );
    assert!(unknown.detail.contains("/sales ("), "{unknown}");
    let foreign = "o://foreign/agent".parse().unwrap();
    let unknown = resolve(&all.asker, &foreign).await.unwrap_err();
    assert_eq!(unknown.code, "unknown_name");

    // The parent is dead: the root is asked, and says where the parent was.
    let sales = all.sales.peer_id();
    all.sales.stop().await;
    let gone = || {
        let record = all.asker.book().get(&sales);
        record.is_none_or(|record| record.link.is_none())
    };
    until_true("the connection has ended", gone).await;
    let began = Instant::now();
    let dead = resolve(&all.asker, &all.name).await.unwrap_err();
    assert_eq!(
        (dead.status, dead.code.as_str()),
        (504, "name_not_resolved")
    );
    assert!(dead.detail.contains(&sales.to_base58()), "{dead}");
    assert!(began.elapsed() < Duration::from_secs(10));
    stop([all.root, all.assistant, all.asker]).await;
}

#[tokio::test]
async fn a_revoked_name_is_found_no_longer() {
    let lab = Lab::new();
    let all = Organisation::start(&lab).await;
    resolve(&all.asker, &all.name).await.unwrap();
    let given = all.sales.context().members.given().unwrap();
    revoke(&all.sales, &given[0].0).await;
    let knows = || {
        !all.asker
            .context()
            .members
            .revocations()
            .unwrap()
            .is_empty()
    };
    until_true("the revocation is told", knows).await;
    let unknown = resolve(&all.asker, &all.name).await.unwrap_err();
    assert_eq!(unknown.code, "unknown_name");
    stop([all.root, all.sales, all.assistant, all.asker]).await;
}

#[tokio::test]
async fn strangers_learn_nothing_of_names() {
    let lab = Lab::new();
    let (root, [member]) = mesh(&lab, ["member"]).await;
    let own = below(&root, "bot");
    give(&root, gift(&member, own.clone(), &["be", "call"], 600))
        .await
        .unwrap();
    let address: Multiaddr = root.context().addresses()[0]
        .clone()
        .with(Protocol::P2p(root.peer_id()));
    let stranger = lab
        .place("stranger")
        .builder()
        .peer(address)
        .spawn()
        .await
        .unwrap();
    introduced(&[&root, &stranger]).await;
    let question = |name: &Address| {
        let path = name.as_str().trim_start_matches("o://");
        http::Request::get(format!("/api/v1/names/{path}"))
            .body(axum::body::Body::empty())
            .unwrap()
    };
    let there = problem(ask(&stranger, root.peer_id(), question(&own)).await);
    let nothing = below(&root, "nothing");
    let not_there = problem(ask(&stranger, root.peer_id(), question(&nothing)).await);
    assert_eq!((there.status, there.code.as_str()), (403, "not_a_member"));
    assert_eq!(there, not_there);
    // Of a member, garbage is refused, and the rest answered.
    for garbage in [
        "",
        "x",
        "Acme",
        "a//b",
        "ab/%00",
        "ab/%2e%2e",
        &"ab/".repeat(400),
    ] {
        let request = http::Request::get(format!("/api/v1/names/{garbage}"))
            .body(axum::body::Body::empty())
            .unwrap();
        let answer = ask(&member, root.peer_id(), request).await;
        assert!(answer.0.is_client_error(), "{garbage}");
    }
    stop([root, member, stranger]).await;
}

#[tokio::test]
async fn of_two_with_one_name_the_one_that_is_there_is_called() {
    let lab = Lab::new();
    let (root, [one, two, asker]) = mesh(&lab, ["one", "two", "asker"]).await;
    let name = below(&root, "pool");
    let mut counts = Vec::new();
    for node in [&one, &two] {
        give(&root, gift(node, name.clone(), &["be", "call"], 600))
            .await
            .unwrap();
        counts.push(share(node, "quotes", "mesh"));
        ready(node, "quotes").await;
    }
    let tool = format!("{name}/quotes/touch");
    assert_eq!(resolve(&asker, &name).await.unwrap().peers.len(), 2);
    for node in [&one, &two] {
        until(&asker, "both are near", |book| {
            let record = book.get(&node.peer_id());
            record.is_some_and(|record| record.link.is_some() && record.rtt.is_some())
        })
        .await;
    }
    let calls = (0..20).map(|_| asker.call(&tool, json!({})));
    for called in join_all(calls).await {
        called.unwrap();
    }
    let each: Vec<usize> = counts.iter().map(|count| count.load(SeqCst)).collect();
    assert_eq!(each.iter().sum::<usize>(), 20);
    assert!(
        each.iter().all(|count| *count > 0),
        "both are used: {each:?}"
    );
    one.stop().await;
    for _ in 0..20 {
        asker.call(&tool, json!({})).await.unwrap();
    }
    assert_eq!(counts[1].load(SeqCst), each[1] + 20);
    let several = names::only(asker.context(), name.as_str()).await;
    assert_eq!(several.unwrap_err().code, "ambiguous_peer");
    stop([root, two, asker]).await;
}

/// A member that answers questions for names as the test wants.
struct Liar {
    identity: Identity,
    mesh: Mesh,
    tasks: Tasks,
}

impl Liar {
    fn start(secret: u8, knows: &Node, answer: Router) -> Self {
        let identity = Identity::from_secret([secret; 32]);
        let book = Book::new(PeerBook::new(identity.peer_id(), 1));
        let tasks = Tasks::new();
        let config = MeshConfig {
            identity: identity.clone(),
            listen: vec!["/memory/0".parse().unwrap()],
            peers: vec![(knows.peer_id(), knows.context().addresses()[0].clone())],
            agent: "liar/0".to_owned(),
            transports: Transports::Memory,
            protocols: Vec::new(),
            limits: Limits::default(),
            gating: None,
        };
        let (mesh, inbound) = Mesh::spawn(config, &book, &tasks).unwrap();
        tasks.spawn("answers", inbound.serve(answer));
        Self {
            identity,
            mesh,
            tasks,
        }
    }

    /// The root of a mesh gives it a name.
    fn named(&self, root: &Node, name: &Address) -> Chain {
        let gift = Gift {
            subject: self.identity.did(),
            path: name.clone(),
            rights: Rights::new(["be", "call"]).unwrap(),
            seconds: 600,
        };
        root.context().members.give(&gift).unwrap().0
    }

    async fn reached_from(&self, node: &Node) {
        node.context()
            .mesh
            .connect(self.identity.peer_id())
            .await
            .unwrap();
    }
}

/// Answers every question with this.
fn answers(bytes: impl Into<Bytes>) -> Router {
    let bytes: Bytes = bytes.into();
    Router::new().fallback(move || std::future::ready(bytes.clone()))
}

fn silent() -> Router {
    Router::new().fallback(std::future::pending::<Result<(), Infallible>>)
}

/// The asker is told by the root that the first liar bears the name above the wanted one.
async fn lied_to(first: Router, second: Option<Router>) -> (Problem, Duration) {
    let lab = Lab::new();
    let (root, [asker]) = mesh(&lab, ["asker"]).await;
    let (one, two) = (below(&root, "one"), below(&root, "one/two"));
    let second = second.map(|answer| Liar::start(22, &asker, answer));
    let first = Liar::start(21, &asker, first);
    for (liar, name) in [(Some(&first), &one), (second.as_ref(), &two)] {
        if let Some(liar) = liar {
            liar.mesh.connect(asker.peer_id()).await.unwrap();
            liar.named(&root, name);
            liar.reached_from(&asker).await;
        }
    }
    let began = Instant::now();
    let refused = resolve(&asker, &two.child("three").unwrap())
        .await
        .unwrap_err();
    let took = began.elapsed();
    for liar in [Some(first), second].into_iter().flatten() {
        liar.tasks.stop().await;
    }
    stop([root, asker]).await;
    (refused, took)
}

#[tokio::test]
async fn a_silent_parent_is_waited_for_and_named() {
    let (refused, took) = lied_to(silent(), None).await;
    assert_eq!(refused.code, "name_not_resolved", "{refused}");
    assert!(refused.detail.contains("/one ("), "{refused}");
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[tokio::test]
async fn garbage_is_no_answer() {
    for garbage in [
        Bytes::from_static(b"\xff\xfe"),
        Bytes::from_static(b"{\"bearers\":{}}"),
        Bytes::from(vec![b'['; 4 << 20]),
    ] {
        let (refused, _) = lied_to(answers(garbage), None).await;
        assert_eq!(refused.code, "name_not_resolved", "{refused}");
    }
}

#[tokio::test]
async fn two_who_name_each_other_are_asked_once_each() {
    // Chains of a root that is not the mesh's, of one that names itself, and of nobody.
    let foreign = Identity::from_secret([30; 32]);
    let claims = peerage_core::grant::Claims {
        sub: Did::from_peer_id(&Identity::from_secret([21; 32]).peer_id()).unwrap(),
        path: "o://home/one/two/three".parse().unwrap(),
        rights: Rights::member(),
        nbf: 1,
        exp: u64::from(u32::MAX),
        depth: 0,
    };
    let lie = Answer {
        bearers: vec![Bearer {
            chain: Chain::issue_root(&foreign, claims).unwrap(),
            addresses: vec!["/memory/1".parse().unwrap()],
        }],
    };
    let lie = lie.encode();
    let (refused, took) = lied_to(answers(lie.clone()), Some(answers(lie))).await;
    assert_eq!(refused.code, "unknown_name", "{refused}");
    assert_eq!(
        refused.detail.matches("proves nothing").count(),
        2,
        "{refused}"
    );
    assert!(took < Duration::from_secs(5), "{took:?}");
}
