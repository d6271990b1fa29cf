//! What the end of a call says of the peer that was called.

use http::{Response, StatusCode};
use peerage_core::{PeerId, score::Deed};
use peerage_mesh::{CallError, ResponseBody};

use super::Context;
use crate::mcp::MCP_PREFIX;

/// What the peer did, and more of it; nothing where the peer has no part in it, or the book knows already.
pub(super) fn of_call(
    ctx: &Context,
    peer: PeerId,
    path: &str,
    answered: &Result<Response<ResponseBody>, CallError>,
) -> Option<(Deed, String)> {
    match answered {
        Ok(response) if response.status() == StatusCode::NOT_FOUND && promises(ctx, peer, path) => {
            Some((Deed::BrokenPromise, format!("nothing at {path}")))
        }
        Ok(_) => Some((Deed::Answered, String::new())),
        Err(CallError::Lost { source, .. }) if source.is_parse() => {
            Some((Deed::Garbage, format!("its answer: {source}")))
        }
        Err(error @ CallError::Lost { .. }) => Some((Deed::Failed, error.to_string())),
        // The dial that failed is in the book; a peer that takes no more streams now has a right to.
        Err(_) => None,
    }
}

/// Whether the peer's card lists the server that a path names.
fn promises(ctx: &Context, peer: PeerId, path: &str) -> bool {
    let name = path.strip_prefix(MCP_PREFIX);
    let name = name.and_then(|rest| rest.split('/').next());
    let lists = |name: &str| {
        ctx.mesh.book().read(|book| {
            let card = book.get(&peer).and_then(|record| record.card.as_ref());
            card.is_some_and(|card| card.servers().iter().any(|server| server.name == name))
        })
    };
    name.is_some_and(lists)
}
