//! Killed with SIGKILL at any moment, a node starts again with all that it had acknowledged, and no child
//! is left behind.

use std::time::Duration;

use peerage_core::Identity;
use serde_json::Value;
use tokio::time::timeout;

use super::running::{Place, Running, WITHIN, hanging, toolbox, until_true};

/// How soon a node that was killed and is back is reached; less than its silence takes to be noticed.
const BACK: Duration = Duration::from_secs(9);

/// The names of the shares in a status that are ready.
fn ready(status: &Value) -> Vec<&str> {
    let shares = status["shares"].as_array().unwrap().iter();
    shares
        .filter(|share| share["state"] == "ready")
        .filter_map(|share| share["name"].as_str())
        .collect()
}

/// Lets `b` join the mesh of `a`, and returns the name it got.
async fn join(a: &Place, b: &Place) -> String {
    let invite = a.json(&["invite"]).await;
    let joined = b.json(&["join", invite["code"].as_str().unwrap()]).await;
    joined["name"].as_str().unwrap().to_owned()
}

async fn members(a: &Place, b: &Running) {
    a.until(&["peers"], |peers| {
        peers.as_array().unwrap().iter().any(|peer| {
            peer["peer_id"] == b.peer_id()
                && peer["relation"] == "member"
                && peer["connected"] == true
        })
    })
    .await;
}

#[tokio::test]
async fn while_it_starts_it_can_be_killed_at_each_step() {
    let share = toolbox("box");
    for step in [
        "",
        "mesh",
        "identity.key",
        "store.redb",
        "api.token",
        "node.sock",
        "node.json",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mut place = Place::new(folder.path(), "ann");
        let mut child = place.up(&["--share", &share]).spawn().unwrap();
        let file = match step {
            "" => folder.path().to_owned(),
            "mesh" => place.home().join("mesh/root.json"),
            file => place.folder().join(file),
        };
        until_true(step, || file.exists()).await.unwrap();
        child.kill().await.unwrap();
        place.none_left().await;

        let key = std::fs::read(place.folder().join("identity.key")).ok();
        let node = place.start(&[]).await;
        let id = node.peer_id().to_owned();
        if let Some(key) = key {
            let key = Identity::from_secret(key.try_into().unwrap());
            assert_eq!(id, key.peer_id().to_base58(), "killed at {step}");
        }
        assert_eq!(place.json(&["status"]).await["pid"], node.status["pid"]);
        if step == "node.json" {
            // It had said that it was up, so what was said on its command line is shared.
            place
                .until(&["status"], |status| ready(status) == ["box"])
                .await;
        }
        node.kill().await;
        let node = place.start(&[]).await;
        assert_eq!(node.peer_id(), id);
        assert!(node.terminate().await.success());
        place.none_left().await;
    }
}

#[tokio::test]
async fn right_after_a_share_it_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let mut place = Place::new(folder.path(), "ann");
    let node = place.start(&[]).await;
    let id = node.peer_id().to_owned();
    place.json(&["share", &toolbox("box")]).await;
    node.kill().await;
    place.none_left().await;

    let node = place.start(&[]).await;
    assert_eq!(node.peer_id(), id);
    place
        .until(&["status"], |status| ready(status) == ["box"])
        .await;
    place.json(&["unshare", "box"]).await;
    node.kill().await;
    let node = place.start(&[]).await;
    assert_eq!(node.status["shares"], serde_json::json!([]));
    node.kill().await;
    place.none_left().await;
}

#[tokio::test]
async fn right_after_a_join_both_are_still_members() {
    let folder = tempfile::tempdir().unwrap();
    let (mut ann, mut bob) = (
        Place::new(folder.path(), "ann"),
        Place::new(folder.path(), "bob"),
    );
    let a = ann.start(&["--share", &toolbox("box")]).await;
    let b = bob.start(&[]).await;
    let name = join(&ann, &bob).await;
    tokio::join!(a.kill(), b.kill());

    // Nobody tells them of each other: they know.
    let (a, b) = (ann.start(&[]).await, bob.start(&[]).await);
    let names = b.status["mesh"]["member_of"].as_array().unwrap();
    assert!(names.contains(&Value::String(name.clone())), "{names:?}");
    members(&bob, &a).await;
    members(&ann, &b).await;
    let listed = |tools: &Value| tools.as_array().unwrap().iter().any(|t| t["peer"] == "ann");
    bob.until(&["tools"], listed).await;
    let echo = bob.json(&["call", "ann/box/echo", "text=still here"]).await;
    assert_eq!(echo["content"][0]["text"], "still here");

    // What was used is known, too.
    a.kill().await;
    let a = ann.start(&[]).await;
    assert_eq!(join(&ann, &bob).await, name, "the same key keeps its name");
    a.kill().await;
    b.kill().await;
    ann.none_left().await;
    bob.none_left().await;
}

#[tokio::test]
async fn a_used_invitation_stays_used() {
    let folder = tempfile::tempdir().unwrap();
    let [mut ann, mut bob, mut eve] = ["ann", "bob", "eve"].map(|n| Place::new(folder.path(), n));
    let a = ann.start(&[]).await;
    let (b, e) = (bob.start(&[]).await, eve.start(&[]).await);
    let invite = ann.json(&["invite"]).await;
    let code = invite["code"].as_str().unwrap();
    bob.json(&["join", code]).await;
    a.kill().await;
    let a = ann.start(&[]).await;
    let refused = eve.run(&["join", code, "--json"]).await;
    assert_eq!(
        (refused.code, &refused.json()["code"]),
        (1, &"invite_used".into())
    );
    for node in [a, b, e] {
        node.kill().await;
    }
}

