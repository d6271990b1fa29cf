//! The measures by name, and what all of them are told.

mod dial;
mod discovery;
mod memory;
mod policy;
mod small;
mod tool;
mod transfer;

use std::collections::BTreeMap;

use anyhow::Result;
use clap::{Args, ValueEnum};

use crate::{
    node::Transport,
    process::Pair,
    table::{self, Line, Rounds},
};

/// What can be measured; each by itself, or `all`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Measure {
    /// A warm call of 128 bytes, one after the other.
    Warm,
    /// Calls of 128 bytes with 64 in flight.
    Flight,
    /// One transfer of 1 GiB.
    Transfer,
    /// `tools/call` through two nodes to a child on standard input and output.
    Tool,
    /// What rules cost a `tools/call`.
    Policy,
    /// From nothing to the first answered call.
    Dial,
    /// Memory of an idle node, and of each of 1,000 idle peers.
    Memory,
    /// From the start to a call of the other node's tool, in two network namespaces (needs root).
    Discovery,
}

/// How to measure.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// Rounds, in each of which all take turns; what takes long has a third of them.
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// Both processes of a measure on one processor, instead of each on its own: shows what the CPU does
    /// in all.
    #[arg(long)]
    one_cpu: bool,
    /// One JSON document instead of a table.
    #[arg(long)]
    json: bool,
}

impl Options {
    /// Rounds of what takes long.
    fn few(&self) -> usize {
        self.rounds.div_ceil(3)
    }
}

/// Measures one after the other and prints one table. What cannot be measured is a line of it too.
pub(crate) async fn run(measures: &[Measure], options: &Options) -> Result<()> {
    let mut lines = Vec::new();
    for measure in measures {
        let measured = match measure {
            Measure::Warm => small::warm(options).await,
            Measure::Flight => small::flight(options).await,
            Measure::Transfer => transfer::run(options).await,
            Measure::Tool => tool::run(options).await,
            Measure::Policy => policy::run(options).await,
            Measure::Dial => dial::run(options).await,
            Measure::Memory => memory::run().await,
            Measure::Discovery => discovery::run(options).await,
        };
        lines.extend(measured.unwrap_or_else(|error| {
            let name = measure.to_possible_value();
            let name = name.map_or_else(String::new, |name| name.get_name().to_owned());
            vec![Line::not_run(&name, format!("{error:#}"))]
        }));
    }
    table::print(&lines, options.json)
}

/// Whoever is compared, by name: Peerage over each transport, and the rivals that are built.
async fn everybody(rivals: &[&str], one_cpu: bool) -> Result<BTreeMap<String, Pair>> {
    let mut all = BTreeMap::new();
    for transport in [Transport::Tcp, Transport::Quic] {
        let pair = Pair::ours(transport, one_cpu).await?;
        all.insert(pair.name.clone(), pair);
    }
    for name in rivals {
        if let Some(pair) = Pair::rival(name, one_cpu).await? {
            all.insert(pair.name.clone(), pair);
        }
    }
    Ok(all)
}

/// Has somebody do something; `None` for a rival that is not there.
async fn figures(
    all: &mut BTreeMap<String, Pair>,
    who: &str,
    order: &str,
) -> Result<Option<Vec<f64>>> {
    match all.get_mut(who) {
        Some(pair) => pair.figures(order).await.map(Some),
        None => Ok(None),
    }
}

/// Adds the p50 and p99 of each way's samples as the figures of one round.
fn add_quantiles(rounds: &mut Rounds, samples: BTreeMap<String, Vec<f64>>) {
    for (way, mut times) in samples {
        times.sort_by(f64::total_cmp);
        rounds.add(&*way, crate::stats::quantile(&times, 0.5));
        rounds.add(format!("{way}, p99"), crate::stats::quantile(&times, 0.99));
    }
}
