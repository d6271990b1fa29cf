//! The owner's rules decide: on the file, over the API, for servers and for single tools.

use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use axum::body::{Body, to_bytes};
use bytes::Bytes;
use futures::{future::join_all, stream};
use http::{Method, Request, StatusCode, header::RETRY_AFTER};
use peerage::{Node, PeerId, config::Pins};
use peerage_core::peer_book::Relation;
use peerage_core::policy::Audience;
use peerage_lab::{Lab, LocalApi, WITHIN, introduced, related, until_true};
use peerage_services::mcp::functions::FunctionServer;
use serde_json::{Map, Value, json};
use tokio::time::timeout;

use super::{
    asked::{post, problem, tool_call},
    strangers::{ready, sees, share},
};

/// Puts rules in force.
async fn set(node: &Node, rules: &str) {
    let body = json!({ "text": rules }).to_string();
    let answer = LocalApi::of(node)
        .json(Method::PUT, "/api/v1/policy", &body)
        .await;
    assert_eq!(answer.status, 200, "{:?}", answer.body);
}

async fn ask(node: &Node, who: &str, action: &str, object: &str) -> Value {
    let question = json!({ "as": who, "action": action, "object": object });
    let api = LocalApi::of(node);
    let question = question.to_string();
    let answer = api.json(Method::POST, "/api/v1/policy/test", &question);
    answer.await.json()
}

/// One rule.
fn rule(name: &str, who: &str, can: &str, on: &str, then: &str) -> String {
    format!(
        "[[rule]]\nname = '{name}'\nwho = ['{who}']\ncan = ['{can}']\non = [{on}]\nthen = '{then}'\n"
    )
}

/// A node that shares with its mesh, a member of that, and a stranger.
async fn three(lab: &Lab) -> (Node, Node, Node) {
    let home = lab.place_at("home", "a");
    let other = lab.place_at("home", "b").knowing(&home);
    let stranger = lab.place("c").knowing(&home);
    let (a, b, c) = (
        home.start().await,
        other.start().await,
        stranger.start().await,
    );
    introduced(&[&a, &b]).await;
    introduced(&[&a, &c]).await;
    related(&a, b.peer_id(), Relation::Member).await;
    (a, b, c)
}

async fn stop(nodes: [Node; 3]) {
    for node in nodes {
        node.stop().await;
    }
}

fn policy_file(node: &Node) -> PathBuf {
    node.context().policy.file().path.clone()
}

#[tokio::test]
async fn the_file_takes_effect_as_it_is_written_and_only_when_it_is_valid() {
    let lab = Lab::new();
    let (a, b, c) = three(&lab).await;
    share(&a, "x", "mesh");
    ready(&a, "x").await;
    let tool = format!("{}/x/touch", a.peer_id());
    b.call(&tool, json!({})).await.unwrap();

    let path = policy_file(&a);
    fs::write(
        &path,
        rule("closed", "everyone", "call", "'mcp/x'", "refuse"),
    )
    .unwrap();
    until_true("it is in force", || {
        a.context().policy.in_force().version == 1
    })
    .await;
    let refused = b.call(&tool, json!({})).await.unwrap_err();
    assert_eq!(
        (refused.status, refused.code.as_str()),
        (403, "refused_by_policy")
    );
    assert!(refused.detail.contains("`closed`"), "{refused:?}");

    // As editors do it: written aside, and put in its place.
    let aside = path.with_extension("new");
    fs::write(&aside, "[[rule]]\nname = 'open'\nwho = ['evrybody']").unwrap();
    fs::rename(&aside, &path).unwrap();
    until_true("it is told", || !a.status().warnings.is_empty()).await;
    let warning = a.status().warnings.join(" ");
    assert!(
        warning.contains("line 1") && warning.contains("stay in force"),
        "{warning}"
    );
    let refused = b.call(&tool, json!({})).await.unwrap_err();
    assert_eq!(refused.code, "refused_by_policy");

    fs::remove_file(&path).unwrap();
    until_true("it is told", || {
        a.status().warnings.join("").contains("cannot be read")
    })
    .await;
    let refused = b.call(&tool, json!({})).await.unwrap_err();
    assert_eq!(
        refused.code, "refused_by_policy",
        "what is gone says nothing"
    );

    fs::write(&path, "").unwrap();
    until_true("no rules are in force", || a.status().warnings.is_empty()).await;
    b.call(&tool, json!({})).await.unwrap();
    stop([a, b, c]).await;
}

