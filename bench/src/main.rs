//! Measures, each beside the floor it is compared with, in one run on one machine.
//!
//! Only ratios within one run are to be compared: the absolute numbers are the machine's.

mod abuse;
mod call;
mod cpu;
mod load;
mod node;
mod report;
mod soak;
mod stats;
mod system;

use clap::{Parser, Subcommand};
use peerage::toolbox::Toolbox;

/// Measures Peerage against what it stands on.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    measure: Measure,
}

#[derive(Debug, Subcommand)]
enum Measure {
    /// A warm call of 128 bytes against a bare framed echo on a kept-open stream of the same connection.
    Call(call::Options),
    /// Many calls at once: whether each is answered once, and what stays behind.
    Load(load::Options),
    /// Calls spread over a long time, with cut connections: how each ends, and what stays behind.
    Soak(soak::Options),
    /// The built-in MCP server, as the child of a node; started by it.
    #[command(hide = true)]
    Toolbox,
    /// Calls of a trusted peer while a stranger is hostile, against undisturbed ones.
    Abuse(abuse::Options),
    /// The other side of a measure; started by it.
    #[command(hide = true)]
    Serve(node::Options),
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    // Before the runtime, whose threads inherit it.
    match &arguments.measure {
        Measure::Call(_) => cpu::pin(0)?,
        Measure::Serve(options) => cpu::pin(options.cpu)?,
        Measure::Abuse(options) => cpu::pin(options.cpu())?,
        Measure::Load(_) | Measure::Soak(_) | Measure::Toolbox => {}
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(node::WORKERS)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match arguments.measure {
            Measure::Call(options) => call::run(&options).await,
            Measure::Load(options) => load::run(&options).await,
            Measure::Soak(options) => soak::run(&options).await,
            Measure::Toolbox => Ok(Toolbox.serve_stdio().await?),
            Measure::Abuse(options) => abuse::run(&options).await,
            Measure::Serve(options) => node::serve(&options).await,
        }
    })
}
