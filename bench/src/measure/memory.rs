//! Memory: of a node that does nothing, and of each peer that does nothing.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::{
    http::Node,
    process::Process,
    table::{
        Line, Rounds,
        Target::AtMost,
        Unit::{Kib, Mib},
    },
};

/// Idle peers.
const PEERS: u32 = 1_000;
/// How long a node is left alone before it counts as idle.
const IDLE: Duration = Duration::from_secs(10);
/// The same with peers: longer than a stream of calls is kept by either side.
const IDLE_WITH_PEERS: Duration = Duration::from_secs(75);
/// How long all connections may take.
const CONNECT: Duration = Duration::from_secs(120);

/// Measures.
pub(super) async fn run() -> Result<Vec<Line>> {
    let home = tempfile::tempdir()?;
    let mut arguments = ["--listen", "/ip4/127.0.0.1/tcp/0"]
        .map(str::to_owned)
        .to_vec();
    let node = Node::start((home.path(), "idle"), &[], &arguments, None)?;
    node.address().await?;
    tokio::time::sleep(IDLE).await;
    let mut rounds = Rounds::default();
    let alone = f64::from(u32::try_from(node.resident_kib().unwrap_or_default())?);
    rounds.add("alone", alone);
    node.stop().await?;

    let mut crowd = Process::start(
        &std::env::current_exe()?,
        ["crowd".to_owned(), PEERS.to_string()],
        None,
    )?;
    for _ in 0..PEERS {
        arguments.extend(["--peer".to_owned(), crowd.line().await?]);
    }
    let node = Node::start((home.path(), "idle"), &[], &arguments, None)?;
    until_connected(&node).await?;
    rounds.add("at once", each(&node, alone)?);
    tokio::time::sleep(IDLE_WITH_PEERS).await;
    rounds.add("later", each(&node, alone)?);
    until_connected(&node).await?;
    node.stop().await?;
    Ok(vec![
        rounds.judged("memory of an idle node", Mib, "alone", AtMost(40.0)),
        rounds.judged(
            "memory of each of 1,000 idle peers, TCP",
            Kib,
            "later",
            AtMost(64.0),
        ),
        rounds.told("the same when all have just connected", Kib, "at once"),
    ])
}

fn each(node: &Node, alone: f64) -> Result<f64> {
    let now = f64::from(u32::try_from(node.resident_kib().unwrap_or_default())?);
    Ok((now - alone) / f64::from(PEERS))
}

async fn until_connected(node: &Node) -> Result<()> {
    let mut client = node.client().await?;
    let start = Instant::now();
    loop {
        let status = client.get("/api/v1/node").await?;
        let connected = &status["peers"]["connected"];
        if *connected == PEERS {
            return Ok(());
        }
        ensure!(
            start.elapsed() < CONNECT,
            "{connected} of {PEERS} are connected"
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
