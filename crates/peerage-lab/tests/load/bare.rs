//! Many calls at once between two bare meshes, over TCP and over QUIC.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use axum::{Router, body::Bytes, routing::post};
use http::Request;
use http_body_util::{BodyExt as _, Full};
use peerage::{Multiaddr, PeerId};
use peerage_core::{Identity, peer_book::PeerBook};
use peerage_lab::until_watched;
use peerage_mesh::{Body, Book, Limits, Mesh, MeshConfig, Tasks, Transports};

use super::system::{TURN, resident_kib};

/// Calls before the first that counts.
const WARM_UP: usize = 4_000;
/// Calls that count.
const CALLS: usize = 12_000;
/// How many are in flight.
const IN_FLIGHT: usize = 128;
/// How much more memory there may be after them.
const MORE_KIB: u64 = 4 * 1024;

/// How often each call was executed, by its number.
type Executed = Arc<Vec<AtomicU8>>;

fn node(listen: &str, peers: Vec<(PeerId, Multiaddr)>, executed: &Executed) -> (Mesh, Tasks) {
    let identity = Identity::generate();
    let book = Book::new(PeerBook::new(identity.peer_id(), 1));
    let tasks = Tasks::new();
    let config = MeshConfig {
        identity,
        listen: vec![listen.parse().unwrap()],
        peers,
        agent: "load/0".to_owned(),
        transports: Transports::Network,
        protocols: Vec::new(),
        limits: Limits::default().alike(),
        gating: None,
    };
    let (mesh, inbound) = Mesh::spawn(config, &book, &tasks).unwrap();
    let executed = executed.clone();
    let echo = move |body: Bytes| async move {
        let number = u32::from_be_bytes(body[..4].try_into().unwrap());
        if let Some(times) = executed.get(number as usize) {
            times.fetch_add(1, Ordering::Relaxed);
        }
        body
    };
    let routes = Router::new().route("/echo", post(echo));
    tasks.spawn("serve", inbound.serve(routes));
    (mesh, tasks)
}

/// Every call carries its own number and comes back with it.
async fn calls(mesh: &Mesh, peer: PeerId, numbers: std::ops::Range<usize>) {
    let calls = (0..IN_FLIGHT).map(|first| {
        let numbers = numbers.clone().skip(first).step_by(IN_FLIGHT);
        async move {
            for number in numbers {
                let sent = Bytes::copy_from_slice(&u32::try_from(number).unwrap().to_be_bytes());
                let body: Body = Full::new(sent.clone())
                    .map_err(|never| match never {})
                    .boxed_unsync();
                let request = Request::post("/echo").body(body).unwrap();
                let answer = mesh.call(peer, request).await.unwrap();
                assert!(answer.status().is_success());
                let got = answer.into_body().collect().await.unwrap().to_bytes();
                assert_eq!(got, sent, "the answer of another call");
            }
        }
    });
    futures::future::join_all(calls).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_of_many_is_lost_or_answered_twice() {
    let _turn = TURN.lock().await;
    for listen in ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"] {
        let executed: Executed = Arc::new((0..CALLS).map(|_| AtomicU8::new(0)).collect());
        let (answering, answering_tasks) = node(listen, Vec::new(), &executed);
        let mut listening = answering.listening();
        until_watched(&mut listening, "it listens", |all| !all.is_empty()).await;
        let address = listening.borrow()[0].clone();
        let peer = answering.me();
        let (asking, asking_tasks) = node(listen, vec![(peer, address)], &executed);
        calls(&asking, peer, CALLS..CALLS + WARM_UP).await;
        let before = (
            resident_kib(),
            asking_tasks.running() + answering_tasks.running(),
        );
        calls(&asking, peer, 0..CALLS).await;
        let after = (
            resident_kib(),
            asking_tasks.running() + answering_tasks.running(),
        );
        let times = executed.iter().map(|times| times.load(Ordering::Relaxed));
        assert!(times.clone().all(|times| times == 1), "{listen}");
        assert_eq!(asking.refused_streams() + answering.refused_streams(), 0);
        assert!(
            after.0 <= before.0 + MORE_KIB,
            "{listen}: {before:?} {after:?}"
        );
        // A stream or two for each that may be in flight, and no more.
        assert!(after.1 <= before.1 + 8, "{listen}: {before:?} {after:?}");
        asking_tasks.stop().await;
        answering_tasks.stop().await;
        assert_eq!(asking_tasks.running() + answering_tasks.running(), 0);
    }
}
