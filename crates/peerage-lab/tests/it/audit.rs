//! Who did or wanted what: refusals, changes of trust and calls are in the audit, without what they held.

use http::Method;
use peerage::Node;
use peerage_core::peer_book::Relation;
use peerage_lab::{Lab, LocalApi, introduced, related};
use peerage_services::{
    api::{AuditEntry, AuditVerdict},
    audit::AuditSettings,
};
use serde_json::json;

use super::{
    asked::{post, tool_call},
    strangers::{ready, share},
};

/// The lines of a node's audit that fit a query.
pub(crate) async fn audit(node: &Node, query: &str) -> Vec<AuditEntry> {
    let path = format!("/api/v1/audit?{query}");
    let answered = LocalApi::of(node).get(&path).await;
    serde_json::from_slice(&answered.body).unwrap_or_else(|error| panic!("{error}: {answered:?}"))
}

/// All the bytes that the audit of a node at a place has on the disk.
pub(crate) fn written(lab: &Lab, home: &str, name: &str) -> String {
    let file = lab
        .folder()
        .join(home)
        .join("nodes")
        .join(name)
        .join("audit.jsonl");
    std::fs::read_to_string(file).unwrap()
}

#[tokio::test]
async fn refusals_and_changes_of_trust_are_told() {
    let lab = Lab::new();
    let a = lab.place("a");
    let b = lab.place("b").knowing(&a);
    let (a, b) = (a.start().await, b.start().await);
    introduced(&[&a, &b]).await;
    share(&a, "files", "mesh");
    ready(&a, "files").await;
    let path = "/mcp/files?token=hush-hush";
    post(&b, a.peer_id(), path, "{\"secret\":\"hush-hush\"}").await;
    let api = LocalApi::of(&a);
    let stranger = format!("/api/v1/trust/{}", b.peer_id());
    for method in [Method::PUT, Method::PUT, Method::DELETE] {
        assert_eq!(api.json(method, &stranger, "").await.status, 200);
    }
    let code = a.invite(60).unwrap();
    b.join(&code).await.unwrap();
    related(&a, b.peer_id(), Relation::Member).await;
    let grant = json!({ "name": "o://elsewhere/bot", "to": b.peer_id().to_base58() }).to_string();
    assert_eq!(
        api.json(Method::POST, "/api/v1/grants", &grant)
            .await
            .problem(),
        "may_not_grant"
    );
    let used = b.join(&code).await;
    assert!(used.is_ok(), "the same key may ask again");

    let of_b = audit(&a, &format!("who={}", b.peer_id())).await;
    let line = |entry: &AuditEntry| {
        let rule = entry.rule.clone().unwrap_or_default();
        (entry.verdict, entry.action.clone(), rule)
    };
    let refused = of_b
        .iter()
        .find(|entry| entry.verdict == AuditVerdict::Refused)
        .unwrap();
    assert_eq!(refused.object, "POST /mcp/files");
    assert_eq!(refused.rule.as_deref(), Some("not_a_member"));
    assert_eq!((refused.status, refused.bytes_in), (Some(403), Some(22)));
    assert_eq!(refused.claims.as_deref(), Some("b"));
    let joined = of_b.iter().find(|entry| entry.action == "join").unwrap();
    assert_eq!(joined.verdict, AuditVerdict::Changed);
    assert!(joined.object.ends_with("/node-b"), "{joined:?}");
    let local: Vec<_> = audit(&a, "who=local").await.iter().map(line).collect();
    let changed = |action: &str| (AuditVerdict::Changed, action.to_owned(), String::new());
    let wanted = [changed("trust"), changed("untrust"), changed("invite")];
    assert_eq!(local, wanted, "what changes nothing is not told");
    let of_b = audit(&b, "verdict=changed").await;
    assert_eq!(
        of_b.first().map(|entry| entry.action.as_str()),
        Some("join")
    );

    let text = written(&lab, "a", "a");
    assert!(!text.contains("hush") && !text.contains(&code[20..]));
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_flood_of_refusals_is_a_few_lines_that_count_them_all() {
    const CALLS: u64 = 300;
    let lab = Lab::new();
    let a = lab.place("a");
    let b = lab.place("b").knowing(&a);
    let (a, b) = (a.start().await, b.start().await);
    introduced(&[&a, &b]).await;
    let began = std::time::Instant::now();
    for _ in 0..CALLS / 30 {
        let calls = (0..30).map(|_| post(&b, a.peer_id(), "/mcp/x", tool_call("run")));
        futures::future::join_all(calls).await;
    }
    let seconds = began.elapsed().as_secs();
    let lines = audit(&a, &format!("who={}&verdict=refused", b.peer_id())).await;
    let told: u64 = lines.iter().map(|entry| entry.count.unwrap_or(1)).sum();
    assert_eq!(told, CALLS);
    // One at once and one each second, for each of two codes: not allowed, and too fast.
    assert!(lines.len() as u64 <= 2 * (seconds + 2), "{}", lines.len());
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn calls_are_told_where_asked_from_both_sides() {
    let lab = Lab::new();
    let all = AuditSettings {
        calls: true,
        ..AuditSettings::default()
    };
    let a_place = lab.place_at("home", "a");
    let a = a_place.builder().audit(all).spawn().await.unwrap();
    let b = lab.place_at("home", "b").knowing(&a_place);
    let b = b.builder().audit(all).spawn().await.unwrap();
    introduced(&[&a, &b]).await;
    related(&b, a.peer_id(), Relation::Member).await;
    share(&a, "files", "mesh");
    ready(&a, "files").await;
    b.call("a/files/touch", json!({})).await.unwrap();
    let object = "POST /mcp/files";
    let here = audit(&a, "verdict=allowed").await;
    let here = here.iter().find(|entry| entry.object == object).unwrap();
    assert_eq!(here.who, b.peer_id().to_base58());
    assert!(
        here.name
            .as_ref()
            .is_some_and(|name| name.ends_with("/node-b")),
        "{here:?}"
    );
    assert!(here.bytes_out.is_some() && here.ms.is_some() && here.status == Some(200));
    let there = audit(&b, "verdict=allowed&who=local").await;
    let object = format!("{} {object}", a.peer_id());
    assert!(
        there.iter().any(|entry| entry.object == object),
        "{there:?}"
    );
    a.stop().await;
    b.stop().await;
}
