//! Discovery on the local network by multicast DNS: what was seen, and how this node is seen.
//!
//! A node tells of itself in two services. `_p2p._udp.local` is the one in which every libp2p
//! implementation looks for peers; the answer has all that any of them wants in one packet (the
//! pointer first, then SRV, one TXT with every address, A and AAAA). `_peerage._tcp.local` is what
//! ordinary browsers list: the node's name, with its DID in the TXT record.
//!
//! Everything here is only seen and not trusted: whoever is on the link can say anything.
//! Peers are reported, not dialed.

mod endpoint;
mod ledger;
mod limit;
mod link;
mod message;
mod records;
mod socket;
mod worker;

#[cfg(test)]
mod tests;

use std::{fmt, net::IpAddr, time::Duration};

use libp2p::{Multiaddr, PeerId};
use rand::RngExt;
use tokio::sync::{broadcast, watch};

use self::{
    records::Profile,
    worker::{Inputs, Outputs, Worker},
};
use crate::{
    Tasks,
    limits::{Budget, Cause},
};

pub use self::message::{Announced, DecodeError, MAX_PACKET, Packet, Query, decode};

/// Sightings that wait to be taken; beyond, the oldest are lost and counted.
const MAX_SIGHTINGS: usize = 256;
/// Characters of the random label under which a node is told of.
const LABEL: usize = 32;

/// How a node finds others on the local network and is found.
#[derive(Clone, Debug)]
pub struct Config {
    /// Whom the addresses lead to.
    pub peer_id: PeerId,
    /// The node's DID, for browsers.
    pub did: String,
    /// The node's name, for browsers.
    pub name: String,
    /// Where to look and to be seen.
    pub interfaces: Interfaces,
    /// How often to ask for peers, once the first three questions (at once, after 1 s and after 3 s)
    /// are asked. It varies by a fifth.
    pub query_interval: Duration,
    /// For how long others may believe what this node says of itself; counted in whole seconds.
    pub ttl: Duration,
    /// Where it is counted what was refused; nowhere by default.
    pub budget: Option<Budget>,
}

impl Config {
    /// On all interfaces, asking every 10 s, to be believed for 120 s.
    #[must_use]
    pub fn new(peer_id: PeerId, did: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            peer_id,
            did: did.into(),
            name: name.into(),
            interfaces: Interfaces::All,
            query_interval: Duration::from_secs(10),
            ttl: Duration::from_secs(120),
            budget: None,
        }
    }

    fn refused(&self, cause: Cause, times: u64) {
        if let Some(budget) = &self.budget {
            budget.count(cause, times);
        }
    }
}

/// Which interfaces are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interfaces {
    /// All that there are, those too that come later, and loopback.
    All,
    /// Only loopback: nodes of one machine.
    Loopback,
}

/// A peer that was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// Who it says it is.
    pub peer: PeerId,
    /// Where it says it is reached, without the closing `/p2p/…`; at most 32.
    pub addresses: Vec<Multiaddr>,
    /// For how long this may be believed; zero when the peer says goodbye.
    pub expires_in: Duration,
}

/// An interface over one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceStatus {
    /// The system's name for it.
    pub name: String,
    /// This machine's address on it.
    pub address: IpAddr,
    /// Whether it works.
    pub state: InterfaceState,
}

/// Whether multicast works on an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InterfaceState {
    /// The group is joined; nothing has been heard yet.
    Starting,
    /// Packets come: at least our own do, which proves sending and receiving.
    Working,
    /// Not even our own packets come back.
    Silent,
    /// It cannot be used, for this reason.
    Failed(String),
}

impl fmt::Display for InterfaceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Starting => f.write_str("starting"),
            Self::Working => f.write_str("working"),
            Self::Silent => f.write_str("no multicast packet comes back"),
            Self::Failed(reason) => f.write_str(reason),
        }
    }
}

/// Discovery that runs. Dropping it says goodbye and ends it.
#[derive(Debug)]
pub struct Mdns {
    sightings: broadcast::Receiver<Sighting>,
    status: watch::Receiver<Vec<InterfaceStatus>>,
    name: watch::Sender<String>,
    lost: u64,
    tasks: Tasks,
}

/// Starts to look for peers, and to tell them of this node as long as `listen` has addresses.
///
/// `listen` holds concrete addresses; each is told only where it is reached, loopback on loopback.
/// Ends with `tasks`, with a goodbye as far as the system still takes it.
#[must_use]
pub fn spawn(config: Config, listen: watch::Receiver<Vec<Multiaddr>>, tasks: &Tasks) -> Mdns {
    let tasks = tasks.child();
    let profile = Profile {
        peer: config.peer_id,
        did: config.did.clone(),
        name: config.name.clone(),
        label: label(),
        ttl: u32::try_from(config.ttl.as_secs().max(1)).unwrap_or(u32::MAX),
    };
    let (to_sightings, sightings) = broadcast::channel(MAX_SIGHTINGS);
    let (to_status, status) = watch::channel(Vec::new());
    let (name, names) = watch::channel(config.name.clone());
    let inputs = Inputs {
        listen,
        name: names,
    };
    let outputs = Outputs {
        sightings: to_sightings,
        status: to_status,
    };
    let worker = Worker::new(config, profile, inputs, outputs, tasks.clone());
    tasks.spawn("mdns", worker.run());
    Mdns {
        sightings,
        status,
        name,
        lost: 0,
        tasks,
    }
}

impl Mdns {
    /// The next peer that was seen; none when discovery has ended. Nothing is lost if the call is
    /// dropped before it returns.
    ///
    /// A peer that stays is reported again while it does, at most every five seconds.
    pub async fn next(&mut self) -> Option<Sighting> {
        loop {
            match self.sightings.recv().await {
                Ok(sighting) => return Some(sighting),
                Err(broadcast::error::RecvError::Lagged(lost)) => {
                    self.lost += lost;
                    tracing::warn!(lost, "sightings came faster than they were taken");
                }
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }

    /// How many sightings were lost because they were not taken in time.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// How each interface does.
    #[must_use]
    pub fn status(&self) -> Vec<InterfaceStatus> {
        self.status.borrow().clone()
    }

    /// How each interface does, to be waited for.
    #[must_use]
    pub fn watch_status(&self) -> watch::Receiver<Vec<InterfaceStatus>> {
        self.status.clone()
    }

    /// Changes the name that browsers show.
    pub fn set_name(&self, name: impl Into<String>) {
        let name = name.into();
        self.name.send_if_modified(|old| {
            let changed = *old != name;
            *old = name;
            changed
        });
    }
}

impl Drop for Mdns {
    fn drop(&mut self) {
        self.tasks.cancel();
    }
}

/// A random label, as the libp2p specification asks for.
fn label() -> String {
    const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let mut rng = rand::rng();
    (0..LABEL)
        .map(|_| char::from(ALPHABET[rng.random_range(0..ALPHABET.len())]))
        .collect()
}
