//! Discovery, connected: what was seen goes to the book.

use std::{sync::Arc, time::Duration};

use peerage_mesh::Mesh;
use peerage_services::context::Context;

use crate::{config::Config, node::MdnsStatus};

/// How long a node waits for its first address before it says where it is.
const LISTENING: Duration = Duration::from_secs(2);

/// Starts mDNS where it is wanted.
pub(crate) fn mdns(_ctx: &Context, _config: &Config) -> MdnsStatus {
    Arc::new(Vec::new)
}

/// Waits until the mesh listens somewhere, but not for long: a node without a network is a node.
pub(crate) async fn until_listening(mesh: &Mesh) {
    let mut listening = mesh.listening();
    let wait = listening.wait_for(|addresses| !addresses.is_empty());
    if tokio::time::timeout(LISTENING, wait).await.is_err() {
        tracing::warn!("this node listens nowhere yet");
    }
}
