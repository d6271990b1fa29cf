//! `peerage block`, `peerage unblock` and `peerage blocked`: peers and networks that this node has nothing to do with.

use std::time::Duration;

use http::Method;
use peerage::config::parse_duration;
use peerage_services::api::{BlockRequest, BlockView};
use serde_json::json;

use super::{Context, Failure, client::segment, output::Output};

/// Have nothing to do with a peer or a network
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    peerage block 12D3KooWQS6hTkAjSR7EVJ4DiaBv9moxofD6CXm1HDqM3aT48Lz7\n  \
    peerage block 203.0.113.0/24 --for 1h --reason scans")]
pub(crate) struct Args {
    /// A peer by name, PeerId or DID, or a network such as 203.0.113.0/24
    #[arg(value_name = "PEER|CIDR")]
    what: String,
    /// For how long [default: until it is unblocked]
    #[arg(long = "for", value_name = "TIME", value_parser = parse_duration)]
    life: Option<Duration>,
    /// A note for yourself
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// Take back a block
#[derive(Debug, clap::Args)]
pub(crate) struct RemoveArgs {
    /// A peer by name, PeerId or DID, or a network such as 203.0.113.0/24
    #[arg(value_name = "PEER|CIDR")]
    what: String,
}

pub(crate) async fn add(context: &Context, args: Args) -> Result<(), Failure> {
    let request = BlockRequest {
        what: args.what,
        seconds: args.life.map(|life| life.as_secs()),
        reason: args.reason,
    };
    let client = context.client().await?;
    let view: BlockView = client.post("/api/v1/blocked", &request).await?;
    let output = &context.output;
    output.answer(&view, |view| {
        let until = view.until.as_deref().unwrap_or("it is unblocked");
        format!("{} is blocked until {until}", output.bold(&view.what))
    });
    Ok(())
}

pub(crate) async fn remove(context: &Context, args: RemoveArgs) -> Result<(), Failure> {
    let path = format!("/api/v1/blocked/{}", segment(&args.what));
    context.client().await?.act(Method::DELETE, &path).await?;
    let unblocked = json!({ "what": args.what, "blocked": false });
    context.output.answer(&unblocked, |_| {
        format!("{} is no longer blocked", args.what)
    });
    Ok(())
}

pub(crate) async fn list(context: &Context) -> Result<(), Failure> {
    let blocked: Vec<BlockView> = context.client().await?.get("/api/v1/blocked").await?;
    let output = &context.output;
    output.answer(&blocked, |blocked| render(output, blocked));
    if blocked.is_empty() {
        output.note("nothing is blocked");
    }
    Ok(())
}

fn render(output: &Output, blocked: &[BlockView]) -> String {
    if blocked.is_empty() {
        return String::new();
    }
    let row = |view: &BlockView| {
        vec![
            view.what.clone(),
            view.name.clone().unwrap_or_default(),
            view.since.clone(),
            view.until.clone().unwrap_or_default(),
            view.reason.clone().unwrap_or_default(),
        ]
    };
    output.table(
        &["blocked", "name", "since", "until", "reason"],
        blocked.iter().map(row).collect(),
    )
}
