//! `peerage demo`: two nodes on this machine find each other, and one calls a tool of the other.
//!
//! Nothing is simulated: both nodes are processes of this program with homes of their own, in a folder that is
//! gone afterwards, and every step is a request to a local API, as any client would make it.

mod machine;
mod steps;

use std::time::{Duration, Instant};

use serde::Serialize;
use tempfile::TempDir;

use self::{machine::Machine, steps::Story};
use super::{Context, Failure, output::Output, progress::Progress, signal::StopSignals};

/// How long all of it may take.
const WITHIN: Duration = Duration::from_secs(60);

/// What happened, as `--json` shows it.
#[derive(Debug, Serialize)]
struct Report {
    ok: bool,
    steps: Vec<Step>,
    /// Commands to try on two machines.
    next: Vec<Next>,
}

/// One thing that happened.
#[derive(Clone, Debug, Serialize)]
struct Step {
    name: &'static str,
    ms: u128,
    detail: String,
}

/// A command, and where to type it.
#[derive(Clone, Copy, Debug, Serialize)]
struct Next {
    machine: &'static str,
    command: &'static str,
}

/// What to do first where this program was only built, not installed.
const INSTALL: Next = next("both", "cargo install --path crates/peerage");
/// What to try next, in order.
const NEXT: [Next; 6] = [
    next(
        "first",
        "peerage up --detach --share files=\"npx -y @modelcontextprotocol/server-filesystem $HOME\"",
    ),
    next("first", "peerage invite"),
    next("second", "peerage join CODE"),
    next("second", "peerage up --detach"),
    next("second", "peerage tools"),
    next(
        "second",
        "peerage mcp    # the command for an MCP client's configuration",
    ),
];

const fn next(machine: &'static str, command: &'static str) -> Next {
    Next { machine, command }
}

pub(crate) async fn run(context: &Context) -> Result<(), Failure> {
    let mut signals = StopSignals::listen()?;
    let folder = tempfile::Builder::new()
        .prefix("peerage-demo-")
        .tempdir()
        .map_err(|error| Failure::io("cannot make a folder", &error))?;
    let mut told = Told::new(&context.output);
    let mut machines = Vec::new();
    let outcome = tokio::select! {
        outcome = told_within(&folder, &mut told, &mut machines) => outcome,
        () = signals.asked() => Err(Failure::interrupted()),
    };
    let stopping = Instant::now();
    // A second Ctrl-C does not wait: dropping the machines ends their processes at once.
    let stopped = tokio::select! {
        () = machine::stop(&mut machines) => true,
        () = signals.asked() => false,
    };
    drop(machines);
    drop(folder);
    if outcome.is_ok() && stopped {
        let detail = "both nodes have stopped, and nothing is left behind".to_owned();
        told.step("clean up", stopping, detail);
    }
    finish(context, told, outcome)
}

async fn told_within(
    folder: &TempDir,
    told: &mut Told<'_>,
    machines: &mut Vec<Machine>,
) -> Result<(), Failure> {
    let story = steps::tell(Story {
        folder: folder.path(),
        told,
        machines,
    });
    let told = tokio::time::timeout(WITHIN, story).await;
    told.map_err(|_| Failure::failed("demo_late", "the demo took longer than a minute"))?
}

fn finish(context: &Context, told: Told<'_>, outcome: Result<(), Failure>) -> Result<(), Failure> {
    let output = &context.output;
    let total = told.started.elapsed();
    let steps = told.end();
    if !output.json() {
        outcome?;
        output.text(&format!(
            "\nDone in {:.1} s. Now on two machines:\n",
            total.as_secs_f64()
        ));
        for next in next_commands() {
            output.text(&format!(
                "  {:6}  {}",
                next.machine,
                output.bold(next.command)
            ));
        }
        return Ok(());
    }
    let mut report = Report {
        ok: outcome.is_ok(),
        steps,
        next: next_commands(),
    };
    // One document, so the reason of a failure is its last step.
    if let Err(Failure {
        problem: Some(problem),
        ..
    }) = &outcome
    {
        report.steps.push(Step {
            name: "failed",
            ms: total.as_millis(),
            detail: problem.to_string(),
        });
        report.next.clear();
    }
    output.document(&report);
    outcome.map_err(|failure| Failure {
        problem: None,
        ..failure
    })
}

/// What to try next; `peerage` means something only if a shell finds it.
fn next_commands() -> Vec<Next> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let installed = std::env::split_paths(&path).any(|folder| folder.join("peerage").is_file());
    let install = (!installed).then_some(INSTALL);
    install.into_iter().chain(NEXT).collect()
}

/// Tells each step when it is done, and what is being waited for meanwhile.
#[derive(Debug)]
struct Told<'a> {
    output: &'a Output,
    started: Instant,
    steps: Vec<Step>,
    progress: Option<Progress>,
}

impl<'a> Told<'a> {
    fn new(output: &'a Output) -> Self {
        Self {
            output,
            started: Instant::now(),
            steps: Vec::new(),
            progress: None,
        }
    }

    /// Says what is being done now.
    fn doing(&mut self, what: &str) -> Instant {
        self.progress = Some(Progress::new(self.output, what));
        Instant::now()
    }

    /// Says what has been done.
    fn step(&mut self, name: &'static str, since: Instant, detail: String) {
        self.progress = None;
        let ms = since.elapsed().as_millis();
        if !self.output.json() {
            let detail =
                super::output::clean_lines(&detail).replace('\n', "\n                    ");
            self.output
                .text(&format!("{:>6} ms  {name:9}  {detail}", ms));
        }
        self.steps.push(Step { name, ms, detail });
    }

    fn end(self) -> Vec<Step> {
        self.steps
    }
}
