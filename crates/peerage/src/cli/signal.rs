//! Signals that ask a program to end.

use std::future::Future;

use tokio::signal::unix::{SignalKind, signal};

use super::Failure;

/// Runs a command that has nothing to put in order: Ctrl-C drops it.
pub(crate) async fn interruptible(
    work: impl Future<Output = Result<(), Failure>>,
) -> Result<(), Failure> {
    tokio::select! {
        done = work => done,
        _ = tokio::signal::ctrl_c() => Err(Failure::interrupted()),
    }
}

/// Waits for Ctrl-C, SIGTERM, or the end of the terminal.
pub(crate) async fn stop_asked() -> Result<(), Failure> {
    let listen =
        |kind| signal(kind).map_err(|error| Failure::io("cannot wait for signals", &error));
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut hangup = listen(SignalKind::hangup())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        _ = hangup.recv() => {}
    }
    Ok(())
}
