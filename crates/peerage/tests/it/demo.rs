//! `peerage demo`: the first command anyone types.

use std::{path::Path, process::Stdio, time::Duration};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    time::{Instant, timeout},
};

use super::program::program;

/// How long the demo may take.
const WITHIN: Duration = Duration::from_secs(10);

fn left(folder: &Path) -> Vec<std::ffi::OsString> {
    std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect()
}

/// Processes of this program that know the folder.
fn processes(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let lines = entries.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    lines
        .filter(|line| line.contains(folder.to_str().unwrap()))
        .collect()
}

#[tokio::test]
async fn it_works_and_leaves_nothing_behind() {
    let folder = tempfile::Builder::new().prefix("pg").tempdir().unwrap();
    let started = Instant::now();
    let mut command = program(folder.path());
    let command = command
        .args(["demo", "--json"])
        .env("TMPDIR", folder.path());
    let ended = command.output().await.unwrap();
    assert!(started.elapsed() < WITHIN, "{:?}", started.elapsed());
    let report: Value = serde_json::from_slice(&ended.stdout).unwrap();
    assert_eq!(report["ok"], true, "{report}");
    assert!(
        ended.status.success() && ended.stderr.is_empty(),
        "{ended:?}"
    );
    let names: Vec<_> = report["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["name"].as_str().unwrap())
        .collect();
    let expected = [
        "start", "discover", "invite", "join", "tools", "call", "call", "call", "call", "clean up",
    ];
    assert_eq!(names, expected, "{report}");
    assert!(report["steps"][0]["ms"].is_u64());
    assert!(report["next"].as_array().unwrap().len() > 3);
    assert_eq!(left(folder.path()), Vec::<std::ffi::OsString>::new());
    assert_eq!(processes(folder.path()), Vec::<String>::new());
}

#[tokio::test]
async fn interrupted_it_cleans_up_too() {
    for (signal, steps) in [("-INT", 0), ("-INT", 1), ("-TERM", 2), ("-TERM", 4)] {
        let folder = tempfile::Builder::new().prefix("pg").tempdir().unwrap();
        let mut command = program(folder.path());
        command
            .arg("demo")
            .env("TMPDIR", folder.path())
            .stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        for _ in 0..steps {
            lines.next_line().await.unwrap().expect("a step");
        }
        if steps == 0 {
            until_something_is_in(folder.path()).await;
        }
        let pid = child.id().unwrap().to_string();
        assert!(
            std::process::Command::new("kill")
                .args([signal, &pid])
                .status()
                .unwrap()
                .success()
        );
        let ended = timeout(WITHIN, child.wait())
            .await
            .expect("it ends")
            .unwrap();
        assert_eq!(ended.code(), Some(130), "after {steps} steps");
        assert_eq!(left(folder.path()), Vec::<std::ffi::OsString>::new());
        assert_eq!(processes(folder.path()), Vec::<String>::new());
    }
}

#[tokio::test]
async fn killed_it_leaves_no_process_behind() {
    let folder = tempfile::Builder::new().prefix("pg").tempdir().unwrap();
    let mut command = program(folder.path());
    command
        .arg("demo")
        .env("TMPDIR", folder.path())
        .stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines.next_line().await.unwrap().expect("both nodes are up");
    assert!(!processes(folder.path()).is_empty());
    child.kill().await.unwrap();
    let end = Instant::now() + WITHIN;
    while !processes(folder.path()).is_empty() {
        assert!(Instant::now() < end, "{:?}", processes(folder.path()));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn until_something_is_in(folder: &Path) {
    let end = Instant::now() + WITHIN;
    while left(folder).is_empty() && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