#[tokio::test]
async fn a_node_does_not_start_with_rules_that_cannot_be_meant() {
    let lab = Lab::new();
    let place = lab.place("a");
    fs::create_dir_all(lab.folder().join("a")).unwrap();
    fs::write(lab.folder().join("a/policy.toml"), "[[rule]]\nname = 'x'").unwrap();
    let problem = place.builder().spawn().await.unwrap_err();
    assert_eq!(problem.code, "policy_invalid");
    assert!(problem.detail.contains("line 1"), "{problem:?}");
}

#[tokio::test]
async fn a_rule_stands_above_the_audience_both_ways() {
    let lab = Lab::new();
    let (a, b, c) = three(&lab).await;
    let calls = share(&a, "x", "mesh");
    ready(&a, "x").await;
    let tool = format!("{}/x/touch", a.peer_id());
    let refused = c.call(&tool, json!({})).await.unwrap_err();
    assert_eq!(refused.code, "not_a_member");

    let open = rule("open day", "strangers", "call", "'mcp/x'", "allow");
    let closed = rule("closed", "members", "call", "'mcp/x'", "refuse");
    set(&a, &(open + &closed)).await;
    c.call(&tool, json!({})).await.unwrap();
    let refused = b.call(&tool, json!({})).await.unwrap_err();
    assert_eq!(refused.code, "refused_by_policy");
    assert_eq!(calls.load(SeqCst), 1);

    let asked = ask(&a, "stranger", "call", "mcp/x/touch").await;
    assert_eq!(
        (&asked["verdict"], &asked["rule"]),
        (&json!("allow"), &json!("open day"))
    );
    let asked = ask(&a, &b.peer_id().to_base58(), "call", "mcp/x/touch").await;
    assert_eq!(
        (&asked["verdict"], &asked["rule"]),
        (&json!("refuse"), &json!("closed"))
    );
    assert_eq!(asked["steps"][0]["why"], "other_subject", "{asked}");
    let asked = ask(&a, "trusted", "call", "mcp/x").await;
    assert_eq!(
        (&asked["verdict"], &asked["by"]),
        (&json!("allow"), &json!("audience"))
    );
    stop([a, b, c]).await;
}

#[tokio::test]
async fn a_grant_makes_the_rules_for_its_name_fit_and_its_end_ends_that() {
    let lab = Lab::new();
    let (a, b, c) = three(&lab).await;
    share(&a, "x", "mesh");
    ready(&a, "x").await;
    set(&a, &rule("no strangers", "strangers", "call", "", "refuse")).await;
    let path = "/mcp/x";
    let body = || tool_call("touch");
    let refused = problem(post(&c, a.peer_id(), path, body()).await);
    assert_eq!(refused.code, "refused_by_policy");
    a.context().members.trust(c.peer_id(), true).unwrap();
    let (status, _) = post(&c, a.peer_id(), path, body()).await;
    assert_ne!(status, 403);
    a.context().members.trust(c.peer_id(), false).unwrap();
    let refused = problem(post(&c, a.peer_id(), path, body()).await);
    assert_eq!(refused.code, "refused_by_policy");
    stop([a, b, c]).await;
}

