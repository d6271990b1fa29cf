//! How the local API shows whom a name means.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Whom a name means, as `GET /api/v1/resolve/{name}` shows it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ResolveView {
    /// The name as a whole; what was asked for where that is no name.
    pub name: String,
    /// The name of the gateway that it is behind; the peers are then those who bear that name.
    pub via: Option<String>,
    /// Those who bear it, the first to be called first.
    pub peers: Vec<ResolvedPeer>,
    /// How they were found.
    pub steps: Vec<ResolveStep>,
    /// How long it took, in milliseconds.
    pub took_ms: f64,
}

/// One who is meant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ResolvedPeer {
    /// Its PeerId.
    pub peer_id: String,
    /// The name on its card, if it has shown one.
    pub peer: Option<String>,
    /// Whether a connection is up.
    pub connected: bool,
    /// The smoothed round trip in milliseconds, if it was measured.
    pub rtt_ms: Option<f64>,
}

/// One step of a search.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ResolveStep {
    /// The PeerId of who was asked; absent where this node looked into what it knows.
    pub asked: Option<String>,
    /// The name by which that peer may know.
    pub by: Option<String>,
    /// How long it took, in milliseconds.
    pub took_ms: f64,
    /// What came of it.
    pub said: String,
    /// Whether there was no answer.
    pub failed: bool,
}
