//! What a node runs in the background: every task is named, counted, and ends with its node.

use std::future::Future;

use tokio::task::JoinHandle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument;

/// The tasks of one node, or of one part of it.
///
/// Whatever is spawned here is dropped when the node stops: nothing outlives its node. Cloning gives
/// another handle to the same tasks; [`Tasks::child`] gives a part that can also be stopped alone.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    token: CancellationToken,
}

impl Tasks {
    /// Starts with nothing running.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs `work` until it ends or the node stops. `name` shows in traces.
    pub fn spawn<F>(&self, name: &'static str, work: F) -> JoinHandle<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let token = self.token.clone();
        let task = async move {
            tokio::select! {
                () = token.cancelled() => {}
                () = work => {}
            }
        };
        self.tracker
            .spawn(task.instrument(tracing::debug_span!("task", name)))
    }

    /// Is cancelled when the tasks are told to stop.
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }

    /// A part that stops with its parent, or alone by its own [`Tasks::stop`].
    ///
    /// The parent waits for it too, for both count in one tracker.
    #[must_use]
    pub fn child(&self) -> Self {
        Self {
            tracker: self.tracker.clone(),
            token: self.token.child_token(),
        }
    }

    /// Tells every task here to stop, without waiting.
    pub fn cancel(&self) {
        self.token.cancel();
    }

    /// Tells every task to stop and waits until all that share the tracker have ended.
    pub async fn stop(&self) {
        self.token.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }

    /// How many tasks are running.
    #[must_use]
    pub fn running(&self) -> usize {
        self.tracker.len()
    }
}
