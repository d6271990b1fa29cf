//! Streams that are opened while one of two connections ends.

use super::*;
use crate::Tasks;

const PROTOCOL: StreamProtocol = StreamProtocol::new("/test/1");

/// A connection that is used, and the wishes for streams that arrive at its task.
fn link(connections: usize) -> (Link, mpsc::Receiver<Open>) {
    let (opens, wishes) = mpsc::channel(1);
    let link = Link {
        opens,
        places: Arc::new(Semaphore::new(1)),
        line: Line::new(Arc::default()),
        connections,
    };
    (link, wishes)
}

/// Begins to open a stream, and waits until the connection's task has heard of it.
async fn opening(
    streams: &Streams,
    peer: PeerId,
    wishes: &mut mpsc::Receiver<Open>,
) -> (oneshot::Receiver<Result<PeerStream, OpenError>>, Open) {
    let (told, outcome) = oneshot::channel();
    let streams = streams.clone();
    Tasks::new().spawn("opening", async move {
        let _ = told.send(streams.open(&peer, &PROTOCOL).await);
    });
    let wish = wishes.recv().await.expect("the connection is asked");
    (outcome, wish)
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_opened_over_the_other_connection_when_one_of_two_ends() {
    let (streams, peer) = (Streams::default(), PeerId::random());
    let (ends, mut at_the_first) = link(2);
    streams.set_link(peer, Some(ends));
    let (_, wish) = opening(&streams, peer, &mut at_the_first).await;
    let broke = OpenError::Broken("connection lost".into());
    wish.reply.send(Err(broke)).expect("it is waited for");

    // The swarm hears of the end only after the stream does.
    let (stays, mut at_the_other) = link(1);
    tokio::time::sleep(HANDOVER / 2).await;
    streams.set_link(peer, Some(stays));
    let again = at_the_other.recv().await.expect("the other is asked");
    assert_eq!(again.protocol, PROTOCOL);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_only_connection_is_told_at_once() {
    let (streams, peer) = (Streams::default(), PeerId::random());
    let (only, mut wishes) = link(1);
    streams.set_link(peer, Some(only));
    let (outcome, wish) = opening(&streams, peer, &mut wishes).await;
    let before = tokio::time::Instant::now();
    drop(wish);
    let told = outcome.await.expect("it ends").unwrap_err();
    assert!(matches!(told, OpenError::Broken(_)), "{told}");
    assert_eq!(before.elapsed(), Duration::ZERO);
}

#[tokio::test]
async fn a_wish_that_stays_in_the_queue_of_an_ended_connection_is_told() {
    let (streams, peer) = (Streams::default(), PeerId::random());
    let (only, _wishes) = link(1);
    let line = only.line.clone();
    streams.set_link(peer, Some(only));
    let protocol = PROTOCOL;
    let opening = streams.open(&peer, &protocol);
    let ends = async { line.ended.cancel() };
    let (told, ()) = tokio::join!(opening, ends);
    assert!(matches!(told, Err(OpenError::Broken(_))));
}
