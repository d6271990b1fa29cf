//! A node in the foreground, until it is asked to stop.

use peerage::{Node, config::Config};
use peerage_services::api::NodeStatus;

use super::super::{Context, Failure, guard, output::Output, share, signal::StopSignals, status};

pub(super) async fn run(context: &Context, mut config: Config) -> Result<(), Failure> {
    config.guard = guard::prefix()?;
    // Listened for from the start: a node that is stopped while it starts stops cleanly too.
    let mut signals = StopSignals::listen()?;
    let node = tokio::select! {
        node = Node::spawn(config) => node?,
        () = signals.asked() => return Ok(()),
    };
    let status = node.status();
    context
        .output
        .answer(&status, |status| banner(&context.output, status));
    tokio::select! {
        () = node.stopped() => {}
        () = signals.asked() => {}
    }
    context.output.note("stopping");
    node.stop().await;
    Ok(())
}

/// Who the node is, where its API is, what it shares, and what to do next.
fn banner(output: &Output, status: &NodeStatus) -> String {
    let mut text = output.bold(&format!("{} is up", status.name));
    text.push('\n');
    text.push_str(&output.fields(&[
        ("peer id", status.peer_id.clone()),
        ("did", status.did.clone()),
        ("mesh", status.mesh.name.clone()),
        ("api", status.api.clone()),
        ("listen", status::listen(status)),
        ("warning", status.warnings.join("\n")),
    ]));
    if !status.shares.is_empty() {
        text.push_str("\n\n");
        text.push_str(&share::render(output, &status.shares));
    }
    text.push_str("\n\n");
    text.push_str(&output.dim("next:"));
    let mut next = vec![
        ("peerage tools", "what this node may call"),
        ("peerage invite", "let another machine join"),
        ("peerage mcp", "the command for an MCP client"),
    ];
    if status.shares.is_empty() {
        next.insert(0, ("peerage share NAME=COMMAND", "share an MCP server"));
    }
    let width = next
        .iter()
        .map(|(command, _)| command.len())
        .max()
        .unwrap_or_default();
    for (command, why) in next {
        text.push_str(&format!("\n  {command:width$}  {}", output.dim(why)));
    }
    text
}
