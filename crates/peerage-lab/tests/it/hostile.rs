//! Strangers that want too much of a whole node: they are refused and told, others are answered, and the
//! status says what was refused.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use futures::{StreamExt, future::join_all, stream};
use http::{Request, StatusCode, header::RETRY_AFTER};
use http_body_util::{BodyExt, Empty, StreamBody};
use peerage::{Multiaddr, Node, PeerId, Problem};
use peerage_core::{
    Identity,
    multiaddr::Protocol,
    peer_book::{MAX_PEERS, PeerBook, PeerEvent, Source},
};
use peerage_lab::{Lab, LocalApi, WITHIN, introduced, until_true};
use peerage_mesh::{Body, Book, Limits, Mesh, MeshConfig, Tasks, Transports};
use peerage_services::api::{LimitsView, NodeStatus};
use serde_json::{Map, Value, json};
use tokio::time::timeout;

const CARD: &str = "/.well-known/agent-card.json";

/// A peer that is only what the transport needs: no card, no manners.
struct Stranger {
    mesh: Mesh,
    tasks: Tasks,
}

impl Stranger {
    fn new(secret: u8, victim: &Multiaddr) -> Self {
        let identity = Identity::from_secret([secret; 32]);
        let book = Book::new(PeerBook::new(identity.peer_id(), 1));
        let tasks = Tasks::new();
        let mut address = victim.clone();
        let Some(Protocol::P2p(peer)) = address.pop() else {
            panic!("{victim} has no id");
        };
        let config = MeshConfig {
            identity,
            listen: vec!["/memory/0".parse().unwrap()],
            peers: vec![(peer, address)],
            agent: "hostile/0".to_owned(),
            transports: Transports::Memory,
            protocols: Vec::new(),
            limits: Limits::default(),
            gating: None,
        };
        let (mesh, _) = Mesh::spawn(config, &book, &tasks).unwrap();
        Self { mesh, tasks }
    }

    async fn card_of(&self, peer: PeerId) -> (StatusCode, Option<u64>, Bytes) {
        let body = Empty::new().map_err(|never: Infallible| match never {});
        let request = Request::get(CARD).body(body.boxed_unsync()).unwrap();
        let response = timeout(WITHIN, self.mesh.call(peer, request)).await;
        let (head, body) = response.expect("in time").unwrap().into_parts();
        let after = head.headers.get(RETRY_AFTER);
        let after = after.map(|value| value.to_str().unwrap().parse().unwrap());
        let body = body.collect().await.unwrap().to_bytes();
        (head.status, after, body)
    }
}

/// A node that shares a function with its mesh, and a member that may call it.
async fn two(lab: &Lab) -> (Node, Node, Multiaddr) {
    let place = lab.place_at("home", "victim");
    let member = lab.place_at("home", "member").knowing(&place);
    let victim = place
        .builder()
        .tool("double", "Doubles", |args: Map<String, Value>| async move {
            let number = args.get("n").and_then(Value::as_i64);
            number.map(|n| n * 2).ok_or("n is missing")
        })
        .spawn()
        .await
        .unwrap();
    let member = member.start().await;
    introduced(&[&victim, &member]).await;
    (victim, member, place.address())
}

async fn the_member_is_answered(member: &Node) {
    let calls = (0..20).map(|n| async move {
        let result = member
            .call("victim/functions/double", json!({ "n": n }))
            .await;
        assert_eq!(result.unwrap()["content"][0]["text"], (2 * n).to_string());
    });
    timeout(WITHIN, join_all(calls)).await.expect("in time");
}

