//! Discovery, connected: what was seen on the local network goes to the book.

use std::{sync::Arc, time::Duration};

use peerage_core::{
    peer_book::{PeerEvent, Source},
    reach::is_loopback,
};
use peerage_mesh::{
    Book, Mesh,
    discovery::mdns::{self, InterfaceState, InterfaceStatus, Interfaces, Mdns},
};
use peerage_services::{api::MdnsView, context::Context};

use crate::{config::Config, node::MdnsStatus};

/// How long a node waits for its first address before it says where it is.
const LISTENING: Duration = Duration::from_secs(2);
/// For how long a sighting is believed at the most: some programs tell of themselves for an hour.
const BELIEVED: Duration = Duration::from_secs(300);

/// Starts mDNS where it is wanted.
pub(crate) fn mdns(ctx: &Context, config: &Config) -> MdnsStatus {
    if !config.mdns {
        return Arc::new(Vec::new);
    }
    let mut wishes = mdns::Config::new(ctx.me(), ctx.identity.did().to_string(), &config.name);
    wishes.budget = Some(ctx.mesh.budget().clone());
    // A node that only this machine can reach is of no use to others, and neither are they to it.
    if !config.listen.is_empty() && config.listen.iter().all(is_loopback) {
        wishes.interfaces = Interfaces::Loopback;
    }
    let mdns = mdns::spawn(wishes, ctx.mesh.listening(), &ctx.tasks);
    let status = mdns.watch_status();
    ctx.tasks
        .spawn("mdns", follow(mdns, ctx.mesh.book().clone()));
    Arc::new(move || status.borrow().iter().map(view).collect())
}

/// Waits until the mesh listens somewhere, but not for long: a node without a network is a node.
pub(crate) async fn until_listening(mesh: &Mesh) {
    let mut listening = mesh.listening();
    let wait = listening.wait_for(|addresses| !addresses.is_empty());
    if tokio::time::timeout(LISTENING, wait).await.is_err() {
        tracing::warn!("this node listens nowhere yet");
    }
}

async fn follow(mut mdns: Mdns, book: Book) {
    while let Some(sighting) = mdns.next().await {
        let discovered = PeerEvent::Discovered {
            addresses: sighting.addresses,
            source: Source::Mdns,
            holds: Some(sighting.expires_in.min(BELIEVED)),
        };
        book.apply(sighting.peer, discovered);
    }
}

fn view(status: &InterfaceStatus) -> MdnsView {
    MdnsView {
        interface: status.name.clone(),
        address: status.address.to_string(),
        state: match &status.state {
            InterfaceState::Working => "up".to_owned(),
            other => other.to_string(),
        },
    }
}