/// A server that another node may not tell from a name with escapes.
#[tokio::test]
async fn an_escaped_name_is_no_way_around_the_audience() {
    let lab = Lab::new();
    let (a, b, c) = three(&lab).await;
    let calls: Arc<AtomicUsize> = share(&a, "secret", &a.peer_id().to_base58());
    ready(&a, "secret").await;
    for path in ["/mcp/%73ecret", "/mcp/secre%74", "/mcp/%73%65cret"] {
        let refused = problem(post(&b, a.peer_id(), path, tool_call("touch")).await);
        assert!(matches!(refused.status, 400 | 403), "{path}: {refused:?}");
    }
    assert_eq!(calls.load(SeqCst), 0);
    stop([a, b, c]).await;
}

#[tokio::test]
async fn rules_for_tools_reach_single_calls() {
    let lab = Lab::new();
    let (a, b, c) = three(&lab).await;
    let calls = share(&a, "x", "mesh");
    ready(&a, "x").await;
    let tool = format!("{}/x/touch", a.peer_id());
    set(
        &a,
        &rule("no touching", "members", "call", "'mcp/*/touch'", "refuse"),
    )
    .await;
    let refused = b.call(&tool, json!({})).await.unwrap_err();
    assert_eq!(refused.code, "refused_by_policy");
    // Other tools are nobody's business.
    let unknown = b.call(&format!("{}/x/other", a.peer_id()), json!({})).await;
    assert_ne!(unknown.unwrap_err().code, "refused_by_policy");
    assert_eq!(calls.load(SeqCst), 0);

    // A stranger who may call one tool may speak with its server, and call nothing else.
    set(
        &a,
        &rule("touch", "strangers", "call", "'mcp/x/touch'", "allow"),
    )
    .await;
    c.call(&tool, json!({})).await.unwrap();
    let other = c.call(&format!("{}/x/other", a.peer_id()), json!({})).await;
    assert_eq!(other.unwrap_err().code, "not_a_member");
    let read = json!({ "jsonrpc": "2.0", "id": 1, "method": "resources/list" }).to_string();
    let refused = problem(post(&c, a.peer_id(), "/mcp/x", read).await);
    assert_eq!(refused.code, "not_a_member");
    let batch = format!("[{}]", tool_call("touch"));
    let refused = problem(post(&c, a.peer_id(), "/mcp/x", batch).await);
    assert_eq!(refused.code, "unreadable_call");
    assert_eq!(calls.load(SeqCst), 1);
    stop([a, b, c]).await;
}

/// Shares three tools: one answers, one waits, one answers at length.
fn share_tools(node: &Node, name: &str, audience: &str) {
    let server = FunctionServer::new(name)
        .tool("quick", "Answers", |_: Map<String, Value>| async {
            Ok::<_, String>(1)
        })
        .tool("slow", "Waits", |_: Map<String, Value>| async {
            tokio::time::sleep(Duration::from_secs(60)).await;
            Ok::<_, String>(1)
        })
        .tool("long", "Answers at length", |_: Map<String, Value>| async {
            Ok::<_, String>("x".repeat(100_000))
        });
    let service = server.into_router(&node.context().tasks);
    let audience: Audience = audience.parse().unwrap();
    node.context()
        .shares
        .add_service(name, audience, service)
        .unwrap();
}

/// The tools of a server on the card that `node` holds of `peer`, and those that the server lists for it.
async fn shown(node: &Node, peer: &Node, server: &str) -> (Vec<String>, Vec<String>) {
    let name = |tool: &Value| tool["name"].as_str().unwrap_or_default().to_owned();
    let record = node.book().get(&peer.peer_id()).unwrap();
    let card = record.card.unwrap();
    let servers = card.servers().iter().filter(|s| s.name == server);
    let on_card = servers
        .flat_map(|s| &s.tools)
        .map(|tool| name(&Value::Object(tool.clone())));
    let path = format!("/mcp/{server}");
    let list = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": { "_meta": {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": { "name": "lab", "version": "1" },
    } } });
    let request = Request::post(path)
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", "2026-07-28")
        .header("mcp-method", "tools/list")
        .body(Body::from(list.to_string()))
        .unwrap();
    let response = node
        .context()
        .call_unintroduced(peer.peer_id(), request)
        .await
        .unwrap();
    let status = response.status();
    let body = to_bytes(response.into_body(), 4 << 20).await.unwrap();
    let text = String::from_utf8_lossy(&body).into_owned();
    assert_eq!(status, StatusCode::OK, "{text}");
    let json: Value = text
        .lines()
        .map(|line| line.trim_start_matches("data:"))
        .find_map(|line| serde_json::from_str(line).ok())
        .unwrap_or_else(|| panic!("{text}"));
    let listed = json["result"]["tools"]
        .as_array()
        .unwrap_or_else(|| panic!("{json}"));
    (on_card.collect(), listed.iter().map(name).collect())
}

