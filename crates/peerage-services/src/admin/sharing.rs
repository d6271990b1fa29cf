//! What is shared, and with whom: shares, invitations, trust.

use axum::{
    Json,
    extract::{Path, State},
};
use http::StatusCode;
use peerage_core::{PeerId, fingerprint::pair_fingerprint, problem::Problem};

use peerage_mesh::Origin;

use super::{Local, view};
use crate::{
    api::{InviteRequest, InviteView, JoinRequest, JoinView, ShareRequest, ShareView, TrustView},
    failure::{Answer, Asked},
    names, peers,
    shares::ShareSpec,
    trust,
};

/// What this node shares.
#[utoipa::path(get, path = "/api/v1/shares", responses((status = 200, body = [ShareView])))]
pub(super) async fn shares(State(local): State<Local>) -> Json<Vec<ShareView>> {
    let shares = local.ctx.shares.all();
    Json(shares.iter().map(|share| view::share(share)).collect())
}

/// Shares an MCP server from now on. One of the same name is replaced.
#[utoipa::path(post, path = "/api/v1/shares", request_body = ShareRequest,
    responses((status = 201, body = ShareView)))]
pub(super) async fn share(
    State(local): State<Local>,
    Asked(request): Asked<ShareRequest>,
) -> Answer<(StatusCode, Json<ShareView>)> {
    let spec = ShareSpec::try_from(request)?;
    let share = local.ctx.shares.add(spec)?;
    let shared = format!("{} with {}", share.name, share.audience);
    local.ctx.audit.changed(Origin::Local, "share", shared);
    Ok((StatusCode::CREATED, Json(view::share(&share))))
}

/// Stops sharing.
#[utoipa::path(delete, path = "/api/v1/shares/{name}", responses((status = 204)))]
pub(super) async fn unshare(
    State(local): State<Local>,
    Path(name): Path<String>,
) -> Answer<StatusCode> {
    if local.ctx.shares.remove(&name).await? {
        local.ctx.audit.changed(Origin::Local, "unshare", name);
        return Ok(StatusCode::NO_CONTENT);
    }
    let text = format!("nothing called `{}` is shared", name.escape_debug());
    Err(Problem::new(404, "no_such_share", text)
        .hint("peerage status lists what is")
        .into())
}

/// Makes an invitation that works once.
#[utoipa::path(post, path = "/api/v1/invites", request_body = InviteRequest,
    responses((status = 201, body = InviteView)))]
pub(super) async fn invite(
    State(local): State<Local>,
    Asked(request): Asked<InviteRequest>,
) -> Answer<(StatusCode, Json<InviteView>)> {
    let invited = trust::invite(&local.ctx, request.expires_s, request.name.clone())?;
    let view = InviteView {
        code: invited.code,
        expires: view::rfc3339(invited.expires),
        expires_unix: invited.expires,
        name: request.name,
    };
    Ok((StatusCode::CREATED, Json(view)))
}

/// Redeems an invitation, or takes a grant: this node becomes a member.
#[utoipa::path(post, path = "/api/v1/join", request_body = JoinRequest,
    responses((status = 200, body = JoinView)))]
pub(super) async fn join(
    State(local): State<Local>,
    Asked(request): Asked<JoinRequest>,
) -> Answer<Json<JoinView>> {
    let ctx = &local.ctx;
    // A grant is a signed text of parts with dots between them, which no code has.
    if !request.code.contains('.') {
        return Ok(Json(trust::join(ctx, &request.code).await?));
    }
    let (grant, mesh) = trust::take(ctx, &request.code).await?;
    Ok(Json(JoinView {
        mesh: mesh.to_string(),
        name: grant.path.to_string(),
        root: grant.root.to_string(),
        inviter: String::new(),
    }))
}

/// Trusts a peer by hand: it may call what is shared with the mesh.
#[utoipa::path(put, path = "/api/v1/trust/{peer}", responses((status = 200, body = TrustView)))]
pub(super) async fn trust(
    State(local): State<Local>,
    Path(peer): Path<String>,
) -> Answer<Json<TrustView>> {
    set_trust(&local, &peer, true).await
}

/// Trusts a peer no longer.
#[utoipa::path(delete, path = "/api/v1/trust/{peer}", responses((status = 200, body = TrustView)))]
pub(super) async fn untrust(
    State(local): State<Local>,
    Path(peer): Path<String>,
) -> Answer<Json<TrustView>> {
    set_trust(&local, &peer, false).await
}

async fn set_trust(local: &Local, peer: &str, trusted: bool) -> Answer<Json<TrustView>> {
    let ctx = &local.ctx;
    let id: PeerId = names::only(ctx, peer).await?;
    if id == ctx.me() {
        return Err(Problem::new(400, "self", "that is this node itself").into());
    }
    if ctx.members.trust(id, trusted)? {
        let action = if trusted { "trust" } else { "untrust" };
        ctx.audit.changed(Origin::Local, action, id.to_base58());
    }
    peers::keep(&ctx.store, ctx.mesh.book(), id)?;
    let card = ctx.mesh.book().get(&id).and_then(|record| record.card);
    Ok(Json(TrustView {
        peer_id: id.to_base58(),
        name: card.map(|card| card.name().to_owned()),
        fingerprint: view::fingerprint_of(&id),
        pair_fingerprint: pair_fingerprint(&ctx.me(), &id).unwrap_or_default(),
        trusted,
    }))
}
