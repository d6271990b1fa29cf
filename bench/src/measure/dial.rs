//! From nothing to the first answer, on loopback.

use anyhow::Result;

use super::{Options, add_quantiles, everybody, figures};
use crate::table::{Line, Rounds, Target::AtMost, Unit::Millis};

/// Dials in a turn.
const TURN: u64 = 10;
/// Who takes turns.
const WAYS: [(&str, &str); 4] = [
    ("tcp", "call"),
    ("quic", "call"),
    ("iroh", "stream"),
    ("https", "request"),
];

/// Measures.
pub(super) async fn run(options: &Options) -> Result<Vec<Line>> {
    let mut all = everybody(&["iroh", "https"], options.one_cpu).await?;
    let mut rounds = Rounds::default();
    for round in 0..=options.rounds {
        let mut samples = std::collections::BTreeMap::new();
        for (who, way) in WAYS {
            let order = format!("first {way} {TURN}");
            if let Some(times) = figures(&mut all, who, &order).await? {
                samples.insert(format!("{who} {way}"), times);
            }
        }
        if round > 0 {
            add_quantiles(&mut rounds, samples);
        }
    }
    let limit = AtMost(10.0);
    let what = |name| format!("dial to first answered call, {name}");
    Ok(vec![
        rounds.judged(&what("TCP, p50"), Millis, "tcp call", limit),
        rounds.judged(&what("TCP, slowest of 10"), Millis, "tcp call, p99", limit),
        rounds.judged(&what("QUIC, p50"), Millis, "quic call", limit),
        rounds.judged(
            &what("QUIC, slowest of 10"),
            Millis,
            "quic call, p99",
            limit,
        ),
        rounds.told(&what("iroh, p50"), Millis, "iroh stream"),
        rounds.told(&what("HTTPS, p50"), Millis, "https request"),
    ])
}
