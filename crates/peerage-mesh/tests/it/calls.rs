use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{body::Body, routing::get as route};
use bytes::Bytes;
use http_body_util::BodyExt;
use peerage_mesh::{CallError, OpenError};
use tokio::{sync::mpsc, task::JoinSet, time::timeout};

use crate::node::{Node, PATIENCE, get, post};

#[tokio::test(flavor = "multi_thread")]
async fn a_call_comes_back_and_the_callee_knows_who_called() {
    for listen in [
        "/ip4/127.0.0.1/tcp/0",
        "/ip4/127.0.0.1/udp/0/quic-v1",
        "/memory/0",
    ] {
        let a = Node::echo(1, listen, &[]).await;
        let b = Node::echo(2, listen, &[&a]).await;
        let response = b
            .mesh
            .call(a.id, post(Bytes::from_static(b"hello")))
            .await
            .unwrap_or_else(|error| panic!("{listen}: {error}"));
        assert_eq!(response.headers()["origin-peer"], b.id.to_base58());
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, "hello", "over {listen}");
        a.tasks.stop().await;
        b.tasks.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_calls_at_once_are_all_answered_once() {
    let a = Arc::new(Node::echo(1, "/memory/0", &[]).await);
    let b = Arc::new(Node::echo(2, "/memory/0", &[&a]).await);
    let mut calls = JoinSet::new();
    for n in 0..2_000_u32 {
        let (a, b) = (a.clone(), b.clone());
        calls.spawn(async move {
            let sent = Bytes::copy_from_slice(&n.to_be_bytes());
            assert_eq!(b.post(a.id, sent.clone()).await, sent);
        });
    }
    while let Some(call) = calls.join_next().await {
        call.expect("each call is answered with its own body");
    }
    assert_eq!(a.mesh.refused_streams(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_body_passes_whole_in_both_directions() {
    let a = Node::echo(1, "/ip4/127.0.0.1/tcp/0", &[]).await;
    let b = Node::echo(2, "/ip4/127.0.0.1/tcp/0", &[&a]).await;
    let large = Bytes::from(vec![7; 8 * 1024 * 1024]);
    assert!(b.post(a.id, large.clone()).await == large);
}

/// Tells when the handler that holds it is dropped.
struct Gone(mpsc::Sender<()>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.try_send(()).expect("the test listens");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_goes_away_cancels_the_call() {
    let (began, mut begun) = mpsc::channel(1);
    let (dropped, mut gone) = mpsc::channel(1);
    let slow = axum::Router::new().route(
        "/slow",
        route(move || {
            let (began, gone) = (began.clone(), Gone(dropped.clone()));
            async move {
                let _gone = gone;
                began.send(()).await.unwrap();
                std::future::pending::<()>().await;
            }
        }),
    );
    let a = Node::serving(1, "/memory/0", &[], slow).await;
    let b = Node::echo(2, "/memory/0", &[&a]).await;
    let (mesh, id) = (b.mesh.clone(), a.id);
    let mut calls = JoinSet::new();
    calls.spawn(async move { mesh.call(id, get("/slow")).await.map(|_| ()) });
    timeout(PATIENCE, begun.recv()).await.expect("it begins");
    calls.abort_all();
    timeout(PATIENCE, gone.recv())
        .await
        .expect("the handler is dropped on the other side");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_streamed_answer_arrives_piece_by_piece() {
    let (pieces, source) = mpsc::channel::<&'static str>(4);
    let source = Arc::new(tokio::sync::Mutex::new(Some(source)));
    let stream = axum::Router::new().route(
        "/stream",
        route(move || {
            let source = source.clone();
            async move {
                let source = source.lock().await.take().expect("asked once");
                let frames = futures::stream::unfold(source, |mut source| async {
                    let piece = source.recv().await?;
                    Some((Ok::<_, std::convert::Infallible>(piece), source))
                });
                Body::from_stream(frames)
            }
        }),
    );
    let a = Node::serving(1, "/memory/0", &[], stream).await;
    let b = Node::echo(2, "/memory/0", &[&a]).await;
    let mut answer = b.mesh.call(a.id, get("/stream")).await.unwrap().into_body();
    for piece in ["one", "two"] {
        pieces.send(piece).await.unwrap();
        let frame = timeout(PATIENCE, answer.frame())
            .await
            .expect("it is not held back");
        assert_eq!(frame.unwrap().unwrap().into_data().unwrap(), piece);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_goes_on_being_sent_while_nobody_reads_the_answer() {
    let a = Node::echo(1, "/memory/0", &[]).await;
    let b = Node::echo(2, "/memory/0", &[&a]).await;
    let (pieces, source) = mpsc::channel::<Bytes>(1);
    let frames = futures::stream::unfold(source, |mut source| async {
        let piece = source.recv().await?;
        Some((Ok(http_body::Frame::data(piece)), source))
    });
    let request = http::Request::post("/echo")
        .body(http_body_util::StreamBody::new(frames).boxed_unsync())
        .unwrap();
    let answer = timeout(PATIENCE, b.mesh.call(a.id, request))
        .await
        .unwrap()
        .unwrap();
    let piece = Bytes::from(vec![b'x'; 1024]);
    let upload = async {
        for _ in 0..64 {
            pieces.send(piece.clone()).await.expect("it is taken");
        }
    };
    timeout(PATIENCE, upload).await.expect("it goes on");
    drop(pieces);
    let echoed = timeout(PATIENCE, answer.into_body().collect())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(echoed.to_bytes().len(), 64 * 1024);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_may_have_been_executed_is_not_sent_again() {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    let (began, mut begun) = mpsc::channel(8);
    let service = axum::Router::new().route(
        "/",
        route(move || {
            let (counted, began) = (counted.clone(), began.clone());
            async move {
                counted.fetch_add(1, Ordering::SeqCst);
                began.send(()).await.unwrap();
                std::future::pending::<()>().await;
            }
        }),
    );
    let a = Node::serving(1, "/memory/0", &[], service).await;
    let b = Node::echo(2, "/memory/0", &[&a]).await;
    let (mesh, id) = (b.mesh.clone(), a.id);
    let mut calls = JoinSet::new();
    calls.spawn(async move { mesh.call(id, get("/")).await.map(|_| ()) });
    timeout(PATIENCE, begun.recv()).await.expect("it begins");
    b.mesh.disconnect(a.id, "cut by the test").await;
    let ended = timeout(PATIENCE, calls.join_next()).await.expect("it ends");
    let error = ended.unwrap().unwrap().unwrap_err();
    assert!(matches!(error, CallError::Lost { .. }), "{error}");
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_cannot_be_reached_is_told_with_the_cause() {
    let a = Node::echo(1, "/ip4/127.0.0.1/tcp/0", &[]).await;
    let b = Node::echo(2, "/ip4/127.0.0.1/tcp/0", &[&a]).await;
    b.until_connected(a.id).await;
    a.tasks.stop().await;
    b.until(|mesh| mesh.book().get(&a.id).is_some_and(|r| r.link.is_none()))
        .await;
    let error = timeout(PATIENCE, b.mesh.call(a.id, get("/")))
        .await
        .expect("it ends by itself")
        .unwrap_err();
    let CallError::Unreachable { cause, .. } = error else {
        panic!("{error}");
    };
    assert!(cause.contains("refused"), "{cause}");
}

#[tokio::test(flavor = "multi_thread")]
async fn more_calls_than_places_wait_for_their_turn() {
    let at_once = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let (now, peak) = (at_once.clone(), most.clone());
    let service = axum::Router::new().route(
        "/",
        route(move || {
            let (now, peak) = (now.clone(), peak.clone());
            async move {
                peak.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(5)).await;
                now.fetch_sub(1, Ordering::SeqCst);
            }
        }),
    );
    let a = Node::serving(1, "/memory/0", &[], service).await;
    let b = Arc::new(Node::echo(2, "/memory/0", &[&a]).await);
    let mut calls = JoinSet::new();
    for _ in 0..1_000 {
        let (b, id) = (b.clone(), a.id);
        calls.spawn(async move {
            let answer = b.mesh.call(id, get("/")).await.expect("it is answered");
            answer.into_body().collect().await.expect("to its end");
        });
    }
    while let Some(call) = calls.join_next().await {
        call.unwrap();
    }
    assert!(most.load(Ordering::SeqCst) <= peerage_mesh::MAX_CALLS);
}

#[test]
fn a_refusal_says_which_protocol() {
    let error = OpenError::Unsupported("/http/1.1".into());
    assert_eq!(error.to_string(), "the peer does not speak /http/1.1");
}
