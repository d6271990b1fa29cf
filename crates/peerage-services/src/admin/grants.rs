//! Grants: what this node holds and has given.

use axum::{
    Json,
    extract::{Path, State},
};
use http::StatusCode;
use peerage_core::{
    address::Address,
    did::Did,
    grant::{Chain, Grant, GrantId, Rights},
    problem::Problem,
};

use super::{Local, view};
use crate::{
    api::{GrantRequest, GrantView, GrantsView},
    context::Context,
    failure::{Answer, Asked},
    members::Gift,
    names, trust,
};

/// The longest life of a grant, in seconds.
const LONGEST: u64 = 10 * 365 * 24 * 3600;

/// What this node holds and has given.
#[utoipa::path(get, path = "/api/v1/grants", responses((status = 200, body = GrantsView)))]
pub(super) async fn list(State(local): State<Local>) -> Answer<Json<GrantsView>> {
    let ctx = &local.ctx;
    let held = ctx.members.holds().into_iter();
    let given = ctx.members.given()?.into_iter();
    Ok(Json(GrantsView {
        held: held
            .map(|(grant, held)| grant_view(ctx, &grant, &held.chain))
            .collect(),
        given: given
            .map(|(grant, issued)| grant_view(ctx, &grant, &issued.chain))
            .collect(),
    }))
}

/// Grants a name to a peer, and delivers the grant if the peer can be reached.
#[utoipa::path(post, path = "/api/v1/grants", request_body = GrantRequest,
    responses((status = 201, body = GrantView)))]
pub(super) async fn give(
    State(local): State<Local>,
    Asked(request): Asked<GrantRequest>,
) -> Answer<(StatusCode, Json<GrantView>)> {
    let ctx = &local.ctx;
    let gift = gift(ctx, &request).await?;
    let given = trust::give(ctx, &gift).await?;
    let mut view = grant_view(ctx, &given.grant, &given.chain);
    view.chain = Some(given.chain.to_string());
    view.undelivered = given.undelivered.map(|problem| problem.to_string());
    Ok((StatusCode::CREATED, Json(view)))
}

/// Revokes a grant that this node has given, at once here and wherever it can be told.
#[utoipa::path(delete, path = "/api/v1/grants/{id}", responses((status = 204)))]
pub(super) async fn revoke(
    State(local): State<Local>,
    Path(id): Path<String>,
) -> Answer<StatusCode> {
    let id: GrantId = id.parse().map_err(|error: &str| {
        Problem::new(400, "bad_grant_id", error).hint("`peerage grants` lists them")
    })?;
    trust::revoke(&local.ctx, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn gift(ctx: &Context, request: &GrantRequest) -> Result<Gift, Problem> {
    let bad = |text: String| Problem::new(400, "bad_grant", text);
    let peer = names::only(ctx, &request.to).await?;
    let subject = Did::from_peer_id(&peer).map_err(|error| bad(error.to_string()))?;
    let rights = if request.rights.is_empty() {
        Rights::member()
    } else {
        Rights::new(&request.rights).map_err(|error| bad(error.to_string()))?
    };
    if request.seconds == 0 || request.seconds > LONGEST {
        return Err(bad(format!("a grant holds for 1 to {LONGEST} seconds")));
    }
    Ok(Gift {
        subject,
        path: name(ctx, &request.name)?,
        rights,
        seconds: request.seconds,
    })
}

/// A name, relative ones where this node is at home: in the mesh of its own root if it has one.
fn name(ctx: &Context, text: &str) -> Result<Address, Problem> {
    let own = ctx.members.own_names_at_home().into_iter().next();
    let name = match own {
        Some(own) => own.resolve(text),
        None => text.parse(),
    };
    name.map_err(|error| {
        Problem::new(400, "bad_name", error.to_string()).hint("names look like o://acme/sales")
    })
}

fn grant_view(ctx: &Context, grant: &Grant, chain: &Chain) -> GrantView {
    let peer = grant.subject.peer_id();
    let card = ctx.mesh.book().get(&peer).and_then(|record| record.card);
    let me = peer == ctx.me();
    GrantView {
        id: grant
            .ids
            .last()
            .map(ToString::to_string)
            .unwrap_or_default(),
        name: grant.path.to_string(),
        rights: grant.rights.iter().map(str::to_owned).collect(),
        peer_id: peer.to_base58(),
        peer: if me {
            Some(ctx.facts.name.clone())
        } else {
            card.map(|card| card.name().to_owned())
        },
        root: grant.root.to_string(),
        issuer: chain
            .issuer()
            .map(|did| did.to_string())
            .unwrap_or_default(),
        expires: view::rfc3339(grant.expires),
        expires_unix: grant.expires,
        depth: grant.depth,
        chain: None,
        undelivered: None,
    }
}
