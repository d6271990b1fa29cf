//! The truth under load: many calls at once, each answered exactly once, and nothing left behind.

use std::{
    io::Write,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use bytes::Bytes;
use clap::Args;
use peerage_core::PeerId;
use peerage_mesh::Mesh;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::{
    call::call,
    node::{Node, Transport},
    system,
};

/// Longer than warm streams are kept, and than the loop takes to notice.
const SETTLE: Duration = Duration::from_secs(28);

/// How much load.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Calls in each round.
    #[arg(long, default_value_t = 100_000)]
    calls: u32,
    /// Rounds, to see whether memory grows from one to the next.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How many are in flight.
    #[arg(long, default_value_t = 128)]
    in_flight: u32,
    /// Over these; both if none is named.
    #[arg(long)]
    transport: Vec<Transport>,
}

/// Loads two nodes in this process and prints, as JSON, what came of it.
pub(crate) async fn run(options: &Options) -> Result<()> {
    let transports = if options.transport.is_empty() {
        vec![Transport::Tcp, Transport::Quic]
    } else {
        options.transport.clone()
    };
    let mut out = std::io::stdout();
    for transport in transports {
        let result = over(transport, options).await?;
        writeln!(out, "{result:#}")?;
    }
    Ok(())
}

async fn over(transport: Transport, options: &Options) -> Result<Value> {
    let answering = Node::answering(transport)?;
    let peer = (answering.id, answering.address().await?);
    let asking = Node::asking(transport, peer).await?;
    call(&asking.mesh, answering.id, Bytes::from_static(b"first")).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let running = || asking.tasks.running() + answering.tasks.running();
    let before = (running(), system::resident_kib());
    let mut rounds = Vec::new();
    for _ in 0..options.rounds {
        let start = Instant::now();
        round(&asking.mesh, answering.id, options).await?;
        rounds.push(json!({
            "per_second": f64::from(options.calls) / start.elapsed().as_secs_f64(),
            "tasks": running(),
            "resident_kib": system::resident_kib(),
        }));
    }
    tokio::time::sleep(SETTLE).await;
    let result = json!({
        "transport": transport.name(),
        "calls": options.calls,
        "in_flight": options.in_flight,
        "refused_streams": answering.mesh.refused_streams() + asking.mesh.refused_streams(),
        "before": { "tasks": before.0, "resident_kib": before.1 },
        "rounds": rounds,
        "settled": { "tasks": running(), "resident_kib": system::resident_kib() },
    });
    asking.tasks.stop().await;
    answering.tasks.stop().await;
    Ok(result)
}

/// Every call carries its own number and must come back with it.
async fn round(mesh: &Mesh, peer: PeerId, options: &Options) -> Result<()> {
    let mut tasks = JoinSet::new();
    for first in 0..options.in_flight {
        let (mesh, all, step) = (mesh.clone(), options.calls, options.in_flight);
        tasks.spawn(async move {
            let mut answered = 0_u32;
            for number in (first..all).step_by(step as usize) {
                let sent = Bytes::copy_from_slice(&number.to_be_bytes());
                ensure!(
                    call(&mesh, peer, sent.clone()).await? == sent,
                    "answer of another call"
                );
                answered += 1;
            }
            Ok(answered)
        });
    }
    let mut answered = 0;
    while let Some(done) = tasks.join_next().await {
        answered += done??;
    }
    ensure!(
        answered == options.calls,
        "{answered} of {} answered",
        options.calls
    );
    Ok(())
}
