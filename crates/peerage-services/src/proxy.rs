//! `/peers/{peer}/…` and `/o/{name…}/-/…`: a peer's own routes as if they were here, byte for byte.

use axum::{
    Router,
    body::Body,
    extract::{Path, State},
    routing::any,
};
use http::{Request, Response, Uri};
use peerage_core::problem::Problem;

use crate::{
    context::Context,
    failure::Answer,
    hop,
    names::{self, Meant},
};

/// The local routes. `own` answers where the peer is this node itself.
pub fn routes(own: Router) -> Router<Context> {
    let router = own.clone();
    let to_peer =
        move |State(ctx): State<Context>,
              Path((peer, _)): Path<(String, String)>,
              request: Request<Body>| { peer_route(ctx, router.clone(), peer, request) };
    let to_name = move |State(ctx): State<Context>, request: Request<Body>| {
        name_route(ctx, own.clone(), request)
    };
    Router::new()
        .route("/peers/{peer}/{*rest}", any(to_peer))
        .route("/o/{*rest}", any(to_name))
}

async fn peer_route(
    ctx: Context,
    own: Router,
    peer: String,
    mut request: Request<Body>,
) -> Answer<Response<Body>> {
    let meant = names::resolve(&ctx, &peer).await?;
    let path = request.uri().path().splitn(4, '/').nth(3);
    *request.uri_mut() = target(path.unwrap_or_default(), request.uri().query())?;
    forward(&ctx, &own, meant, request).await
}

async fn name_route(
    ctx: Context,
    own: Router,
    mut request: Request<Body>,
) -> Answer<Response<Body>> {
    let path = request.uri().path().strip_prefix("/o/");
    let (name, path) = names::split(path.unwrap_or_default())?;
    let path = target(path, request.uri().query())?;
    let meant = names::of(&ctx, name).await?;
    *request.uri_mut() = path;
    forward(&ctx, &own, meant, request).await
}

async fn forward(
    ctx: &Context,
    own: &Router,
    meant: Meant,
    request: Request<Body>,
) -> Answer<Response<Body>> {
    let send = |request| async {
        let (name, via) = (meant.name.clone(), meant.via.clone());
        let (peer, mut response) = names::call(ctx, own, meant, request).await?;
        if peer != ctx.me() {
            names::mark(ctx, peer, name, via.is_some(), response.headers_mut());
        }
        Ok(response)
    };
    Ok(hop::pass(&ctx.tasks, request, send).await?)
}

/// The target without what says whom it means, taken from what was sent, so that its escapes stay as they are.
fn target(path: &str, query: Option<&str>) -> Result<Uri, Problem> {
    let query = query.map_or_else(String::new, |query| format!("?{query}"));
    format!("/{path}{query}")
        .parse()
        .map_err(|error| Problem::new(400, "bad_path", format!("the path: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_and_query_stay_as_they_were_sent() {
        assert_eq!(
            target("mcp/x%2Fy", Some("q=%41")).unwrap(),
            "/mcp/x%2Fy?q=%41"
        );
    }
}
