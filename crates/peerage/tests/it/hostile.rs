//! Hostile programs against a node that runs as a process of its own: its memory and its open files stay
//! bounded, its status says what it refused, and it does its work meanwhile.

use std::{fs, time::Duration};

use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, timeout},
};

use super::running::{Place, Running, WITHIN};

/// Open files that a node may need beyond those at rest: those of half-open connections (128), and some
/// for connections that are just being refused.
const MORE_FILES: usize = 128 + 64;
/// KiB of memory that it may need beyond.
const MORE_MEMORY: u64 = 96 * 1024;

/// What the system knows of a process.
struct Process(u64);

impl Process {
    fn of(node: &Running) -> Self {
        Self(node.status["pid"].as_u64().unwrap())
    }

    fn files(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.0))
            .unwrap()
            .count()
    }

    fn memory_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0)).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let number = line.unwrap().split_whitespace().nth(1).unwrap();
        number.parse().unwrap()
    }
}

/// Where it listens, for a plain socket.
fn socket(node: &Running) -> String {
    let parts: Vec<_> = node.address().split('/').collect();
    format!("{}:{}", parts[2], parts[4])
}

fn refused(status: &Value, cause: &str) -> u64 {
    status["limits"]["refused"][cause]
        .as_u64()
        .unwrap_or_default()
}

/// `bob` is a member of the mesh of `ann` and connected with it.
async fn members(folder: &std::path::Path, listen: &str) -> (Place, Running, Place, Running) {
    let (mut ann, mut bob) = (Place::new(folder, "ann"), Place::new(folder, "bob"));
    ann.listen_at(listen);
    bob.listen_at(listen);
    let a = ann.start(&[]).await;
    let b = bob.start(&[]).await;
    let invite = ann.json(&["invite"]).await;
    bob.json(&["join", invite["code"].as_str().unwrap()]).await;
    let id = b.peer_id().to_owned();
    ann.until(&["peers"], |peers| {
        let mut peers = peers.as_array().unwrap().iter();
        peers.any(|peer| peer["peer_id"] == id.as_str() && peer["connected"] == true)
    })
    .await;
    (ann, a, bob, b)
}

/// Connections with garbage, every second one with the right beginning.
async fn garbage(at: &str) {
    let mut random = StdRng::seed_from_u64(7);
    for round in 0..200 {
        let Ok(mut stream) = TcpStream::connect(at).await else {
            continue;
        };
        let mut garbage = vec![0; 4096];
        random.fill_bytes(&mut garbage);
        if round % 2 == 0 {
            let _ = stream
                .write_all(b"\x13/multistream/1.0.0\n\x07/noise\n")
                .await;
        }
        let _ = stream.write_all(&garbage).await;
        let mut answer = Vec::new();
        let _ = timeout(Duration::from_millis(20), stream.read_to_end(&mut answer)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_open_dials_garbage_and_churn_are_bounded_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let (ann, a, bob, b) = members(folder.path(), "/ip4/127.0.0.1/tcp/0").await;
    let (process, at) = (Process::of(&a), socket(&a));
    let (files, memory) = (process.files(), process.memory_kib());
    let bounded = || {
        let (now, used) = (process.files(), process.memory_kib());
        assert!(now <= files + MORE_FILES, "{now} files after {files}");
        assert!(used <= memory + MORE_MEMORY, "{used} KiB after {memory}");
    };

    // Half-open: connections on which nothing is ever said.
    let mut held = Vec::new();
    for _ in 0..400 {
        held.extend(TcpStream::connect(&at).await);
    }
    let status = ann
        .until(&["status"], |status| {
            refused(status, "half_open") + refused(status, "connection_rate") >= 200
        })
        .await;
    assert!(
        status["limits"]["half_open"].as_u64().unwrap() <= 128,
        "{status}"
    );
    bounded();
    bob.json(&["ping", a.peer_id(), "--count", "3"]).await;
    drop(held);

    garbage(&at).await;
    bounded();

    // Churn.
    for _ in 0..3_000 {
        drop(TcpStream::connect(&at).await);
    }
    let status = ann
        .until(&["status"], |status| {
            refused(status, "connection_rate") >= 1_000
        })
        .await;
    assert_eq!(status["peers"]["connected"], 1, "{status}");
    bounded();
    bob.json(&["ping", a.peer_id(), "--count", "3"]).await;
    let text = ann.run(&["status"]).await.out;
    assert!(
        text.contains("connection_rate") && text.contains("connections"),
        "{text}"
    );

    // What was being made is given up in time.
    ann.until(&["status"], |status| status["limits"]["half_open"] == 0)
        .await;
    assert!(
        process.files() <= files + 8,
        "{} files after {files}",
        process.files()
    );
    a.kill().await;
    b.kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_stands_still_is_noticed_in_time() {
    for listen in ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"] {
        let folder = tempfile::tempdir().unwrap();
        let (ann, a, _bob, b) = members(folder.path(), listen).await;
        // Its machine still takes what is sent, and nobody answers.
        b.signal("STOP").await;
        let stopped = Instant::now();
        ann.until(&["status"], |status| status["peers"]["connected"] == 0)
            .await;
        let noticed = stopped.elapsed();
        assert!(
            noticed < Duration::from_secs(15),
            "{listen}: after {noticed:?}"
        );
        b.signal("CONT").await;
        // It comes back by itself.
        ann.until(&["status"], |status| status["peers"]["connected"] == 1)
            .await;
        assert!(stopped.elapsed() < WITHIN * 2);
        a.kill().await;
        b.kill().await;
    }
}
