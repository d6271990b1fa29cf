//! The owner's rules decide: on the file, over the API, for servers and for single tools.

use std::{
    fs,
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
};

use http::Method;
use peerage::Node;
use peerage_core::peer_book::Relation;
use peerage_lab::{Lab, LocalApi, introduced, related, until_true};
use serde_json::{Value, json};

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
    let calls: std::sync::Arc<AtomicUsize> = share(&a, "secret", &a.peer_id().to_base58());
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
    let _ = sees;
    stop([a, b, c]).await;
}
