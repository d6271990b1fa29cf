//! The task behind a link: it moves bytes, watches the clock, and ends the process.

use std::{convert::Infallible, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufReader},
    time::{MissedTickBehavior, interval, sleep, timeout},
};

use super::Link;
use crate::mcp::stdio::{
    lines::{Line, next_line},
    process::{Pipes, Process},
};

/// How long output is still read after the process ended or closed its input.
const DRAIN: Duration = Duration::from_secs(1);
/// How long to wait for the exit status of a process that closed its output.
const EXIT_STATUS: Duration = Duration::from_millis(200);
/// Bytes read from the server at once.
const READ_BUFFER: usize = 64 * 1024;
/// Lines shorter than this are written at once.
const WRITE_BUFFER: usize = 64 * 1024;

/// Closes the link also when its task is dropped because the node stops.
pub(super) struct Ending(pub(super) Arc<Link>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.close("the node stopped it");
        self.0.gone.cancel();
    }
}

/// Serves the streams until one of them or the process ends, or the link is asked to.
pub(super) async fn run(link: Ending, pipes: Pipes) {
    let Pipes {
        stdin,
        stdout,
        mut process,
    } = pipes;
    let link_ref = &link.0;
    let reason = {
        let leaving = async {
            let reason = tokio::select! {
                reason = write(link_ref, stdin) => reason,
                status = status(&mut process) => format!("its process ended ({status})"),
            };
            sleep(DRAIN).await;
            reason
        };
        tokio::select! {
            reason = read(link_ref, stdout) => reason,
            reason = leaving => reason,
            never = watch_the_clock(link_ref) => match never {},
            () = link_ref.ending.cancelled() => "the session ended".to_owned(),
        }
    };
    let status = timeout(EXIT_STATUS, status(&mut process)).await;
    link_ref.close(&match status {
        Ok(status) if !link_ref.ending.is_cancelled() => format!("its process ended ({status})"),
        _ => reason,
    });
    if let Some(process) = process {
        process.end(link_ref.limits.stop_grace).await;
    }
}

async fn status(process: &mut Option<Process>) -> String {
    match process {
        Some(process) => process.ended().await,
        None => std::future::pending().await,
    }
}

async fn watch_the_clock(link: &Link) -> Infallible {
    let longest = Duration::from_secs(1);
    let shortest = Duration::from_millis(5);
    let limits = &link.limits;
    let soonest = limits
        .request_timeout
        .min(limits.probe_timeout)
        .min(limits.idle_timeout);
    let mut ticks = interval((soonest / 20).clamp(shortest, longest));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let now = ticks.tick().await;
        link.tick(now);
    }
}

async fn read(link: &Link, from: impl AsyncRead + Unpin) -> String {
    let mut from = BufReader::with_capacity(READ_BUFFER, from);
    loop {
        match next_line(&mut from, link.limits.max_message).await {
            Ok(Some(Line::Text(line))) => link.receive(line),
            Ok(Some(Line::TooLong(_))) => link.receive_too_long(),
            Ok(None) => return "it closed its output".to_owned(),
            Err(e) => return format!("its output cannot be read: {e}"),
        }
    }
}

async fn write(link: &Link, mut to: impl AsyncWrite + Unpin) -> String {
    let mut whole = Vec::new();
    while let Some(line) = link.outbound.pop().await {
        let sent = async {
            if line.len() < WRITE_BUFFER {
                // In one piece: a line and its end, written one after the other, wake the server twice.
                whole.clear();
                whole.extend_from_slice(&line);
                whole.push(b'\n');
                to.write_all(&whole).await?;
            } else {
                to.write_all(&line).await?;
                to.write_all(b"\n").await?;
            }
            to.flush().await
        };
        if let Err(e) = sent.await {
            return format!("it closed its input: {e}");
        }
    }
    "the session ended".to_owned()
}
