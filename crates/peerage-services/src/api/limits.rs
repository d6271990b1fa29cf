//! What peers may use of a node, what they use, and what they were refused.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Limits, use and refusals, as the `limits` of a node.
///
/// What was refused is counted since the node started, by cause: `half_open`, `connection_rate`,
/// `connections`, `network`, `shut_out` and `policy` are connections, `streams`, `stream_rate`, `queue` and `garbage`
/// streams, `bytes_in_flight` and `call_rate` calls, `mdns_packets`, `mdns_peers` and `book_full` what was
/// heard of peers. Causes that did not happen are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LimitsView {
    /// Connections, from both sides.
    pub connections: InUse,
    /// Streams that peers have open towards the node.
    pub streams: InUse,
    /// Bytes of peers' calls that the node holds.
    pub bytes_in_flight: InUse,
    /// Connections that are just being made to the node.
    pub half_open: usize,
    /// What each member of a mesh of the node, and each trusted peer, may use.
    pub member: PeerLimitsView,
    /// What each other peer may use.
    pub stranger: PeerLimitsView,
    /// How often something was refused, by cause.
    pub refused: BTreeMap<String, u64>,
    /// The peers that were refused something, the last first; at most 64.
    pub refused_peers: Vec<RefusedView>,
}

/// How much of something is in use. Strangers together may use half of the limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InUse {
    /// By all peers.
    pub used: u64,
    /// By strangers among them.
    pub by_strangers: u64,
    /// By all peers, at the most.
    pub limit: u64,
}

/// What one peer may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PeerLimitsView {
    /// Streams that it has open towards the node.
    pub streams: u64,
    /// Bytes of its calls that the node holds.
    pub bytes_in_flight: u64,
    /// Calls a second, and streams that it opens a second; twice as many at once after a silence.
    pub calls_per_second: u32,
}

/// What a peer was refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RefusedView {
    /// libp2p PeerId.
    pub peer_id: String,
    /// How often, by cause.
    pub refused: BTreeMap<String, u64>,
    /// When it was last refused something, RFC 3339.
    pub last: String,
    /// Whether it is shut out now, because it went on after many refusals.
    pub shut_out: bool,
}