#[tokio::test]
async fn during_a_call_the_caller_is_told_and_no_child_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let (mut ann, mut bob) = (
        Place::new(folder.path(), "ann"),
        Place::new(folder.path(), "bob"),
    );
    let command = hanging(folder.path());
    let share = format!("slow={command}");
    let a = ann.start(&["--share", &share]).await;
    let b = bob.start(&[]).await;
    join(&ann, &bob).await;
    let calling = bob.run(&["call", "ann/slow/hang", "{}", "--json"]);
    let killing = async {
        let hangs = folder.path().join("hanging.sh.hangs");
        until_true("the tool hangs", || hangs.exists())
            .await
            .unwrap();
        let before = ann.processes();
        assert!(
            before.iter().any(|line| line.contains("sleep 1000")),
            "{before:?}"
        );
        a.kill().await;
    };
    let (called, ()) = timeout(WITHIN, async { tokio::join!(calling, killing) })
        .await
        .expect("the caller is told at once, not when its deadline is over");
    assert_eq!(called.code, 2, "{called:?}");
    assert_eq!(called.json()["status"], 502, "{called:?}");
    assert!(called.json()["hint"].is_string(), "{called:?}");
    // It and what it started were deaf to SIGTERM, and are gone all the same.
    ann.none_left().await;

    let a = ann.start(&[]).await;
    ann.until(&["status"], |status| ready(status) == ["slow"])
        .await;
    members(&bob, &a).await;
    a.kill().await;
    b.kill().await;
    ann.none_left().await;
}

#[tokio::test]
async fn a_node_that_is_asked_to_end_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut place = Place::new(folder.path(), "ann");
    let share = toolbox("box");
    for down in [true, false] {
        let node = place.start(&["--share", &share]).await;
        place
            .until(&["status"], |status| ready(status) == ["box"])
            .await;
        place.json(&["call", "self/box/echo", "text=x"]).await;
        assert!(
            place.processes().len() > 1,
            "the node and the child of its session"
        );
        if down {
            place.json(&["down"]).await;
            drop(node);
        } else {
            assert!(node.terminate().await.success());
        }
        place.none_left().await;
        assert!(!place.folder().join("node.json").exists());
        assert!(!place.folder().join("node.sock").exists());
        assert_eq!(place.run(&["status"]).await.code, 2);
    }
}

#[tokio::test]
async fn two_nodes_of_one_name_do_not_run_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut place = Place::new(folder.path(), "ann");
    let node = place.start(&[]).await;
    let second = place.up(&[]).output().await.unwrap();
    assert_eq!(second.status.code(), Some(1));
    let problem: Value = serde_json::from_slice(&second.stdout).unwrap();
    assert_eq!(problem["code"], "already_running");
    // The first one is still reached.
    assert_eq!(place.json(&["status"]).await["pid"], node.status["pid"]);
    node.kill().await;
}

#[tokio::test]
async fn peers_that_were_given_by_address_are_known_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let (mut ann, mut bob) = (
        Place::new(folder.path(), "ann"),
        Place::new(folder.path(), "bob"),
    );
    let a = ann.start(&[]).await;
    let b = bob.start(&["--peer", a.address()]).await;
    bob.until(&["peers"], |peers| {
        peers[0]["connected"] == true && peers[0]["name"] == "ann"
    })
    .await;
    let trusted = ann.json(&["trust", b.peer_id()]).await;
    assert_eq!(trusted["trusted"], true);
    a.kill().await;
    let a = ann.start(&[]).await;
    let relation =
        |peers: &Value| peers[0]["relation"] == "trusted" && peers[0]["connected"] == true;
    ann.until(&["peers"], relation).await;
    a.kill().await;
    b.kill().await;
}

/// Over QUIC nobody says that a killed node is gone. It has made a connection of its own long before the
/// silence of the old one is noticed, which is used from then on, whoever of the two would dial first.
#[tokio::test]
async fn over_quic_a_node_that_is_back_is_reached_before_its_silence_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let [mut ann, mut bob] = ["ann", "bob"].map(|n| Place::new(folder.path(), n));
    for place in [&mut ann, &mut bob] {
        place.listen_at("/ip4/127.0.0.1/udp/0/quic-v1");
    }
    let a = ann.start(&["--share", &toolbox("box")]).await;
    let b = bob.start(&[]).await;
    join(&ann, &bob).await;
    members(&ann, &b).await;
    // Six seconds, so that no two connections are taken for dialled at the same moment.
    bob.json(&["ping", "ann", "--count", "30"]).await;
    bob.json(&["call", "ann/box/echo", "text=before"]).await;

    a.kill().await;
    let a = ann.start(&[]).await;
    let back = async {
        members(&ann, &b).await;
        bob.json(&["call", "ann/box/echo", "text=back"]).await
    };
    let echo = timeout(BACK, back).await.expect("it is reached");
    assert_eq!(echo["content"][0]["text"], "back");
    for (node, place) in [(a, &ann), (b, &bob)] {
        node.kill().await;
        place.none_left().await;
    }
}
