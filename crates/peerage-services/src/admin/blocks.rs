//! Keys and networks that this node has nothing to do with.

use axum::{
    Json,
    extract::{Path, State},
};
use http::StatusCode;
use peerage_core::{
    policy::{Block, Blocked},
    problem::Problem,
};

use peerage_mesh::Origin;

use super::{Local, view};
use crate::{
    api::{BlockRequest, BlockView},
    context::Context,
    failure::{Answer, Asked},
    members::unix_now,
    names, policy,
};

/// The longest time of a block that ends, in seconds.
const LONGEST: u64 = 100 * 365 * 24 * 3600;
/// The most characters of what its owner notes.
const MAX_REASON: usize = 200;

/// What is blocked.
#[utoipa::path(get, path = "/api/v1/blocked", responses((status = 200, body = [BlockView])))]
pub(super) async fn list(State(local): State<Local>) -> Json<Vec<BlockView>> {
    let blocked = local.ctx.policy.blocked().into_iter();
    Json(
        blocked
            .map(|(blocked, block)| shown(&local.ctx, blocked, block))
            .collect(),
    )
}

/// Blocks a peer or a network, and closes its connections at once.
#[utoipa::path(post, path = "/api/v1/blocked", request_body = BlockRequest,
    responses((status = 201, body = BlockView)))]
pub(super) async fn block(
    State(local): State<Local>,
    Asked(request): Asked<BlockRequest>,
) -> Answer<(StatusCode, Json<BlockView>)> {
    let ctx = &local.ctx;
    let blocked = meant(ctx, &request.what)?;
    if blocked == Blocked::Key(ctx.me()) {
        return Err(Problem::new(400, "self", "that is this node itself").into());
    }
    let bad = |text: String| Problem::new(400, "bad_block", text);
    if request.seconds.is_some_and(|s| s == 0 || s > LONGEST) {
        return Err(bad(format!(
            "a block holds for 1 to {LONGEST} seconds, or for ever"
        ))
        .into());
    }
    if request
        .reason
        .as_ref()
        .is_some_and(|r| r.chars().count() > MAX_REASON)
    {
        return Err(bad(format!("a reason has at most {MAX_REASON} characters")).into());
    }
    let since = unix_now();
    let block = Block {
        since,
        until: request.seconds.map(|seconds| since + seconds),
        reason: request.reason,
    };
    ctx.policy.block(blocked, block.clone())?;
    ctx.audit
        .changed(Origin::Local, "block", blocked.to_string());
    policy::part(&ctx.policy, &ctx.mesh).await;
    Ok((StatusCode::CREATED, Json(shown(ctx, blocked, block))))
}

/// Blocks it no longer.
#[utoipa::path(delete, path = "/api/v1/blocked/{what}", responses((status = 204)))]
pub(super) async fn unblock(
    State(local): State<Local>,
    Path(what): Path<String>,
) -> Answer<StatusCode> {
    let ctx = &local.ctx;
    let blocked = meant(ctx, &what)?;
    if ctx.policy.unblock(&blocked)? {
        ctx.audit
            .changed(Origin::Local, "unblock", blocked.to_string());
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(
        Problem::new(404, "not_blocked", format!("{blocked} is not blocked"))
            .hint("peerage blocked")
            .into(),
    )
}

/// A key, a network, or a peer by any of its names.
fn meant(ctx: &Context, text: &str) -> Result<Blocked, Problem> {
    match text.parse() {
        Ok(blocked) => Ok(blocked),
        Err(_) => names::known(ctx, text).map(Blocked::Key),
    }
}

fn shown(ctx: &Context, blocked: Blocked, block: Block) -> BlockView {
    let card = match blocked {
        Blocked::Key(peer) => ctx.mesh.book().get(&peer).and_then(|record| record.card),
        Blocked::Net(_) => None,
    };
    BlockView {
        what: blocked.to_string(),
        name: card.map(|card| card.name().to_owned()),
        since: view::rfc3339(block.since),
        until: block.until.map(view::rfc3339),
        reason: block.reason,
    }
}
