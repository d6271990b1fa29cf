//! Progress of a call, from the server that makes it to whoever waits.

use tokio::sync::mpsc;

/// How many notifications wait for a slow reader. Beyond that they are dropped: each one replaces those before.
const MAX_WAITING: usize = 64;

/// How far a call has come.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// How much is done; grows with each notification.
    pub progress: f64,
    /// How much there is to do, when known.
    pub total: Option<f64>,
    /// What is being done, for people.
    pub message: Option<String>,
}

/// Where the progress of one call goes.
#[derive(Clone, Debug)]
pub struct ProgressSink(mpsc::Sender<Progress>);

/// Where the progress of one call comes out.
#[derive(Debug)]
pub struct Progresses(mpsc::Receiver<Progress>);

impl ProgressSink {
    /// A sink, and where what goes in comes out.
    #[must_use]
    pub fn new() -> (Self, Progresses) {
        let (sender, receiver) = mpsc::channel(MAX_WAITING);
        (Self(sender), Progresses(receiver))
    }

    /// Passes progress on, unless the reader is far behind or gone.
    pub fn send(&self, progress: Progress) {
        if let Err(mpsc::error::TrySendError::Full(progress)) = self.0.try_send(progress) {
            tracing::debug!(?progress, "progress dropped: its reader is too slow");
        }
    }
}

impl Progresses {
    /// The next progress; `None` once all its sinks are gone.
    pub async fn next(&mut self) -> Option<Progress> {
        self.0.recv().await
    }

    /// What has come in and was not taken yet.
    pub fn try_next(&mut self) -> Option<Progress> {
        self.0.try_recv().ok()
    }
}
