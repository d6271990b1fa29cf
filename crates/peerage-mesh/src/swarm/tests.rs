use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use peerage_core::{Identity, PeerId, peer_book::PeerBook};
use tokio::{task::JoinSet, time::timeout};
use tower::service_fn;

use super::Command;
use crate::{Book, Limits, Mesh, MeshConfig, Tasks, Transports};

/// What a test waits for at the most; reached only when it fails.
const PATIENCE: Duration = Duration::from_secs(40);

struct Node {
    mesh: Mesh,
    book: Book,
    id: PeerId,
    _tasks: Tasks,
}

fn node(secret: u8, listen: &str, peers: Vec<(PeerId, peerage_core::Multiaddr)>) -> Node {
    let identity = Identity::from_secret([secret; 32]);
    let id = identity.peer_id();
    let book = Book::new(PeerBook::new(id, u64::from(secret)));
    let tasks = Tasks::new();
    let config = MeshConfig {
        identity,
        listen: vec![listen.parse().unwrap()],
        peers,
        agent: "test/0".into(),
        limits: Limits::default().alike(),
        gating: None,
        transports: Transports::Network,
        protocols: Vec::new(),
    };
    let (mesh, inbound) = Mesh::spawn(config, &book, &tasks).unwrap();
    tasks.spawn(
        "serve",
        inbound.serve(service_fn(|_| async {
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        })),
    );
    Node {
        mesh,
        book,
        id,
        _tasks: tasks,
    }
}

impl Node {
    async fn until(&self, mut so: impl FnMut(&Book) -> bool) {
        let mut changes = self.book.watch();
        let wait = async {
            while !so(&self.book) {
                let _ = changes.recv().await;
            }
        };
        timeout(PATIENCE, wait)
            .await
            .expect("it becomes so in time");
    }

    async fn until_connected(&self, peer: PeerId) {
        self.until(|book| book.get(&peer).is_some_and(|r| r.link.is_some()))
            .await;
    }

    async fn panic_once(&self, peer: PeerId) {
        let mut changes = self.book.watch();
        self.mesh.panic().await;
        let gone = async {
            while self.book.get(&peer).is_some_and(|r| r.link.is_some()) {
                let _ = changes.recv().await;
            }
        };
        timeout(PATIENCE, gone)
            .await
            .expect("the connection is told lost");
    }

    async fn call(&self, peer: PeerId) {
        let empty = Empty::new().map_err(|never| match never {}).boxed_unsync();
        let request = Request::get("/").body(empty).unwrap();
        let answer = timeout(PATIENCE, self.mesh.call(peer, request)).await;
        assert_eq!(answer.expect("in time").expect("it answers").status(), 200);
    }
}

impl Mesh {
    async fn panic(&self) {
        self.commands.send(Command::Panic).await.unwrap();
    }
}

async fn address(node: &Node) -> peerage_core::Multiaddr {
    let mut listening = node.mesh.listening();
    let up = timeout(PATIENCE, listening.wait_for(|at| !at.is_empty())).await;
    up.expect("it listens in time").unwrap()[0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_costs_the_connections_and_not_the_node() {
    for listen in ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"] {
        let a = node(1, listen, Vec::new());
        let at = address(&a).await;
        let b = node(2, listen, vec![(a.id, at.clone())]);
        b.until_connected(a.id).await;
        a.until_connected(b.id).await;
        // Whoever is listened to is found again where it was.
        a.panic_once(b.id).await;
        a.until_connected(b.id).await;
        b.call(a.id).await;
        a.call(b.id).await;
        assert_eq!(address(&a).await, at);
        // Whoever dialled dials again.
        b.panic_once(a.id).await;
        b.until_connected(a.id).await;
        b.call(a.id).await;
        a.call(b.id).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_while_it_dials_does_not_leave_the_peer_undialled() {
    let a = node(1, "/ip4/127.0.0.1/tcp/0", Vec::new());
    let at = address(&a).await;
    // Nobody answers there (TEST-NET-1), so the attempt lasts.
    let silent = "/ip4/192.0.2.1/tcp/1".parse().unwrap();
    let b = node(2, "/ip4/127.0.0.1/tcp/0", vec![(a.id, silent)]);
    let (mesh, id) = (b.mesh.clone(), a.id);
    let mut waits = JoinSet::new();
    waits.spawn(async move { mesh.connect(id).await });
    // The command is taken in after the wish to connect.
    while !b.book.get(&a.id).is_some_and(|r| r.dialing) {
        tokio::task::yield_now().await;
    }
    b.mesh.panic().await;
    let told = timeout(PATIENCE, waits.join_next())
        .await
        .expect("whoever waits is told");
    told.unwrap().unwrap().expect_err("there is no connection");
    assert!(!b.book.get(&a.id).unwrap().dialing);
    let event = peerage_core::peer_book::PeerEvent::Discovered {
        addresses: vec![at],
        source: peerage_core::peer_book::Source::Config,
        holds: None,
    };
    b.book.apply(a.id, event);
    b.until_connected(a.id).await;
}
