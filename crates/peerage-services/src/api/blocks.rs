//! What is blocked.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Asks for a block: the body of `POST /api/v1/blocked`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BlockRequest {
    /// A peer by name, PeerId or DID, or a network such as `203.0.113.0/24`.
    pub what: String,
    /// For how long, in seconds; by default until it is unblocked.
    #[serde(default)]
    pub seconds: Option<u64>,
    /// A note for its owner.
    #[serde(default)]
    pub reason: Option<String>,
}

/// A key or a network that is blocked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BlockView {
    /// PeerId or network.
    pub what: String,
    /// Name on the card of the peer, if that is known.
    pub name: Option<String>,
    /// Since when, RFC 3339.
    pub since: String,
    /// Until when; absent for ever.
    pub until: Option<String>,
    /// What its owner noted.
    pub reason: Option<String>,
}
