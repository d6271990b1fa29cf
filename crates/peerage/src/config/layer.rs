//! One layer of configuration: each value there or not. The file, the environment and the flags are all layers.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf};

use peerage_core::Multiaddr;
use peerage_services::api::{Allow, ShareRequest};
use serde::Deserialize;
use serde_json::Value;

use super::{
    AuditLayer, ConfigError, ForwardsEntry, GatewayEntry, GuardLayer, IdentitySource, LimitsLayer,
    Origin, Pins, ShareError, share,
};

/// Values that one source of configuration gives.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Layer {
    /// Name of the node.
    pub name: Option<String>,
    /// Address of the local API.
    pub api: Option<SocketAddr>,
    /// Addresses at which peers reach the node.
    pub listen: Option<Vec<Multiaddr>>,
    /// Whether to find peers on the local network.
    pub mdns: Option<bool>,
    /// A sentence about the node.
    pub description: Option<String>,
    /// Anything else for the card.
    pub metadata: Option<BTreeMap<String, Value>>,
    /// The file with the rules who may do what, relative to the home.
    pub policy: Option<PathBuf>,
    /// Names and addresses that only one key may have.
    pub pins: Option<Pins>,
    /// Peers to dial, added to those of other layers.
    pub peers: Vec<PeerEntry>,
    /// What to share, by name, added to those of other layers.
    pub shares: BTreeMap<String, ShareEntry>,
    /// Names that are reached through another one, added to those of other layers.
    pub gateways: Vec<GatewayEntry>,
    /// Names that this node forwards calls for, added to those of other layers.
    pub forwards: Vec<ForwardsEntry>,
    /// How the aggregated MCP server lists tools.
    pub mcp: Option<McpLayer>,
    /// How long things may take, and what peers may use.
    pub limits: Option<LimitsLayer>,
    /// What is done about credentials that are about to leave.
    pub guard: Option<GuardLayer>,
    /// What is in the audit.
    pub audit: Option<AuditLayer>,
    /// Where the node's key comes from: only a flag says it.
    #[serde(skip)]
    pub identity: Option<IdentitySource>,
}

/// `[[peers]]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerEntry {
    /// Where to dial it.
    pub address: Multiaddr,
}

/// `[mcp]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct McpLayer {
    /// Tools that are always listed.
    pub pinned: Option<Vec<String>>,
    /// List every tool.
    pub all_tools: Option<bool>,
    /// Tools that are closed to sessions that have read text of other machines.
    pub not_after_remote: Option<Vec<String>>,
}

/// `[shares.NAME]`.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ShareEntry {
    /// Command line of a stdio server.
    pub command: Option<String>,
    /// URL of a Streamable HTTP server.
    pub url: Option<String>,
    /// More arguments, as they are.
    pub args: Vec<String>,
    /// Environment of the child.
    pub env: BTreeMap<String, String>,
    /// Working directory of the child.
    pub cwd: Option<String>,
    /// Who may call it.
    pub allow: Allow,
}

/// Arguments and environment may hold secrets.
impl std::fmt::Debug for ShareEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ShareEntry")
            .field("stdio", &self.command.is_some())
            .field("allow", &self.allow)
            .finish_non_exhaustive()
    }
}

impl ShareEntry {
    /// The share under its name, checked.
    pub(super) fn check(self, name: &str) -> Result<ShareRequest, ShareError> {
        let share = ShareRequest {
            name: name.to_owned(),
            command: self.command,
            url: self.url,
            args: self.args,
            env: self.env,
            cwd: self.cwd,
            allow: self.allow,
        };
        share::check(&share)?;
        Ok(share)
    }
}

impl From<ShareRequest> for ShareEntry {
    fn from(share: ShareRequest) -> Self {
        Self {
            command: share.command,
            url: share.url,
            args: share.args,
            env: share.env,
            cwd: share.cwd,
            allow: share.allow,
        }
    }
}

/// The environment, given as a function so that tests need not change their own.
#[derive(Clone, Copy)]
pub struct Environment<'a>(&'a dyn Fn(&str) -> Option<String>);

impl std::fmt::Debug for Environment<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Environment").finish_non_exhaustive()
    }
}

/// The variables, each with the key it sets.
const VARIABLES: &[(&str, &str)] = &[
    ("name", "PEERAGE_NAME"),
    ("api", "PEERAGE_API"),
    ("listen", "PEERAGE_LISTEN"),
    ("mdns", "PEERAGE_MDNS"),
    ("description", "PEERAGE_DESCRIPTION"),
    ("peers", "PEERAGE_PEERS"),
    ("mcp.all_tools", "PEERAGE_ALL_TOOLS"),
];

impl<'a> Environment<'a> {
    /// Takes a function that gives the value of a variable.
    #[must_use]
    pub fn new(get: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self(get)
    }

    /// The environment of this process; variables that are not Unicode count as absent.
    #[must_use]
    pub fn process() -> Self {
        Self(&|name| std::env::var(name).ok())
    }

    /// What the environment says; an empty variable says nothing.
    pub(super) fn layer(&self) -> Result<Layer, ConfigError> {
        let all_tools = self.parse("mcp.all_tools", parse_bool)?;
        Ok(Layer {
            name: self.parse("name", |t| Ok::<_, String>(t.to_owned()))?,
            api: self.parse("api", str::parse)?,
            listen: self.parse("listen", multiaddrs)?,
            mdns: self.parse("mdns", parse_bool)?,
            description: self.parse("description", |t| Ok::<_, String>(t.to_owned()))?,
            peers: self
                .parse("peers", multiaddrs)?
                .unwrap_or_default()
                .into_iter()
                .map(|address| PeerEntry { address })
                .collect(),
            mcp: all_tools.map(|all_tools| McpLayer {
                all_tools: Some(all_tools),
                ..McpLayer::default()
            }),
            ..Layer::default()
        })
    }

    pub(super) fn origin(key: &str) -> Origin {
        let variable = VARIABLES.iter().find(|(of, _)| *of == key);
        Origin::Environment(variable.map_or("environment", |(_, name)| name))
    }

    fn parse<T, E: std::fmt::Display>(
        &self,
        key: &'static str,
        read: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<Option<T>, ConfigError> {
        let variable = VARIABLES.iter().find(|(of, _)| *of == key);
        let value = variable.and_then(|(_, name)| (self.0)(name));
        let Some(text) = value.filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        read(&text).map(Some).map_err(|error| ConfigError::Value {
            origin: Self::origin(key),
            message: format!("`{}`: {error}", text.escape_default()),
        })
    }
}

/// The flag that sets a key.
pub(super) fn flag(key: &str) -> &'static str {
    match key {
        "name" => "--name",
        "api" => "--api",
        "listen" => "--listen",
        "mdns" => "--no-mdns",
        "peers" => "--peer",
        "mcp.all_tools" => "--all-tools",
        "identity" => "--seed-file or --insecure-seed-phrase",
        key if key.starts_with("shares.") => "--share",
        _ => "flags",
    }
}

fn parse_bool(text: &str) -> Result<bool, String> {
    match text {
        "1" | "true" | "yes" | "on" => Ok(true),
        "0" | "false" | "no" | "off" => Ok(false),
        _ => Err("neither true nor false".to_owned()),
    }
}

fn multiaddrs(text: &str) -> Result<Vec<Multiaddr>, String> {
    let parts = text
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty());
    parts
        .map(|part| part.parse().map_err(|error| format!("`{part}`: {error}")))
        .collect()
}
