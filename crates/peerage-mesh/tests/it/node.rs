//! A bare node: a mesh and a service.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use peerage_core::{Identity, Multiaddr, PeerId, peer_book::PeerBook};
use peerage_mesh::{
    Body, Book, Change, Inbound, Limits, Mesh, MeshConfig, Origin, Tasks, Transports,
};
use tokio::sync::broadcast::error::RecvError;
use tower::Service;

/// What a test waits for at the most; reached only when it fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Node {
    pub(crate) mesh: Mesh,
    pub(crate) tasks: Tasks,
    pub(crate) id: PeerId,
}

impl Node {
    /// Starts a node that answers with `service`.
    pub(crate) async fn serving<S>(secret: u8, listen: &str, peers: &[&Self], service: S) -> Self
    where
        S: Service<
                Request<hyper::body::Incoming>,
                Response = Response<axum::body::Body>,
                Error = Infallible,
                Future: Send,
            > + Clone
            + Send
            + 'static,
    {
        let (node, inbound) = Self::start(secret, listen, peers, &[]).await;
        node.tasks.spawn("serve", inbound.serve(service));
        node
    }

    /// Starts a node that accepts further protocols and does not answer yet.
    pub(crate) async fn start(
        secret: u8,
        listen: &str,
        peers: &[&Self],
        protocols: &[(&str, usize)],
    ) -> (Self, Inbound) {
        let limits = Limits::default().alike();
        Self::start_limited((secret, limits), listen, peers, protocols).await
    }

    /// Starts such a node that gives its peers only so much.
    pub(crate) async fn start_limited(
        (secret, limits): (u8, Limits),
        listen: &str,
        peers: &[&Self],
        protocols: &[(&str, usize)],
    ) -> (Self, Inbound) {
        let identity = Identity::from_secret([secret; 32]);
        let book = Book::new(PeerBook::new(identity.peer_id(), u64::from(secret)));
        let tasks = Tasks::new();
        let mut named = Vec::new();
        for peer in peers {
            named.push((peer.id, peer.address().await));
        }
        let listen: Multiaddr = listen.parse().expect("the test's own address");
        let config = MeshConfig {
            transports: if listen.to_string().starts_with("/memory") {
                Transports::Memory
            } else {
                Transports::Network
            },
            listen: vec![listen],
            peers: named,
            agent: "test/0".into(),
            limits,
            gating: None,
            identity: identity.clone(),
            protocols: protocols
                .iter()
                .map(|(name, length)| ((*name).to_owned(), *length))
                .collect(),
        };
        let (mesh, inbound) = Mesh::spawn(config, &book, &tasks).expect("it starts");
        let id = identity.peer_id();
        (Self { mesh, tasks, id }, inbound)
    }

    /// Starts a node that answers with the body it gets and who sent it.
    pub(crate) async fn echo(secret: u8, listen: &str, peers: &[&Self]) -> Self {
        Self::serving(secret, listen, peers, axum::Router::new().fallback(echo)).await
    }

    pub(crate) async fn address(&self) -> Multiaddr {
        let mut listening = self.mesh.listening();
        let addresses = tokio::time::timeout(PATIENCE, listening.wait_for(|a| !a.is_empty()))
            .await
            .expect("it listens in time")
            .expect("it runs");
        addresses[0].clone()
    }

    /// Waits until something of a peer is so.
    pub(crate) async fn until(&self, mut so: impl FnMut(&Mesh) -> bool) {
        let mut changes = self.mesh.book().watch();
        let wait = async {
            while !so(&self.mesh) {
                match changes.recv().await {
                    Ok(Change { .. }) | Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => panic!("the book is gone"),
                }
            }
        };
        tokio::time::timeout(PATIENCE, wait)
            .await
            .expect("it becomes so in time");
    }

    pub(crate) async fn until_connected(&self, peer: PeerId) {
        self.until(|mesh| mesh.book().get(&peer).is_some_and(|r| r.link.is_some()))
            .await;
    }

    pub(crate) async fn post(&self, peer: PeerId, body: Bytes) -> Bytes {
        let response = self.mesh.call(peer, post(body)).await.expect("it answers");
        assert_eq!(response.status(), 200);
        let body = response.into_body().collect().await;
        body.expect("the body comes whole").to_bytes()
    }
}

pub(crate) fn post(body: Bytes) -> Request<Body> {
    Request::post("/echo")
        .body(
            Full::new(body)
                .map_err(|never| match never {})
                .boxed_unsync(),
        )
        .expect("a request")
}

pub(crate) fn get(path: &str) -> Request<Body> {
    Request::get(path)
        .body(
            Empty::new()
                .map_err(|never: Infallible| match never {})
                .boxed_unsync(),
        )
        .expect("a request")
}

async fn echo(request: Request<axum::body::Body>) -> Response<axum::body::Body> {
    let origin = request.extensions().get::<Origin>().copied();
    let mut response = Response::new(request.into_body());
    if let Some(Origin::Peer(peer)) = origin {
        let value = peer.to_base58().parse().expect("base58 is a header value");
        response.headers_mut().insert("origin-peer", value);
    }
    response
}
