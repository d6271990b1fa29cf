//! What was measured, as tables for people or as JSON.

use std::{io::Write, time::Duration};

use anyhow::Result;
use serde_json::{Value, json};

use crate::stats::{micros, spread};

/// One way in one round.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Way {
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) per_second: f64,
}

/// The floor and the call, measured one right after the other.
#[derive(Debug)]
pub(crate) struct Round {
    pub(crate) bare: Way,
    pub(crate) call: Way,
}

/// One transport.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) transport: &'static str,
    pub(crate) rounds: Vec<Round>,
}

/// A figure of a way: its name, how it is read, and how it is written.
type Figure = (&'static str, fn(&Way) -> f64, usize);

const FIGURES: [Figure; 3] = [
    ("p50_us", |way| micros(way.p50), 1),
    ("p99_us", |way| micros(way.p99), 1),
    ("per_second", |way| way.per_second, 0),
];

/// Prints the measure of calls.
pub(crate) fn calls(rows: &[Row], in_flight: usize, as_json: bool) -> Result<()> {
    let mut out = std::io::stdout();
    if as_json {
        let rows: Vec<Value> = rows.iter().map(document).collect();
        let all = json!({ "measure": "call", "in_flight": in_flight, "rows": rows });
        writeln!(out, "{all:#}")?;
        return Ok(());
    }
    writeln!(
        out,
        "| transport | figure | bare | call | call/bare (least-greatest) |"
    )?;
    writeln!(out, "|---|---|--:|--:|--:|")?;
    for row in rows {
        for (name, of, digits) in FIGURES {
            let [bare, call, ratio] = figures(row, of);
            writeln!(
                out,
                "| {} | {name} | {:.digits$} | {:.digits$} | {:.2} ({:.2}-{:.2}) |",
                row.transport, bare.0, call.0, ratio.0, ratio.1, ratio.2,
            )?;
        }
    }
    writeln!(
        out,
        "\nMedians of the rounds; per_second with {in_flight} in flight."
    )?;
    Ok(())
}

/// Floor, call, and the ratio within each round, over all rounds.
fn figures(row: &Row, of: fn(&Way) -> f64) -> [(f64, f64, f64); 3] {
    let over = |value: &dyn Fn(&Round) -> f64| spread(row.rounds.iter().map(value).collect());
    [
        over(&|round| of(&round.bare)),
        over(&|round| of(&round.call)),
        over(&|round| of(&round.call) / of(&round.bare)),
    ]
}

fn document(row: &Row) -> Value {
    let figure = |(median, least, greatest): (f64, f64, f64)| json!({ "median": median, "least": least, "greatest": greatest });
    let mut document = json!({ "transport": row.transport, "rounds": row.rounds.len() });
    for (name, of, _) in FIGURES {
        let [bare, call, ratio] = figures(row, of);
        document[name] = json!({
            "bare": figure(bare), "call": figure(call), "ratio": figure(ratio),
        });
    }
    document
}
