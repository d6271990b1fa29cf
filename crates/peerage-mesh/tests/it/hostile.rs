//! One hostile peer at a time: what it may take is bounded, others are answered, and it is told and counted.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{AsyncReadExt, AsyncWriteExt, StreamExt, stream};
use peerage_core::peer_book::{PeerEvent, Relation};
use peerage_mesh::{CallError, Cause, Limits, OpenError};
use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio::time::timeout;

use crate::node::{Node, PATIENCE};

const CALLS: &str = "/http/1.1";
/// Calls of the member at once.
const AT_ONCE: usize = 64;
/// How long a hostile peer waits before it lets go.
const LETS_GO: Duration = Duration::from_secs(1);
/// Every protocol that a node speaks with a peer.
const PROTOCOLS: [&str; 4] = [
    CALLS,
    "/ipfs/ping/1.0.0",
    "/ipfs/id/1.0.0",
    "/ipfs/id/push/1.0.0",
];

/// A node that answers, a member that calls it, and a stranger.
struct Three {
    victim: Node,
    member: Node,
    hostile: Node,
}

async fn three(listen: &str) -> Three {
    let limits = (1, Limits::default());
    let (victim, inbound) = Node::start_limited(limits, listen, &[], &[]).await;
    let echo = axum::Router::new().fallback(|body: Bytes| async move { body });
    victim.tasks.spawn("serve", inbound.serve(echo));
    let member = Node::echo(2, listen, &[&victim]).await;
    let hostile = Node::echo(3, listen, &[&victim]).await;
    victim.until_connected(member.id).await;
    victim.until_connected(hostile.id).await;
    let related = PeerEvent::Related(Relation::Member);
    victim.mesh.book().apply(member.id, related);
    member.until_connected(victim.id).await;
    hostile.until_connected(victim.id).await;
    let apart = async {
        while victim.mesh.budget().usage().strangers.connections > 1 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, apart).await.expect("one is a member");
    Three {
        victim,
        member,
        hostile,
    }
}

impl Three {
    fn refused(&self) -> BTreeMap<Cause, u64> {
        let usage = self.victim.mesh.budget().usage();
        usage.refused.into_iter().collect()
    }

    /// The victim answers the member, many times at once.
    async fn the_member_is_answered(&self) {
        let word = Bytes::from_static(b"word");
        let calls = (0..AT_ONCE).map(|_| self.member.post(self.victim.id, word.clone()));
        let answers = timeout(PATIENCE, futures::future::join_all(calls)).await;
        assert!(
            answers
                .expect("in time")
                .iter()
                .all(|answer| *answer == word)
        );
    }

