//! The first measure: what a warm call costs above the bare echo it stands on.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use clap::{Args, ValueEnum};
use futures::AsyncWriteExt;
use http::Request;
use http_body_util::{BodyExt, Full};
use peerage_core::PeerId;
use peerage_mesh::{Body, Mesh, PeerStream};
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
/// Calls in one way before it is the other's turn: short, so that what the machine does meanwhile
/// falls on both.
const TURN: usize = 50;

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
    /// Both processes on one processor, instead of each on its own: shows what the CPU does in all.
    #[arg(long)]
    one_cpu: bool,
    /// Only this way, for a profiler to look at; the other's figures are zero.
    #[arg(long)]
    only: Option<Way>,
    /// One JSON document instead of tables.
    #[arg(long)]
    json: bool,
}

/// What is done again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Way {
    /// Frames on a stream.
    Bare,
    /// Calls.
    Call,
}

impl Way {
    const BOTH: [Self; 2] = [Self::Bare, Self::Call];
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
    let (_process, peer) = node::other(transport, usize::from(!options.one_cpu)).await?;
    let id = peer.0;
    let node = Node::asking(transport, peer).await?;
    let mesh = &node.mesh;
    let ways = options
        .only
        .map_or_else(|| Way::BOTH.to_vec(), |only| vec![only]);
    for way in &ways {
        concurrent(mesh, id, *way, (WARM_UP, options.in_flight)).await?;
    }
    sequential(mesh, id, &ways, WARM_UP).await?;
    let mut rounds = Vec::new();
    for round in 0..options.rounds {
        let [mut bare, mut call] = sequential(mesh, id, &ways, options.sequential).await?;
        // Who goes first alternates, so that a drift of the machine falls on both.
        let mut order = ways.clone();
        order.rotate_left(round % ways.len());
        for way in order {
            let rate = concurrent(mesh, id, way, (options.concurrent, options.in_flight)).await?;
            match way {
                Way::Bare => bare.per_second = rate,
                Way::Call => call.per_second = rate,
            }
        }
        rounds.push(Round { bare, call });
    }
    node.tasks.stop().await;
    Ok(Row {
        transport: transport.name(),
        rounds,
    })
}

/// The latencies, `count` calls in each way, one after the other and the ways in short turns.
async fn sequential(
    mesh: &Mesh,
    peer: PeerId,
    ways: &[Way],
    count: usize,
) -> Result<[report::Way; 2]> {
    let mut askers = Vec::new();
    for way in ways {
        askers.push((*way, Asker::new(mesh, peer, *way).await?));
    }
    // A task of its own, as a caller is: the main thread would add its own waking to each.
    let mut task = JoinSet::new();
    task.spawn(async move {
        let mut times = [Vec::new(), Vec::new()];
        for _ in 0..count.div_ceil(TURN) {
            for (way, asker) in &mut askers {
                for _ in 0..TURN {
                    let start = Instant::now();
                    asker.ask().await?;
                    times[*way as usize].push(start.elapsed());
                }
            }
        }
        anyhow::Ok(times)
    });
    let times = task.join_next().await.context("it was just spawned")???;
    Ok(times.map(|mut times| {
        times.sort_unstable();
        report::Way {
            p50: quantile(&times, 0.5),
            p99: quantile(&times, 0.99),
            per_second: 0.0,
        }
    }))
}

/// How many there were in a second, with `in_flight` at any time.
async fn concurrent(
    mesh: &Mesh,
    peer: PeerId,
    way: Way,
    (count, in_flight): (usize, usize),
) -> Result<f64> {
    let mut askers = Vec::new();
    for _ in 0..in_flight {
        askers.push(Asker::new(mesh, peer, way).await?);
    }
    let each = count / in_flight;
    let mut tasks = JoinSet::new();
    let start = Instant::now();
    for mut asker in askers {
        tasks.spawn(async move {
            for _ in 0..each {
                asker.ask().await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    let total = u32::try_from(each * in_flight)?;
    Ok(f64::from(total) / start.elapsed().as_secs_f64())
}

/// Asks in one of the ways.
#[derive(Debug)]
enum Asker {
    Bare {
        stream: PeerStream,
        frame: Vec<u8>,
        echoed: Vec<u8>,
    },
    Call {
        mesh: Mesh,
        peer: PeerId,
        payload: Bytes,
    },
}

impl Asker {
    async fn new(mesh: &Mesh, peer: PeerId, way: Way) -> Result<Self> {
        let payload = Bytes::from(vec![b'x'; PAYLOAD]);
        Ok(match way {
            Way::Bare => {
                let mut frame = u32::try_from(PAYLOAD)?.to_be_bytes().to_vec();
                frame.extend_from_slice(&payload);
                Self::Bare {
                    stream: mesh.open_stream(peer, ECHO).await?,
                    frame,
                    echoed: Vec::new(),
                }
            }
            Way::Call => Self::Call {
                mesh: mesh.clone(),
                peer,
                payload,
            },
        })
    }

    async fn ask(&mut self) -> Result<()> {
        match self {
            Self::Bare {
                stream,
                frame,
                echoed,
            } => {
                stream.write_all(frame).await?;
                stream.flush().await?;
                node::read_frame(stream, echoed).await?;
                ensure!(echoed == frame, "another answer than what was sent");
            }
            Self::Call {
                mesh,
                peer,
                payload,
            } => {
                let echoed = call(mesh, *peer, payload.clone()).await?;
                ensure!(echoed == *payload, "another answer than what was sent");
            }
        }
        Ok(())
    }
}

/// One call that sends `body` and reads the whole answer.
pub(crate) async fn call(mesh: &Mesh, peer: PeerId, body: Bytes) -> Result<Bytes> {
    let body: Body = Full::new(body)
        .map_err(|never| match never {})
        .boxed_unsync();
    let answer = mesh.call(peer, Request::post("/echo").body(body)?).await?;
    ensure!(answer.status().is_success(), "answered {}", answer.status());
    Ok(answer.into_body().collect().await?.to_bytes())
}
