//! Peers that die and come back.

use http::Method;
use peerage::Node;
use peerage_core::peer_book::Relation;
use peerage_lab::{Lab, LocalApi, Place, counted, introduced, related, until};
use serde_json::{Value, json};

/// A node that shares `touch`.
async fn sharing(place: &Place) -> Node {
    let node = place.start().await;
    let service = counted(&std::sync::Arc::default()).into_router(&node.context().tasks);
    let shares = &node.context().shares;
    shares
        .add_service("count", Default::default(), service)
        .unwrap();
    node
}

async fn has_tools(node: &Node, of: &Node) {
    let peer = of.peer_id();
    until(node, "its tools", |book| {
        let card = book.get(&peer).and_then(|record| record.card.as_ref());
        card.is_some_and(|card| card.servers().iter().any(|s| !s.tools.is_empty()))
    })
    .await;
}

async fn tools(node: &Node) -> Vec<(String, bool)> {
    let tools = LocalApi::of(node).get("/api/v1/tools").await.json();
    let tools = tools.as_array().unwrap().iter();
    tools
        .map(|t| {
            (
                t["peer"].as_str().unwrap().to_owned(),
                t["reachable"] == true,
            )
        })
        .collect()
}

/// What the aggregated server lists and answers.
async fn aggregate(node: &Node, method: &str, params: Value) -> Value {
    let mut params = params;
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": { "name": "lab", "version": "1" },
        "io.modelcontextprotocol/clientCapabilities": {}
    });
    let name = params["name"].as_str().unwrap_or_default().to_owned();
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
    let api = LocalApi::of(node);
    let request = api
        .request(Method::POST, "/mcp")
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", "2026-07-28")
        .header("mcp-method", method)
        .header("mcp-name", name);
    let answered = api.send(request, &body).await;
    let text = String::from_utf8_lossy(&answered.body).into_owned();
    let json = text
        .lines()
        .filter_map(|line| line.strip_prefix("data:"))
        .find(|data| data.contains("\"id\":1"))
        .unwrap_or(&text);
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[tokio::test]
async fn a_dead_peer_breaks_no_list_and_comes_back_by_itself() {
    let lab = Lab::new();
    let (b_place, c_place) = (lab.place_at("home", "b"), lab.place_at("home", "c"));
    let a = lab
        .place_at("home", "a")
        .knowing(&b_place)
        .knowing(&c_place);
    let (a, b, c) = (
        a.start().await,
        sharing(&b_place).await,
        sharing(&c_place).await,
    );
    introduced(&[&a, &b]).await;
    introduced(&[&a, &c]).await;
    has_tools(&a, &b).await;
    has_tools(&a, &c).await;
    let all = |reachable| vec![("b".to_owned(), true), ("c".to_owned(), reachable)];
    assert_eq!(tools(&a).await, all(true));
    a.call("c/count/touch", json!({})).await.unwrap();

    // Dropped, it says goodbye to nobody and writes nothing.
    let dead = c.peer_id();
    drop(c);
    until(&a, "the loss", |book| {
        book.get(&dead).unwrap().link.is_none()
    })
    .await;
    assert_eq!(tools(&a).await, all(false), "its tools stay, and it shows");
    let lost = a.call("c/count/touch", json!({})).await.unwrap_err();
    assert_eq!((lost.status, lost.code.as_str()), (502, "unreachable"));
    assert!(lost.hint.is_some() && !lost.detail.is_empty(), "{lost:?}");
    a.call("b/count/touch", json!({})).await.unwrap();

    let c = sharing(&c_place).await;
    introduced(&[&a, &c]).await;
    related(&c, a.peer_id(), Relation::Member).await;
    a.call("c/count/touch", json!({})).await.unwrap();
    assert_eq!(tools(&a).await, all(true));
    for node in [a, b, c] {
        node.stop().await;
    }
}

#[tokio::test]
async fn a_call_does_not_wait_for_the_plan_to_redial() {
    let lab = Lab::new();
    let b_place = lab.place_at("home", "b");
    let a = lab.place_at("home", "a").knowing(&b_place).start().await;
    for round in 0..3 {
        let b = sharing(&b_place).await;
        let id = b.peer_id();
        // Whether it is connected already or not: the call makes the connection.
        let tool = format!("{id}/count/touch");
        a.call(&tool, json!({}))
            .await
            .unwrap_or_else(|p| panic!("round {round}: {p}"));
        b.stop().await;
        until(&a, "the loss", |book| book.get(&id).unwrap().link.is_none()).await;
    }
    a.stop().await;
}

#[tokio::test]
async fn the_aggregate_lists_the_living_while_one_is_dead() {
    let lab = Lab::new();
    let (b_place, c_place) = (lab.place_at("home", "b"), lab.place_at("home", "c"));
    let a = lab
        .place_at("home", "a")
        .knowing(&b_place)
        .knowing(&c_place);
    let (a, b, c) = (
        a.start().await,
        sharing(&b_place).await,
        sharing(&c_place).await,
    );
    has_tools(&a, &b).await;
    has_tools(&a, &c).await;
    drop(c);
    until(&a, "the loss", |book| {
        book.get(&c_place.peer_id()).unwrap().link.is_none()
    })
    .await;
    let listed = aggregate(&a, "tools/list", json!({})).await;
    let listed = listed["result"]["tools"].as_array().unwrap().clone();
    let name = listed
        .iter()
        .filter_map(|tool| tool["name"].as_str())
        .find(|name| name.starts_with('b'))
        .unwrap_or_else(|| panic!("{listed:?}"));
    let called = aggregate(&a, "tools/call", json!({ "name": name, "arguments": {} })).await;
    assert_eq!(called["result"]["content"][0]["text"], "1", "{called}");
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn who_is_alone_says_so() {
    let lab = Lab::new();
    let nobody = lab.place("nobody");
    let a = lab.place("a").knowing(&nobody).start().await;
    let tool = format!("{}/x/y", nobody.peer_id());
    let problem = a.call(&tool, json!({})).await.unwrap_err();
    assert_eq!(problem.code, "unreachable");
    let unknown = lab.place("unknown").peer_id();
    let problem = a
        .call(&format!("{unknown}/x/y"), json!({}))
        .await
        .unwrap_err();
    assert_eq!(problem.code, "unreachable");
    assert!(problem.hint.is_some());
    a.stop().await;
}
