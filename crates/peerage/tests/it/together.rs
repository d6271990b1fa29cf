//! Two real nodes: an MCP client on one uses a server of the other, and commands end with their exit codes.

use std::sync::Arc;

use rmcp::{
    ClientHandler, RoleClient, ServiceExt as _,
    model::CallToolRequestParams,
    service::NotificationContext,
    transport::{ConfigureCommandExt as _, TokioChildProcess},
};
use serde_json::{Value, json};
use tokio::{sync::Notify, time::timeout};

use super::running::{Place, WITHIN, toolbox, until_true};

/// A client that notes when it is told that the list has changed.
#[derive(Clone, Default)]
struct Client(Arc<Notify>);

impl ClientHandler for Client {
    async fn on_tool_list_changed(&self, _context: NotificationContext<RoleClient>) {
        self.0.notify_one();
    }
}

#[tokio::test]
async fn an_mcp_client_lists_and_calls_and_hears_of_changes() {
    let folder = tempfile::tempdir().unwrap();
    let (mut ann, mut bob) = (
        Place::new(folder.path(), "ann"),
        Place::new(folder.path(), "bob"),
    );
    let a = ann.start(&["--share", &toolbox("box")]).await;
    let b = bob.start(&[]).await;
    let invite = ann.json(&["invite"]).await;
    bob.json(&["join", invite["code"].as_str().unwrap()]).await;
    let of_ann = |tools: &Value| tools.as_array().unwrap().iter().any(|t| t["peer"] == "ann");
    bob.until(&["tools"], of_ann).await;

    let command = tokio::process::Command::new(env!("CARGO_BIN_EXE_peerage"));
    let child = TokioChildProcess::new(command.configure(|command| {
        command.arg("--home").arg(bob.home()).arg("mcp");
    }));
    let handler = Client::default();
    let changed = handler.0.clone();
    let client = handler.serve(child.unwrap()).await.unwrap();
    let names = |tools: Vec<rmcp::model::Tool>| -> Vec<String> {
        tools
            .into_iter()
            .map(|tool| tool.name.into_owned())
            .collect()
    };
    let before = names(client.list_all_tools().await.unwrap());
    let echo = before.iter().find(|name| name.ends_with("__box__echo"));
    let echo = echo.unwrap_or_else(|| panic!("{before:?}")).clone();
    let arguments = json!({ "text": "through two nodes" });
    let call = CallToolRequestParams::new(echo.clone())
        .with_arguments(arguments.as_object().unwrap().clone());
    let answer = serde_json::to_value(client.call_tool(call).await.unwrap()).unwrap();
    assert_eq!(answer["content"][0]["text"], "through two nodes");

    ann.json(&["share", &toolbox("more")]).await;
    timeout(WITHIN, async {
        loop {
            changed.notified().await;
            let after = names(client.list_all_tools().await.unwrap());
            if after.iter().any(|name| name.ends_with("__more__echo")) {
                assert!(after.contains(&echo), "names are stable");
                return;
            }
        }
    })
    .await
    .expect("it is told, and the list has the new tools");
    client.cancel().await.unwrap();
    assert!(a.terminate().await.success());
    assert!(b.terminate().await.success());
}