#[tokio::test]
async fn what_a_caller_may_not_see_or_call_is_not_listed() {
    let lab = Lab::new();
    let (a, b, c) = three(&lab).await;
    share_tools(&a, "x", "mesh");
    share_tools(&a, "y", "mesh");
    ready(&a, "x").await;
    ready(&a, "y").await;
    sees(&b, a.peer_id(), &["x", "y"]).await;
    let unseen = rule(
        "unseen",
        "members",
        "see",
        "'mcp/x/slow', 'mcp/y'",
        "refuse",
    );
    let uncalled = rule("uncalled", "members", "call", "'mcp/*/long'", "refuse");
    set(&a, &(unseen + &uncalled)).await;
    sees(&b, a.peer_id(), &["x"]).await;
    let only = vec!["quick".to_owned()];
    assert_eq!(shown(&b, &a, "x").await, (only.clone(), only));
    assert_eq!(shown(&b, &a, "y").await, (vec![], vec![]));
    // Unseen is not uncalled.
    let quick = format!("{}/y/quick", a.peer_id());
    b.call(&quick, json!({})).await.unwrap();

    set(
        &a,
        &rule("one", "strangers", "call", "'mcp/x/quick'", "allow"),
    )
    .await;
    sees(&c, a.peer_id(), &["x"]).await;
    let only = vec!["quick".to_owned()];
    assert_eq!(shown(&c, &a, "x").await, (only.clone(), only));
    sees(&b, a.peer_id(), &["x", "y"]).await;
    assert_eq!(shown(&b, &a, "x").await.1.len(), 3);
    stop([a, b, c]).await;
}

fn limited(on: &str, limit: &str) -> String {
    rule("limited", "members", "call", on, "allow") + &format!("limit = {{ {limit} }}\n")
}

async fn quick(node: &Node, of: &Node) -> Result<(), peerage::Problem> {
    let tool = format!("{}/x/quick", of.peer_id());
    node.call(&tool, json!({})).await.map(drop)
}

#[tokio::test]
async fn who_calls_too_often_is_told_when_to_come_again_and_others_are_answered() {
    let lab = Lab::new();
    let (a, b, c) = three(&lab).await;
    a.context().members.trust(c.peer_id(), true).unwrap();
    share_tools(&a, "x", "mesh");
    ready(&a, "x").await;
    quick(&b, &a).await.unwrap();
    set(&a, &limited("'mcp/x/quick'", "rate = '3/h', burst = 3")).await;
    for _ in 0..3 {
        quick(&b, &a).await.unwrap();
    }
    let over = quick(&b, &a).await.unwrap_err();
    assert_eq!(
        (over.status, over.code.as_str()),
        (429, "limited_by_policy"),
        "{over:?}"
    );
    let request = Request::post("/mcp/x")
        .body(Body::from(tool_call("quick")))
        .unwrap();
    let raw = b.context().call(a.peer_id(), request).await.unwrap();
    assert_eq!(raw.status(), 429);
    let after: u64 = raw.headers()[RETRY_AFTER]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=1200).contains(&after), "{after}");
    // Another tool, another caller.
    b.call(&format!("{}/x/long", a.peer_id()), json!({}))
        .await
        .unwrap();
    let others = (0..20).map(|_| quick(&c, &a));
    for other in timeout(WITHIN, join_all(others)).await.unwrap() {
        other.unwrap();
    }
    stop([a, b, c]).await;
}

