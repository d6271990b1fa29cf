//! A node that runs as a process of its own, and what processes there are.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::{interval, timeout},
};

use super::program::{Ended, peerage, program};

/// The longest that anything may take. Generous: it is only reached when something is broken.
pub(crate) const WITHIN: Duration = Duration::from_secs(30);
/// How often a condition is looked at that nobody tells of.
const LOOK: Duration = Duration::from_millis(20);
/// The variable by which the processes that a test started are told from all others: one that
/// shared servers inherit from their node, too.
const MARK: &str = "XDG_RUNTIME_DIR";

/// A node under a home in a folder of the test's own.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    home: PathBuf,
    name: String,
    mark: String,
    /// Where it listens; after its first start that has a port.
    listen: String,
    /// Where it tells what happens; with the test's own output if nowhere.
    log: Option<PathBuf>,
}

impl Place {
    pub(crate) fn new(folder: &Path, name: &str) -> Self {
        Self {
            home: folder.join(name),
            name: name.to_owned(),
            mark: format!("{}/{name}", folder.display()),
            listen: "/ip4/127.0.0.1/tcp/0".to_owned(),
            log: None,
        }
    }

    /// Its node listens there instead of TCP.
    pub(crate) fn listen_at(&mut self, address: &str) {
        address.clone_into(&mut self.listen);
    }

    /// Its node tells in this file what happens.
    pub(crate) fn log_to(&mut self, file: PathBuf) {
        self.log = Some(file);
    }

    pub(crate) fn home(&self) -> &Path {
        &self.home
    }

    /// The folder of the node.
    pub(crate) fn folder(&self) -> PathBuf {
        self.home.join("nodes").join(&self.name)
    }

    /// The command that starts it, without discovery.
    pub(crate) fn up(&self, more: &[&str]) -> Command {
        let mut command = program(&self.home);
        command
            .env(MARK, &self.mark)
            .args(["--name", &self.name, "--json", "up", "--no-mdns"])
            .args(["--api", "127.0.0.1:0", "--listen", &self.listen])
            .args(more)
            .stdin(Stdio::null())
            .stderr(match &self.log {
                Some(file) => fs::File::create(file).unwrap().into(),
                None => Stdio::inherit(),
            });
        command
    }

    /// Starts it and waits until it says that it is up. The next start is at the same address.
    pub(crate) async fn start(&mut self, more: &[&str]) -> Running {
        let mut child = self.up(more).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = timeout(WITHIN, lines.next_line()).await.expect("it starts");
        let line = line.unwrap().expect("it says that it is up");
        let status: Value = serde_json::from_str(&line).unwrap();
        assert!(status["peer_id"].is_string(), "{status}");
        let listen = status["listen"][0].as_str().expect("it listens");
        self.listen = listen.split("/p2p/").next().unwrap().to_owned();
        Running {
            child,
            status,
            _lines: lines,
        }
    }

    /// Runs a command against it.
    pub(crate) async fn run(&self, args: &[&str]) -> Ended {
        peerage(&self.home, args).await
    }

    /// Runs a command that must succeed, and returns what it answers.
    pub(crate) async fn json(&self, args: &[&str]) -> Value {
        let ended = self.run(&[args, &["--json"]].concat()).await;
        assert_eq!(ended.code, 0, "{args:?}: {ended:?}");
        if ended.out.is_empty() {
            Value::Null
        } else {
            ended.json()
        }
    }

    /// Asks until the answer is as wished.
    pub(crate) async fn until(&self, args: &[&str], wish: impl Fn(&Value) -> bool) -> Value {
        let mut look = interval(LOOK);
        let mut last = Value::Null;
        let asked = timeout(WITHIN, async {
            loop {
                look.tick().await;
                last = self.json(args).await;
                if wish(&last) {
                    return;
                }
            }
        });
        let asked = asked.await;
        assert!(asked.is_ok(), "{args:?} never was as wished: {last:#}");
        last
    }

    /// What its node started, and the node itself, as far as they live.
    pub(crate) fn processes(&self) -> Vec<String> {
        processes_of(&self.mark)
    }

