//! The commands against a stand-in for a node: what they ask, what they print, how they end.

use serde_json::json;

use super::{
    fake::FakeNode,
    program::{Ended, peerage, program, typed},
};

async fn run(node: &FakeNode, args: &[&str]) -> Ended {
    peerage(node.home.path(), args).await
}

#[tokio::test]
async fn what_is_asked_is_shown_as_text_and_as_json() {
    let node = FakeNode::start().await;
    for (args, text, pointer, value) in [
        (
            &["status"][..],
            "12D3KooWAnn",
            "/peer_id",
            json!("12D3KooWAnn"),
        ),
        (&["peers"], "1.2 ms", "/0/relation", json!("member")),
        (&["peers", "o://acme/bob"], "direct", "/name", json!("bob")),
        (&["tools"], "bob/files/list", "/0/server", json!("files")),
        (
            &["tools", "FOLDER"],
            "Lists a",
            "/0/name",
            json!("bob-files-list"),
        ),
        (&["card"], "\"name\": \"ann\"", "/name", json!("ann")),
        (&["ping", "bob"], "1.00 / 2.00 / 3.00 ms", "/lost", json!(1)),
        (
            &["invite"],
            "CODE-1",
            "/expires",
            json!("2026-01-01T00:15:00Z"),
        ),
        (&["trust", "bob"], "cccc-dddd", "/trusted", json!(true)),
        (
            &["unshare", "files"],
            "files is no longer shared",
            "/shared",
            json!(false),
        ),
    ] {
        let ended = run(&node, args).await;
        assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{args:?}");
        assert!(ended.out.contains(text), "{args:?}: {}", ended.out);
        assert!(
            !ended.out.contains('\u{1b}'),
            "others cannot colour what is printed"
        );
        let ended = run(&node, &[args, &["--json"]].concat()).await;
        assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{args:?}");
        assert_eq!(ended.json().pointer(pointer), Some(&value), "{args:?}");
    }
    assert_eq!(
        run(&node, &["invite"]).await.out,
        "CODE-1\n",
        "scripts get the code alone"
    );
    assert_eq!(
        run(&node, &["tools", "zzz", "--json"]).await.json(),
        json!([])
    );
}

#[tokio::test]
async fn refusals_and_failures_have_their_exit_codes() {
    let node = FakeNode::start().await;
    for (args, code, word) in [
        (&["peers", "nobody"][..], 1, "unknown_peer"),
        (&["untrust", "nobody"], 1, "unknown_peer"),
        (&["join", "CODE"], 1, "invite_used"),
        (&["peers", "html"], 2, "unexpected_answer"),
        (&["share", "a"], 2, "usage"),
        (&["call", "bob/files"], 2, "usage"),
        (&["call", "bob/files/list", "depth=x"], 2, "usage"),
    ] {
        let ended = run(&node, args).await;
        assert_eq!(
            (ended.code, ended.out.as_str()),
            (code, ""),
            "{args:?}: {}",
            ended.err
        );
        assert!(
            ended.err.contains(&format!("[{word}]")),
            "{args:?}: {}",
            ended.err
        );
        assert!(!ended.err.contains('\u{1b}'), "{ended:?}");
        let ended = run(&node, &[args, &["--json"]].concat()).await;
        assert_eq!((ended.code, ended.err.as_str()), (code, ""), "{args:?}");
        assert_eq!(ended.json()["code"], word, "{args:?}");
    }
    let used = run(&node, &["join", "CODE"]).await;
    assert!(used.err.ends_with("hint: ask for another\n"), "{used:?}");
    let lost = run(&node, &["ping", "lost"]).await;
    assert_eq!(lost.code, 2);
    assert!(lost.out.contains("0 of 4"), "{lost:?}");
}

#[tokio::test]
async fn a_call_types_its_arguments_by_the_schema() {
    let node = FakeNode::start().await;
    let home = node.home.path();
    let called = |args: &'static [&'static str], input: &'static str| async move {
        let ended = typed(home, args, input).await;
        assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{args:?}");
        ended.out
    };
    let pairs = &["call", "bob/files/list", "path=12", "depth=12"];
    assert_eq!(called(pairs, "").await, "{\"depth\":12,\"path\":\"12\"}\n");
    let name = &["call", "bob-files-list", "path=/", "--timeout", "2m"];
    assert_eq!(called(name, "").await, "{\"path\":\"/\"}\n");
    let whole = &["call", "o://acme/bob/files/list", "{\"depth\": \"x\"}"];
    assert_eq!(called(whole, "").await, "{\"depth\":\"x\"}\n");
    assert_eq!(
        called(&["call", "bob/files/list", "-"], "{\"a\": 1}").await,
        "{\"a\":1}\n"
    );
    assert_eq!(called(&["call", "bob/files/other"], "").await, "{}\n");

    let calls: Vec<_> = node
        .asked()
        .into_iter()
        .filter(|(at, _)| at.ends_with("/call"))
        .collect();
    assert_eq!(calls[1].1["peer"], "12D3KooWBob");
    assert_eq!(calls[1].1["timeout_s"], 120);
    assert_eq!(calls[2].1["peer"], "o://acme/bob");
    assert_eq!(calls[2].1["server"], "files");
}