#[tokio::test]
async fn calls_at_once_and_bodies_and_time_are_limited() {
    let lab = Lab::new();
    let (a, b, c) = three(&lab).await;
    share_tools(&a, "x", "mesh");
    ready(&a, "x").await;
    quick(&b, &a).await.unwrap();
    set(
        &a,
        &limited("'mcp/x/slow'", "at_once = 1, seconds = 2, body = 1000"),
    )
    .await;
    let slow = format!("{}/x/slow", a.peer_id());
    let (first, second) = tokio::join!(b.call(&slow, json!({})), async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        b.call(&slow, json!({})).await
    });
    let late = first.unwrap_err();
    assert_eq!(
        (late.status, late.code.as_str()),
        (504, "deadline_of_policy"),
        "{late:?}"
    );
    let over = second.unwrap_err();
    assert_eq!(
        (over.status, over.code.as_str()),
        (429, "limited_by_policy"),
        "{over:?}"
    );
    let long = b
        .call(&slow, json!({ "text": "x".repeat(2000) }))
        .await
        .unwrap_err();
    assert_eq!(
        (long.status, long.code.as_str()),
        (413, "too_large_for_policy"),
        "{long:?}"
    );
    stop([a, b, c]).await;
}

#[tokio::test]
async fn bytes_come_at_the_pace_of_the_rule_and_the_day_ends_them() {
    let lab = Lab::new();
    let (a, b, c) = three(&lab).await;
    share_tools(&a, "x", "mesh");
    ready(&a, "x").await;
    quick(&b, &a).await.unwrap();
    set(&a, &limited("'mcp/x/long'", "bytes_out = 50000")).await;
    let long = format!("{}/x/long", a.peer_id());
    let begun = Instant::now();
    b.call(&long, json!({})).await.unwrap();
    // 100 kB, of which a second's come at once.
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(900), "{took:?}");
    quick(&b, &a).await.unwrap();

    set(&a, &limited("'mcp/x/quick'", "daily = 2")).await;
    quick(&b, &a).await.unwrap();
    quick(&b, &a).await.unwrap();
    assert_eq!(quick(&b, &a).await.unwrap_err().code, "limited_by_policy");
    peerage_services::policy::keep(&a.context().policy);
    stop([a, b, c]).await;
}

fn is_connected(node: &Node, other: &Node) -> bool {
    node.context().mesh.is_connected(&other.peer_id())
}

