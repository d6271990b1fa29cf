//! What peers may use of this node: limits for each peer, ceilings for all, and who was refused what.
//!
//! Every connection, stream, call and large body asks the one [`Budget`] of its node first. A peer that
//! is a member or trusted has a larger budget than a stranger, and strangers together have at most half
//! of each ceiling, so that members always find room.

mod bucket;
mod budget;
mod ledger;
mod refused;
mod sources;

pub(crate) use bucket::Bucket;
pub use budget::{Budget, Held};
pub(crate) use ledger::Standing;
pub use ledger::{Usage, Used};
pub use refused::{Cause, Refusal, RefusedPeer};

const MIB: u64 = 1024 * 1024;
/// What a stream's sender may send before it is read (the first window of Yamux).
const WINDOW: u64 = 256 * 1024;

/// What one peer may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerLimits {
    /// Streams that it has open towards this node at once, over all its connections.
    pub streams: u64,
    /// Bytes of its calls that this node holds: requests until they are answered, answers until they
    /// are read.
    pub bytes_in_flight: u64,
    /// Calls a second, and streams that it opens a second. Twice as many may come at once after a
    /// silence.
    pub calls_per_second: u32,
}

/// What peers may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections in all, from both sides.
    pub connections: u64,
    /// Connections a second that one address (of IPv6: one /64 network) may make to this node. Twice as
    /// many may come at once after a silence.
    pub connections_per_second: u32,
    /// Streams in all that peers have open towards this node.
    pub streams: u64,
    /// Bytes of peers' calls in all.
    pub bytes_in_flight: u64,
    /// What a member of a mesh of this node, or a peer trusted by hand, may use.
    pub member: PeerLimits,
    /// What any other peer may use.
    pub stranger: PeerLimits,
}

impl Limits {
    /// The limits for a machine with so many bytes of memory. Calls may hold an eighth of it; half of
    /// that, between 64 and 512 MiB, may be one member's. There is a stream for each 256 KiB of the
    /// eighth (256 to 16,384), and a connection for each MiB (128 to 4,096).
    #[must_use]
    pub fn of_memory(bytes: u64) -> Self {
        let eighth = (bytes / 8).max(128 * MIB);
        Self {
            connections: (eighth / MIB).clamp(128, 4096),
            connections_per_second: 64,
            streams: (eighth / WINDOW).clamp(256, 16_384),
            bytes_in_flight: eighth,
            member: PeerLimits {
                streams: 512,
                bytes_in_flight: (eighth / 2).min(512 * MIB),
                calls_per_second: 50_000,
            },
            stranger: PeerLimits {
                streams: 32,
                bytes_in_flight: 8 * MIB,
                calls_per_second: 50,
            },
        }
    }

    /// The same limits with strangers treated as members: for a mesh that knows nothing of membership.
    #[must_use]
    pub fn alike(self) -> Self {
        Self {
            stranger: self.member,
            ..self
        }
    }

    pub(crate) fn of(&self, stranger: bool) -> &PeerLimits {
        if stranger {
            &self.stranger
        } else {
            &self.member
        }
    }
}

impl Default for Limits {
    /// For a machine with 4 GiB: whoever knows how much there is says so with [`Limits::of_memory`].
    fn default() -> Self {
        Self::of_memory(4096 * MIB)
    }
}
