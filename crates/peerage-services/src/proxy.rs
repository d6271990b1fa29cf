//! `/peers/{peer}/…`: a peer's own routes as if they were here, byte for byte.

use axum::{
    Router,
    body::Body,
    extract::{Path, State},
    routing::any,
};
use http::{HeaderMap, Request, Response, Uri, header};
use peerage_core::problem::Problem;

use crate::{
    context::{Context, ask},
    failure::Answer,
};

/// Headers that speak of one connection, not of the message (RFC 9110, section 7.6.1).
const HOP_BY_HOP: [header::HeaderName; 6] = [
    header::CONNECTION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::PROXY_AUTHORIZATION,
];

/// The local routes. `own` answers where the peer is this node itself.
pub fn routes(own: Router) -> Router<Context> {
    let forward =
        move |State(ctx): State<Context>,
              Path((peer, _)): Path<(String, String)>,
              request: Request<Body>| { forward(ctx, own.clone(), peer, request) };
    Router::new().route("/peers/{peer}/{*rest}", any(forward))
}

async fn forward(
    ctx: Context,
    own: Router,
    peer: String,
    mut request: Request<Body>,
) -> Answer<Response<Body>> {
    let peer = ctx.resolve(&peer)?;
    *request.uri_mut() = target(request.uri())?;
    strip_hop_by_hop(request.headers_mut());
    if peer == ctx.me() {
        return Ok(ask(&own, request).await);
    }
    let mut response = ctx.call(peer, request).await?;
    strip_hop_by_hop(response.headers_mut());
    Ok(response)
}

/// The target without `/peers/{peer}`, taken from what was sent, so that its escapes stay as they are.
fn target(uri: &Uri) -> Result<Uri, Problem> {
    let path = uri.path().splitn(4, '/').nth(3).unwrap_or_default();
    let query = uri
        .query()
        .map_or_else(String::new, |query| format!("?{query}"));
    format!("/{path}{query}")
        .parse()
        .map_err(|error| Problem::new(400, "bad_path", format!("the path: {error}")))
}

/// Removes what belongs to the connection, and what its `Connection` header names beside that.
fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<String> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(',').map(|name| name.trim().to_owned()))
        .collect();
    for name in named {
        headers.remove(name.as_str());
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_speaks_of_the_connection_goes_and_the_rest_stays() {
        let mut headers = HeaderMap::new();
        headers.insert("connection", "keep-alive, x-hop".parse().unwrap());
        headers.insert("x-hop", "1".parse().unwrap());
        headers.insert("transfer-encoding", "chunked".parse().unwrap());
        headers.insert("mcp-session-id", "s".parse().unwrap());
        headers.insert("x-vendor", "v".parse().unwrap());
        strip_hop_by_hop(&mut headers);
        let left: Vec<_> = headers.keys().map(header::HeaderName::as_str).collect();
        assert_eq!(left, ["mcp-session-id", "x-vendor"]);
    }

    #[test]
    fn escapes_and_query_stay_as_they_were_sent() {
        let uri = Uri::from_static("/peers/a%20b/mcp/x%2Fy?q=%41");
        assert_eq!(target(&uri).unwrap(), "/mcp/x%2Fy?q=%41");
    }
}
