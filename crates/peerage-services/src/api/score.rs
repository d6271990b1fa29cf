//! How the local API shows what a peer's deeds say of it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A peer's score.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ScoreView {
    /// Points for what it did wrong. They halve every ten minutes.
    pub points: f64,
    /// Which share of calls it answered lately, from 0 to 1.
    pub reliability: f64,
    /// `none`; `slowed` from 20 points on: a tenth of the calls; `refused` from 60 on: not let in.
    pub effect: String,
    /// When the effect ends if nothing more happens, RFC 3339; null without one.
    pub until: Option<String>,
    /// Why, the latest first; at most 16.
    pub reasons: Vec<ReasonView>,
}

/// One kind of what a peer did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReasonView {
    /// When it last happened, RFC 3339.
    pub at: String,
    /// `failed` and `broken_promise` cost reliability; `not_allowed`, `over_limit`, `garbage` and `forged` give points.
    pub deed: String,
    /// How often.
    pub count: u64,
    /// Points for each time.
    pub points: f64,
    /// More of it, for people.
    pub detail: String,
}
