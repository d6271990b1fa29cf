//! Peers that are gone without a word, and peers that do not read: in virtual time, which passes only when
//! everybody waits.

use std::{convert::Infallible, time::Duration};

use axum::{body::Body as Answer, routing::post as route};
use bytes::Bytes;
use futures::StreamExt;
use http::Request;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use peerage_core::peer_book::PeerEvent;
use peerage_mesh::{Body, CallError, vanish};
use tokio::{sync::mpsc, task::JoinSet, time::Instant, time::timeout};

use crate::node::{Node, PATIENCE, get, post};

/// A peer that vanishes is noticed within this time.
const NOTICED: Duration = Duration::from_secs(15);
/// Longer than anything takes that does not wait for somebody: in virtual time no wait at all.
const STALLED: Duration = Duration::from_secs(1);

/// A request whose body is what is sent into the channel.
fn upload(path: &str) -> (mpsc::Sender<Bytes>, Request<Body>) {
    let (pieces, source) = mpsc::channel::<Bytes>(1);
    let source = tokio_stream::wrappers::ReceiverStream::new(source);
    let body = StreamBody::new(source.map(|piece| Ok::<_, Infallible>(Frame::data(piece))));
    let body = body.map_err(|never| match never {}).boxed_unsync();
    (pieces, Request::post(path).body(body).expect("a request"))
}

/// A service that begins to answer `/stall` and never reads what is sent there.
fn stalling() -> axum::Router {
    let echo = axum::Router::new().route("/echo", route(|body: Bytes| async move { body }));
    echo.route(
        "/stall",
        route(|request: Request<Answer>| async move {
            std::future::pending::<()>().await;
            drop(request);
        }),
    )
}

/// Sends until nothing more is taken, and says how much was.
async fn fill(pieces: &mpsc::Sender<Bytes>) -> usize {
    let piece = Bytes::from(vec![7; 16 * 1024]);
    let mut sent = 0;
    while timeout(STALLED, pieces.send(piece.clone())).await.is_ok() {
        sent += piece.len();
        assert!(sent < 16 << 20, "nobody reads, and still it is taken");
    }
    sent
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_vanishes_is_noticed_in_time_whatever_was_under_way() {
    for (round, late) in [0, 1_300, 2_600, 4_900].into_iter().enumerate() {
        let secret = 2 * u8::try_from(round).unwrap();
        let a = Node::serving(100 + secret, "/memory/0", &[], stalling()).await;
        let b = Node::echo(101 + secret, "/memory/0", &[&a]).await;
        b.until(|mesh| mesh.book().get(&a.id).is_some_and(|r| r.rtt.is_some()))
            .await;
        // A body that nobody takes is under way, so that not even a farewell could be sent.
        let (pieces, request) = upload("/stall");
        let (mesh, id) = (b.mesh.clone(), a.id);
        let mut calls = JoinSet::new();
        calls.spawn(async move { mesh.call(id, request).await.map(|_| ()) });
        fill(&pieces).await;
        let mut changes = b.mesh.book().watch();
        while !matches!(changes.recv().await.unwrap().event, PeerEvent::Measured(_)) {}
        tokio::time::advance(Duration::from_millis(late)).await;

        let gone = Instant::now();
        assert!(vanish(&a.address().await));
        b.until(|mesh| mesh.book().get(&a.id).is_some_and(|r| r.link.is_none()))
            .await;
        assert!(gone.elapsed() < NOTICED, "after {:?}", gone.elapsed());
        let ended = timeout(STALLED, calls.join_next())
            .await
            .expect("it ends with the link");
        let error = ended.unwrap().unwrap().unwrap_err();
        assert!(matches!(error, CallError::Lost { .. }), "{error}");
        let cause = b.mesh.book().get(&a.id).unwrap().last_error.unwrap();
        assert!(cause.contains("did not answer"), "{cause}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_does_not_read_slows_only_what_is_sent_to_it() {
    let b = Node::serving(1, "/memory/0", &[], stalling()).await;
    let c = Node::echo(2, "/memory/0", &[]).await;
    let a = Node::echo(3, "/memory/0", &[&b, &c]).await;
    let mut calls = JoinSet::new();
    let mut uploads = Vec::new();
    for _ in 0..8 {
        let (pieces, request) = upload("/stall");
        let (mesh, id) = (a.mesh.clone(), b.id);
        calls.spawn(async move { mesh.call(id, request).await.map(|_| ()) });
        let taken = fill(&pieces).await;
        assert!(
            taken < 2 << 20,
            "{taken} bytes are held for one that does not read"
        );
        uploads.push(pieces);
    }
    let word = Bytes::from_static(b"word");
    for _ in 0..100 {
        for peer in [b.id, c.id] {
            let answered = timeout(STALLED, a.mesh.call(peer, post(word.clone()))).await;
            let answer = answered.expect("at once").unwrap().into_body();
            assert_eq!(answer.collect().await.unwrap().to_bytes(), word);
        }
        assert!(c.mesh.is_connected(&a.id));
    }
    assert!(
        a.mesh.is_connected(&b.id),
        "it answers pings, so it is there"
    );
    drop(uploads);
    let _ = timeout(PATIENCE, a.mesh.call(c.id, get("/")))
        .await
        .unwrap()
        .unwrap();
}
