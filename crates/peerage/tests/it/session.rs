//! `peerage mcp`: standard input and output are a session with the node.

use std::time::Duration;

use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    time::timeout,
};

use super::{
    fake::FakeNode,
    program::{program, typed},
};

#[tokio::test]
async fn every_line_goes_through_at_once() {
    let node = FakeNode::start().await;
    let mut child = program(node.home.path()).arg("mcp").spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let long = format!("{{\"long\":\"{}\"}}", "x".repeat(1_000_000));
    for line in ["{\"id\":1}", "not even JSON", &long] {
        let sent = format!("{line}\n");
        // The answer to a long line begins before the line ends.
        let both = async { tokio::join!(stdin.write_all(sent.as_bytes()), lines.next_line()) };
        let (sent, answer) = timeout(Duration::from_secs(10), both)
            .await
            .expect("it answers");
        sent.unwrap();
        assert_eq!(answer.unwrap().as_deref(), Some(line));
    }
    drop(stdin);
    assert_eq!(
        lines.next_line().await.unwrap().as_deref(),
        Some("{\"last\":true}")
    );
    assert_eq!(lines.next_line().await.unwrap(), None);
    let ended = timeout(Duration::from_secs(10), child.wait())
        .await
        .expect("it ends");
    assert!(ended.unwrap().success());
}

#[tokio::test]
async fn answers_are_waited_for_after_the_last_question() {
    let node = FakeNode::start().await;
    let ended = typed(node.home.path(), &["mcp"], "{\"id\":1}\n").await;
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
    assert_eq!(ended.out, "{\"id\":1}\n{\"last\":true}\n");
}

#[tokio::test]
async fn a_node_that_goes_ends_the_session_with_a_reason() {
    let node = FakeNode::start().await;
    let mut child = program(node.home.path()).arg("mcp").spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    stdin.write_all(b"{}\n").await.unwrap();
    assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("{}"));
    drop(node);
    let ended = timeout(Duration::from_secs(10), child.wait_with_output()).await;
    let ended = ended.expect("it does not wait for standard input").unwrap();
    assert_eq!(ended.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&ended.stderr).contains("[node_gone]"));
}
