//! The MCP routes: each shared server by its name, for peers and for this machine.

use axum::{
    Router,
    body::Body,
    extract::{Extension, Path, State},
    routing::any,
};
use http::{Request, Response};
use peerage_core::problem::Problem;
use peerage_mesh::Origin;

use super::MCP_PREFIX;
use crate::{context::Context, failure::Answer, hop::Wanted};

/// The public routes.
pub fn routes() -> Router<Context> {
    Router::new().route(&format!("{MCP_PREFIX}{{server}}"), any(serve))
}

async fn serve(
    State(ctx): State<Context>,
    Extension(origin): Extension<Origin>,
    Path(server): Path<String>,
    request: Request<Body>,
) -> Answer<Response<Body>> {
    let Some(share) = ctx.shares.get(&server) else {
        let text = format!(
            "no server called `{}` is shared here",
            server.escape_debug()
        );
        return Err(Problem::new(404, "no_such_server", text)
            .hint("peerage tools lists what can be called")
            .into());
    };
    let caller = match origin {
        Origin::Peer(peer) => peer.to_base58(),
        Origin::Local => "local".to_owned(),
    };
    let upgrade = Wanted::of(&request);
    let response = share.backend.handle(&caller, request).await;
    Ok(match upgrade {
        Some(upgrade) => upgrade.join(response, &ctx.tasks),
        None => response,
    })
}
