//! One long transfer through a call.

use anyhow::Result;

use super::{Options, everybody, figures};
use crate::table::{Line, Rounds, Target::AtLeast, Unit::Throughput};

/// How much.
const MIB: u64 = 1024;
/// Who takes turns, in what way, and in which direction.
const WAYS: [(&str, &str, &str); 13] = [
    ("tcp", "bare", "receive"),
    ("tcp", "call", "receive"),
    ("quic", "bare", "receive"),
    ("quic", "call", "receive"),
    ("iroh", "stream", "receive"),
    ("https", "request", "receive"),
    ("tcp", "bare", "send"),
    ("tcp", "call", "send"),
    ("quic", "bare", "send"),
    ("quic", "call", "send"),
    ("iroh", "stream", "send"),
    ("https", "request", "send"),
    ("nats", "chunks", "send"),
];

/// Measures.
pub(super) async fn run(options: &Options) -> Result<Vec<Line>> {
    let mut all = everybody(&["iroh", "https", "nats"], options.one_cpu).await?;
    let mut rounds = Rounds::default();
    for round in 0..options.few() {
        let mut order = WAYS;
        order.rotate_left(round * 5 % WAYS.len());
        for (who, way, direction) in order {
            let order = format!("{direction} {way} {}", MIB << 20);
            let took = figures(&mut all, who, &order).await?;
            if let Some([seconds]) = took.as_deref() {
                #[expect(clippy::cast_precision_loss, reason = "it is a small number")]
                rounds.add(format!("{who} {way} {direction}"), MIB as f64 / seconds);
            }
        }
    }
    let mut lines = Vec::new();
    for (direction, what) in [
        ("receive", "1 GiB in an answer"),
        ("send", "1 GiB in a request"),
    ] {
        for (who, name) in [("tcp", "TCP"), ("quic", "QUIC")] {
            let call = format!("{who} call {direction}");
            let mut beside = |other: &str, target| {
                let other = format!("{other} {direction}");
                let what = format!("{what}, {name}");
                lines.push(rounds.beside(&what, Throughput, [&call, &other], target));
            };
            beside(&format!("{who} bare"), Some(AtLeast(0.9)));
            beside("iroh stream", None);
            if who == "tcp" {
                beside("https request", None);
            }
            if who == "tcp" && direction == "send" {
                beside("nats chunks", None);
            }
        }
    }
    Ok(lines)
}
