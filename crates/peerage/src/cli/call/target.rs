//! Which tool is called: `PEER/SERVER/TOOL`.

use peerage_services::api::ToolView;

use super::super::Failure;

/// A tool and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// Name, PeerId, DID or `o://` name of the peer.
    pub(super) peer: String,
    /// MCP server there.
    pub(super) server: String,
    /// Tool of that server.
    pub(super) tool: String,
}

impl Target {
    pub(super) fn of(tool: &ToolView) -> Self {
        Self {
            peer: tool.peer_id.clone(),
            server: tool.server.clone(),
            tool: tool.tool.clone(),
        }
    }

    /// The tool among those that are listed. Names are not in the list, so theirs are found by the rest alone.
    pub(super) fn find<'a>(&self, tools: &'a [ToolView]) -> Option<&'a ToolView> {
        let same = |tool: &&ToolView| self.server == tool.server && self.tool == tool.tool;
        let by_peer = |tool: &&ToolView| self.peer == tool.peer || self.peer == tool.peer_id;
        let exact = tools.iter().find(|tool| same(tool) && by_peer(tool));
        exact.or_else(|| tools.iter().find(same))
    }
}

/// Reads `PEER/SERVER/TOOL`; the peer may have slashes itself, as `o://` names do.
pub(super) fn parse(text: &str) -> Result<Target, Failure> {
    let mut parts = text.rsplitn(3, '/');
    let (tool, server, peer) = (parts.next(), parts.next(), parts.next());
    match (peer, server, tool) {
        (Some(peer), Some(server), Some(tool))
            if !peer.is_empty() && !server.is_empty() && !tool.is_empty() =>
        {
            Ok(Target {
                peer: peer.to_owned(),
                server: server.to_owned(),
                tool: tool.to_owned(),
            })
        }
        _ => Err(Failure::usage(format!(
            "`{text}` is neither PEER/SERVER/TOOL nor the name of a tool"
        ))
        .hint("`peerage tools` lists them")),
    }
}