#[tokio::test]
async fn a_tool_that_fails_fails_the_command() {
    let node = FakeNode::start().await;
    let ended = run(&node, &["call", "bob/files/broken"]).await;
    assert_eq!((ended.code, ended.out.as_str()), (2, ""));
    assert!(ended.err.contains("error: {} [tool_failed]"), "{ended:?}");
    let ended = run(&node, &["call", "bob/files/broken", "--json"]).await;
    assert_eq!(ended.code, 2);
    assert_eq!(ended.json()["isError"], true);
}

#[tokio::test]
async fn a_share_is_meant_from_where_it_is_typed() {
    let node = FakeNode::start().await;
    let folder = tempfile::tempdir().unwrap();
    let mut command = program(node.home.path());
    let typed = [
        "share",
        "files=server 'a b'",
        "--env",
        "KEY=v",
        "--allow",
        "o://x,o://y",
    ];
    let done = command
        .args(typed)
        .current_dir(folder.path())
        .output()
        .await
        .unwrap();
    assert!(done.status.success(), "{done:?}");
    let (at, body) = node.asked().pop().unwrap();
    assert_eq!(at, "POST /api/v1/shares");
    let cwd = folder.path().canonicalize().unwrap();
    assert_eq!(
        body,
        json!({
            "name": "files", "command": "server 'a b'", "env": {"KEY": "v"},
            "cwd": cwd, "allow": ["o://x", "o://y"]
        })
    );
    run(&node, &["share", "web=https://example.org/mcp"]).await;
    let (_, body) = node.asked().pop().unwrap();
    assert_eq!(
        body,
        json!({"name": "web", "url": "https://example.org/mcp", "allow": "mesh"})
    );
}

#[tokio::test]
async fn of_several_nodes_one_must_be_named() {
    let node = FakeNode::start().await;
    node.add("bob", true, std::process::id()).await;
    let ended = run(&node, &["status", "--json"]).await;
    assert_eq!(ended.code, 1);
    assert_eq!(ended.json()["code"], "several_nodes");
    assert_eq!(ended.json()["hint"], "say which: --name ann or --name bob");
    let named = run(&node, &["status", "--json", "--name", "bob"]).await;
    assert_eq!(named.json()["name"], "bob");
    let mut command = program(node.home.path());
    let by_variable = command
        .args(["status", "--json"])
        .env("PEERAGE_NAME", "bob");
    let by_variable = by_variable.output().await.unwrap();
    assert!(String::from_utf8_lossy(&by_variable.stdout).contains("\"name\":\"bob\""));
    std::fs::write(node.home.path().join("peerage.toml"), "name = 'ann'").unwrap();
    assert_eq!(
        run(&node, &["status", "--json"]).await.json()["name"],
        "ann"
    );
}

#[tokio::test]
async fn a_running_node_is_not_started_twice() {
    let node = FakeNode::start().await;
    for args in [
        &["up", "--name", "ann"][..],
        &["up", "--name", "ann", "--detach"],
    ] {
        let ended = run(&node, args).await;
        assert_eq!(ended.code, 1, "{ended:?}");
        assert!(ended.err.contains("[already_running]"), "{ended:?}");
    }
}

#[tokio::test]
async fn without_a_socket_the_token_opens_the_api() {
    let node = FakeNode::empty();
    node.add("ann", false, std::process::id()).await;
    let ended = run(&node, &["status", "--json"]).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(ended.json()["name"], "ann");
    std::fs::write(node.home.path().join("nodes/ann/api.token"), "another").unwrap();
    let refused = run(&node, &["status", "--json"]).await;
    assert_eq!(
        (refused.code, refused.json()["code"].clone()),
        (1, json!("no_token"))
    );
}

#[tokio::test]
async fn down_waits_until_the_process_has_ended() {
    let node = FakeNode::empty();
    let mut process = tokio::process::Command::new("sleep")
        .arg("600")
        .spawn()
        .unwrap();
    node.add("ann", true, process.id().unwrap()).await;
    let (ended, process) = tokio::join!(run(&node, &["down", "--json"]), process.wait());
    assert_eq!(
        (ended.code, ended.json()["stopped"].clone()),
        (0, json!(true))
    );
    assert!(!process.unwrap().success());
}
