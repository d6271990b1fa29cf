//! How strangers become members: invitations that work once, grants, and trust given by hand.

mod grants;
mod invitations;
mod join;

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Extension, State},
    routing::post,
};
use peerage_core::problem::Problem;
use peerage_mesh::Origin;

pub use grants::{GRANTS_PATH, Given, RENEWALS_PATH, REVOCATIONS_PATH, give, revoke, run, take};
pub use invitations::{Invited, admit, invite};
pub use join::join;
use join::{Joined, Wish};

use crate::{
    context::Context,
    failure::{Answer, Asked},
};

/// Where an invitation is redeemed.
pub const JOIN_PATH: &str = "/api/v1/members";
/// Bytes of a wish to join, at the most.
const MAX_WISH: usize = 4096;

/// The public routes.
pub fn routes() -> Router<Context> {
    Router::new()
        .route(JOIN_PATH, post(redeem))
        .layer(DefaultBodyLimit::max(MAX_WISH))
        .merge(grants::routes())
}

async fn redeem(
    State(ctx): State<Context>,
    Extension(origin): Extension<Origin>,
    Asked(wish): Asked<Wish>,
) -> Answer<Json<Joined>> {
    let Origin::Peer(peer) = origin else {
        let text = "an invitation is redeemed by the node that joins";
        return Err(Problem::new(400, "not_a_peer", text)
            .hint("peerage join CODE")
            .into());
    };
    let joined = admit(&ctx, peer, &wish)?;
    tracing::info!(%peer, "a peer has joined by invitation");
    let names = ctx.members.names_of(&peer);
    let name = names.first().map_or_else(String::new, ToString::to_string);
    ctx.audit.changed(origin, "join", name);
    Ok(Json(joined))
}
