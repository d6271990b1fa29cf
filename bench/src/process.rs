//! Processes of a measure: where they run, and how they are talked to.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context, Result, bail};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    runtime::Handle,
};

use crate::{cpu, node::Transport};

/// A process that is talked to by lines. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    /// Ends with this.
    _child: Child,
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Process {
    /// Starts one, on one processor if one is named.
    pub(crate) fn start<S: AsRef<OsStr>>(
        program: &Path,
        arguments: impl IntoIterator<Item = S>,
        cpu: Option<usize>,
    ) -> Result<Self> {
        let mut command = Command::new(program);
        command.args(arguments);
        Self::run(&mut command, cpu).with_context(|| program.display().to_string())
    }

    fn run(command: &mut Command, cpu: Option<usize>) -> Result<Self> {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        let mut child = spawn(command, cpu)?;
        let input = child.stdin.take().context("its input is a pipe")?;
        let output = child.stdout.take().context("its output is a pipe")?;
        let lines = BufReader::new(output).lines();
        Ok(Self {
            _child: child,
            input,
            lines,
        })
    }

    /// The next line that it says.
    pub(crate) async fn line(&mut self) -> Result<String> {
        let line = self.lines.next_line().await?;
        line.context("the other process ended")
    }

    /// Says a line and reads the one that answers it.
    pub(crate) async fn ask(&mut self, line: &str) -> Result<String> {
        let line = format!("{line}\n");
        self.input.write_all(line.as_bytes()).await?;
        self.line().await
    }
}

/// Starts a process from a thread that is on the processor (on all if none is named), for it is inherited.
pub(crate) fn spawn(command: &mut Command, cpu: Option<usize>) -> Result<Child> {
    let runtime = Handle::current();
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let _inside = runtime.enter();
            cpu::pin(cpu)?;
            Ok(command.spawn()?)
        });
        thread
            .join()
            .map_err(|_| anyhow::anyhow!("starting it panicked"))?
    })
}

/// Two processes, one that answers and one that asks it.
#[derive(Debug)]
pub(crate) struct Pair {
    asking: Process,
    /// Ends with this.
    _answering: Process,
    /// Who they are.
    pub(crate) name: String,
}

impl Pair {
    /// Peerage's own two, each on a processor of its own or both on one.
    pub(crate) async fn ours(transport: Transport, one_cpu: bool) -> Result<Self> {
        let program = std::env::current_exe()?;
        let word = transport.word();
        Self::start(
            &program,
            (&["--transport", word], word),
            Some(usize::from(!one_cpu)),
        )
        .await
    }

    /// A rival's two; none where the rivals are not built.
    pub(crate) async fn rival(name: &str, one_cpu: bool) -> Result<Option<Self>> {
        let Some(program) = beside("peerage-rivals", "bench/rivals/target/release") else {
            return Ok(None);
        };
        // NATS has three processes, which the system places best.
        let cpu = (name != "nats").then_some(usize::from(!one_cpu));
        Ok(Some(Self::start(&program, (&[name], name), cpu).await?))
    }

    async fn start(
        program: &Path,
        (arguments, name): (&[&str], &str),
        cpu: Option<usize>,
    ) -> Result<Self> {
        let serve = [&["serve"], arguments].concat();
        let mut answering = Process::start(program, serve, cpu)?;
        let place = answering.line().await?;
        let ask = [&["ask"], arguments, &[&place]].concat();
        let asking = Process::start(program, ask, cpu.map(|_| 0))?;
        Ok(Self {
            asking,
            _answering: answering,
            name: name.to_owned(),
        })
    }

    /// Has the asking one do something; see [`crate::ways`].
    pub(crate) async fn figures(&mut self, order: &str) -> Result<Vec<f64>> {
        let answer = self.asking.ask(order).await;
        let answer = answer.with_context(|| format!("{}: {order}", self.name))?;
        if let Some(error) = answer.strip_prefix('!') {
            bail!("{}: {order}:{error}", self.name);
        }
        let figures = answer.split_whitespace().map(str::parse);
        Ok(figures.collect::<Result<_, _>>()?)
    }
}

/// A program that is beside this one, or in `folder` of the sources.
pub(crate) fn beside(name: &str, folder: &str) -> Option<PathBuf> {
    let here = std::env::current_exe().ok()?.with_file_name(name);
    let there = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join(folder)
        .join(name);
    [here, there].into_iter().find(|path| path.is_file())
}

/// Memory of a process that is in use, KiB, where the system tells it (Linux).
pub(crate) fn resident_kib(process: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
