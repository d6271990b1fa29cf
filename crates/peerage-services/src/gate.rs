//! The gate: before each call of a peer, the one question "may it?" is asked, here.

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use peerage_core::{
    PeerId,
    policy::{self, Audience},
    problem::Problem,
};
use peerage_mesh::Origin;

use crate::{
    card::{CARD_PATH, TELL_PATH},
    context::Context,
    failure::Failure,
    mcp::MCP_PREFIX,
    members::unix_now,
    trust::{GRANTS_PATH, JOIN_PATH, RENEWALS_PATH, REVOCATIONS_PATH},
};

/// A tower layer (by `axum::middleware::from_fn_with_state`) that lets through what the caller may, and
/// answers the rest with 403, a reason and a hint. A path that is not known here is refused.
pub async fn gate(State(ctx): State<Context>, request: Request, next: Next) -> Response {
    let verdict = match request.extensions().get::<Origin>() {
        Some(Origin::Local) => Ok(()),
        Some(Origin::Peer(peer)) => may(&ctx, *peer, request.uri().path()),
        None => Err(Problem::new(
            500,
            "no_origin",
            "a request without an origin",
        )),
    };
    match verdict {
        Ok(()) => next.run(request).await,
        Err(problem) => {
            tracing::info!(%problem, path = request.uri().path(), "refused a call");
            Failure(problem).into_response()
        }
    }
}

fn may(ctx: &Context, peer: PeerId, path: &str) -> Result<(), Problem> {
    // Finding each other, showing cards and redeeming invitations are open to everyone.
    if [CARD_PATH, TELL_PATH, JOIN_PATH].contains(&path) {
        return Ok(());
    }
    // What these carry proves itself; only members have a reason to.
    if [GRANTS_PATH, RENEWALS_PATH, REVOCATIONS_PATH].contains(&path) {
        return decide(ctx, peer, &Audience::Mesh);
    }
    let Some(rest) = path.strip_prefix(MCP_PREFIX) else {
        return decide(ctx, peer, &Audience::Only(Vec::new()));
    };
    let name = rest.split('/').next().unwrap_or_default();
    // Whoever may not call learns nothing about which names exist: a share that does not exist is
    // decided on like one for members.
    let share = ctx.shares.get(name);
    let audience = share
        .map(|share| share.audience.clone())
        .unwrap_or_default();
    decide(ctx, peer, &audience)
}

fn decide(ctx: &Context, peer: PeerId, audience: &Audience) -> Result<(), Problem> {
    policy::decide(audience, &ctx.members.caller(peer), unix_now()).into_result()
}
