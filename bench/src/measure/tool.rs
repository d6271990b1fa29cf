//! `tools/call` end to end: client, node, node, child and back, beside the child alone.

use std::{collections::BTreeMap, path::Path, time::Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{Options, add_quantiles};
use crate::{
    child::{REVISION, TOOL},
    http::{Client, Node},
    node::Transport,
    process::{Pair, Process},
    stats::quantile,
    table::{Line, Rounds, Target::AtMost, Unit::Micros},
    ways::PAYLOAD,
};

/// Calls in one way before it is the next one's turn.
const TURN: usize = 50;
/// Calls in each round and way.
const SEQUENTIAL: usize = 1_000;
/// What is shared.
pub(super) const SHARE: &str = "bench";
const DIRECT: &str = "child alone";
pub(super) const SHARED: &str = "/peers/a/mcp/bench";
const AGGREGATED: &str = "/mcp";
const LIMIT: &str = "2 × child alone + 2 warm calls";

/// The argument of `--share` for the child of this measure.
pub(super) fn share() -> Result<String> {
    let program = std::env::current_exe()?;
    Ok(format!("{SHARE}={} child", program.display()))
}

/// Measures.
pub(super) async fn run(options: &Options) -> Result<Vec<Line>> {
    let home = tempfile::tempdir()?;
    // The asking ends on one processor, the answering ones on the other.
    let answering = Some(usize::from(!options.one_cpu));
    let (a, b) = two_nodes(home.path(), answering).await?;
    let mut shared = session(&b, SHARED, TOOL).await?;
    let mut aggregated = session(&b, AGGREGATED, TOOL).await?;
    let mut child = Process::start(&std::env::current_exe()?, ["child"], answering)?;
    child
        .ask(&request("initialize", &greeting()).to_string())
        .await?;
    let mut warm = Pair::ours(Transport::Tcp, options.one_cpu).await?;

    let mut rounds = Rounds::default();
    for round in 0..=options.rounds {
        let mut samples: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        for _ in 0..SEQUENTIAL / TURN {
            let mut add = |way: &str, times| {
                let all: &mut Vec<f64> = samples.entry(way.to_owned()).or_default();
                all.extend(times);
            };
            add(DIRECT, direct(&mut child).await?);
            add("warm", warm.figures(&format!("warm call {TURN}")).await?);
            add(SHARED, shared.calls().await?);
            add(AGGREGATED, aggregated.calls().await?);
        }
        if round > 0 {
            let p50 = |way: &str| {
                let mut times = samples.get(way).cloned().unwrap_or_default();
                times.sort_by(f64::total_cmp);
                quantile(&times, 0.5)
            };
            rounds.add(LIMIT, 2.0 * p50(DIRECT) + 2.0 * p50("warm"));
            add_quantiles(&mut rounds, samples);
        }
    }
    a.stop().await?;
    b.stop().await?;
    let limit = Some(AtMost(1.0));
    let line = |what: &str, way| rounds.beside(what, Micros, [way, LIMIT], limit);
    Ok(vec![
        line("tools/call through two nodes, /peers/…/mcp/…, p50", SHARED),
        line("tools/call through two nodes, /mcp, p50", AGGREGATED),
        rounds.told("tools/call of the child alone, p50", Micros, DIRECT),
    ])
}

/// A node that shares the child, and one that knows where the first is; both of one mesh.
pub(super) async fn two_nodes(home: &Path, answering: Option<usize>) -> Result<(Node, Node)> {
    let listen = ["--listen", "/ip4/127.0.0.1/tcp/0", "--no-mdns"].map(str::to_owned);
    let mut arguments = listen.to_vec();
    arguments.extend(["--share".to_owned(), share()?]);
    let a = Node::start((home, "a"), &[], &arguments, answering)?;
    let mut arguments = listen.to_vec();
    arguments.extend(["--peer".to_owned(), a.address().await?]);
    let b = Node::start((home, "b"), &[], &arguments, Some(0))?;
    until_callable(&b).await?;
    Ok((a, b))
}

/// Waits until the tool of the node `a` can be called by way of another node.
pub(super) async fn until_callable(node: &Node) -> Result<()> {
    let start = Instant::now();
    let mut client = node.client().await?;
    let call = json!({ "peer": "a", "server": SHARE, "tool": TOOL,
        "arguments": { "text": "hello" }, "timeout_s": 5 });
    loop {
        let answer = client.post("/api/v1/tools/call", &call).await?;
        if answer.status().is_success() {
            return Ok(());
        }
        ensure!(
            start.elapsed().as_secs() < 30,
            "the tool cannot be called: {:?}",
            answer.body()
        );
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
}

fn request(method: &str, params: &Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params })
}

fn greeting() -> Value {
    json!({ "protocolVersion": REVISION, "capabilities": {},
        "clientInfo": { "name": "peerage-bench", "version": "0" } })
}

fn text() -> String {
    "x".repeat(PAYLOAD)
}

fn call(tool: &str) -> Value {
    request(
        "tools/call",
        &json!({ "name": tool, "arguments": { "text": text() } }),
    )
}

async fn direct(child: &mut Process) -> Result<Vec<f64>> {
    let call = call(TOOL).to_string();
    let mut times = Vec::new();
    for _ in 0..TURN {
        let start = Instant::now();
        let answer: Value = serde_json::from_str(&child.ask(&call).await?)?;
        check(&answer)?;
        times.push(start.elapsed().as_secs_f64() * 1e9);
    }
    Ok(times)
}

fn check(answer: &Value) -> Result<()> {
    let echoed = answer["result"]["content"][0]["text"].as_str();
    ensure!(echoed == Some(&text()), "answered {answer}");
    Ok(())
}

/// An MCP session at a node.
pub(super) struct Session {
    client: Client,
    path: &'static str,
    tool: String,
}

impl Session {
    pub(super) async fn calls(&mut self) -> Result<Vec<f64>> {
        let call = call(&self.tool);
        let mut times = Vec::new();
        for _ in 0..TURN {
            let start = Instant::now();
            check(&self.client.mcp(self.path, &call).await?.1)?;
            times.push(start.elapsed().as_secs_f64() * 1e9);
        }
        Ok(times)
    }
}

pub(super) async fn session(node: &Node, path: &'static str, tool: &str) -> Result<Session> {
    let mut client = node.tcp_client().await?;
    let both = "application/json, text/event-stream";
    client.headers.insert(http::header::ACCEPT, both.parse()?);
    let (headers, _) = client
        .mcp(path, &request("initialize", &greeting()))
        .await?;
    for (name, value) in [
        ("mcp-session-id", headers.get("mcp-session-id").cloned()),
        ("mcp-protocol-version", Some(REVISION.parse()?)),
    ] {
        if let Some(value) = value {
            client.headers.insert(name, value);
        }
    }
    let ready = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    client.post(path, &ready).await?;
    let (_, tools) = client.mcp(path, &request("tools/list", &json!({}))).await?;
    let tools = tools["result"]["tools"].as_array().context("no tools")?;
    let names = tools.iter().filter_map(|one| one["name"].as_str());
    let name = names.into_iter().find(|name| name.ends_with(tool));
    let tool = name.context("the tool is not listed")?.to_owned();
    Ok(Session { client, path, tool })
}
