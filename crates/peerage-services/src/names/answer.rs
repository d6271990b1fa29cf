//! The other side of a question: what this node knows of a name, told to members.

use std::collections::BTreeSet;

use axum::{
    Router,
    extract::{Extension, Path, State},
    routing::get,
};
use http::{HeaderName, header::CONTENT_TYPE};
use peerage_core::{
    Multiaddr, PeerId,
    address::Address,
    did::Did,
    lookup::{Answer as Told, Bearer, MAX_ADDRESSES, MAX_HINTS},
    problem::Problem,
    reach::{is_link_local, is_loopback},
};
use peerage_mesh::Origin;

use super::near::bad_name;
use crate::{context::Context, failure::Answer};

/// Below which a name stands, without its `o://`, that a member asks for.
pub const NAMES_PATH: &str = "/api/v1/names/";

/// The public routes. The gate lets members ask, and nobody else.
pub fn routes() -> Router<Context> {
    Router::new().route(&format!("{NAMES_PATH}{{*name}}"), get(tell))
}

async fn tell(
    State(ctx): State<Context>,
    Extension(origin): Extension<Origin>,
    Path(path): Path<String>,
) -> Answer<([(HeaderName, &'static str); 1], Vec<u8>)> {
    let Origin::Peer(peer) = origin else {
        let text = "peers ask this, not programs on this machine";
        return Err(Problem::new(400, "not_a_peer", text)
            .hint("peerage resolve NAME")
            .into());
    };
    let name: Address = format!("{}{path}", Address::SCHEME)
        .parse()
        .map_err(|error| bad_name(&error))?;
    // Of a mesh that the caller is not in it learns nothing.
    let roots: BTreeSet<Did> = ctx
        .members
        .caller(peer)
        .grants
        .iter()
        .filter(|grant| ctx.members.still_holds(grant))
        .map(|grant| grant.root)
        .collect();
    let mut bearers = Vec::new();
    for (grant, chain) in ctx.members.proofs(&name, &roots)? {
        let bearer = grant.subject.peer_id();
        if bearer != peer && bearers.len() < MAX_HINTS {
            let addresses = addresses(&ctx, bearer);
            bearers.push(Bearer { chain, addresses });
        }
    }
    let json = [(CONTENT_TYPE, "application/json")];
    Ok((json, Told { bearers }.encode()))
}

/// Where a peer was seen, the most useful first.
fn addresses(ctx: &Context, peer: PeerId) -> Vec<Multiaddr> {
    let mut addresses = if peer == ctx.me() {
        ctx.addresses()
    } else {
        let record = ctx.mesh.book().get(&peer);
        record.map_or_else(Vec::new, |record| peerage_core::dial::addresses(&record))
    };
    addresses.retain(|address| !is_link_local(address));
    if !addresses.iter().all(is_loopback) {
        addresses.retain(|address| !is_loopback(address));
    }
    addresses.truncate(MAX_ADDRESSES);
    addresses
}
