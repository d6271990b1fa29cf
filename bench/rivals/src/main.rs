//! What Peerage is measured against, as processes that `peerage-bench` starts: each rival serves in one and
//! asks from another, by the same loops and with the same payloads as Peerage.

mod by_https;
mod by_iroh;
mod by_nats;
#[path = "../../src/ways.rs"]
mod ways;

use std::io::Write;

use clap::{Parser, Subcommand, ValueEnum};

/// Threads of each process, as many as Peerage's have.
const WORKERS: usize = 2;

/// Serves or asks, for a measure.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    side: Side,
}

#[derive(Debug, Subcommand)]
enum Side {
    /// Says where it is reached, and answers until its input ends.
    Serve {
        /// How.
        rival: Rival,
    },
    /// Does what it is told by lines, towards one who serves.
    Ask {
        /// How.
        rival: Rival,
        /// What the serving one said.
        place: String,
    },
}

/// Who is measured.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Rival {
    /// iroh, one stream for each call.
    Iroh,
    /// HTTP/1.1 keep-alive over TLS, between axum and reqwest.
    Https,
    /// async-nats over nats-server.
    Nats,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match arguments.side {
            Side::Serve { rival } => match rival {
                Rival::Iroh => by_iroh::serve().await,
                Rival::Https => by_https::serve().await,
                Rival::Nats => by_nats::serve().await,
            },
            Side::Ask { rival, place } => match rival {
                Rival::Iroh => ways::obey(by_iroh::Iroh::new(&place).await?).await,
                Rival::Https => ways::obey(by_https::Https::new(&place)?).await,
                Rival::Nats => ways::obey(by_nats::Nats::new(&place).await?).await,
            },
        }
    })
}

/// Says where this process is reached, and waits until whoever started it closes its input.
async fn reached_at(place: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    writeln!(out, "{place}")?;
    out.flush()?;
    tokio::io::copy(&mut tokio::io::stdin(), &mut tokio::io::sink()).await?;
    Ok(())
}
