use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use futures::{AsyncReadExt, AsyncWriteExt};
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use peerage_core::{Identity, Multiaddr, PeerId, peer_book::PeerBook};
use tokio::time::timeout;
use tower::service_fn;

use super::CallError;
use crate::{Book, Inbound, Limits, Mesh, MeshConfig, PeerStream, Tasks, Transports};

/// What a test waits for at the most; reached only when it fails.
const PATIENCE: Duration = Duration::from_secs(30);

fn mesh(secret: u8, peers: Vec<(PeerId, Multiaddr)>) -> (Mesh, Inbound, Tasks) {
    let identity = Identity::from_secret([secret; 32]);
    let book = Book::new(PeerBook::new(identity.peer_id(), u64::from(secret)));
    let tasks = Tasks::new();
    let config = MeshConfig {
        identity,
        listen: vec!["/memory/0".parse().unwrap()],
        peers,
        agent: "test/0".into(),
        limits: Limits::default().alike(),
        gating: None,
        transports: Transports::Memory,
        protocols: Vec::new(),
    };
    let (mesh, inbound) = Mesh::spawn(config, &book, &tasks).unwrap();
    (mesh, inbound, tasks)
}

/// Two that are connected: who is called, its calls answered by hand, and who calls.
async fn pair() -> ((Mesh, Inbound, Tasks), (Mesh, Inbound, Tasks)) {
    let a = mesh(1, Vec::new());
    let mut listening = a.0.listening();
    let at = listening.wait_for(|at| !at.is_empty()).await.unwrap()[0].clone();
    let b = mesh(2, vec![(a.0.me(), at)]);
    b.0.connect(a.0.me()).await.unwrap();
    (a, b)
}

async fn call(mesh: &Mesh, peer: PeerId) -> Result<Bytes, CallError> {
    let empty = Empty::new().map_err(|never| match never {}).boxed_unsync();
    let request = Request::get("/").body(empty).unwrap();
    let answer = timeout(PATIENCE, mesh.call(peer, request))
        .await
        .expect("it ends")?;
    let body = timeout(PATIENCE, answer.into_body().collect()).await;
    Ok(body.expect("it ends").unwrap().to_bytes())
}

/// Reads the head of a request without a body.
async fn head(stream: &mut PeerStream) {
    let mut read = Vec::new();
    let mut byte = [0];
    while !read.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).await.unwrap();
        read.push(byte[0]);
    }
}

async fn answer(stream: &mut PeerStream, word: &str) {
    head(stream).await;
    let text = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{word}",
        word.len()
    );
    stream.write_all(text.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
}

#[tokio::test]
async fn a_warm_stream_that_was_closed_meanwhile_is_replaced_without_the_caller_noticing() {
    let ((a, mut inbound, _a), (b, _, _b)) = pair().await;
    let serve = async {
        let (_, mut first) = inbound.accept.next().await.unwrap();
        answer(&mut first, "one").await;
        answer(&mut first, "two").await;
        first.close().await.unwrap();
        drop(first);
        let (_, mut second) = inbound.accept.next().await.unwrap();
        answer(&mut second, "three").await;
    };
    let ask = async {
        assert_eq!(call(&b, a.me()).await.unwrap(), "one");
        // On the same stream: nobody takes up another one over there.
        assert_eq!(call(&b, a.me()).await.unwrap(), "two");
        // The ping goes the same way as the end of the stream, and after it.
        b.pinger(&a.me()).await.unwrap().ask().await.unwrap();
        assert_eq!(call(&b, a.me()).await.unwrap(), "three");
    };
    tokio::join!(serve, ask);
}

#[tokio::test]
async fn a_stream_that_breaks_after_the_request_was_sent_is_told_as_lost() {
    let ((a, mut inbound, _a), (b, _, _b)) = pair().await;
    let serve = async {
        let (_, mut first) = inbound.accept.next().await.unwrap();
        answer(&mut first, "one").await;
        head(&mut first).await;
    };
    let ask = async {
        assert_eq!(call(&b, a.me()).await.unwrap(), "one");
        let error = call(&b, a.me()).await.unwrap_err();
        assert!(matches!(error, CallError::Lost { .. }), "{error}");
    };
    tokio::join!(serve, ask);
}

#[tokio::test]
async fn an_answer_that_is_no_http_is_an_error() {
    let ((a, mut inbound, _a), (b, _, _b)) = pair().await;
    let serve = async {
        let (_, mut first) = inbound.accept.next().await.unwrap();
        head(&mut first).await;
        first.write_all(&[0; 200]).await.unwrap();
        first.flush().await.unwrap();
        // Kept until the caller has gone.
        let _ = first.read(&mut [0]).await;
    };
    let ask = async {
        call(&b, a.me()).await.unwrap_err();
    };
    tokio::join!(serve, ask);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_stays_behind_when_connections_close_with_calls_under_way() {
    let ((a, inbound, tasks), (b, _, b_tasks)) = pair().await;
    tasks.spawn(
        "serve",
        inbound.serve(service_fn(|_| async {
            std::future::pending::<()>().await;
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        })),
    );
    let before = b_tasks.running();
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let (b, peer) = (b.clone(), a.me());
        calls.spawn(async move { call(&b, peer).await });
    }
    while tasks.running() < 64 {
        tokio::task::yield_now().await;
    }
    b.disconnect(a.me(), "cut by the test").await;
    while let Some(ended) = calls.join_next().await {
        ended.unwrap().unwrap_err();
    }
    let gone = async {
        while tasks.running() >= 64 || b_tasks.running() > before {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, gone).await.expect("both sides let go");
}