#[tokio::test]
async fn commands_end_with_the_exit_code_of_what_happened() {
    let folder = tempfile::tempdir().unwrap();
    let (mut ann, mut bob) = (
        Place::new(folder.path(), "ann"),
        Place::new(folder.path(), "bob"),
    );
    let a = ann.start(&["--share", &toolbox("box")]).await;
    let b = bob.start(&["--peer", a.address()]).await;
    bob.until(&["peers"], |peers| peers[0]["name"] == "ann")
        .await;
    let of_ann = format!("{}/box/echo", a.peer_id());
    let dead = "12D3KooWDvP6FWsRygrC8hN1cAQ5x92FQLsTXXXZYekN9eGTsZUU";
    let call_dead = format!("{dead}/box/echo");
    let invite = ann.json(&["invite"]).await;
    let code = invite["code"].as_str().unwrap();
    for (args, exit, word) in [
        (
            &["call", &of_ann, "{\"text\":\"x\"}"][..],
            1,
            "not_a_member",
        ),
        (&["call", "nobody/box/echo", "{}"], 1, "no_such_peer"),
        (&["peers", "nobody"], 1, "no_such_peer"),
        (&["trust", "nobody"], 1, "no_such_peer"),
        (&["unshare", "nothing"], 1, "no_such_share"),
        (&["join", "peerage-nonsense"], 1, "bad_invite"),
        (&["call", &call_dead, "{}"], 2, "unreachable"),
        (&["ping", dead], 2, "unreachable"),
        (&["call", "ann"], 2, "usage"),
    ] {
        let ended = bob.run(&[args, &["--json"]].concat()).await;
        assert_eq!(
            (ended.code, ended.json()["code"].as_str()),
            (exit, Some(word)),
            "{ended:?}"
        );
        assert_eq!(ended.err, "", "{args:?}");
    }
    assert_eq!(ann.run(&["join", code]).await.code, 1, "its own invite");
    assert_eq!(bob.run(&["join", code]).await.code, 0);
    assert_eq!(bob.run(&["call", "ann/box/echo", "text=x"]).await.code, 0);
    assert_eq!(bob.run(&["ping", "ann"]).await.code, 0);
    let unknown = bob.run(&["call", "ann/box/nothing", "{}", "--json"]).await;
    assert_eq!(
        (unknown.code, unknown.json()["code"].as_str()),
        (1, Some("mcp_error"))
    );
    for args in [
        &["status"][..],
        &["peers"],
        &["tools"],
        &["card"],
        &["card", "ann"],
        &["share"],
    ] {
        assert_eq!(bob.run(args).await.code, 0, "{args:?}");
    }
    assert!(a.terminate().await.success());
    assert!(b.terminate().await.success());
}

#[tokio::test]
async fn a_share_that_cannot_run_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let mut ann = Place::new(folder.path(), "ann");
    let log = folder.path().join("log");
    ann.log_to(log.clone());
    let failing = format!("failing={}", failing(folder.path()));
    let shares = ["--share", "absent=no-such-program", "--share", &failing];
    let a = ann.start(&shares).await;
    for (name, why) in [
        ("absent", "its program was not found"),
        ("failing", "exit status: 3"),
    ] {
        let shares = ann
            .until(&["share"], |shares| {
                let mut shares = shares.as_array().unwrap().iter();
                shares.any(|share| share["name"] == name && share["state"] == "failed")
            })
            .await;
        assert!(shares.to_string().contains(why), "{shares:#}");
    }
    // What the program itself said stays on this machine.
    let told = std::fs::read_to_string(&log).unwrap();
    assert!(told.contains("boom, said the server"), "{told}");
    let shares = ann.json(&["share"]).await;
    assert!(!shares.to_string().contains("boom"), "{shares:#}");
    assert!(a.terminate().await.success());
}

#[tokio::test]
async fn a_node_tells_what_happens() {
    let folder = tempfile::tempdir().unwrap();
    let (mut ann, mut bob) = (
        Place::new(folder.path(), "ann"),
        Place::new(folder.path(), "bob"),
    );
    let log = folder.path().join("log");
    ann.log_to(log.clone());
    let told = |what: &[&str]| {
        let log = std::fs::read_to_string(&log).unwrap();
        log.lines()
            .any(|line| what.iter().all(|word| line.contains(word)))
    };
    let a = ann.start(&["--share", &toolbox("box")]).await;
    let b = bob.start(&["--peer", a.address()]).await;
    let ready = ["a share is ready", "share=\"box\""];
    until_true("the share is told", || told(&ready))
        .await
        .unwrap();
    let invite = ann.json(&["invite"]).await;
    let code = invite["code"].as_str().unwrap();
    bob.json(&["join", code]).await;
    let (here, gone) = (
        ["a peer is here", "name=\"bob\""],
        ["a peer is gone", "name=\"bob\""],
    );
    until_true("bob is told", || told(&here)).await.unwrap();
    assert!(!told(&gone));
    assert!(b.terminate().await.success());
    until_true("bob's end is told", || told(&gone))
        .await
        .unwrap();
    assert!(!told(&[code]), "an invite is a secret");
    assert!(a.terminate().await.success());
}

/// A command that says something on standard error and fails.
fn failing(folder: &std::path::Path) -> String {
    let script = folder.join("failing.sh");
    std::fs::write(&script, "echo boom, said the server >&2\nexit 3\n").unwrap();
    format!("sh {}", script.display())
}
