//! One hostile peer at a time: what calls of a trusted peer take meanwhile, against what they take undisturbed.
//!
//! A whole node answers in a process of its own, on a processor of its own. The measuring peer and the hostile one
//! share the other processor, the hostile one with the lowest priority, so that what is measured is what happens in
//! the node.

mod attack;

use std::{
    io::Write,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use clap::{Args, Subcommand, ValueEnum as _};
use http::Request;
use http_body_util::{BodyExt, Empty};
use peerage::{Multiaddr, Node, PeerId};
use peerage_core::{Identity, multiaddr::Protocol, peer_book::PeerBook};
use peerage_mesh::{Body, Book, Limits, Mesh, MeshConfig, Tasks, Transports};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use self::attack::Attack;
use crate::stats::{micros, quantile};

/// What is asked of the node: its card, which needs no share.
const PATH: &str = "/.well-known/agent-card.json";
/// Calls before the first that counts.
const WARM_UP: usize = 500;

/// How long to measure.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Seconds undisturbed, seconds disturbed, and seconds undisturbed again, for each hostile behaviour.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Only these behaviours; all if none is named.
    #[arg(long)]
    attack: Vec<Attack>,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
    #[command(subcommand)]
    role: Option<Role>,
}

/// The other processes of the measure; started by it.
#[derive(Debug, Subcommand)]
enum Role {
    /// The node.
    #[command(hide = true)]
    Node { trusted: PeerId },
    /// The hostile peer.
    #[command(hide = true)]
    Hostile { attack: Attack, node: Multiaddr },
}

impl Options {
    /// On which processor.
    pub(crate) fn cpu(&self) -> usize {
        usize::from(matches!(self.role, Some(Role::Node { .. })))
    }
}

/// Measures, or plays its part in it.
pub(crate) async fn run(options: &Options) -> Result<()> {
    match &options.role {
        Some(Role::Node { trusted }) => answer(*trusted).await,
        Some(Role::Hostile { attack, node }) => attack.run(node).await,
        None => measure(options).await,
    }
}

async fn measure(options: &Options) -> Result<()> {
    let attacks = if options.attack.is_empty() {
        Attack::value_variants()
    } else {
        &options.attack[..]
    };
    let mut out = std::io::stdout();
    if !options.json {
        writeln!(
            out,
            "| hostile behaviour | p50 µs | p99 µs | disturbed p50 | disturbed p99 | p99 ratio | files | MiB | refused |"
        )?;
        writeln!(out, "|---|--:|--:|--:|--:|--:|--:|--:|---|")?;
    }
    for attack in attacks {
        let row = one(*attack, Duration::from_secs(options.seconds)).await?;
        if options.json {
            writeln!(out, "{row:#}")?;
        } else {
            writeln!(out, "{}", line(&row))?;
        }
    }
    Ok(())
}

/// A row of the table.
fn line(row: &Value) -> String {
    let number = |value: &Value| format!("{:.0}", value.as_f64().unwrap_or_default());
    let change = |name: &str| {
        let of = |when: &str| number(&row[when][name]);
        format!("{} → {}", of("before"), of("after"))
    };
    let refused = row["refused"].as_object().into_iter().flatten();
    let refused: Vec<_> = refused.map(|(cause, n)| format!("{cause} {n}")).collect();
    format!(
        "| {} | {} | {} | {} | {} | {:.2} | {} | {} | {} |",
        row["attack"].as_str().unwrap_or_default(),
        number(&row["calm"]["p50_us"]),
        number(&row["calm"]["p99_us"]),
        number(&row["disturbed"]["p50_us"]),
        number(&row["disturbed"]["p99_us"]),
        row["p99_ratio"].as_f64().unwrap_or_default(),
        change("files"),
        change("resident_mib"),
        refused.join(", "),
    )
}

/// Undisturbed, disturbed, undisturbed again, with a fresh node.
async fn one(attack: Attack, span: Duration) -> Result<Value> {
    let identity = Identity::generate();
    let mut node = Answering::start(identity.peer_id()).await?;
    let (mesh, peer, tasks) = peer(identity, &node.address)?;
    mesh.connect(peer).await?;
    for _ in 0..WARM_UP {
        call(&mesh, peer).await?;
    }
    let before = node.state().await?;
    let mut calm = sample(&mesh, peer, span).await?;
    let mut hostile = hostile(attack, &node.address).await?;
    let mut disturbed = sample(&mesh, peer, span).await?;
    let during = node.state().await?;
    hostile.kill().await?;
    calm.extend(sample(&mesh, peer, span).await?);
    let after = node.state().await?;
    calm.sort_unstable();
    disturbed.sort_unstable();
    let way = |sorted: &[Duration]| {
        json!({
            "calls": sorted.len(),
            "p50_us": micros(quantile(sorted, 0.5)),
            "p99_us": micros(quantile(sorted, 0.99)),
        })
    };
    let ratio = micros(quantile(&disturbed, 0.99)) / micros(quantile(&calm, 0.99));
    tasks.stop().await;
    Ok(json!({
        "attack": attack.to_possible_value().map(|value| value.get_name().to_owned()),
        "calm": way(&calm),
        "disturbed": way(&disturbed),
        "p99_ratio": ratio,
        "refused": after["limits"]["refused"],
        "before": before,
        "during": during,
        "after": after,
    }))
}

