//! Whom a name means, and how that was found.

use std::time::{Duration, Instant};

use axum::{
    Json,
    extract::{Path, State},
};
use peerage_core::PeerId;

use super::Local;
use crate::{
    api::{ResolveStep, ResolveView, ResolvedPeer},
    context::Context,
    failure::Answer,
    names::{self, Step},
};

/// Finds who is meant by a name: by what is known here, else by asking peers.
#[utoipa::path(get, path = "/api/v1/resolve/{name}", responses((status = 200, body = ResolveView)))]
pub(super) async fn resolve(
    State(local): State<Local>,
    Path(name): Path<String>,
) -> Answer<Json<ResolveView>> {
    let ctx = &local.ctx;
    let began = Instant::now();
    let meant = names::resolve(ctx, &name).await?;
    Ok(Json(ResolveView {
        name: meant.name.map_or(name, |name| name.to_string()),
        via: meant.via.map(|via| via.to_string()),
        peers: meant.peers.iter().map(|peer| resolved(ctx, peer)).collect(),
        steps: meant.steps.iter().map(step).collect(),
        took_ms: milliseconds(began.elapsed()),
    }))
}

fn resolved(ctx: &Context, peer: &PeerId) -> ResolvedPeer {
    let record = ctx.mesh.book().get(peer);
    let record = record.as_ref();
    let card = record.and_then(|record| record.card.as_ref());
    let me = (*peer == ctx.me()).then(|| ctx.facts.name.clone());
    ResolvedPeer {
        peer_id: peer.to_base58(),
        peer: me.or_else(|| card.map(|card| card.name().to_owned())),
        connected: record.is_some_and(|record| record.link.is_some()),
        rtt_ms: record.and_then(|record| record.rtt).map(milliseconds),
    }
}

fn step(step: &Step) -> ResolveStep {
    let (asked, by) = step.asked.clone().unzip();
    ResolveStep {
        asked: asked.map(|peer| peer.to_base58()),
        by: by.map(|name| name.to_string()),
        took_ms: milliseconds(step.took),
        said: step.said.clone(),
        failed: step.failed,
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
