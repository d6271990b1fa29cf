//! What a panic of the loop costs: the connections, and nothing else.

use std::{panic::AssertUnwindSafe, time::Duration};

use futures::FutureExt;
use libp2p::Swarm;
use peerage_core::PeerId;

use super::{Control, Waiting};
use crate::behaviour::Behaviour;

/// How long after a panic the swarm is built anew.
const RESTART_AFTER: Duration = Duration::from_secs(1);

impl Control {
    /// Runs until the node stops. A panic (its own, or of a behaviour fed by strangers) costs the
    /// connections, not the node: a new swarm listens at the same addresses and dials again.
    pub(crate) async fn supervise(mut self, mut swarm: Swarm<Behaviour>) {
        loop {
            let run = AssertUnwindSafe(self.run(&mut swarm)).catch_unwind();
            if run.await.is_ok() {
                return;
            }
            tracing::error!("the swarm panicked and is built anew");
            self.abandon();
            self.listeners.closed_all();
            tokio::time::sleep(RESTART_AFTER).await;
            swarm = match self.build() {
                Ok(swarm) => swarm,
                Err(error) => {
                    tracing::error!(%error, "the swarm cannot be built anew");
                    return;
                }
            };
            self.listeners.again(&mut swarm);
        }
    }

    /// Everything that hung on the old swarm is told that it is gone.
    fn abandon(&mut self) {
        let cause = "the transport was restarted";
        self.connections.clear();
        let connected: Vec<PeerId> = self.peers.keys().copied().collect();
        for peer in connected {
            self.lost(peer, Some(cause.into()));
        }
        let dialing: Vec<PeerId> = self.book.read(|book| {
            let dialing = book.iter().filter(|(_, record)| record.dialing);
            dialing.map(|(peer, _)| *peer).collect()
        });
        let waiting = std::mem::take(&mut self.waiting);
        for peer in dialing {
            self.dial_failed(peer, cause.into());
        }
        for Waiting { reply, .. } in waiting.into_values().flatten() {
            let _ = reply.send(Err(cause.into()));
        }
    }
}
