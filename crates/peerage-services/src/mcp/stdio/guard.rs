//! A tiny supervisor between the node and a server's process: when the node dies, even by SIGKILL,
//! it ends that process and all it started.
//!
//! It needs no pipe of its own. Its standard output is the pipe that the node reads, so that pipe
//! reports an error as soon as no reader is left.

use std::{
    ffi::OsString,
    io,
    os::{fd::AsFd, unix::process::ExitStatusExt},
    process::{ExitCode, ExitStatus, Stdio},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    process::{Signal, getpgrp, getpid, kill_process_group},
};
use tokio::{
    process::{Child, Command},
    signal::unix::{SignalKind, signal},
    time::timeout,
};

/// How long the process may take to leave by itself, and then again after it was asked to.
const GRACE: Duration = Duration::from_secs(2);
/// Exit code when the command cannot be run, as a shell has it.
const CANNOT_RUN: u8 = 126;
/// Exit code when the command does not exist, as a shell has it.
const NOT_FOUND: u8 = 127;

/// Runs `command` (a program and its arguments) on this process's standard streams until it ends, and
/// returns its exit code; ends it and its process group when the reader of standard output is gone or
/// on SIGTERM.
///
/// The caller must have made this process the leader of its own group, as the node does.
#[must_use]
pub fn run(command: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut command = command.into_iter();
    let Some(program) = command.next() else {
        return ExitCode::from(NOT_FOUND);
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    match runtime {
        // The thread that watches the pipe is left behind: this process is about to end.
        Ok(runtime) => {
            let code = runtime.block_on(supervise(program, command.collect()));
            runtime.shutdown_background();
            code
        }
        Err(_) => ExitCode::from(CANNOT_RUN),
    }
}

async fn supervise(program: OsString, args: Vec<OsString>) -> ExitCode {
    let Ok(mut asked) = signal(SignalKind::terminate()) else {
        return ExitCode::from(CANNOT_RUN);
    };
    let child = Command::new(program)
        .args(args)
        .stdin(Stdio::inherit())
        .stdout(Stdio::inherit())
        .stderr(Stdio::inherit())
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return ExitCode::from(NOT_FOUND),
        Err(_) => return ExitCode::from(CANNOT_RUN),
    };
    leave_stdin_to_the_child();
    let node_gone = tokio::task::spawn_blocking(wait_for_no_reader);
    tokio::select! {
        status = child.wait() => return status.map_or_else(|_| CANNOT_RUN.into(), exit_code),
        _ = node_gone => end(&mut child, Some(Signal::TERM)).await,
        _ = asked.recv() => end(&mut child, None).await,
    }
    ExitCode::from(CANNOT_RUN)
}

/// Lets the child leave by itself, asks it if `ask` says how, and kills the whole group, this process
/// included.
async fn end(child: &mut Child, ask: Option<Signal>) {
    let mut left = timeout(GRACE, child.wait()).await.is_ok();
    if let (false, Some(ask)) = (left, ask) {
        kill_own_group(ask);
        left = timeout(GRACE, child.wait()).await.is_ok();
    }
    if !left {
        let _already_gone = child.start_kill();
    }
    kill_own_group(Signal::KILL);
}

fn kill_own_group(signal: Signal) {
    // Someone else's group is not ours to kill.
    if getpgrp() == getpid() {
        let _nobody_left = kill_process_group(getpgrp(), signal);
    }
}

/// Blocks until nothing reads this process's standard output any more.
fn wait_for_no_reader() {
    let stdout = io::stdout();
    loop {
        let mut watched = [PollFd::from_borrowed_fd(stdout.as_fd(), PollFlags::empty())];
        match poll(&mut watched, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => return,
        }
        let gone = PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL;
        if watched[0].revents().intersects(gone) {
            return;
        }
    }
}

/// Without this the pipe would keep a reader after the child closed it, and the node would not notice.
fn leave_stdin_to_the_child() {
    if let Ok(null) = std::fs::File::open("/dev/null") {
        let _keeps_the_pipe = rustix::stdio::dup2_stdin(&null);
    }
}

/// The code of a process that a signal ended is 128 more than the signal, as a shell has it.
fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    let code = code.and_then(|code| u8::try_from(code).ok());
    ExitCode::from(code.unwrap_or(CANNOT_RUN))
}
