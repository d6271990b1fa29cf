//! `peerage card`: what a peer says of itself, signed.

use serde_json::Value;

use super::{Context, Failure, client::segment, output::clean_lines};

/// Show the agent card of a peer, or of this node
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Its name, PeerId, DID or o:// name; this node by default
    peer: Option<String>,
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let client = context.client().await?;
    let path = args.peer.map_or_else(
        || "/api/v1/card".to_owned(),
        |peer| format!("/api/v1/peers/{}/card", segment(&peer)),
    );
    let card: Value = client.get(&path).await?;
    // A card is a document of a standard: the reader gets it as it is, only laid out.
    context.output.answer(&card, |card| {
        let text = serde_json::to_string_pretty(card).expect("JSON that was read can be written");
        clean_lines(&text)
    });
    Ok(())
}