#[tokio::test]
async fn who_is_blocked_is_gone_at_once_and_also_after_a_restart() {
    let lab = Lab::new();
    let home = lab.place_at("home", "a");
    let other = lab.place_at("home", "b").knowing(&home);
    let (a, b) = (home.start().await, other.start().await);
    introduced(&[&a, &b]).await;
    let what = json!({ "what": b.peer_id().to_base58(), "reason": "noisy" });
    let api = LocalApi::of(&a);
    let answer = api
        .json(Method::POST, "/api/v1/blocked", &what.to_string())
        .await;
    assert_eq!(answer.status, 201, "{answer:?}");
    until_true("it is disconnected", || {
        !is_connected(&a, &b) && !is_connected(&b, &a)
    })
    .await;
    assert!(a.context().mesh.connect(b.peer_id()).await.is_err());
    let _ = b.context().mesh.connect(a.peer_id()).await;
    until_true("it is refused", || !is_connected(&b, &a)).await;
    assert!(!is_connected(&a, &b));
    let listed = api.get("/api/v1/blocked").await.json();
    assert_eq!(listed[0]["what"], b.peer_id().to_base58());
    assert_eq!(listed[0]["reason"], "noisy");
    a.stop().await;

    let a = home.start().await;
    assert!(a.context().mesh.connect(b.peer_id()).await.is_err());
    assert!(!is_connected(&a, &b));
    let api = LocalApi::of(&a);
    let path = format!("/api/v1/blocked/{}", b.peer_id());
    let answer = api.json(Method::DELETE, &path, "").await;
    assert_eq!(answer.status, 204, "{answer:?}");
    let connect = b.context().mesh.connect(a.peer_id());
    let _ = connect.await;
    until_true("they are together again", || is_connected(&a, &b)).await;
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_network_is_blocked_for_a_while() {
    let lab = Lab::new();
    let loopback = || "/ip4/127.0.0.1/tcp/0".parse().unwrap();
    let node = |name: &str| {
        Node::builder(lab.folder().join(name))
            .name(name)
            .mdns(false)
            .listen(loopback())
    };
    let a = node("a").spawn().await.unwrap();
    let address = a.status().listen[0].parse().unwrap();
    let b = node("b").peer(address).spawn().await.unwrap();
    introduced(&[&a, &b]).await;
    let api = LocalApi::of(&a);
    let what = json!({ "what": "127.0.0.0/8", "seconds": 3 });
    let answer = api
        .json(Method::POST, "/api/v1/blocked", &what.to_string())
        .await;
    assert_eq!(answer.status, 201, "{answer:?}");
    until_true("it is disconnected", || {
        !is_connected(&a, &b) && !is_connected(&b, &a)
    })
    .await;
    assert!(b.context().mesh.connect(a.peer_id()).await.is_err());
    until_true("it is over", || a.context().policy.blocked().is_empty()).await;
    b.context().mesh.connect(a.peer_id()).await.unwrap();
    until_true("they are together again", || is_connected(&a, &b)).await;
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn who_may_connect_is_ruled_and_members_can_show_that_they_are() {
    let lab = Lab::new();
    let home = lab.place_at("home", "a");
    let other = lab.place_at("home", "b").knowing(&home);
    let stranger = lab.place("c").knowing(&home);
    let a = home.start().await;
    let members = rule("members", "members", "connect", "", "allow");
    set(
        &a,
        &(members + &rule("nobody else", "everyone", "connect", "", "refuse")),
    )
    .await;
    let (b, c) = (other.start().await, stranger.start().await);
    related(&a, b.peer_id(), Relation::Member).await;
    until_true("the stranger had its chance", || is_connected(&a, &c)).await;
    until_true("and is gone", || !is_connected(&a, &c)).await;
    assert!(is_connected(&a, &b));
    let shut = rule("nobody", "everyone", "connect", "", "refuse");
    set(&a, &shut).await;
    until_true("the member is gone", || !is_connected(&a, &b)).await;
    let asked = ask(&a, &b.peer_id().to_base58(), "connect", "").await;
    assert_eq!(
        (&asked["verdict"], &asked["rule"]),
        (&json!("refuse"), &json!("nobody"))
    );
    stop([a, b, c]).await;
}

#[tokio::test]
async fn whom_this_node_dials_is_ruled() {
    let lab = Lab::new();
    let (place, other) = (lab.place("a"), lab.place("b"));
    let a = place.knowing(&other).start().await;
    set(&a, &rule("stay", "everyone", "dial", "", "refuse")).await;
    let b = other.start().await;
    let refused = a.context().mesh.connect(b.peer_id()).await.unwrap_err();
    assert!(refused.to_string().contains("`stay`"), "{refused}");
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_body_of_unknown_length_ends_where_the_rule_says() {
    let lab = Lab::new();
    let (a, b, c) = three(&lab).await;
    share_tools(&a, "x", "mesh");
    ready(&a, "x").await;
    quick(&b, &a).await.unwrap();
    set(&a, &limited("'mcp/x'", "body = 1000")).await;
    let pieces = (0..100).map(|_| Ok::<_, std::io::Error>(Bytes::from_static(&[b' '; 100])));
    let body = Body::from_stream(stream::iter(pieces));
    let refused = problem(post(&b, a.peer_id(), "/mcp/x", body).await);
    assert_eq!(
        (refused.status, refused.code.as_str()),
        (413, "too_large_for_policy")
    );
    quick(&b, &a).await.unwrap();
    stop([a, b, c]).await;
}

#[tokio::test]
async fn a_pinned_name_counts_for_one_key_alone() {
    let lab = Lab::new();
    let home = lab.place_at("home", "a");
    let other = lab.place_at("home", "b").knowing(&home);
    let (a, b) = (home.start().await, other.start().await);
    related(&a, b.peer_id(), Relation::Member).await;
    let (mesh, _) = a.context().members.own_mesh().unwrap();
    let mut names = b.context().members.own_names();
    names.retain(|name| mesh.covers(name));
    let name = names.remove(0);
    a.stop().await;
    let pinned = |key: PeerId| {
        let names = [(name.clone(), key)].into();
        home.builder().pins(Pins {
            names,
            ..Pins::default()
        })
    };
    let a = pinned(PeerId::random()).spawn().await.unwrap();
    introduced(&[&a, &b]).await;
    related(&b, a.peer_id(), Relation::Member).await;
    until_true("its name does not count", || {
        a.context().members.relation(&b.peer_id()) == Relation::Stranger
    })
    .await;
    a.stop().await;
    let a = pinned(b.peer_id()).spawn().await.unwrap();
    related(&a, b.peer_id(), Relation::Member).await;
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_pinned_address_is_for_one_key_alone() {
    let lab = Lab::new();
    let node = |name: &str| {
        let listen = "/ip4/127.0.0.1/tcp/0".parse().unwrap();
        Node::builder(lab.folder().join(name))
            .name(name)
            .mdns(false)
            .listen(listen)
    };
    let addresses = [("127.0.0.1".parse().unwrap(), PeerId::random())].into();
    let pins = Pins {
        addresses,
        ..Pins::default()
    };
    let a = node("a").pins(pins).spawn().await.unwrap();
    let address = a.status().listen[0].parse().unwrap();
    let b = node("b").peer(address).spawn().await.unwrap();
    until_true("it was refused", || {
        let refused = a.context().mesh.budget().usage().refused;
        refused.iter().any(|(cause, _)| cause.as_str() == "policy")
    })
    .await;
    assert!(!is_connected(&a, &b));
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn who_may_ask_for_names_is_ruled() {
    let lab = Lab::new();
    let (a, b, c) = three(&lab).await;
    let (mesh, _) = a.context().members.own_mesh().unwrap();
    let path = format!("/api/v1/names/{}", mesh.as_str().trim_start_matches("o://"));
    let get = |path: &str| Request::get(path).body(Body::empty()).unwrap();
    assert_eq!(super::asked::ask(&b, a.peer_id(), get(&path)).await.0, 200);
    set(
        &a,
        &rule("no questions", "everyone", "resolve", "", "refuse"),
    )
    .await;
    let refused = problem(super::asked::ask(&b, a.peer_id(), get(&path)).await);
    assert_eq!(refused.code, "refused_by_policy");
    let (first, rest) = mesh.as_str().trim_start_matches("o://").split_at(1);
    let escaped = format!("/api/v1/names/%{:02x}{rest}", first.as_bytes()[0]);
    let refused = problem(super::asked::ask(&b, a.peer_id(), get(&escaped)).await);
    assert_eq!(refused.code, "bad_name");
    let asked = ask(&a, "member", "resolve", mesh.as_str()).await;
    assert_eq!(
        (&asked["verdict"], &asked["rule"]),
        (&json!("refuse"), &json!("no questions"))
    );
    set(&a, "").await;
    let asked = ask(&a, "stranger", "resolve", mesh.as_str()).await;
    assert_eq!(
        (&asked["verdict"], &asked["by"]),
        (&json!("refuse"), &json!("audience"))
    );
    stop([a, b, c]).await;
}
