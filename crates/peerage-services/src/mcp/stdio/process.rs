//! A server's process: started with piped standard streams in a process group of its own, and ended
//! together with everything in that group.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fmt, io,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use peerage_mesh::Tasks;
use rustix::process::{Pid, Signal, kill_process_group};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncRead, AsyncWrite, BufReader},
    process::{Child, ChildStderr, Command},
    time::{Instant, timeout},
};

use super::lines::{Line, next_line};

/// Longest part of a line of standard error that is logged, in bytes.
const MAX_LOG_LINE: usize = 2048;
/// Lines of standard error logged per [`LOG_WINDOW`]; the others are counted.
const MAX_LOG_LINES: u32 = 50;
/// See [`MAX_LOG_LINES`].
const LOG_WINDOW: Duration = Duration::from_secs(10);

/// Variables of the node that its children have too; all else of its environment, which may hold keys and tokens, they have
/// only when [`CommandSpec::env`] says so. What is common to terminals, and where things are.
pub(super) const INHERITED: [&str; 13] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "TERM",
    "LANG",
    "LANGUAGE",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "TMPDIR",
    "XDG_RUNTIME_DIR",
];

/// A command that runs an MCP server on its standard streams.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandSpec {
    /// What to run: a path, or a name to look up in `PATH`.
    pub program: String,
    /// Its arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Variables beside those of the node's environment that are inherited anyway. They may be secrets and are never logged.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Where it runs; the node's own working directory by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<PathBuf>,
}

impl fmt::Debug for CommandSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommandSpec")
            .field("program", &self.program)
            .field("args", &format_args!("{} of them", self.args.len()))
            .field("env", &self.env.keys())
            .field("cwd", &self.cwd)
            .finish()
    }
}

/// The two byte streams of a server, and the process behind them if there is one.
pub(super) struct Pipes {
    /// What the server reads.
    pub(super) stdin: Box<dyn AsyncWrite + Send + Unpin>,
    /// What the server writes.
    pub(super) stdout: Box<dyn AsyncRead + Send + Unpin>,
    /// What must be ended with it.
    pub(super) process: Option<Process>,
}

/// A running process and its group.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    group: Option<Pid>,
    guarded: bool,
    program: String,
    last_words: LastWords,
}

/// The last line that a process wrote on standard error.
#[derive(Clone, Debug, Default)]
struct LastWords(Arc<Mutex<String>>);

impl LastWords {
    fn set(&self, line: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = line;
    }

    fn get(&self) -> String {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl CommandSpec {
    /// Starts the process, behind `guard` (a command that takes this one as its arguments) if any.
    pub(super) fn start(&self, guard: &[OsString], tasks: &Tasks) -> io::Result<Pipes> {
        // Looked up here and not by the guard, whose failure would only be an exit code.
        let program = self.find()?;
        let mut command = match guard {
            [] => Command::new(program),
            [guard, args @ ..] => {
                let mut command = Command::new(guard);
                command.args(args).arg(program);
                command
            }
        };
        command
            .args(&self.args)
            .env_clear()
            .envs(inherited())
            .envs(&self.env)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            // A guard ends the group by itself, which it could not if it were killed.
            .kill_on_drop(guard.is_empty());
        if let Some(cwd) = &self.cwd {
            command.current_dir(cwd);
        }
        let mut child = command.spawn()?;
        let missing = || io::Error::other("the process has no standard streams");
        let stdin = child.stdin.take().ok_or_else(missing)?;
        let stdout = child.stdout.take().ok_or_else(missing)?;
        let last_words = LastWords::default();
        if let Some(stderr) = child.stderr.take() {
            let log = log(self.program.clone(), stderr, last_words.clone());
            tasks.spawn("mcp child stderr", log);
        }
        let group = child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(Pid::from_raw);
        Ok(Pipes {
            stdin: Box::new(stdin),
            stdout: Box::new(stdout),
            process: Some(Process {
                child,
                group,
                guarded: !guard.is_empty(),
                program: self.program.clone(),
                last_words,
            }),
        })
    }

    /// The program, looked up as the child's environment says.
    fn find(&self) -> io::Result<PathBuf> {
        let here = std::env::current_dir()?;
        let cwd = here.join(self.cwd.as_deref().unwrap_or_else(|| Path::new("")));
        let path = self.env.get("PATH").map(OsString::from);
        let path = path.or_else(|| std::env::var_os("PATH"));
        which::which_in(&self.program, path, cwd).map_err(|_| {
            let text = format!("there is no program `{}`", self.program);
            io::Error::new(io::ErrorKind::NotFound, text)
        })
    }
}

fn inherited() -> impl Iterator<Item = (&'static str, OsString)> {
    let set = INHERITED.into_iter();
    set.filter_map(|name| Some((name, std::env::var_os(name)?)))
}

impl Process {
    /// Waits until the process has ended and says how. Cancel-safe.
    pub(super) async fn ended(&mut self) -> String {
        match self.child.wait().await {
            Ok(status) => {
                // A signal is how this node ends one.
                if status.code().is_some_and(|code| code != 0) {
                    // Told here and not to the caller: it may be anything.
                    let (program, said) = (&self.program, self.last_words.get());
                    tracing::warn!(program, %status, said, "an MCP server ended");
                }
                status.to_string()
            }
            Err(e) => e.to_string(),
        }
    }

    /// Ends the process, whose standard input was closed already: it may leave by itself, is asked to,
    /// and is made to, each after `grace`. Whatever is left of its group is killed.
    pub(super) async fn end(mut self, grace: Duration) {
        for signal in [None, Some(Signal::TERM), Some(Signal::KILL)] {
            if let Some(signal) = signal {
                self.signal(signal);
            }
            if timeout(grace, self.child.wait()).await.is_ok() {
                break;
            }
        }
        self.signal(Signal::KILL);
        self.group = None;
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group
            && let Err(e) = kill_process_group(group, signal)
            && e != rustix::io::Errno::SRCH
        {
            tracing::warn!(error = %e, "cannot signal the process group of an MCP server");
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Reached with a group only when the node stops and drops its tasks.
        self.signal(if self.guarded {
            Signal::TERM
        } else {
            Signal::KILL
        });
    }
}

/// Passes on what the process says on standard error, within bounds, until it closes it.
async fn log(program: String, stderr: ChildStderr, last_words: LastWords) {
    let mut from = BufReader::new(stderr);
    let mut window = Instant::now();
    let mut lines = 0u32;
    while let Ok(Some(line)) = next_line(&mut from, MAX_LOG_LINE).await {
        if window.elapsed() > LOG_WINDOW {
            if lines > MAX_LOG_LINES {
                let hidden = lines - MAX_LOG_LINES;
                tracing::debug!(program, hidden, "more lines on standard error");
            }
            (window, lines) = (Instant::now(), 0);
        }
        lines = lines.saturating_add(1);
        let (Line::Text(text) | Line::TooLong(text)) = line;
        let text = String::from_utf8_lossy(&text).escape_debug().to_string();
        if lines <= MAX_LOG_LINES {
            tracing::debug!(program, text, "MCP server");
        }
        last_words.set(text);
    }
}
