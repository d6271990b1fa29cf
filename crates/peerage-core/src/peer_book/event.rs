//! What changes the peer book.

use std::{sync::Arc, time::Duration};

use super::{Path, Relation, Source};
use crate::{Multiaddr, card::Card, score::Deed};

/// Something that happened to a peer, or was learned of it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum PeerEvent {
    /// It was seen or named somewhere.
    Discovered {
        /// Where it can be reached.
        addresses: Vec<Multiaddr>,
        /// Who says so.
        source: Source,
        /// How long that holds; `None` where it does not run out by itself.
        holds: Option<Duration>,
    },
    /// An attempt to connect began.
    Dialing,
    /// An attempt to connect failed.
    DialFailed {
        /// Why, for people.
        cause: String,
    },
    /// The first connection to it is up, or the connection that is used has changed.
    Connected {
        /// The remote end.
        address: Multiaddr,
        /// Direct or relayed.
        path: Path,
        /// This node dialled, so the address is one to dial again.
        outbound: bool,
    },
    /// The last connection to it has ended.
    Disconnected {
        /// Why, when it was not asked for.
        cause: Option<String>,
    },
    /// It said what it runs and where it listens.
    Identified {
        /// The program, in its own words.
        agent: String,
        /// Where it says that it listens.
        addresses: Vec<Multiaddr>,
    },
    /// A round trip was measured.
    Measured(
        /// How long it took.
        Duration,
    ),
    /// Bytes went over its connection since the last such event.
    Transferred {
        /// Bytes that came.
        bytes_in: u64,
        /// Bytes that went.
        bytes_out: u64,
    },
    /// Its card was verified and is newer than the one held.
    CardAccepted(
        /// The card.
        Arc<Card>,
    ),
    /// A card of it was refused.
    CardRefused {
        /// Why, for people.
        cause: String,
    },
    /// It did something that says how it is.
    Did {
        /// What.
        deed: Deed,
        /// How often.
        count: u64,
        /// More of it, for people.
        detail: String,
    },
    /// What it did is forgotten: a person says so.
    Forgiven,
    /// What it is to this node was decided anew.
    Related(
        /// What it is now.
        Relation,
    ),
}