    /// Waits until the victim is as it was before, but for what it remembers.
    async fn it_settles(&self, tasks: usize) {
        let settled = async {
            let mut look = tokio::time::interval(Duration::from_millis(20));
            loop {
                look.tick().await;
                let usage = self.victim.mesh.budget().usage();
                let streams = usage.strangers.streams;
                if streams <= 1 && self.victim.tasks.running() <= tasks + AT_ONCE {
                    return;
                }
            }
        };
        let settled = timeout(PATIENCE, settled).await;
        let usage = self.victim.mesh.budget().usage();
        assert!(
            settled.is_ok(),
            "{} tasks, {usage:?}",
            self.victim.tasks.running()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_openings_take_no_more_than_a_strangers_budget_and_shut_it_out() {
    for listen in [
        "/memory/0",
        "/ip4/127.0.0.1/tcp/0",
        "/ip4/127.0.0.1/udp/0/quic-v1",
    ] {
        let three = three(listen).await;
        let Three {
            victim, hostile, ..
        } = &three;
        let tasks = victim.tasks.running();
        let limit = Limits::default().stranger.streams;
        // The member's calls run meanwhile.
        let most = tasks + usize::try_from(limit).unwrap() + 2 * AT_ONCE;
        let opened = stream::iter(0..10_000).map(|_| async {
            let opened = hostile.mesh.open_stream(victim.id, CALLS).await;
            let usage = victim.mesh.budget().usage();
            assert!(usage.strangers.streams <= limit + 16, "{usage:?}");
            assert!(victim.tasks.running() <= most);
            opened.ok()
        });
        let attack = async { opened.buffer_unordered(300).collect::<Vec<_>>().await };
        let (held, ()) = tokio::join!(attack, three.the_member_is_answered());
        drop(held);
        let refused = three.refused();
        assert!(
            refused.contains_key(&Cause::Streams) || refused.contains_key(&Cause::StreamRate),
            "{refused:?}"
        );
        assert!(
            refused.contains_key(&Cause::ShutOut),
            "{listen}: {refused:?}"
        );
        let usage = victim.mesh.budget().usage();
        assert_eq!(usage.shut_out, [hostile.id]);
        assert_eq!(usage.refused_peers[0].peer, hostile.id);
        three.the_member_is_answered().await;
        three.it_settles(tasks).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_that_is_full_is_told_so() {
    let three = three("/memory/0").await;
    let Three {
        victim, hostile, ..
    } = &three;
    hostile
        .until(|mesh| {
            mesh.book()
                .get(&victim.id)
                .is_some_and(|r| r.agent.is_some())
        })
        .await;
    let mut held = Vec::new();
    let error = loop {
        match hostile.mesh.open_stream(victim.id, CALLS).await {
            Ok(stream) => held.push(stream),
            Err(CallError::Open { source, .. }) => break source,
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(error, OpenError::Busy(CALLS.into()));
    assert!(three.refused()[&Cause::Streams] > 0);
    drop(held);
    three.it_settles(victim.tasks.running()).await;
    // Its own calls share what it has, and none is lost.
    let hostile = Arc::new(&three.hostile);
    let calls = (0..100_u32).map(|n| {
        let sent = Bytes::copy_from_slice(&n.to_be_bytes());
        let hostile = hostile.clone();
        async move { assert_eq!(hostile.post(victim.id, sent.clone()).await, sent) }
    });
    timeout(PATIENCE, futures::future::join_all(calls))
        .await
        .expect("in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_on_every_protocol_and_frames_over_every_limit_harm_nobody() {
    let three = three("/ip4/127.0.0.1/tcp/0").await;
    let Three {
        victim, hostile, ..
    } = &three;
    let tasks = victim.tasks.running();
    let mut random = StdRng::seed_from_u64(4711);
    for round in 0..40_usize {
        let protocol = PROTOCOLS[round % PROTOCOLS.len()];
        let Ok(mut stream) = hostile.mesh.open_stream(victim.id, protocol).await else {
            continue;
        };
        let mut garbage = vec![0; [40, 5_000, 200_000][round % 3]];
        random.fill_bytes(&mut garbage);
        match round % 5 {
            // A head without an end, over its limit.
            0 => garbage = [&b"GET / HTTP/1.1\r\nx: "[..], &vec![b'a'; 300_000]].concat(),
            // A length prefix (varint) over the limit of identify.
            1 => garbage
                .splice(0..5, [0xff, 0xff, 0xff, 0xff, 0x0f])
                .for_each(drop),
            // A body whose length is a lie.
            2 => garbage = b"POST / HTTP/1.1\r\ncontent-length: 99999999999999\r\n\r\nx".to_vec(),
            _ => {}
        }
        let exchange = async {
            let _ = stream.write_all(&garbage).await;
            let _ = stream.close().await;
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
        };
        let _ = timeout(LETS_GO, exchange).await;
    }
    three.the_member_is_answered().await;
    three.it_settles(tasks).await;
    assert!(three.refused()[&Cause::Garbage] > 0);

    // Whoever goes on is shut out.
    let goes_on = async {
        while victim.mesh.budget().usage().shut_out.is_empty() {
            if let Ok(mut stream) = hostile.mesh.open_stream(victim.id, CALLS).await {
                let _ = stream.write_all(b"this is no request\r\n\r\n").await;
                let _ = stream.read_to_end(&mut Vec::new()).await;
            }
        }
    };
    timeout(PATIENCE, goes_on).await.expect("it is shut out");
    assert_eq!(victim.mesh.budget().usage().shut_out, [hostile.id]);
    three.the_member_is_answered().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_streams_heads_and_bodies_hold_only_the_budget_of_who_is_slow() {
    let three = three("/memory/0").await;
    let Three {
        victim, hostile, ..
    } = &three;
    let beginnings = [
        "",
        "G",
        "GET / HTTP/1.1\r\nhost: x\r\n",
        "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\nx",
    ];
    let mut held = Vec::new();
    for n in 0..64_usize {
        let Ok(mut stream) = hostile.mesh.open_stream(victim.id, CALLS).await else {
            continue;
        };
        stream
            .write_all(beginnings[n % beginnings.len()].as_bytes())
            .await
            .unwrap();
        stream.flush().await.unwrap();
        held.push(stream);
    }
    let limit = Limits::default().stranger.streams;
    assert!(held.len() as u64 <= limit);
    let usage = victim.mesh.budget().usage();
    assert!(
        usage.strangers.streams <= limit + 16 && usage.strangers.streams >= limit / 2,
        "{usage:?}"
    );
    assert!(three.refused()[&Cause::Streams] > 0);
    three.the_member_is_answered().await;
}
