//! What needs no node: help, completions, configuration, errors and exit codes.

use super::program::{peerage, typed};

#[tokio::test]
async fn help_and_version_are_no_errors() {
    let home = tempfile::tempdir().unwrap();
    for args in [
        &["--help"][..],
        &["help", "up"],
        &["--version"],
        &["call", "--help", "--json"],
    ] {
        let ended = peerage(home.path(), args).await;
        assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{args:?}");
        assert!(ended.out.contains("peerage"));
    }
    let nothing = peerage(home.path(), &[]).await;
    assert_eq!(nothing.code, 2);
    assert!(nothing.err.contains("Usage"), "{nothing:?}");
}

#[tokio::test]
async fn what_is_wrongly_typed_ends_in_2_and_is_json_if_wanted() {
    let home = tempfile::tempdir().unwrap();
    let ended = peerage(home.path(), &["stauts"]).await;
    assert_eq!((ended.code, ended.out.as_str()), (2, ""));
    assert!(
        ended.err.contains("status"),
        "the near command is named: {ended:?}"
    );

    let ended = peerage(home.path(), &["ping", "--json"]).await;
    assert_eq!((ended.code, ended.err.as_str()), (2, ""));
    assert_eq!(ended.json()["code"], "usage");
    assert_eq!(ended.json()["status"], 400);
}

#[tokio::test]
async fn without_a_node_commands_say_how_to_start_one() {
    let home = tempfile::tempdir().unwrap();
    for args in [
        &["status"][..],
        &["peers"],
        &["tools"],
        &["card"],
        &["share"],
        &["share", "a=b"],
        &["unshare", "a"],
        &["invite"],
        &["trust", "ann"],
        &["untrust", "ann"],
        &["ping", "ann"],
        &["resolve", "o://acme"],
        &["call", "a/b/c", "x=1"],
        &["down"],
    ] {
        let text = peerage(home.path(), args).await;
        assert_eq!((text.code, text.out.as_str()), (2, ""), "{args:?}");
        assert!(
            text.err
                .contains("error: no node is running [node_not_running]"),
            "{text:?}"
        );
        assert!(text.err.contains("hint: start one: peerage up"), "{text:?}");
        let json = peerage(home.path(), &[args, &["--json"]].concat()).await;
        assert_eq!((json.code, json.err.as_str()), (2, ""), "{args:?}");
        assert_eq!(json.json()["code"], "node_not_running");
        assert_eq!(json.json()["hint"], "start one: peerage up");
    }
    let named = peerage(home.path(), &["status", "--name", "ann"]).await;
    assert!(
        named.err.contains("hint: start it: peerage up --name ann"),
        "{named:?}"
    );
}

#[tokio::test]
async fn what_a_killed_node_left_is_no_node() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("nodes/ann");
    std::fs::create_dir_all(&folder).unwrap();
    let file = serde_json::json!({
        "pid": 999_999_999, "name": "ann", "api": "http://127.0.0.1:9", "token_file": "none",
        "socket": folder.join("node.sock"), "started": "2026-01-01T00:00:00Z"
    });
    std::fs::write(folder.join("node.json"), file.to_string()).unwrap();
    std::fs::create_dir_all(home.path().join("nodes/broken")).unwrap();
    std::fs::write(home.path().join("nodes/broken/node.json"), "{").unwrap();
    let ended = peerage(home.path(), &["status", "--json"]).await;
    assert_eq!(ended.json()["code"], "node_not_running");
}

#[tokio::test]
async fn config_show_says_where_each_value_came_from() {
    let home = tempfile::tempdir().unwrap();
    let text = "name = 'ann'\n[shares.files]\ncommand = 'server --token secret'\n";
    std::fs::write(home.path().join("peerage.toml"), text).unwrap();
    let json = peerage(home.path(), &["config", "show", "--json", "--name", "bob"]).await;
    assert_eq!(json.code, 0, "{json:?}");
    let document = json.json();
    let setting = |key: &str| {
        let settings = document["settings"].as_array().unwrap();
        settings
            .iter()
            .find(|setting| setting["key"] == key)
            .unwrap()
            .clone()
    };
    assert_eq!(setting("name")["value"], "bob");
    assert_eq!(setting("name")["origin"], "--name");
    assert_eq!(setting("api")["value"], "127.0.0.1:7337");
    assert_eq!(setting("api")["origin"], "default");
    let file = home.path().join("peerage.toml");
    assert_eq!(
        setting("shares.files")["origin"],
        format!("{}:2", file.display())
    );
    assert_eq!(document["file"], file.to_str().unwrap());

    let table = peerage(home.path(), &["config", "show"]).await;
    assert!(table.out.contains("shares.files"), "{table:?}");
    assert!(!table.out.contains("secret") && !json.out.contains("secret"));
    assert!(
        !table.out.contains('\u{1b}'),
        "no colours without a terminal"
    );
}

#[tokio::test]
async fn a_wrong_configuration_is_told_before_anything_starts() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("peerage.toml"), "\nmdsn = true\n").unwrap();
    for args in [
        &["config", "show"][..],
        &["up"],
        &["up", "--detach"],
        &["mcp"],
    ] {
        let ended = peerage(home.path(), args).await;
        assert_eq!((ended.code, ended.out.as_str()), (2, ""), "{args:?}");
        assert!(
            ended.err.contains("peerage.toml:2: unknown key `mdsn`"),
            "{ended:?}"
        );
        assert!(
            ended.err.contains("hint: did you mean `mdns`?"),
            "{ended:?}"
        );
    }
    let json = peerage(home.path(), &["up", "--json"]).await;
    assert_eq!(json.json()["code"], "config_unknown_key");
    assert!(!home.path().join("nodes").exists());
}

#[tokio::test]
async fn a_guessable_seed_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let seed = home.path().join("seed");
    std::fs::write(&seed, "correct horse battery staple").unwrap();
    let ended = peerage(
        home.path(),
        &["up", "--json", "--seed-file", seed.to_str().unwrap()],
    )
    .await;
    assert_eq!(ended.code, 2);
    assert_eq!(ended.json()["code"], "seed_guessable");
    assert!(!ended.out.contains("horse"));
}

#[tokio::test]
async fn completions_are_written_for_every_shell() {
    let home = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ended = peerage(home.path(), &["completions", shell]).await;
        assert_eq!(ended.code, 0);
        assert!(ended.out.contains("unshare"), "{shell}");
    }
    let json = peerage(home.path(), &["completions", "bash", "--json"])
        .await
        .json();
    assert_eq!(json["shell"], "bash");
    let unknown = peerage(home.path(), &["completions", "cmd"]).await;
    assert_eq!(unknown.code, 2);
}

#[tokio::test]
async fn arguments_are_checked_before_a_code_is_used() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("peerage.toml"), "oops").unwrap();
    let ended = typed(home.path(), &["join", "-", "--json"], "CODE\n").await;
    assert_eq!(ended.code, 2);
    assert_eq!(ended.json()["code"], "config_invalid");
}
