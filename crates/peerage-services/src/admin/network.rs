//! The node, its peers, and their cards.

use std::time::Duration;

use axum::{
    Json,
    body::Bytes,
    extract::{Path, State},
};
use http::{HeaderName, StatusCode, header};
use peerage_core::{peer_book::PeerEvent, problem::Problem};
use peerage_mesh::Origin;

use super::{Local, view};
use crate::{
    api::{NodeStatus, PeerView, PingRequest, PingView},
    failure::{Answer, Asked},
    names,
};

/// Pings that one request may ask for.
const MAX_PINGS: u32 = 100;
/// Between two pings of one request.
const BETWEEN: Duration = Duration::from_millis(200);

/// A card, as it was signed.
type CardAnswer = ([(HeaderName, &'static str); 1], Bytes);

/// This node.
#[utoipa::path(get, path = "/api/v1/node", responses((status = 200, body = NodeStatus)))]
pub(super) async fn node(State(local): State<Local>) -> Json<NodeStatus> {
    Json(view::status(&local))
}

/// All peers that are known, members first.
#[utoipa::path(get, path = "/api/v1/peers", responses((status = 200, body = [PeerView])))]
pub(super) async fn peers(State(local): State<Local>) -> Json<Vec<PeerView>> {
    let ctx = &local.ctx;
    let records: Vec<_> = ctx.mesh.book().read(|book| {
        book.iter()
            .map(|(peer, record)| (*peer, record.clone()))
            .collect()
    });
    let mut peers: Vec<_> = records
        .iter()
        .map(|(id, record)| (record.relation, view::peer(ctx, id, record)))
        .collect();
    peers.sort_by(|(a, x), (b, y)| {
        (b, y.connected, &x.name, &x.peer_id).cmp(&(a, x.connected, &y.name, &y.peer_id))
    });
    Json(peers.into_iter().map(|(_, peer)| peer).collect())
}

/// One peer: by name, PeerId or DID.
#[utoipa::path(get, path = "/api/v1/peers/{peer}", responses((status = 200, body = PeerView)))]
pub(super) async fn peer(
    State(local): State<Local>,
    Path(peer): Path<String>,
) -> Answer<Json<PeerView>> {
    let id = names::best(&local.ctx, &peer).await?;
    let record = local.ctx.mesh.book().get(&id);
    Ok(Json(match record {
        Some(record) => view::peer(&local.ctx, &id, &record),
        None => view::unknown(&local.ctx, &id),
    }))
}

/// Pings a peer.
#[utoipa::path(post, path = "/api/v1/peers/{peer}/ping", request_body = PingRequest,
    responses((status = 200, body = PingView)))]
pub(super) async fn ping(
    State(local): State<Local>,
    Path(peer): Path<String>,
    Asked(request): Asked<PingRequest>,
) -> Answer<Json<PingView>> {
    let ctx = &local.ctx;
    let id = names::best(ctx, &peer).await?;
    if id == ctx.me() {
        return Err(Problem::new(400, "self", "that is this node itself").into());
    }
    ctx.mesh.connect(id).await.map_err(|error| {
        Problem::new(502, "unreachable", error.to_string())
            .hint("is its node up? `peerage peers` shows when it was last seen")
    })?;
    let unanswered = |error: peerage_mesh::PingError| {
        Problem::new(502, "no_ping", format!("{id} cannot be pinged: {error}"))
    };
    let mut pinger = ctx.mesh.pinger(&id).await.map_err(unanswered)?;
    let (mut rtt_ms, mut lost) = (Vec::new(), 0);
    for number in 0..request.count.clamp(1, MAX_PINGS) {
        if number > 0 {
            tokio::time::sleep(BETWEEN).await;
        }
        match pinger.ask().await {
            Ok(rtt) => rtt_ms.push(rtt.as_secs_f64() * 1000.0),
            Err(error) => {
                tracing::debug!(peer = %id, %error, "a ping was lost");
                lost += 1;
                // What comes late on the old stream must not answer the next ping.
                pinger = ctx.mesh.pinger(&id).await.map_err(unanswered)?;
            }
        }
    }
    let link = ctx.mesh.book().get(&id).and_then(|record| record.link);
    Ok(Json(PingView {
        peer: id.to_base58(),
        rtt_ms,
        lost,
        path: link.map(|link| view::path(link.path)),
    }))
}

/// Forgets what a peer did: it is let in again, with all its calls.
#[utoipa::path(delete, path = "/api/v1/peers/{peer}/score", responses((status = 204)))]
pub(super) async fn forgive(
    State(local): State<Local>,
    Path(peer): Path<String>,
) -> Answer<StatusCode> {
    let ctx = &local.ctx;
    let id = names::known(ctx, &peer)?;
    ctx.mesh.book().apply(id, PeerEvent::Forgiven);
    ctx.audit.changed(Origin::Local, "forgive", id.to_base58());
    Ok(StatusCode::NO_CONTENT)
}

/// This node's card, as this machine sees it.
#[utoipa::path(get, path = "/api/v1/card", responses((status = 200, body = Object)))]
pub(super) async fn card(State(local): State<Local>) -> Answer<CardAnswer> {
    let card = local.ctx.introductions.own().for_peer(&local.ctx, None)?;
    Ok(json(card.bytes().to_vec().into()))
}

/// The card that a peer has shown, as it was signed.
#[utoipa::path(get, path = "/api/v1/peers/{peer}/card", responses((status = 200, body = Object)))]
pub(super) async fn peer_card(
    State(local): State<Local>,
    Path(peer): Path<String>,
) -> Answer<CardAnswer> {
    let ctx = &local.ctx;
    let id = names::best(ctx, &peer).await?;
    if id == ctx.me() {
        return card(State(local)).await;
    }
    ctx.introductions.ensure(ctx, id).await?;
    let record = ctx.mesh.book().get(&id);
    let (card, error) = record.map_or((None, None), |record| (record.card, record.card_error));
    match card {
        Some(card) => Ok(json(card.bytes().to_vec().into())),
        None => {
            let why = error.unwrap_or_else(|| "it has shown none".to_owned());
            Err(Problem::new(404, "no_card", format!("no card of {id}: {why}")).into())
        }
    }
}

/// Stops the node.
#[utoipa::path(post, path = "/api/v1/stop", responses((status = 202)))]
pub(super) async fn stop(State(local): State<Local>) -> StatusCode {
    // The answer goes out first: listeners finish what they have begun.
    local.stop.cancel();
    StatusCode::ACCEPTED
}

fn json(bytes: Bytes) -> CardAnswer {
    ([(header::CONTENT_TYPE, "application/json")], bytes)
}
