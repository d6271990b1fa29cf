//! Measures, each beside what it is compared with, in one run on one machine.
//!
//! Only ratios within one run are to be compared: the absolute numbers are the machine's.

mod abuse;
mod call;
mod child;
mod cpu;
mod crowd;
mod http;
mod load;
mod measure;
mod node;
mod process;
mod soak;
mod stats;
mod system;
mod table;
mod ways;

use clap::{Parser, Subcommand, ValueEnum};
use peerage::toolbox::Toolbox;

use measure::Measure;

/// Measures Peerage against what it stands on and against others.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Every measure, in one table.
    All(measure::Options),
    /// Some measures, by their names.
    Only {
        /// Which.
        #[arg(required = true)]
        measures: Vec<Measure>,
        #[command(flatten)]
        options: measure::Options,
    },
    /// Many calls at once: whether each is answered once, and what stays behind.
    Load(load::Options),
    /// Calls of a trusted peer while a stranger is hostile, against undisturbed ones.
    Abuse(abuse::Options),
    /// Calls spread over a long time, with cut connections: how each ends, and what stays behind.
    Soak(soak::Options),
    /// The built-in MCP server, as the child of a node; started by it.
    #[command(hide = true)]
    Toolbox,
    /// The answering side of a measure; started by it.
    #[command(hide = true)]
    Serve(node::Options),
    /// The asking side of a measure; started by it.
    #[command(hide = true)]
    Ask(call::Options),
    /// The MCP server that a measure calls; started by it.
    #[command(hide = true)]
    Child,
    /// Many idle peers; started by a measure.
    #[command(hide = true)]
    Crowd(crowd::Options),
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    // Before the runtime, whose threads inherit it. What a measure starts says where it runs.
    match &arguments.command {
        Command::All(_) | Command::Only { .. } => cpu::pin(Some(0))?,
        Command::Abuse(options) => cpu::pin(Some(options.cpu()))?,
        Command::Child => return child::run(),
        _ => {}
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(node::WORKERS)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match arguments.command {
            Command::All(options) => measure::run(Measure::value_variants(), &options).await,
            Command::Only { measures, options } => measure::run(&measures, &options).await,
            Command::Abuse(options) => abuse::run(&options).await,
            Command::Load(options) => load::run(&options).await,
            Command::Serve(options) => node::serve(&options).await,
            Command::Ask(options) => ways::obey(call::Ours::new(&options).await?).await,
            Command::Child => child::run(),
            Command::Crowd(options) => crowd::run(&options).await,
            Command::Soak(options) => soak::run(&options).await,
            Command::Toolbox => Ok(Toolbox.serve_stdio().await?),
        }
    })
}
