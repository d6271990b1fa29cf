//! Small calls: warm ones, one after the other, and many in flight.

use std::collections::BTreeMap;

use anyhow::Result;

use super::{Options, add_quantiles, everybody, figures};
use crate::table::{
    Line, Rounds,
    Target::{AtLeast, AtMost},
    Unit::{Micros, PerSecond},
};

/// Calls in one way before it is the next one's turn: short, so that what the machine does meanwhile falls
/// on all.
const TURN: usize = 100;
/// Calls one after the other, in each round and way.
const SEQUENTIAL: usize = 3_000;
/// Calls with many in flight in a turn, 20 for each one.
const CONCURRENT: u64 = 1_280;
/// Such turns in each round and way, short ones for the same reason.
const TURNS: usize = 16;
/// How many are in flight.
const IN_FLIGHT: u64 = 64;
/// Who takes turns with warm calls, and in what way.
const WARM: [(&str, &str); 7] = [
    ("tcp", "bare"),
    ("tcp", "call"),
    ("quic", "bare"),
    ("quic", "call"),
    ("iroh", "stream"),
    ("https", "request"),
    ("nats", "request"),
];
/// Who takes turns with many in flight.
const FLIGHT: [(&str, &str); 9] = [
    ("tcp", "call"),
    ("tcp", "fresh"),
    ("tcp", "bare"),
    ("quic", "call"),
    ("quic", "fresh"),
    ("quic", "bare"),
    ("iroh", "stream"),
    ("https", "request"),
    ("nats", "request"),
];

/// The latency of a warm call.
pub(super) async fn warm(options: &Options) -> Result<Vec<Line>> {
    let mut all = everybody(&["iroh", "https", "nats"], options.one_cpu).await?;
    let mut rounds = Rounds::default();
    // The first round is for warming up.
    for round in 0..=options.rounds {
        let mut samples: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        for _ in 0..SEQUENTIAL / TURN {
            for (who, way) in WARM {
                let order = format!("warm {way} {TURN}");
                if let Some(times) = figures(&mut all, who, &order).await? {
                    samples
                        .entry(format!("{who} {way}"))
                        .or_default()
                        .extend(times);
                }
            }
        }
        if round > 0 {
            add_quantiles(&mut rounds, samples);
        }
    }
    let two = Some(AtMost(2.0));
    let one = Some(AtMost(1.0));
    let beside = |what, ways, target| rounds.beside(what, Micros, ways, target);
    Ok(vec![
        beside("warm call, TCP, p50", ["tcp call", "tcp bare"], two),
        beside("warm call, QUIC, p50", ["quic call", "quic bare"], two),
        beside("warm call, TCP, p50", ["tcp call", "iroh stream"], one),
        beside("warm call, QUIC, p50", ["quic call", "iroh stream"], one),
        beside(
            "warm call, TCP, p99",
            ["tcp call, p99", "tcp bare, p99"],
            None,
        ),
        beside(
            "warm call, QUIC, p99",
            ["quic call, p99", "quic bare, p99"],
            None,
        ),
        beside("warm call, TCP, p50", ["tcp call", "https request"], None),
        beside("warm call, TCP, p50", ["tcp call", "nats request"], None),
    ])
}

/// The rate with many in flight.
pub(super) async fn flight(options: &Options) -> Result<Vec<Line>> {
    let mut all = everybody(&["iroh", "https", "nats"], options.one_cpu).await?;
    let mut rounds = Rounds::default();
    for round in 0..=options.rounds {
        let mut seconds: BTreeMap<String, f64> = BTreeMap::new();
        for turn in 0..TURNS {
            // Who goes first changes, so that a drift of the machine falls on all.
            let mut order = FLIGHT;
            order.rotate_left(turn % FLIGHT.len());
            for (who, way) in order {
                let order = format!("flight {way} {CONCURRENT} {IN_FLIGHT}");
                for took in figures(&mut all, who, &order).await?.unwrap_or_default() {
                    *seconds.entry(format!("{who} {way}")).or_default() += took;
                }
            }
        }
        if round > 0 {
            for (way, seconds) in seconds {
                #[expect(clippy::cast_precision_loss, reason = "they are small numbers")]
                rounds.add(way, (CONCURRENT * TURNS as u64) as f64 / seconds);
            }
        }
    }
    let one = Some(AtLeast(1.0));
    let half = Some(AtLeast(0.5));
    let beside = |what, ways, target| rounds.beside(what, PerSecond, ways, target);
    let (tcp, quic) = ("64 in flight, TCP", "64 in flight, QUIC");
    Ok(vec![
        beside(tcp, ["tcp call", "tcp fresh"], one),
        beside(quic, ["quic call", "quic fresh"], one),
        beside(tcp, ["tcp call", "https request"], one),
        beside(quic, ["quic call", "https request"], one),
        beside(tcp, ["tcp call", "iroh stream"], half),
        beside(quic, ["quic call", "iroh stream"], half),
        beside(tcp, ["tcp call", "tcp bare"], None),
        beside(quic, ["quic call", "quic bare"], None),
        beside(tcp, ["tcp call", "nats request"], None),
    ])
}