/// The limits as any program on this machine sees them.
async fn limits(node: &Node) -> LimitsView {
    let answer = LocalApi::of(node).get("/api/v1/node").await;
    let status: NodeStatus = serde_json::from_slice(&answer.body).unwrap();
    status.limits
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_beyond_the_rate_are_told_when_to_come_again() {
    let lab = Lab::new();
    let (victim, member, address) = two(&lab).await;
    let stranger = Stranger::new(9, &address);
    let peer = victim.peer_id();
    let attack = stream::iter(0..400).map(|_| stranger.card_of(peer));
    let attack = async { attack.buffer_unordered(24).collect::<Vec<_>>().await };
    let (answers, ()) = tokio::join!(attack, the_member_is_answered(&member));
    let refused: Vec<_> = answers
        .iter()
        .filter(|(status, ..)| *status == StatusCode::TOO_MANY_REQUESTS)
        .collect();
    assert!(refused.len() > 50, "{} refused", refused.len());
    for (_, after, body) in &refused {
        assert_eq!(*after, Some(1));
        let problem = Problem::from_json(body).expect("a problem");
        assert_eq!((problem.status, problem.code.as_str()), (429, "call_rate"));
        assert!(problem.hint.is_some());
    }
    let answered = answers.iter().filter(|(status, ..)| status.is_success());
    assert_eq!(
        answered.count() + refused.len(),
        400,
        "each is answered or refused"
    );

    let limits = limits(&victim).await;
    assert!(limits.refused["call_rate"] >= refused.len() as u64);
    let told = &limits.refused_peers[0];
    assert_eq!(told.peer_id, stranger.mesh.me().to_base58());
    assert_eq!(told.refused["call_rate"], limits.refused["call_rate"]);
    assert!(!told.shut_out && !told.last.is_empty());
    assert!(limits.connections.used >= 2 && limits.connections.by_strangers >= 1);
    assert_eq!(limits.stranger.calls_per_second, 50);
    stranger.tasks.stop().await;
    member.stop().await;
    victim.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_beyond_what_may_be_held_are_refused_and_given_back() {
    const SIZE: u64 = 1024 * 1024;
    let lab = Lab::new();
    let (victim, member, address) = two(&lab).await;
    let stranger = Stranger::new(9, &address);
    let peer = victim.peer_id();
    // Each says that it is a mebibyte, and none ever comes whole.
    let calls = (0..12).map(|_| {
        let body =
            StreamBody::new(stream::pending::<Result<http_body::Frame<Bytes>, Infallible>>());
        let body: Body = body.map_err(|never| match never {}).boxed_unsync();
        let request = Request::post("/api/v1/cards").header("content-length", SIZE);
        let request = request.body(body).unwrap();
        let mesh = &stranger.mesh;
        async move {
            let answer = mesh.call(peer, request).await.unwrap();
            let status = answer.status();
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            (status, Problem::from_json(&body).unwrap().code)
        }
    });
    let mut calls: stream::FuturesUnordered<_> = calls.collect();
    for _ in 0..4 {
        let answer = timeout(WITHIN, calls.next())
            .await
            .expect("four do not fit");
        let expected = (StatusCode::TOO_MANY_REQUESTS, "bytes_in_flight".to_owned());
        assert_eq!(answer, Some(expected));
    }
    the_member_is_answered(&member).await;
    let held = limits(&victim).await.bytes_in_flight;
    assert_eq!((held.used, held.by_strangers), (8 * SIZE, 8 * SIZE));
    drop(calls);
    let budget = victim.context().mesh.budget();
    until_true("what was held is given back", || {
        budget.usage().all.bytes_in_flight == 0
    })
    .await;
    stranger.tasks.stop().await;
    member.stop().await;
    victim.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_keys_get_no_more_than_the_strangers_half() {
    let lab = Lab::new();
    let place = lab.place_at("home", "victim");
    let mut limits_of = Limits::of_memory(0);
    limits_of.connections = 32;
    let victim = place.builder().limits(limits_of).spawn().await.unwrap();
    let strangers: Vec<_> = (1..=40)
        .map(|n| Stranger::new(n, &place.address()))
        .collect();
    let budget = victim.context().mesh.budget();
    until_true("some are refused", || {
        let refused = budget.usage().refused;
        refused
            .iter()
            .any(|(cause, count)| cause.as_str() == "connections" && *count >= 20)
    })
    .await;
    let usage = budget.usage();
    assert!(usage.strangers.connections <= 16, "{usage:?}");
    let member = lab.place_at("home", "member").knowing(&place).start().await;
    // Seen for the first time, a member is a stranger like any other until it has shown its grants; one
    // that is known has its place.
    victim
        .context()
        .members
        .trust(member.peer_id(), true)
        .unwrap();
    introduced(&[&victim, &member]).await;
    for stranger in strangers {
        stranger.tasks.stop().await;
    }
    timeout(Duration::from_secs(10), member.stop())
        .await
        .unwrap();
    victim.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_invented_peers_fill_no_more_than_the_book() {
    let lab = Lab::new();
    let (victim, member, _) = two(&lab).await;
    let tasks = victim.context().tasks.running();
    for n in 0..10_000_u64 {
        let discovered = PeerEvent::Discovered {
            addresses: vec![Protocol::Memory(u64::MAX - n).into()],
            source: Source::Mdns,
            holds: Some(Duration::from_secs(120)),
        };
        victim.book().apply(PeerId::random(), discovered);
    }
    the_member_is_answered(&member).await;
    assert!(victim.book().read(PeerBook::len) <= MAX_PEERS);
    assert!(limits(&victim).await.refused["book_full"] >= 10_000 - MAX_PEERS as u64);
    let running = victim.context().tasks.running();
    assert!(running <= tasks + 64, "{running} tasks after {tasks}");
    member.stop().await;
    victim.stop().await;
}

/// Ten strangers for each of the two that belong together, each wanting as much as it can get.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_times_as_many_strangers_cost_a_member_no_answer() {
    let lab = Lab::new();
    let (victim, member, address) = two(&lab).await;
    let peer = victim.peer_id();
    let strangers: Vec<_> = (1..=20).map(|n| Stranger::new(n, &address)).collect();
    let attacks = strangers.iter().map(|stranger| async move {
        let calls = stream::iter(0..60).map(|_| stranger.card_of(peer));
        calls.buffer_unordered(8).collect::<Vec<_>>().await
    });
    let members = async {
        for _ in 0..10 {
            the_member_is_answered(&member).await;
        }
    };
    let (answers, ()) = tokio::join!(join_all(attacks), members);
    assert_eq!(answers.iter().map(Vec::len).sum::<usize>(), 20 * 60);
    for stranger in strangers {
        stranger.tasks.stop().await;
    }
    member.stop().await;
    victim.stop().await;
}