    /// Waits until no process of it is left.
    pub(crate) async fn none_left(&self) {
        none_left(&self.mark).await;
    }
}

/// A node that runs. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    pub(crate) status: Value,
    _lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    pub(crate) fn peer_id(&self) -> &str {
        self.status["peer_id"].as_str().unwrap()
    }

    /// Its address with its id, to be dialled.
    pub(crate) fn address(&self) -> &str {
        self.status["listen"][0].as_str().unwrap()
    }

    /// Sends it a signal.
    pub(crate) async fn signal(&self, signal: &str) {
        send(&self.child, signal).await;
    }

    /// SIGKILL, and waits until it is gone.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Asks it to end, and waits until it has.
    pub(crate) async fn terminate(mut self) -> ExitStatus {
        send(&self.child, "TERM").await;
        timeout(WITHIN, self.child.wait())
            .await
            .expect("it ends")
            .unwrap()
    }
}

/// Sends a signal to a process.
pub(crate) async fn send(child: &Child, signal: &str) {
    let Some(pid) = child.id() else { return };
    let script = format!("kill -{signal} {pid}");
    let sent = Command::new("sh").args(["-c", &script]).status().await;
    assert!(sent.unwrap().success());
}

/// Marks a command and what it starts.
pub(crate) fn mark(command: &mut Command, mark: &str) {
    command.env(MARK, mark);
}

/// The command lines of the living processes with this mark.
pub(crate) fn processes_of(mark: &str) -> Vec<String> {
    let wanted = format!("{MARK}={mark}");
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let path = entry.path();
        // One that has ended has no environment any more, even if nobody has waited for it.
        let environment = fs::read(path.join("environ")).unwrap_or_default();
        if environment
            .split(|b| *b == 0)
            .any(|v| v == wanted.as_bytes())
        {
            let line = fs::read(path.join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            found.push(format!("{} {line}", entry.file_name().display()));
        }
    }
    found
}

/// Waits until no process with this mark is left.
pub(crate) async fn none_left(mark: &str) {
    until_true("no process is left", || processes_of(mark).is_empty())
        .await
        .unwrap_or_else(|what| panic!("{what}: {:?}", processes_of(mark)));
}

/// Waits until something is true that nobody tells of.
pub(crate) async fn until_true(what: &str, holds: impl Fn() -> bool) -> Result<(), String> {
    let mut look = interval(LOOK);
    let waited = timeout(WITHIN, async {
        while !holds() {
            look.tick().await;
        }
    });
    let waited = waited.await;
    waited.map_err(|_| format!("not within {WITHIN:?}: {what}"))
}

/// The command line of the built-in MCP server, to be shared under a name.
pub(crate) fn toolbox(name: &str) -> String {
    format!("{name}='{}' toolbox", env!("CARGO_BIN_EXE_peerage"))
}

/// A stdio MCP server whose tool `hang` never answers and starts a process of its own; `$FOLDER/hangs` is
/// there when it does.
pub(crate) fn hanging(folder: &Path) -> String {
    const SERVER: &str = r#"
while IFS= read -r line; do
  id=$(printf '%s' "$line" | sed -n 's/.*"id":\("[^"]*"\|[0-9]*\).*/\1/p')
  [ -n "$id" ] || continue
  case "$line" in
    *'"method":"initialize"'*) printf '{"jsonrpc":"2.0","id":%s,"result":{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"hanging","version":"1"}}}\n' "$id" ;;
    *'"method":"tools/list"'*) printf '{"jsonrpc":"2.0","id":%s,"result":{"tools":[{"name":"hang","inputSchema":{"type":"object"}}]}}\n' "$id" ;;
    *'"method":"tools/call"'*) trap '' TERM; sleep 1000 & touch "$0.hangs"; wait ;;
    *) printf '{"jsonrpc":"2.0","id":%s,"error":{"code":-32601,"message":"no such method"}}\n' "$id" ;;
  esac
done
"#;
    let path = folder.join("hanging.sh");
    fs::write(&path, SERVER).unwrap();
    format!("sh {}", path.display())
}
