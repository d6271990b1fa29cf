//! How strangers become members: invitations that work once, and trust given by hand.

mod invitations;
mod join;

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Extension, State},
    routing::post,
};
use peerage_core::problem::Problem;
use peerage_mesh::Origin;

pub use invitations::{Invited, admit, invite};
pub use join::join;
use join::{Joined, Wish};

use crate::{context::Context, failure::Answer};

/// Where an invitation is redeemed.
pub const JOIN_PATH: &str = "/api/v1/members";
/// Bytes of a wish to join, at the most.
const MAX_WISH: usize = 4096;

/// The public route.
pub fn routes() -> Router<Context> {
    Router::new()
        .route(JOIN_PATH, post(redeem))
        .layer(DefaultBodyLimit::max(MAX_WISH))
}

async fn redeem(
    State(ctx): State<Context>,
    Extension(origin): Extension<Origin>,
    Json(wish): Json<Wish>,
) -> Answer<Json<Joined>> {
    let Origin::Peer(peer) = origin else {
        let text = "an invitation is redeemed by the node that joins";
        return Err(Problem::new(400, "not_a_peer", text)
            .hint("peerage join CODE")
            .into());
    };
    let joined = admit(&ctx, peer, &wish)?;
    tracing::info!(%peer, "a peer has joined by invitation");
    Ok(Json(joined))
}
