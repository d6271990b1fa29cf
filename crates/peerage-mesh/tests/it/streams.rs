use futures::{AsyncReadExt, AsyncWriteExt};
use peerage_core::{Identity, peer_book::PeerBook};
use peerage_mesh::{
    Book, CallError, Limits, Mesh, MeshConfig, OpenError, ProtocolError, StartError, Tasks,
    Transports,
};
use tokio::time::timeout;

use crate::node::{Node, PATIENCE, get};

const PROTOCOL: &str = "/test/raw/1";

#[tokio::test(flavor = "multi_thread")]
async fn a_bare_stream_carries_bytes_both_ways_and_says_who_opened_it() {
    let (a, mut inbound) = Node::start(1, "/memory/0", &[], &[(PROTOCOL, 4)]).await;
    let mut streams = inbound.streams(PROTOCOL).expect("it was named");
    assert!(inbound.streams(PROTOCOL).is_none(), "it was taken");
    let b = Node::echo(2, "/memory/0", &[&a]).await;
    let mut out = b.mesh.open_stream(a.id, PROTOCOL).await.expect("it opens");
    out.write_all(b"word").await.unwrap();
    out.flush().await.unwrap();
    let (peer, mut arrived) = timeout(PATIENCE, streams.next()).await.unwrap().unwrap();
    assert_eq!(peer, b.id);
    let mut word = [0; 4];
    arrived.read_exact(&mut word).await.unwrap();
    assert_eq!(&word, b"word");
    arrived.write_all(b"back").await.unwrap();
    arrived.close().await.unwrap();
    let mut rest = Vec::new();
    out.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"back");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_accepted_is_told_and_a_full_queue_too() {
    let (a, mut inbound) =
        Node::start(1, "/memory/0", &[], &[(PROTOCOL, 1), ("/test/left", 1)]).await;
    let mut streams = inbound.streams(PROTOCOL).expect("it was named");
    a.tasks.spawn("serve", inbound.serve(axum::Router::new()));
    let b = Node::echo(2, "/memory/0", &[&a]).await;
    // Its answer shows that the one who answers has begun.
    let _ = b.mesh.call(a.id, get("/")).await.expect("it answers");
    b.until(|mesh| mesh.book().get(&a.id).is_some_and(|r| r.agent.is_some()))
        .await;
    for unknown in ["/test/other", "/test/left", "no protocol"] {
        let error = b.mesh.open_stream(a.id, unknown).await.unwrap_err();
        let CallError::Open { source, .. } = error else {
            panic!("{error}");
        };
        assert!(
            matches!(source, OpenError::Unsupported(_) | OpenError::Busy(_)),
            "{source}"
        );
    }
    let _first = b
        .mesh
        .open_stream(a.id, PROTOCOL)
        .await
        .expect("there is room");
    let error = b.mesh.open_stream(a.id, PROTOCOL).await.unwrap_err();
    let CallError::Open { source, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(source, OpenError::Busy(PROTOCOL.into()));
    streams.next().await.expect("the first waits");
    b.mesh
        .open_stream(a.id, PROTOCOL)
        .await
        .expect("there is room again");
}

#[tokio::test]
async fn a_protocol_that_cannot_be_accepted_stops_the_start() {
    let refused = |protocols: &[(&str, usize)]| {
        let identity = Identity::from_secret([1; 32]);
        let config = MeshConfig {
            listen: vec!["/memory/0".parse().unwrap()],
            peers: Vec::new(),
            agent: "test/0".into(),
            limits: Limits::default().alike(),
            gating: None,
            transports: Transports::Memory,
            protocols: protocols
                .iter()
                .map(|(name, room)| ((*name).to_owned(), *room))
                .collect(),
            identity: identity.clone(),
        };
        let book = Book::new(PeerBook::new(identity.peer_id(), 1));
        match Mesh::spawn(config, &book, &Tasks::new()) {
            Err(StartError::Protocol(error)) => error,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(refused(&[("x", 1)]), ProtocolError::Name("x".into()));
    assert_eq!(refused(&[("/x", 0)]), ProtocolError::NoRoom("/x".into()));
    assert_eq!(
        refused(&[("/x", 1), ("/x", 1)]),
        ProtocolError::Taken("/x".into())
    );
    assert_eq!(
        refused(&[("/http/1.1", 1)]),
        ProtocolError::Taken("/http/1.1".into())
    );
}
