//! `peerage demo`, interrupted at any step, leaves nothing behind: no process, no file.

use std::{path::Path, process::Stdio};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    process::Command,
    time::timeout,
};

use super::{
    program::program,
    running::{WITHIN, mark, none_left, send},
};

/// The demo, with its temporary files in a folder of the test's own.
fn demo(folder: &Path) -> Command {
    let mut command = program(&folder.join("home"));
    command
        .arg("demo")
        .env("TMPDIR", folder)
        .stdin(Stdio::null());
    mark(&mut command, &folder.display().to_string());
    command
}

async fn nothing_left(folder: &Path) {
    none_left(&folder.display().to_string()).await;
    let left: Vec<_> = std::fs::read_dir(folder).unwrap().flatten().collect();
    assert!(left.is_empty(), "{left:?}");
}

/// Interrupts the demo when it has told of so many steps.
async fn interrupted(signal: &str, after: usize) {
    let folder = tempfile::tempdir().unwrap();
    let mut child = demo(folder.path()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for _ in 0..after {
        let line = timeout(WITHIN, lines.next_line()).await.expect("a step");
        assert!(
            line.unwrap().is_some(),
            "the demo ended before step {after}"
        );
    }
    send(&child, signal).await;
    let mut rest = Vec::new();
    let ended = async {
        lines.into_inner().read_to_end(&mut rest).await.unwrap();
        child.wait().await.unwrap()
    };
    let status = timeout(WITHIN, ended).await.expect("it ends");
    assert!(!status.success(), "{signal} after {after}: {status}");
    nothing_left(folder.path()).await;
}

#[tokio::test]
async fn interrupted_at_any_step_it_leaves_nothing_behind() {
    for (signal, after) in [
        ("INT", 1),
        ("TERM", 2),
        ("INT", 3),
        ("TERM", 4),
        ("INT", 6),
        ("HUP", 7),
    ] {
        interrupted(signal, after).await;
    }
}

/// Before its first step there is nothing to wait for: the nodes are being started.
#[tokio::test]
async fn interrupted_while_the_nodes_start_it_leaves_nothing_behind() {
    for signal in ["INT", "TERM"] {
        let folder = tempfile::tempdir().unwrap();
        let mut child = demo(folder.path()).spawn().unwrap();
        let begun = || std::fs::read_dir(folder.path()).unwrap().next().is_some();
        super::running::until_true("it has begun", begun)
            .await
            .unwrap();
        send(&child, signal).await;
        let status = timeout(WITHIN, child.wait())
            .await
            .expect("it ends")
            .unwrap();
        assert!(!status.success());
        nothing_left(folder.path()).await;
    }
}
