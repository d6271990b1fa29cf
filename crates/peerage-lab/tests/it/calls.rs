//! Calls of tools from end to end.

use http::Method;
use peerage::{FUNCTIONS, Node};
use peerage_lab::{Lab, LocalApi, Script, introduced, is_alive, until, until_true};
use serde_json::{Map, Value, json};

/// `b` shares, `a` calls; both are members of one mesh.
async fn two(lab: &Lab, script: &Script) -> (Node, Node) {
    let b = lab.place_at("home", "b");
    let a = lab.place_at("home", "a").knowing(&b);
    let b = b
        .builder()
        .share(script.share("child", "mesh"))
        .tool("double", "Doubles", |args: Map<String, Value>| async move {
            let number = args.get("n").and_then(Value::as_i64);
            number.map(|n| n * 2).ok_or("n is missing")
        })
        .spawn()
        .await
        .unwrap();
    let a = a.start().await;
    introduced(&[&a, &b]).await;
    let peer = b.peer_id();
    until(&a, "the tools are on the card", |book| {
        let card = book.get(&peer).and_then(|record| record.card.as_ref());
        card.is_some_and(|card| {
            card.servers().len() == 2 && card.servers().iter().all(|s| !s.tools.is_empty())
        })
    })
    .await;
    (a, b)
}

#[tokio::test]
async fn nothing_of_a_result_is_lost_on_the_way() {
    let answer = json!({
        "content": [
            { "type": "hologram", "depth": 3, "rays": [1.5, null, { "x": "\u{0}\u{1F600}" }] },
            { "type": "text", "text": "plain", "vendor": { "kept": true } },
            { "type": "resource_link", "uri": "x:y", "name": "n", "unheardOf": [] }
        ],
        "structuredContent": { "big": 9_007_199_254_740_993_u64, "deep": { "empty": {} } },
        "_meta": { "vendor.example/trace": "abc" },
        "resultType": "complete",
        "futureField": { "answer": 42 }
    });
    let lab = Lab::new();
    let script = Script::new(&lab.folder().join("script"), &answer.to_string());
    let (a, b) = two(&lab, &script).await;
    let got = a.call("b/child/run", json!({})).await.unwrap();
    // What is added says where it comes from, and nothing else is.
    let mut answer = answer;
    answer["_meta"]["dev.peerage/origin"] = json!({
        "peer": b.peer_id().to_base58(),
        "did": b.status().did,
        "name": b.context().members.own_names()[0].to_string(),
        "server": "child",
    });
    assert_eq!(got, answer);
    let request = json!({ "peer": "b", "server": "child", "tool": "run" }).to_string();
    let api = LocalApi::of(&a);
    let got = api.json(Method::POST, "/api/v1/tools/call", &request).await;
    assert_eq!(got.json()["result"], answer);
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn functions_of_a_program_are_called_like_any_server() {
    let lab = Lab::new();
    let script = Script::new(&lab.folder().join("script"), "{\"content\":[]}");
    let (a, b) = two(&lab, &script).await;
    for (peer, n) in [
        ("b".to_owned(), 21),
        (b.peer_id().to_base58(), 4),
        (b.status().did, 7),
    ] {
        let tool = format!("{peer}/{FUNCTIONS}/double");
        let result = a.call(&tool, json!({ "n": n })).await.unwrap();
        assert_eq!(result["content"][0]["text"], (2 * n).to_string());
    }
    let failed = a.call("b/functions/double", json!({})).await.unwrap();
    assert_eq!(failed["isError"], true, "{failed}");
    let unknown = a.call("b/functions/nothing", json!({})).await.unwrap_err();
    assert_eq!(unknown.code, "mcp_error");
    for (tool, code) in [
        ("b/functions", "bad_tool"),
        ("nobody/functions/double", "no_such_peer"),
        ("b/nothing/double", "no_such_server"),
    ] {
        assert_eq!(
            a.call(tool, json!({})).await.unwrap_err().code,
            code,
            "{tool}"
        );
    }
    let arguments = a.call("b/functions/double", json!([1])).await.unwrap_err();
    assert_eq!(arguments.code, "bad_arguments");
    a.stop().await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_calls_at_once_all_get_their_own_answer() {
    let lab = Lab::new();
    let script = Script::new(&lab.folder().join("script"), "{\"content\":[]}");
    let (a, b) = two(&lab, &script).await;
    let calls = (0..100).map(|n| {
        let a = &a;
        async move {
            let result = a
                .call("b/functions/double", json!({ "n": n }))
                .await
                .unwrap();
            assert_eq!(result["content"][0]["text"], (2 * n).to_string());
        }
    });
    futures::future::join_all(calls).await;
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_node_that_stops_leaves_no_task_and_no_child() {
    let lab = Lab::new();
    let script = Script::new(&lab.folder().join("script"), "{\"content\":[]}");
    let (a, b) = two(&lab, &script).await;
    a.call("b/child/run", json!({})).await.unwrap();
    let pids = script.pids();
    assert!(pids.iter().any(|pid| is_alive(*pid)), "the session's child");
    let tasks = [&a, &b].map(|node| node.context().tasks.clone());
    b.stop().await;
    for pid in pids {
        assert!(!is_alive(pid), "{pid} outlives its node");
    }
    a.stop().await;
    for tasks in tasks {
        assert_eq!(tasks.running(), 0);
    }
}

#[tokio::test]
async fn a_node_that_is_dropped_ends_its_children_too() {
    let lab = Lab::new();
    let script = Script::new(&lab.folder().join("script"), "{\"content\":[]}");
    let (a, b) = two(&lab, &script).await;
    a.call("b/child/run", json!({})).await.unwrap();
    let tasks = b.context().tasks.clone();
    drop(b);
    until_true("its tasks have ended", || tasks.running() == 0).await;
    until_true("its children have ended", || {
        !script.pids().iter().any(|pid| is_alive(*pid))
    })
    .await;
    a.stop().await;
}

#[tokio::test]
async fn what_is_no_longer_shared_has_no_child_left() {
    let lab = Lab::new();
    let script = Script::new(&lab.folder().join("script"), "{\"content\":[]}");
    let (a, b) = two(&lab, &script).await;
    a.call("b/child/run", json!({})).await.unwrap();
    assert!(b.context().shares.remove("child").await.unwrap());
    assert!(!script.pids().iter().any(|pid| is_alive(*pid)));
    let gone = a.call("b/child/run", json!({})).await.unwrap_err();
    assert_eq!((gone.status, gone.code.as_str()), (404, "no_such_server"));
    a.stop().await;
    b.stop().await;
}