/// Calls one after the other for so long. Each is answered.
async fn sample(mesh: &Mesh, peer: PeerId, span: Duration) -> Result<Vec<Duration>> {
    let (start, mut took) = (Instant::now(), Vec::new());
    while start.elapsed() < span {
        let asked = Instant::now();
        call(mesh, peer).await?;
        took.push(asked.elapsed());
    }
    Ok(took)
}

async fn call(mesh: &Mesh, peer: PeerId) -> Result<()> {
    let response = mesh.call(peer, get(PATH)?).await?;
    ensure!(response.status().is_success(), "{}", response.status());
    response.into_body().collect().await?;
    Ok(())
}

fn get(path: &str) -> Result<Request<Body>> {
    let body = Empty::new().map_err(|never: std::convert::Infallible| match never {});
    Ok(Request::get(path).body(body.boxed_unsync())?)
}

/// A bare peer that knows one node.
fn peer(identity: Identity, node: &Multiaddr) -> Result<(Mesh, PeerId, Tasks)> {
    let mut address = node.clone();
    let Some(Protocol::P2p(peer)) = address.pop() else {
        anyhow::bail!("{node} does not say who is there");
    };
    let (tasks, id) = (Tasks::new(), identity.peer_id());
    let config = MeshConfig {
        identity,
        listen: vec!["/ip4/127.0.0.1/tcp/0".parse()?],
        peers: vec![(peer, address)],
        agent: "peerage-bench/0".to_owned(),
        transports: Transports::Network,
        protocols: Vec::new(),
        limits: Limits::default().alike(),
        gating: None,
    };
    let (mesh, _) = Mesh::spawn(config, &Book::new(PeerBook::new(id, 1)), &tasks)?;
    Ok((mesh, peer, tasks))
}

/// The node, in its own process: tells how it does for each line that it is sent.
async fn answer(trusted: PeerId) -> Result<()> {
    let home = tempfile::tempdir()?;
    let node = Node::builder(home.path()).name("answering").mdns(false);
    let node = node.listen("/ip4/127.0.0.1/tcp/0".parse()?).spawn().await?;
    node.context().members.trust(trusted, true)?;
    let mut out = std::io::stdout();
    writeln!(
        out,
        "{}",
        node.status().listen.first().context("it listens")?
    )?;
    out.flush()?;
    let mut asked = BufReader::new(tokio::io::stdin()).lines();
    while asked.next_line().await?.is_some() {
        let state = json!({
            "limits": node.status().limits,
            "tasks": node.context().tasks.running(),
            "files": std::fs::read_dir("/proc/self/fd").map(Iterator::count).ok(),
            "resident_mib": resident_kib().map(|kib| kib / 1024),
        });
        writeln!(out, "{state}")?;
        out.flush()?;
    }
    node.stop().await;
    Ok(())
}

/// Memory of this process that is in use, where the system tells it (Linux).
fn resident_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// The node's process, as the measuring one holds it; it ends when this is dropped.
struct Answering {
    _child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    address: Multiaddr,
}

impl Answering {
    async fn start(trusted: PeerId) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["abuse", "node", &trusted.to_base58()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let input = child.stdin.take().context("its input is a pipe")?;
        let output = child.stdout.take().context("its output is a pipe")?;
        let mut output = BufReader::new(output).lines();
        let address = output.next_line().await?.context("it ended at its start")?;
        Ok(Self {
            _child: child,
            input,
            output,
            address: address.parse()?,
        })
    }

    async fn state(&mut self) -> Result<Value> {
        self.input.write_all(b"\n").await?;
        let line = self.output.next_line().await?;
        Ok(serde_json::from_str(&line.context("it has ended")?)?)
    }
}

/// Starts the hostile process, with the lowest priority.
async fn hostile(attack: Attack, node: &Multiaddr) -> Result<Child> {
    let attack = attack.to_possible_value().context("it has a name")?;
    let mut child = Command::new("nice")
        .args(["-n", "19"])
        .arg(std::env::current_exe()?)
        .args(["abuse", "hostile", attack.get_name(), &node.to_string()])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let output = child.stdout.take().context("its output is a pipe")?;
    let began = BufReader::new(output).lines().next_line().await?;
    began.context("it ended at its start")?;
    Ok(child)
}
