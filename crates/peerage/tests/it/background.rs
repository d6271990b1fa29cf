//! Real nodes, as the program starts and stops them.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use rmcp::{
    ServiceExt as _,
    model::CallToolRequestParams,
    transport::{ConfigureCommandExt as _, TokioChildProcess},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{Instant, sleep, timeout};

use super::program::{Ended, peerage, program};

/// How long anything may take.
const WITHIN: Duration = Duration::from_secs(20);

/// A home whose nodes are stopped when the test ends, also when it fails.
#[derive(Debug)]
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::Builder::new().prefix("pg").tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    async fn run(&self, args: &[&str]) -> Ended {
        peerage(self.path(), args).await
    }

    /// A node in the background that only this test's nodes can meet.
    async fn up(&self, more: &[&str]) -> Value {
        let args = [
            "up",
            "--detach",
            "--json",
            "--no-mdns",
            "--api",
            "127.0.0.1:0",
        ];
        let listen = ["--listen", "/ip4/127.0.0.1/tcp/0"];
        let ended = self.run(&[&args[..], &listen, more].concat()).await;
        assert_eq!(ended.code, 0, "{ended:?}");
        ended.json()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        for file in nodes(self.path()) {
            let text = std::fs::read_to_string(file).unwrap_or_default();
            let file: Value = serde_json::from_str(&text).unwrap_or_default();
            if let Some(pid) = file["pid"].as_u64() {
                let _ = std::process::Command::new("kill")
                    .arg(pid.to_string())
                    .status();
            }
        }
    }
}

fn nodes(home: &Path) -> Vec<PathBuf> {
    let folders = std::fs::read_dir(home.join("nodes")).into_iter().flatten();
    let files = folders.map(|folder| folder.unwrap().path().join("node.json"));
    files.filter(|file| file.exists()).collect()
}

#[tokio::test]
async fn a_node_runs_in_the_background_until_it_is_told() {
    let home = Home::new();
    let up = home.up(&["--name", "ann"]).await;
    assert_eq!(up["name"], "ann");
    let status = home.run(&["status", "--json"]).await.json();
    assert_eq!(status["pid"], up["pid"]);
    assert!(
        status["api"]
            .as_str()
            .unwrap()
            .starts_with("http://127.0.0.1:")
    );
    let again = home.run(&["up", "--name", "ann", "--json"]).await;
    assert_eq!(
        (again.code, again.json()["code"].clone()),
        (1, json!("already_running"))
    );

    let down = home.run(&["down"]).await;
    assert_eq!((down.code, down.out.as_str()), (0, "ann has stopped\n"));
    assert_eq!(nodes(home.path()), Vec::<PathBuf>::new());
    assert_eq!(home.run(&["down"]).await.code, 2);

    let same = home.up(&["--name", "ann"]).await;
    assert_eq!(same["peer_id"], up["peer_id"], "the key stays");
}

#[tokio::test]
async fn why_a_node_did_not_start_is_told() {
    let home = Home::new();
    let args = [
        "up",
        "--detach",
        "--no-mdns",
        "--api",
        "192.0.2.1:1",
        "--json",
    ];
    let ended = home.run(&args).await;
    assert_eq!(ended.code, 2, "{ended:?}");
    assert_eq!(ended.json()["code"], "api_unusable");
}

#[tokio::test]
async fn a_stranger_joins_while_it_is_not_running_and_calls() {
    let (one, other) = (Home::new(), Home::new());
    let toolbox = format!("box={} toolbox", env!("CARGO_BIN_EXE_peerage"));
    one.up(&["--name", "ann", "--share", &toolbox]).await;
    let invite = one.run(&["invite"]).await.out;

    let joined = other
        .run(&["join", invite.trim(), "--name", "bob", "--json"])
        .await;
    assert_eq!(joined.code, 0, "{joined:?}");
    assert!(
        joined.json()["name"].as_str().unwrap().ends_with("/bob"),
        "{joined:?}"
    );
    let used = Home::new();
    let used = used.run(&["join", invite.trim(), "--json"]).await;
    assert_eq!(used.code, 1, "{used:?}");

    other.up(&["--name", "bob"]).await;
    let end = Instant::now() + WITHIN;
    let call = ["call", "ann/box/echo", "text=12"];
    let called = loop {
        let called = other.run(&call).await;
        if called.code == 0 || Instant::now() > end {
            break called;
        }
        sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(
        (called.code, called.out.as_str()),
        (0, "12\n"),
        "{called:?}"
    );
    let listed = other.run(&["tools", "--json"]).await.json();
    let names: Vec<_> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|tool| tool["tool"].clone())
        .collect();
    assert!(names.contains(&json!("echo")), "{listed}");
}

#[tokio::test]
async fn mcp_starts_a_node_if_none_runs() {
    let home = Home::new();
    let config =
        "name = 'ann'\napi = '127.0.0.1:0'\nmdns = false\nlisten = ['/ip4/127.0.0.1/tcp/0']\n";
    let share = format!(
        "[shares.box]\ncommand = '{} toolbox'\n",
        env!("CARGO_BIN_EXE_peerage")
    );
    std::fs::write(home.path().join("peerage.toml"), format!("{config}{share}")).unwrap();
    let child = TokioChildProcess::new(program(home.path()).configure(|command| {
        command.arg("mcp");
    }));
    let client = timeout(WITHIN, ().serve(child.unwrap()))
        .await
        .unwrap()
        .unwrap();
    let end = Instant::now() + WITHIN;
    let echo = loop {
        let tools = client.list_all_tools().await.unwrap();
        let echo = tools.into_iter().find(|tool| tool.name.ends_with("echo"));
        match echo {
            Some(echo) => break echo,
            None => assert!(Instant::now() < end, "the node's own share is never listed"),
        }
        sleep(Duration::from_millis(50)).await;
    };
    let arguments = json!({ "text": "hi" }).as_object().unwrap().clone();
    let call = CallToolRequestParams::new(echo.name).with_arguments(arguments);
    let answer = serde_json::to_value(client.call_tool(call).await.unwrap()).unwrap();
    assert_eq!(answer["content"][0]["text"], "hi");
    client.cancel().await.unwrap();
    assert_eq!(
        home.run(&["status", "--json"]).await.json()["name"],
        "ann",
        "the node stays"
    );
}

#[tokio::test]
async fn a_node_in_the_foreground_ends_on_a_signal() {
    let home = Home::new();
    let args = [
        "up",
        "--json",
        "--no-mdns",
        "--api",
        "127.0.0.1:0",
        "--listen",
        "/ip4/127.0.0.1/tcp/0",
    ];
    for signal in ["-INT", "-TERM", "-HUP"] {
        let child = program(home.path()).args(args).spawn().unwrap();
        let pid = child.id().unwrap().to_string();
        let end = Instant::now() + WITHIN;
        while nodes(home.path()).is_empty() {
            assert!(Instant::now() < end, "it never answers");
            sleep(Duration::from_millis(20)).await;
        }
        assert!(
            std::process::Command::new("kill")
                .args([signal, &pid])
                .status()
                .unwrap()
                .success()
        );
        let ended = timeout(WITHIN, child.wait_with_output())
            .await
            .expect("it ends")
            .unwrap();
        assert_eq!(ended.status.code(), Some(0), "{signal} {ended:?}");
        let status: Value = serde_json::from_slice(&ended.stdout).unwrap();
        assert!(status["did"].as_str().unwrap().starts_with("did:key:z6Mk"));
        assert!(nodes(home.path()).is_empty());
    }
}
