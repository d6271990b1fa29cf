//! One node of the demo: a process with a home of its own.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use http::Method;
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};

use super::super::{
    Failure,
    client::{Client, find_named},
    guard,
};

/// How long a node may take until its local API answers.
const START: Duration = Duration::from_secs(20);
/// How long a node may take to stop before it is ended.
const STOP: Duration = Duration::from_secs(5);
/// How often to look.
pub(super) const LOOK: Duration = Duration::from_millis(20);
/// What of a log is shown when a node fails.
const SHOWN: usize = 400;

/// A node behind a guard: the node ends when this program does, even by SIGKILL, for the guard sees the pipe that
/// this program holds close. Dropping the machine closes it too.
#[derive(Debug)]
pub(super) struct Machine {
    child: Child,
    name: &'static str,
    home: PathBuf,
    log: PathBuf,
    client: Option<Client>,
}

impl Machine {
    /// Starts a node that listens on loopback, on ports of its own.
    pub(super) fn start(
        folder: &Path,
        name: &'static str,
        more: &[String],
    ) -> Result<Self, Failure> {
        let failed = |error| Failure::io(format_args!("cannot start the node {name}"), &error);
        let home = folder.join(name);
        let log = folder.join(format!("{name}.log"));
        let file = File::create(&log).map_err(failed)?;
        let program = std::env::current_exe().map_err(failed)?;
        let mut command = Command::new(&program);
        command
            .args([guard::NAME, "--"])
            .arg(&program)
            .args(["--name", name, "--home"])
            .arg(&home)
            .args(["up", "--api", "127.0.0.1:0"])
            .args(["--listen", "/ip4/127.0.0.1/tcp/0"])
            .args(["--listen", "/ip4/127.0.0.1/udp/0/quic-v1"])
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(file)
            // Ctrl-C is for this program, which then stops the node in order.
            .process_group(0);
        for (variable, _) in std::env::vars_os() {
            // The demo shows the defaults, whatever is set here.
            if variable.to_string_lossy().starts_with("PEERAGE_") {
                command.env_remove(variable);
            }
        }
        Ok(Self {
            child: command.spawn().map_err(failed)?,
            name,
            home,
            log,
            client: None,
        })
    }

    /// Waits until its local API answers.
    pub(super) async fn ready(&mut self) -> Result<Client, Failure> {
        let end = Instant::now() + START;
        loop {
            if let Some(client) = find_named(&self.home, self.name).await {
                self.client = Some(client.clone());
                return Ok(client);
            }
            let ended = self.child.try_wait().ok().flatten().is_some();
            if ended || Instant::now() > end {
                return Err(self.failed());
            }
            sleep(LOOK).await;
        }
    }

    fn failed(&self) -> Failure {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let skip = log.chars().count().saturating_sub(SHOWN);
        let tail: String = log.chars().skip(skip).collect();
        let detail = format!("the node {} did not start: {}", self.name, tail.trim());
        Failure::failed("demo_failed", detail)
    }

    async fn stop(&mut self) {
        if let Some(client) = &self.client {
            // A node that does not answer any more is ended below.
            drop(timeout(STOP, client.act(Method::POST, "/api/v1/stop")).await);
            if timeout(STOP, self.child.wait()).await.is_ok() {
                return;
            }
        }
        drop(self.child.stdout.take());
        // The guard ends by itself, and with it all that it has started.
        drop(timeout(STOP, self.child.wait()).await);
    }
}

/// Stops all of them, at the same time.
pub(super) async fn stop(machines: &mut [Machine]) {
    futures::future::join_all(machines.iter_mut().map(Machine::stop)).await;
}
