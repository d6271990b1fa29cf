//! What was measured, as one table for people or as JSON: each line beside what it is compared with.

use std::{collections::BTreeMap, io::Write};

use anyhow::Result;
use serde_json::{Value, json};

use crate::stats::{Spread, spread};

/// The figures of each way, one for each round.
#[derive(Debug, Default)]
pub(crate) struct Rounds(BTreeMap<String, Vec<f64>>);

impl Rounds {
    /// What a way had in a round.
    pub(crate) fn add(&mut self, way: impl Into<String>, figure: f64) {
        self.0.entry(way.into()).or_default().push(figure);
    }

    /// Over all rounds; none for a way that was not measured.
    pub(crate) fn of(&self, way: &str) -> Option<Spread> {
        Some(spread(self.0.get(way)?.clone()))
    }

    /// Of the one to the other in the same round, over all rounds.
    fn ratio(&self, way: &str, other: &str) -> Option<Spread> {
        let pairs = self.0.get(way)?.iter().zip(self.0.get(other)?);
        Some(spread(pairs.map(|(one, other)| one / other).collect()))
    }

    /// A line that only tells.
    pub(crate) fn told(&self, what: &str, unit: Unit, way: &str) -> Line {
        Line {
            what: what.to_owned(),
            unit,
            figure: self.of(way),
            ..Line::default()
        }
    }

    /// A line with a target for the figure itself.
    pub(crate) fn judged(&self, what: &str, unit: Unit, way: &str, target: Target) -> Line {
        Line {
            target: Some(target),
            ..self.told(what, unit, way)
        }
    }

    /// A line with a target for the ratio to another way.
    pub(crate) fn beside(
        &self,
        what: &str,
        unit: Unit,
        [way, other]: [&str; 2],
        target: Option<Target>,
    ) -> Line {
        Line {
            beside: Some((other.to_owned(), self.of(other))),
            ratio: self.ratio(way, other),
            target,
            ..self.told(what, unit, way)
        }
    }
}

/// In what a figure is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Unit {
    /// Microseconds; measured in nanoseconds.
    #[default]
    Micros,
    /// Milliseconds; measured in nanoseconds.
    Millis,
    /// How many in a second.
    PerSecond,
    /// MiB in a second.
    Throughput,
    /// KiB.
    Kib,
    /// MiB; measured in KiB.
    Mib,
}

impl Unit {
    fn of(self, figure: f64) -> f64 {
        match self {
            Self::Micros => figure / 1e3,
            Self::Millis => figure / 1e6,
            Self::Mib => figure / 1024.0,
            Self::PerSecond | Self::Throughput | Self::Kib => figure,
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Micros => "µs",
            Self::Millis => "ms",
            Self::PerSecond => "/s",
            Self::Throughput => "MiB/s",
            Self::Kib => "KiB",
            Self::Mib => "MiB",
        }
    }

    fn text(self, figure: f64) -> String {
        let figure = self.of(figure);
        let digits = usize::from(figure < 1000.0);
        format!("{figure:.digits$} {}", self.word())
    }
}

/// What is wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    /// No more than this, in the line's unit or as a ratio.
    AtMost(f64),
    /// No less than this, as a ratio.
    AtLeast(f64),
}

impl Target {
    fn is_met(self, figure: f64) -> bool {
        match self {
            Self::AtMost(limit) => figure <= limit,
            Self::AtLeast(limit) => figure >= limit,
        }
    }

    fn text(self) -> String {
        match self {
            Self::AtMost(limit) => format!("≤ {limit}"),
            Self::AtLeast(limit) => format!("≥ {limit}"),
        }
    }
}

/// One line of the table.
#[derive(Debug, Default)]
pub(crate) struct Line {
    what: String,
    unit: Unit,
    figure: Option<Spread>,
    beside: Option<(String, Option<Spread>)>,
    ratio: Option<Spread>,
    target: Option<Target>,
    /// Why there is no figure.
    cause: Option<String>,
}

impl Line {
    /// A line for what could not be measured.
    pub(crate) fn not_run(what: &str, cause: impl Into<String>) -> Self {
        Self {
            what: what.to_owned(),
            cause: Some(cause.into()),
            ..Self::default()
        }
    }

    fn verdict(&self) -> String {
        if let Some(cause) = &self.cause {
            return format!("not run: {cause}");
        }
        let figure = match (&self.beside, self.ratio, self.figure) {
            (Some(_), ratio, Some(_)) => ratio.map(|ratio| ratio.median),
            (None, _, figure) => figure.map(|figure| self.unit.of(figure.median)),
            (Some(_), _, None) => None,
        };
        match (self.target, figure) {
            (_, None) => "not run".to_owned(),
            (None, Some(_)) => String::new(),
            (Some(target), Some(figure)) if target.is_met(figure) => "met".to_owned(),
            (Some(_), Some(_)) => "**missed**".to_owned(),
        }
    }

