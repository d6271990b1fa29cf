//! The local API under `/api/v1`: what the command line, dashboards and other programs on this machine
//! ask of their node. It is absent from the mesh.

mod audit;
mod blocks;
mod grants;
mod names;
mod network;
mod policy;
mod sharing;
mod tool;
mod view;

use std::sync::Arc;

use axum::{Router, extract::DefaultBodyLimit, extract::FromRef};
use peerage_mesh::Tasks;
use utoipa::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    api::{MdnsView, NodeStatus},
    context::Context,
    mcp::aggregate::Aggregate,
    tools::Tools,
};

/// Bytes of a request to the local API, at the most.
const MAX_REQUEST: usize = 16 * 1024 * 1024;

/// Where the node's own doors are, which the listeners know.
#[derive(Clone, Debug, Default)]
pub struct Doors {
    /// Base URL of the local API.
    pub api: String,
    /// File with the token for it.
    pub token_file: String,
    /// Unix socket.
    pub socket: String,
}

/// What the local routes are given.
#[derive(Clone)]
pub struct Local {
    /// As every service.
    pub ctx: Context,
    /// The tools that may be called.
    pub tools: Tools,
    /// All of them as one MCP server.
    pub aggregate: Aggregate,
    /// The node's own doors.
    pub doors: Doors,
    /// How mDNS is doing on each interface.
    pub mdns: Arc<dyn Fn() -> Vec<MdnsView> + Send + Sync>,
    /// Told to stop when somebody asks the node to.
    pub stop: Tasks,
}

impl std::fmt::Debug for Local {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Local")
            .field("doors", &self.doors)
            .finish_non_exhaustive()
    }
}

impl FromRef<Local> for Context {
    fn from_ref(local: &Local) -> Self {
        local.ctx.clone()
    }
}

#[derive(OpenApi)]
#[openapi(info(
    title = "Peerage node",
    description = "The local API of a node. Over TCP every request carries `Authorization: Bearer TOKEN` \
                   with the text of the node's token file; over the Unix socket nothing is asked. Errors are \
                   problem documents (RFC 9457) with `code` and `hint`.",
))]
struct Document;

/// The local routes.
pub fn routes(local: Local) -> Router {
    let (router, document) = OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(network::node))
        .routes(routes!(network::peers))
        .routes(routes!(network::peer))
        .routes(routes!(network::ping))
        .routes(routes!(network::forgive))
        .routes(routes!(network::card))
        .routes(routes!(network::peer_card))
        .routes(routes!(network::stop))
        .routes(routes!(sharing::shares, sharing::share))
        .routes(routes!(sharing::unshare))
        .routes(routes!(sharing::invite))
        .routes(routes!(sharing::join))
        .routes(routes!(sharing::trust, sharing::untrust))
        .routes(routes!(names::resolve))
        .routes(routes!(grants::list, grants::give))
        .routes(routes!(grants::revoke))
        .routes(routes!(policy::show, policy::set))
        .routes(routes!(policy::test))
        .routes(routes!(audit::audit))
        .routes(routes!(blocks::list, blocks::block))
        .routes(routes!(blocks::unblock))
        .routes(routes!(tool::list))
        .routes(routes!(tool::call))
        .split_for_parts();
    let document = Arc::new(serde_json::to_value(document).unwrap_or_default());
    let openapi = move || std::future::ready(axum::Json(document.clone()));
    router
        .route("/api/v1/openapi.json", axum::routing::get(openapi))
        .layer(DefaultBodyLimit::max(MAX_REQUEST))
        .with_state(local)
}

/// The node's status, as `GET /api/v1/node` and the library show it.
#[must_use]
pub fn status(local: &Local) -> NodeStatus {
    view::status(local)
}

/// A time in unix seconds as the API shows it, RFC 3339.
pub use view::rfc3339;

/// A tool call by names, as the library makes it.
pub use tool::call_by_name;
