//! From the start of a node to a call of another node's tool, where only mDNS tells one of the other: two
//! network namespaces, joined by a bridge in a third.

use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use super::{Options, tool};
use crate::{
    http::Node,
    table::{Line, Rounds, Target::AtMost, Unit::Millis},
};

/// How long the interfaces may take to have their addresses.
const SETTLE: Duration = Duration::from_secs(4);

/// Measures.
pub(super) async fn run(options: &Options) -> Result<Vec<Line>> {
    let network = Network::new()?;
    tokio::time::sleep(SETTLE).await;
    let made = tempfile::tempdir()?;
    // The root of a mesh, which the nodes of each run share.
    let first = Node::start((made.path(), "a"), &[], &["--no-mdns".to_owned()], None)?;
    first.tcp_client().await?;
    first.stop().await?;
    let root = made.path().join("mesh/root.json");

    let mut rounds = Rounds::default();
    for _ in 0..options.rounds {
        let home = home(&root)?;
        let (a, b) = (network.a(home.path())?, network.b(home.path()));
        rounds.add("both", callable(b?).await?);
        a.stop().await?;
        let home = self::home(&root)?;
        let a = network.a(home.path())?;
        a.client().await?;
        // Its announcements are over.
        tokio::time::sleep(SETTLE).await;
        rounds.add("later", callable(network.b(home.path())?).await?);
        a.stop().await?;
    }
    let what = |which| format!("start to the other node's tool, mDNS, {which}, p50");
    let limit = AtMost(1000.0);
    Ok(vec![
        rounds.judged(&what("both start at once"), Millis, "both", limit),
        rounds.judged(&what("the other runs"), Millis, "later", limit),
    ])
}

/// Nanoseconds from when the node was started, just before this.
async fn callable((node, started): (Node, Instant)) -> Result<f64> {
    tool::until_callable(&node).await?;
    let took = started.elapsed().as_secs_f64() * 1e9;
    node.stop().await?;
    Ok(took)
}

/// A fresh home of the same mesh: nobody knows anybody.
fn home(root: &Path) -> Result<tempfile::TempDir> {
    use std::os::unix::fs::DirBuilderExt;

    let home = tempfile::tempdir()?;
    let mesh = home.path().join("mesh");
    std::fs::DirBuilder::new().mode(0o700).create(&mesh)?;
    std::fs::copy(root, mesh.join("root.json"))?;
    Ok(home)
}

/// The namespaces; removed when this is dropped.
struct Network {
    names: [String; 3],
}

impl Network {
    fn new() -> Result<Self> {
        let names =
            ["a", "b", "bridge"].map(|name| format!("peerage-bench-{}-{name}", std::process::id()));
        let network = Self { names };
        network
            .build()
            .context("network namespaces need root and ip")?;
        Ok(network)
    }

    fn build(&self) -> Result<()> {
        let [a, b, bridge] = &self.names;
        for name in &self.names {
            ip(&format!("netns add {name}"))?;
            ip(&format!("-n {name} link set lo up"))?;
        }
        ip(&format!("-n {bridge} link add br0 type bridge"))?;
        ip(&format!("-n {bridge} link set br0 up"))?;
        for (number, name) in [(1, a), (2, b)] {
            ip(&format!(
                "-n {bridge} link add port{number} type veth peer name eth0 netns {name}"
            ))?;
            ip(&format!("-n {bridge} link set port{number} master br0 up"))?;
            ip(&format!("-n {name} addr add 10.77.0.{number}/24 dev eth0"))?;
            ip(&format!("-n {name} link set eth0 up"))?;
        }
        Ok(())
    }

    /// The node that shares.
    fn a(&self, home: &Path) -> Result<Node> {
        let share = ["--share".to_owned(), tool::share()?];
        Node::start((home, "a"), &inside(&self.names[0]), &share, None)
    }

    /// The node that calls, and when it was started.
    fn b(&self, home: &Path) -> Result<(Node, Instant)> {
        let started = Instant::now();
        let node = Node::start((home, "b"), &inside(&self.names[1]), &[], None)?;
        Ok((node, started))
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for name in &self.names {
            // What was never made cannot be removed.
            let _ = ip(&format!("netns del {name}"));
        }
    }
}

fn inside(name: &str) -> [&str; 5] {
    ["ip", "netns", "exec", name, "env"]
}

fn ip(arguments: &str) -> Result<()> {
    let done = Command::new("ip").args(arguments.split(' ')).output()?;
    ensure!(
        done.status.success(),
        "ip {arguments}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
    Ok(())
}
