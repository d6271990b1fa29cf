//! `peerage tools`: every tool this node may call.

use peerage_services::api::{PeerView, Relation, ToolView};

use super::{Context, Failure, client::Client, output::Output};

/// The most characters of a description in the table.
const MAX_DESCRIPTION: usize = 160;

/// List the tools that this node may call
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only those with this text in their name, server, peer or description
    filter: Option<String>,
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let client = context.client().await?;
    let mut tools: Vec<ToolView> = client.get("/api/v1/tools").await?;
    let silent = silent(&client, &tools).await?;
    if let Some(text) = &args.filter {
        tools.retain(|tool| matches(tool, &text.to_lowercase()));
    }
    let output = &context.output;
    output.answer(&tools, |tools| table(output, tools));
    if tools.is_empty() {
        output.note("no tools");
    }
    if args.filter.is_none() {
        for server in &silent {
            output.note(format!("{server} has shown no tools; it may be starting"));
        }
        if tools.is_empty() && silent.is_empty() {
            output
                .note("hint: share some with `peerage share`, here or on a peer of the same mesh");
        }
    }
    Ok(())
}

/// The servers that have shown no tools, of connected peers whose tools are listed.
async fn silent(client: &Client, tools: &[ToolView]) -> Result<Vec<String>, Failure> {
    let peers: Vec<PeerView> = client.get("/api/v1/peers").await?;
    let connected = peers
        .iter()
        .filter(|peer| peer.connected && peer.relation != Relation::Stranger);
    let servers = connected.flat_map(|peer| peer.servers.iter().map(move |server| (peer, server)));
    Ok(servers
        .filter(|(peer, server)| {
            !tools
                .iter()
                .any(|tool| tool.peer_id == peer.peer_id && tool.server == **server)
        })
        .map(|(peer, server)| format!("{}/{server}", peer.name))
        .collect())
}

fn matches(tool: &ToolView, text: &str) -> bool {
    let description = tool.description.as_deref().unwrap_or_default();
    [&tool.name, &target(tool), description]
        .iter()
        .any(|field| field.to_lowercase().contains(text))
}

fn table(output: &Output, tools: &[ToolView]) -> String {
    if tools.is_empty() {
        return String::new();
    }
    let rows = tools.iter().map(|tool| vec![target(tool), about(tool)]);
    output.table(&["tool", "description"], rows.collect())
}

/// What `peerage call` takes.
fn target(tool: &ToolView) -> String {
    format!("{}/{}/{}", tool.peer, tool.server, tool.tool)
}

fn about(tool: &ToolView) -> String {
    let texts = [tool.title.as_deref(), tool.description.as_deref()];
    let text = texts
        .into_iter()
        .rev()
        .flatten()
        .find(|text| !text.is_empty());
    let first = text.unwrap_or_default().lines().next().unwrap_or_default();
    let mut about: String = first.chars().take(MAX_DESCRIPTION).collect();
    if about.len() < first.len() {
        about.push('…');
    }
    if tool.reachable {
        about
    } else {
        format!("(not connected) {about}")
    }
}