    fn row(&self) -> String {
        let figure = |figure: Option<Spread>| {
            figure.map_or_else(|| "-".to_owned(), |figure| self.unit.text(figure.median))
        };
        let beside = self
            .beside
            .as_ref()
            .map_or_else(String::new, |(other, f)| format!("{other}: {}", figure(*f)));
        let spread = match (self.ratio, self.figure, &self.beside) {
            (Some(ratio), ..) => format!(
                "**{:.2}** ({:.2}-{:.2})",
                ratio.median, ratio.least, ratio.greatest
            ),
            (None, Some(all), None) if all.least < all.greatest => {
                format!(
                    "({}-{})",
                    self.unit.text(all.least),
                    self.unit.text(all.greatest)
                )
            }
            _ => String::new(),
        };
        let target = self.target.map_or_else(String::new, Target::text);
        format!(
            "| {} | {} | {beside} | {spread} | {target} | {} |",
            self.what,
            figure(self.figure),
            self.verdict()
        )
    }

    fn document(&self) -> Value {
        let spread = |spread: Spread, of: &dyn Fn(f64) -> f64| json!({ "median": of(spread.median), "least": of(spread.least), "greatest": of(spread.greatest) });
        let figure = |figure: Spread| spread(figure, &|figure| self.unit.of(figure));
        json!({
            "what": self.what,
            "unit": self.unit.word(),
            "figure": self.figure.map(figure),
            "beside": self.beside.as_ref().map(|(other, f)| json!({ "what": other, "figure": f.map(figure) })),
            "ratio": self.ratio.map(|ratio| spread(ratio, &|ratio| ratio)),
            "target": self.target.map(Target::text),
            "verdict": self.verdict().replace('*', ""),
        })
    }
}

/// Prints the lines.
pub(crate) fn print(lines: &[Line], as_json: bool) -> Result<()> {
    let mut out = std::io::stdout();
    if as_json {
        let lines: Vec<Value> = lines.iter().map(Line::document).collect();
        writeln!(out, "{:#}", json!({ "machine": machine(), "lines": lines }))?;
        return Ok(());
    }
    writeln!(
        out,
        "| measure | figure | beside | ratio or spread | target | verdict |\n|---|--:|--:|--:|--:|---|"
    )?;
    for line in lines {
        writeln!(out, "{}", line.row())?;
    }
    writeln!(out, "\n{}", machine())?;
    Ok(())
}

/// What this was measured on, and what else ran.
fn machine() -> String {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let cpus = read("/proc/cpuinfo");
    let mut models = cpus.lines().filter(|line| line.starts_with("model name"));
    let model = models.next().and_then(|line| line.split(':').nth(1));
    let load = read("/proc/loadavg");
    format!(
        "{} CPUs, {}, Linux {}, load average at the end {}",
        cpus.lines()
            .filter(|line| line.starts_with("processor"))
            .count(),
        model.unwrap_or("unknown").trim(),
        read("/proc/sys/kernel/osrelease").trim(),
        load.split(' ').next().unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use super::{Line, Rounds, Target, Unit};

    #[test]
    fn a_ratio_is_taken_within_each_round() {
        let mut rounds = Rounds::default();
        for (call, bare) in [(2000.0, 1000.0), (9000.0, 3000.0), (4000.0, 4000.0)] {
            rounds.add("call", call);
            rounds.add("bare", bare);
        }
        let limit = Some(Target::AtMost(2.0));
        let line = rounds.beside("calls", Unit::Micros, ["call", "bare"], limit);
        assert_eq!(
            line.row(),
            "| calls | 4.0 µs | bare: 3.0 µs | **2.00** (1.00-3.00) | ≤ 2 | met |"
        );
        let line = rounds.judged("calls", Unit::Micros, "call", Target::AtMost(3.0));
        assert!(line.row().ends_with("| ≤ 3 | **missed** |"));
    }

    #[test]
    fn what_is_not_there_is_not_judged() {
        let mut rounds = Rounds::default();
        rounds.add("call", 1.0);
        let limit = Some(Target::AtMost(2.0));
        let line = rounds.beside("calls", Unit::Micros, ["call", "iroh"], limit);
        assert_eq!(line.verdict(), "not run");
        assert_eq!(
            Line::not_run("it", "not built").verdict(),
            "not run: not built"
        );
    }
}
