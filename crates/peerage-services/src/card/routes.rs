//! The card routes: show mine, take yours.

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Extension, State, rejection::BytesRejection},
    routing::{get, post},
};
use http::{HeaderMap, HeaderName, StatusCode, header};
use peerage_core::{card::MAX_CARD_BYTES, grant::Chain, problem::Problem, score::Deed};
use peerage_mesh::Origin;

use super::{CARD_PATH, TELL_PATH, introduce};
use crate::{
    context::Context,
    failure::{Answer, unread},
    members::MAX_SHOWN,
};

/// The header in which a peer shows its grants, one chain in each.
pub const GRANT_HEADER: HeaderName = HeaderName::from_static("peerage-grant");

/// The public routes.
pub fn routes() -> Router<Context> {
    Router::new()
        .route(CARD_PATH, get(show))
        .route(TELL_PATH, post(take))
        .layer(DefaultBodyLimit::max(MAX_CARD_BYTES))
}

async fn show(
    State(ctx): State<Context>,
    Extension(origin): Extension<Origin>,
    headers: HeaderMap,
) -> Answer<([(HeaderName, &'static str); 2], Vec<u8>)> {
    let peer = match origin {
        Origin::Local => None,
        Origin::Peer(peer) => {
            if headers.contains_key(GRANT_HEADER) {
                for refused in ctx.members.shown(peer, chains(&headers)?) {
                    let why = refused.to_string();
                    if refused.is_forgery() {
                        ctx.did(peer, Deed::Forged, &why);
                    }
                    let code = Problem::from(refused).code;
                    ctx.audit.refused(peer, "show", &why, &code);
                }
            }
            Some(peer)
        }
    };
    let card = ctx.introductions.own.for_peer(&ctx, peer)?;
    let described = [
        (header::CONTENT_TYPE, "application/json"),
        // It depends on who asks.
        (header::CACHE_CONTROL, "private, max-age=60"),
    ];
    Ok((described, card.bytes().to_vec()))
}

async fn take(
    State(ctx): State<Context>,
    Extension(origin): Extension<Origin>,
    body: Result<Bytes, BytesRejection>,
) -> Answer<StatusCode> {
    let Origin::Peer(peer) = origin else {
        let text = "only a peer can show its card here";
        return Err(Problem::new(400, "not_a_peer", text).into());
    };
    let body = body.map_err(|rejection| unread(&rejection))?;
    introduce::accept(&ctx, peer, &body)
        .map_err(|error| Problem::new(422, "bad_card", format!("the card was refused: {error}")))?;
    Ok(StatusCode::NO_CONTENT)
}

fn chains(headers: &HeaderMap) -> Result<Vec<Chain>, Problem> {
    headers
        .get_all(GRANT_HEADER)
        .iter()
        .take(MAX_SHOWN)
        .map(|value| {
            let text = value.to_str().unwrap_or_default();
            text.parse::<Chain>().map_err(|error| {
                Problem::new(400, "bad_grant", format!("a grant cannot be read: {error}"))
            })
        })
        .collect()
}
