//! What one node asks another, below the level of tools.

use axum::body::{Body, to_bytes};
use http::{Request, StatusCode, header::CONTENT_TYPE};
use peerage::{Node, PeerId, Problem};
use serde_json::{Value, json};

/// Sends a request to a peer as it is, without an introduction first.
pub(crate) async fn ask(
    node: &Node,
    peer: PeerId,
    request: Request<Body>,
) -> (StatusCode, Vec<u8>) {
    let response = node
        .context()
        .call_unintroduced(peer, request)
        .await
        .unwrap();
    let status = response.status();
    let bytes = to_bytes(response.into_body(), 4 << 20).await.unwrap();
    (status, bytes.to_vec())
}

/// Posts JSON to a peer.
pub(crate) async fn post(
    node: &Node,
    peer: PeerId,
    path: &str,
    body: impl Into<Body>,
) -> (StatusCode, Vec<u8>) {
    let request = Request::post(path)
        .header(CONTENT_TYPE, "application/json")
        .header("accept", "application/json, text/event-stream")
        .body(body.into())
        .unwrap();
    ask(node, peer, request).await
}

/// The problem that an answer must be.
pub(crate) fn problem((status, body): (StatusCode, Vec<u8>)) -> Problem {
    let text = String::from_utf8_lossy(&body);
    let problem = Problem::from_json(&body).unwrap_or_else(|| panic!("{status}: {text}"));
    assert_eq!(problem.status, status.as_u16(), "{text}");
    problem
}

/// The card that a peer shows this node now.
pub(crate) async fn card(node: &Node, peer: PeerId) -> Value {
    let request = Request::get("/.well-known/agent-card.json")
        .body(Body::empty())
        .unwrap();
    let (status, body) = ask(node, peer, request).await;
    assert_eq!(status, StatusCode::OK);
    serde_json::from_slice(&body).unwrap()
}

/// A call of a tool as an MCP client sends it.
pub(crate) fn tool_call(tool: &str) -> String {
    let params = json!({ "name": tool, "arguments": {} });
    json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params }).to_string()
}

/// The names of the servers that `node` knows to be on the card of `peer`.
pub(crate) fn listed(node: &Node, peer: PeerId) -> Vec<String> {
    let record = node.book().get(&peer);
    let card = record.and_then(|record| record.card);
    card.map(|card| card.servers().iter().map(|s| s.name.clone()).collect())
        .unwrap_or_default()
}
