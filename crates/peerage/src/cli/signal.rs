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

/// Listens from now on, whether the result is waited for or not, for Ctrl-C, SIGTERM, and the end of the
/// terminal; none of them ends the program by itself any more.
pub(crate) fn stop_asked() -> Result<impl Future<Output = ()>, Failure> {
    let listen =
        |kind| signal(kind).map_err(|error| Failure::io("cannot wait for signals", &error));
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut hangup = listen(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hangup.recv() => {}
        }
    })
}
