//! `peerage up`: a node, in the foreground or in the background.

pub(crate) mod detach;
mod serve;

use std::{net::SocketAddr, path::PathBuf};

use peerage::config::{
    Config, IdentitySource, Layer, McpLayer, PeerEntry, Phrase, ShareEntry, parse_share, read_seed,
};
use peerage_core::{Multiaddr, problem::Problem};
use peerage_services::api::ShareRequest;

use super::{Context, Failure, client};

/// Start a node
#[derive(Clone, Debug, Default, clap::Args)]
#[command(after_help = "Examples:\n  \
    peerage up --share files=\"npx -y @modelcontextprotocol/server-filesystem /data\"\n  \
    peerage up --name second --api 127.0.0.1:0 --detach")]
pub(crate) struct Args {
    /// Address of the local API; port 0, or a busy one, picks a free port [default: 127.0.0.1:7337]
    #[arg(long, value_name = "ADDR")]
    api: Option<SocketAddr>,
    /// Where peers reach this node; several times for several addresses [default: TCP and QUIC on a port that follows from its key]
    #[arg(long, value_name = "MULTIADDR")]
    listen: Vec<Multiaddr>,
    /// A peer to dial without discovery; several times for several peers
    #[arg(long, value_name = "MULTIADDR")]
    peer: Vec<Multiaddr>,
    /// Neither look for peers on the local network nor be found there
    #[arg(long)]
    no_mdns: bool,
    /// An MCP server to share: a command line, or a URL; several times for several servers
    #[arg(long, value_name = "NAME=COMMAND_OR_URL", value_parser = parse_share)]
    share: Vec<ShareRequest>,
    /// Derive the node's key from this file: 32 random bytes, or 64 hexadecimal digits
    #[arg(long, value_name = "FILE")]
    seed_file: Option<PathBuf>,
    /// Derive the node's key from a phrase that others can guess; for tests only
    #[arg(long, value_name = "PHRASE", conflicts_with = "seed_file")]
    insecure_seed_phrase: Option<String>,
    /// List every tool in `peerage mcp`, however many there are
    #[arg(long)]
    all_tools: bool,
    /// Run in the background; `peerage down` stops it
    #[arg(long)]
    detach: bool,
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let detached = args.detach;
    let config = args.config(context)?;
    if let Some(running) = client::find_named(&context.home, &config.name).await {
        return Err(already(running.node().pid, &config.name));
    }
    if detached {
        return detach::run(context, &config).await;
    }
    serve::run(context, config).await
}

impl Args {
    /// The configuration with these flags over it.
    fn config(self, context: &Context) -> Result<Config, Failure> {
        let identity = match (self.seed_file, self.insecure_seed_phrase) {
            (Some(file), _) => {
                read_seed(&file).map_err(|error| Failure::usage_problem(error.into()))?;
                Some(IdentitySource::SeedFile(file))
            }
            (None, Some(phrase)) => Some(IdentitySource::InsecurePhrase(Phrase::new(phrase))),
            (None, None) => None,
        };
        let shares = self.share.into_iter();
        context.config(Layer {
            api: self.api,
            listen: Some(self.listen).filter(|listen| !listen.is_empty()),
            peers: self
                .peer
                .into_iter()
                .map(|address| PeerEntry { address })
                .collect(),
            mdns: self.no_mdns.then_some(false),
            shares: shares
                .map(|share| (share.name.clone(), ShareEntry::from(share)))
                .collect(),
            mcp: self.all_tools.then_some(McpLayer {
                all_tools: Some(true),
                ..McpLayer::default()
            }),
            identity,
            ..Layer::default()
        })
    }
}

fn already(pid: u32, name: &str) -> Failure {
    Problem::new(
        409,
        "already_running",
        format!("the node `{name}` is already running, process {pid}"),
    )
    .hint("`peerage status` shows it; --name starts another one")
    .into()
}
