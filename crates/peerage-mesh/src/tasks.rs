//! What a node runs in the background: every task is named, counted, and ends with its node.

use std::{future::Future, time::Duration};

use tokio::task::JoinHandle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument;

/// The tasks of one node, or of one part of it.
///
/// Whatever is spawned here ends when the node stops: nothing outlives its node. Cloning gives another
/// handle to the same tasks; [`Tasks::child`] gives a part that can also be stopped alone.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    /// "Please end."
    token: CancellationToken,
    /// "You end now."
    force: CancellationToken,
}

impl Tasks {
    /// Starts with nothing running.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs `work` until it ends or the node stops, which drops it. `name` shows in traces.
    pub fn spawn<F>(&self, name: &'static str, work: F) -> JoinHandle<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.until(name, self.token.clone(), work)
    }

    /// Runs `work` that ends by itself when the [token](Tasks::token) is cancelled, after what it still
    /// has to do; it is dropped when it has had its time ([`Tasks::stop_within`]).
    pub fn spawn_graceful<F>(&self, name: &'static str, work: F) -> JoinHandle<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.until(name, self.force.clone(), work)
    }

    fn until<F>(&self, name: &'static str, end: CancellationToken, work: F) -> JoinHandle<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let task = async move {
            tokio::select! {
                () = end.cancelled() => {}
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

    /// A part that stops with its parent, or alone by its own [`Tasks::cancel`]. The parent waits for
    /// it too.
    #[must_use]
    pub fn child(&self) -> Self {
        Self {
            tracker: self.tracker.clone(),
            token: self.token.child_token(),
            force: self.force.child_token(),
        }
    }

    /// Tells every task here to stop, without waiting.
    pub fn cancel(&self) {
        self.token.cancel();
    }

    /// Ends every task here, also those that would end by themselves, without waiting.
    pub fn abort(&self) {
        self.token.cancel();
        self.force.cancel();
    }

    /// Tells every task to stop and waits until all that share the tracker have ended.
    pub async fn stop(&self) {
        self.stop_within(Duration::ZERO).await;
    }

    /// Tells every task to stop, gives those that end by themselves this long, then ends them, and waits
    /// until all that share the tracker have ended.
    pub async fn stop_within(&self, grace: Duration) {
        self.token.cancel();
        self.tracker.close();
        if tokio::time::timeout(grace, self.tracker.wait())
            .await
            .is_err()
        {
            self.force.cancel();
            self.tracker.wait().await;
        }
    }

    /// How many tasks are running.
    #[must_use]
    pub fn running(&self) -> usize {
        self.tracker.len()
    }
}
