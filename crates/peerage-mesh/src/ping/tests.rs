//! Pings of peers that end the streams on which nobody pings.

use futures::StreamExt;
use libp2p::{Swarm, identity::Keypair};
use peerage_core::peer_book::PeerBook;

use super::*;
use crate::{
    Limits, Transports, admission, behaviour::Behaviour, limits::Budget, streams, transport,
};

/// What a test waits for at the most; reached only when it fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// A swarm with nothing but streams of pings, where those that others open arrive.
fn peer() -> (Swarm<Behaviour>, Streams, Accept) {
    let keypair = Keypair::generate_ed25519();
    let book = Book::new(PeerBook::new(keypair.public().to_peer_id(), 0));
    let budget = Budget::new(Limits::default(), &book);
    let (factory, [accept], _) = streams::new([(PROTOCOL, 8)], &[], &budget).unwrap();
    let streams = factory.handle();
    let admission = admission::Behaviour::new(budget.clone(), None);
    let behaviour = Behaviour::new(&keypair, "test/0", admission, factory.behaviour());
    let swarm = transport::swarm(&keypair, Transports::Memory, behaviour, &budget).unwrap();
    (swarm, streams, accept)
}

async fn run(mut swarm: Swarm<Behaviour>) {
    loop {
        swarm.select_next_some().await;
    }
}

/// As js-libp2p and py-libp2p answer somebody who pings seldom.
async fn answer_once_a_stream(mut accept: Accept) {
    while let Some((_, mut stream)) = accept.next().await {
        let mut payload = [0; SIZE];
        stream.read_exact(&mut payload).await.unwrap();
        stream.write_all(&payload).await.unwrap();
        stream.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_stream_that_ended_between_two_pings_is_no_answer_missed() {
    let tasks = Tasks::new();
    let (mut asked, _, accept) = peer();
    let (mut asking, streams, _) = peer();
    let listen = "/memory/7103201".parse().unwrap();
    asked.listen_on(listen).unwrap();
    asking
        .dial("/memory/7103201".parse::<libp2p::Multiaddr>().unwrap())
        .unwrap();
    let id = *asked.local_peer_id();
    tasks.spawn("asked", run(asked));
    tasks.spawn("asking", run(asking));
    tasks.spawn("answers", answer_once_a_stream(accept));

    let mut pinger = None;
    let pings = async {
        while !streams.is_connected(&id) {
            tokio::task::yield_now().await;
        }
        for _ in 0..3 {
            once(&streams, &id, &mut pinger).await.unwrap();
        }
    };
    timeout(PATIENCE, pings)
        .await
        .expect("each ping is answered");
}
