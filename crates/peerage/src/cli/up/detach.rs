//! A node in the background: this program again, in a process group of its own, its output in the node's log.

use std::{
    ffi::OsString,
    fs::{DirBuilder, File, OpenOptions},
    io::{Read as _, Seek as _, SeekFrom},
    os::unix::{
        fs::{DirBuilderExt as _, OpenOptionsExt as _},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use peerage::config::{Config, Layer};
use peerage_core::problem::Problem;
use peerage_services::api::NodeStatus;
use tokio::time::{Instant, sleep};

use super::super::{
    Context, Failure,
    client::{Client, find_named},
    progress::Progress,
    status,
};

/// How long a node may take until its local API answers.
const WITHIN: Duration = Duration::from_secs(30);
/// How often to look whether it does.
const LOOK: Duration = Duration::from_millis(25);
/// The most of the log that is looked at for the reason of a failure.
const MAX_TAIL: u64 = 64 * 1024;
/// How many of its lines are shown.
const SHOWN: usize = 5;

/// Starts the node that was typed, without `--detach`.
pub(super) async fn run(context: &Context, config: &Config) -> Result<(), Failure> {
    let typed = std::env::args_os().skip(1).filter(|arg| arg != "--detach");
    let client = start(context, &config.name, typed.collect()).await?;
    let node: NodeStatus = client.get("/api/v1/node").await?;
    let output = &context.output;
    output.answer(&node, |node| status::render(output, node));
    Ok(())
}

/// Starts the default node for a command that needs one, or takes the one that another command has just started.
pub(crate) async fn ensure(context: &Context) -> Result<Client, Failure> {
    let name = context.config(Layer::default())?.name;
    let args = ["up", "--name", &name].map(OsString::from);
    let started = start(context, &name, args.into()).await;
    match started {
        Ok(client) => {
            context.output.note(format_args!(
                "started the node `{name}`; `peerage down` stops it"
            ));
            Ok(client)
        }
        Err(failure) => find_named(&context.home, &name).await.ok_or(failure),
    }
}

/// Starts this program with these arguments and waits until the node answers.
async fn start(context: &Context, name: &str, args: Vec<OsString>) -> Result<Client, Failure> {
    let (log, from) = log(&context.home, name)?;
    let mut child = spawn(context, args, &log.0)?;
    let progress = Progress::new(&context.output, format!("starting {name}"));
    let end = Instant::now() + WITHIN;
    loop {
        if let Some(client) = find_named(&context.home, name).await
            && client.node().pid == child.id()
        {
            drop(progress);
            return Ok(client);
        }
        match child.try_wait() {
            Ok(None) if Instant::now() < end => sleep(LOOK).await,
            Ok(None) => {
                drop(child.kill());
                drop(child.wait());
                return Err(late(&log.1));
            }
            _ => return Err(reason(&log.1, from)),
        }
    }
}

fn spawn(context: &Context, args: Vec<OsString>, log: &File) -> Result<Child, Failure> {
    let failed = |error| Failure::io("cannot start the node", &error);
    let program = std::env::current_exe().map_err(failed)?;
    let mut command = Command::new(program);
    command
        // The last line of the log is then the reason of a failure, for this program to read.
        .args([
            "--json".into(),
            "--home".into(),
            context.home.clone().into_os_string(),
        ])
        .args(without_global(args))
        .stdin(Stdio::null())
        .stdout(log.try_clone().map_err(failed)?)
        .stderr(log.try_clone().map_err(failed)?)
        .process_group(0);
    command.spawn().map_err(failed)
}

/// What was typed without what is given anyway.
fn without_global(args: Vec<OsString>) -> Vec<OsString> {
    let mut kept = Vec::new();
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        let text = arg.to_string_lossy();
        if text == "--home" {
            args.next();
        } else if text != "--json" && !text.starts_with("--home=") {
            kept.push(arg);
        }
    }
    kept
}

/// The node's log, for appending, and how long it was.
fn log(home: &Path, name: &str) -> Result<((File, PathBuf), u64), Failure> {
    let folder = home.join("nodes").join(name);
    let path = folder.join("log");
    let failed = |error| Failure::io(format_args!("cannot write {}", path.display()), &error);
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .map_err(failed)?;
    let opened = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(&path);
    let file = opened.map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    Ok(((file, path), length))
}

/// Why the node ended: the problem it wrote last, else its last lines.
fn reason(log: &Path, from: u64) -> Failure {
    let text = tail(log, from).unwrap_or_default();
    let problem = text.lines().rev().find_map(|line| {
        let line = line.trim();
        line.starts_with('{')
            .then(|| Problem::from_json(line.as_bytes()))
            .flatten()
    });
    if let Some(problem) = problem {
        return problem.into();
    }
    let lines: Vec<_> = text.lines().collect();
    let last = lines[lines.len().saturating_sub(SHOWN)..].join("; ");
    Failure::failed(
        "node_failed",
        format!("the node ended while it started: {last}"),
    )
    .hint(format!("its log: {}", log.display()))
}

fn tail(log: &Path, from: u64) -> std::io::Result<String> {
    let mut file = File::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(from.max(length.saturating_sub(MAX_TAIL))))?;
    let mut bytes = Vec::new();
    file.take(MAX_TAIL).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn late(log: &Path) -> Failure {
    Failure::failed(
        "node_late",
        format!("the node did not answer within {} s", WITHIN.as_secs()),
    )
    .hint(format!("its log: {}", log.display()))
}

#[cfg(test)]
mod tests {
    use super::without_global;

    #[test]
    fn what_is_given_anyway_is_not_given_twice() {
        let args = [
            "--home",
            "/x",
            "up",
            "--json",
            "--home=/y",
            "--name",
            "a",
            "--share",
            "x=y z",
        ];
        let kept = without_global(args.map(Into::into).into());
        assert_eq!(kept, ["up", "--name", "a", "--share", "x=y z"]);
    }
}
