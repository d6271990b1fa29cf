//! The first measure: what a warm call costs above the bare echo it stands on.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bytes::Bytes;
use clap::Args;
use futures::AsyncWriteExt;
use http::Request;
use http_body_util::{BodyExt, Full};
use peerage_core::PeerId;
use peerage_mesh::{Body, Mesh};
use tokio::task::JoinSet;

use crate::{
    node::{self, ECHO, Node, Transport},
    report::{self, Round, Row},
    stats::quantile,
};

/// Bytes of each payload.
const PAYLOAD: usize = 128;
/// Calls before the first that counts, in each way.
const WARM_UP: usize = 2_000;

/// How long to measure.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Rounds; in each, the floor and the call take turns.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Calls one after the other, in each round and way.
    #[arg(long, default_value_t = 4_000)]
    sequential: usize,
    /// Calls with many in flight, in each round and way.
    #[arg(long, default_value_t = 40_000)]
    concurrent: usize,
    /// How many are in flight.
    #[arg(long, default_value_t = 64)]
    in_flight: usize,
    /// Over these; both if none is named.
    #[arg(long)]
    transport: Vec<Transport>,
    /// One JSON document instead of tables.
    #[arg(long)]
    json: bool,
}

/// What is done again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Bare,
    Call,
}

/// Measures and prints.
pub(crate) async fn run(options: &Options) -> Result<()> {
    let transports = if options.transport.is_empty() {
        vec![Transport::Tcp, Transport::Quic]
    } else {
        options.transport.clone()
    };
    let mut rows = Vec::new();
    for transport in transports {
        rows.push(over(transport, options).await?);
    }
    report::calls(&rows, options.in_flight, options.json)
}

async fn over(transport: Transport, options: &Options) -> Result<Row> {
    let (_process, peer) = node::other(transport).await?;
    let id = peer.0;
    let node = Node::asking(transport, peer).await?;
    let mesh = &node.mesh;
    for way in [Way::Bare, Way::Call] {
        sequential(mesh, id, way, WARM_UP).await?;
        concurrent(mesh, id, way, (WARM_UP, options.in_flight)).await?;
    }
    let mut rounds = Vec::new();
    for round in 0..options.rounds {
        // Who goes first alternates, so that a drift of the machine falls on both.
        let order = if round % 2 == 0 {
            [Way::Bare, Way::Call]
        } else {
            [Way::Call, Way::Bare]
        };
        let mut bare = report::Way::default();
        let mut call = report::Way::default();
        for way in order {
            let mut times = sequential(mesh, id, way, options.sequential).await?;
            times.sort_unstable();
            let many = (options.concurrent, options.in_flight);
            let measured = report::Way {
                p50: quantile(&times, 0.5),
                p99: quantile(&times, 0.99),
                per_second: concurrent(mesh, id, way, many).await?,
            };
            match way {
                Way::Bare => bare = measured,
                Way::Call => call = measured,
            }
        }
        rounds.push(Round { bare, call });
    }
    node.tasks.stop().await;
    Ok(Row { transport: transport.name(), rounds })
}

/// How long each of `count` took, one after the other.
async fn sequential(mesh: &Mesh, peer: PeerId, way: Way, count: usize) -> Result<Vec<Duration>> {
    let mesh = mesh.clone();
    // A task of its own, as a caller is: the main thread would add its own waking to each.
    let mut task = JoinSet::new();
    task.spawn(async move { some(&mesh, peer, way, count).await });
    task.join_next().await.expect("it was just spawned")?
}

/// How many there were in a second, with `in_flight` at any time.
async fn concurrent(
    mesh: &Mesh,
    peer: PeerId,
    way: Way,
    (count, in_flight): (usize, usize),
) -> Result<f64> {
    let mut tasks = JoinSet::new();
    let start = Instant::now();
    let each = count / in_flight;
    for _ in 0..in_flight {
        let mesh = mesh.clone();
        tasks.spawn(async move { some(&mesh, peer, way, each).await });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    let total = u32::try_from(each * in_flight)?;
    Ok(f64::from(total) / start.elapsed().as_secs_f64())
}

async fn some(mesh: &Mesh, peer: PeerId, way: Way, count: usize) -> Result<Vec<Duration>> {
    let payload = Bytes::from(vec![b'x'; PAYLOAD]);
    let mut times = Vec::with_capacity(count);
    match way {
        Way::Call => {
            for _ in 0..count {
                let start = Instant::now();
                let echoed = call(mesh, peer, payload.clone()).await?;
                times.push(start.elapsed());
                ensure!(echoed == payload, "another answer than what was sent");
            }
        }
        Way::Bare => {
            let mut stream = mesh.open_stream(peer, ECHO).await?;
            let mut frame = u32::try_from(PAYLOAD)?.to_be_bytes().to_vec();
            frame.extend_from_slice(&payload);
            let mut echoed = Vec::new();
            for _ in 0..count {
                let start = Instant::now();
                stream.write_all(&frame).await?;
                stream.flush().await?;
                node::read_frame(&mut stream, &mut echoed).await?;
                times.push(start.elapsed());
                ensure!(echoed == frame, "another answer than what was sent");
            }
            stream.close().await?;
        }
    }
    Ok(times)
}

/// One call that sends `body` and reads the whole answer.
pub(crate) async fn call(mesh: &Mesh, peer: PeerId, body: Bytes) -> Result<Bytes> {
    let body: Body = Full::new(body).map_err(|never| match never {}).boxed_unsync();
    let answer = mesh.call(peer, Request::post("/echo").body(body)?).await?;
    ensure!(answer.status().is_success(), "answered {}", answer.status());
    Ok(answer.into_body().collect().await?.to_bytes())
}
