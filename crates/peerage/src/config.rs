//! What a node is told before it starts: defaults, then the file, then the environment, then flags.
//!
//! | key | default | meaning |
//! |---|---|---|
//! | `name` | the host's name | name of the node, unique under its home |
//! | `api` | `127.0.0.1:7337` | address of the local API; port 0, or a busy one, picks a free port |
//! | `listen` | TCP and QUIC, IPv4 and IPv6, on a port that follows from the node's key | multiaddrs at which peers reach the node |
//! | `mdns` | `true` | find peers on the local network, and be found |
//! | `description` | none | a sentence about the node, in its card |
//! | `[metadata]` | empty | anything else for the card: a table |
//! | `policy` | `policy.toml` beside this file, if it is there | the file with the rules who may do what |
//! | `[pins]` | empty | the one key that an `o://` name or an IP address may have: `"o://acme/bot" = "12D3…"` |
//! | `[[peers]] address` | none | multiaddrs of peers to dial without discovery |
//! | `[[gateways]] prefix`, `via` | none | names that are reached through another one: `o://acme/partners` via `o://acme/gate` |
//! | `[[forwards]] prefix`, `allow` | none | names that this node forwards calls for, and for whom |
//! | `[shares.NAME]` | none | MCP servers to share: `command` or `url`, `args`, `env`, `cwd`, `allow` |
//! | `[mcp] pinned` | none | tools that are listed even when there are too many to list |
//! | `[mcp] all_tools` | `false` | list every tool, however many there are |
//! | `[mcp] not_after_remote` | none | tools that are closed to sessions that have read text of other machines |
//! | `[limits] request_timeout` | `60s` | deadline of a call, extended while progress flows |
//! | `[limits] session_idle` | `15m` | when the child of an idle MCP session is ended |
//! | `[limits] bytes_in_flight` | an eighth of the memory, at least `128MiB` | bytes of peers' calls that the node holds, in all |
//! | `[limits] connections` | one for each MiB of that, 128 to 4096 | connections, in all |
//! | `[limits] streams` | one for each 256 KiB of that, 256 to 16384 | streams that peers have open, in all |
//! | `[limits] connections_per_second` | 64 | connections that one address may make; twice as many at once |
//! | `[limits.member] streams` | 512 | streams that a member or trusted peer has open |
//! | `[limits.member] bytes_in_flight` | half of what is for all, at most `512MiB` | bytes of its calls |
//! | `[limits.member] calls_per_second` | 50000 | calls it makes, and streams it opens; twice as many at once |
//! | `[limits.stranger] streams` | 32 | streams that any other peer has open |
//! | `[limits.stranger] bytes_in_flight` | `8MiB` | bytes of its calls |
//! | `[limits.stranger] calls_per_second` | 50 | calls it makes, and streams it opens; twice as many at once |
//! | `[guard] outgoing` | `refuse` | credentials in requests of this machine to peers: `refuse`, `redact`, `warn`, `off` |
//! | `[guard] answers` | `redact` | the same in answers of what is shared |
//! | `[guard.shares] NAME` | `answers` | the same in answers of one share |
//! | `[guard.peers] PEER` | none | the same in all that goes to a peer: PeerId, DID or `o://` name |
//! | `[audit] calls` | `false` | keep each call, not only refusals and changes of trust |
//! | `[audit] size` | `8MiB` | when a file of the audit is full |
//! | `[audit] files` | 4 | files of the audit that are kept |
//!
//! The environment has `PEERAGE_NAME`, `PEERAGE_API`, `PEERAGE_LISTEN` and `PEERAGE_PEERS` (with commas between
//! multiaddrs), `PEERAGE_MDNS`, `PEERAGE_DESCRIPTION` and `PEERAGE_ALL_TOOLS`. Lists of peers and shares add
//! up over the layers (a share replaces one of the same name), all else replaces. No key is a secret.

mod audit;
mod duration;
mod file;
mod gateways;
mod guard;
mod identity;
mod layer;
mod limits;
mod origin;
mod pins;
mod share;
mod size;

use std::{
    collections::BTreeMap,
    ffi::OsString,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use peerage_core::{Multiaddr, address::Address, problem::Problem};
use peerage_services::{
    api::ShareRequest, audit::AuditSettings, names::Gateways, policy::PolicyFile,
    secrets::SecretsSettings,
};
use serde_json::Value;

pub use self::{
    audit::AuditLayer,
    duration::{DurationError, format_duration, parse_duration},
    gateways::{ForwardsEntry, GatewayEntry},
    guard::GuardLayer,
    identity::{IdentitySource, Phrase, SeedFileError, read_seed},
    layer::{Environment, Layer, McpLayer, PeerEntry, ShareEntry},
    limits::{DEFAULT_REQUEST_TIMEOUT, DEFAULT_SESSION_IDLE, Limits, LimitsLayer, PeerLimitsLayer},
    origin::{Origin, Setting},
    pins::Pins,
    share::{ShareError, parse_share, share_target},
    size::{SizeError, format_size, parse_size},
};

/// Name of the file under the home.
pub const FILE_NAME: &str = "peerage.toml";
/// Name of the file with the rules under the home, where no other is named.
pub const POLICY_NAME: &str = "policy.toml";
/// Port of the local API.
pub const DEFAULT_API_PORT: u16 = 7337;
/// The most characters of a node's name.
pub const MAX_NAME: usize = 63;

/// All that a node is told before it starts.
#[derive(Clone, Debug)]
pub struct Config {
    /// Folder that holds everything: config, keys, stores.
    pub home: PathBuf,
    /// Name of the node, unique under its home; also a folder there.
    pub name: String,
    /// Address of the local API.
    pub api: SocketAddr,
    /// Addresses at which peers reach the node; empty for the default.
    pub listen: Vec<Multiaddr>,
    /// Whether to find peers on the local network, and be found.
    pub mdns: bool,
    /// The file with the rules who may do what; none for [`POLICY_NAME`] under the home, if it is there.
    pub policy: Option<PathBuf>,
    /// Names and addresses that only one key may have.
    pub pins: Pins,
    /// Peers to dial without discovery.
    pub peers: Vec<Multiaddr>,
    /// A sentence about the node, for its card.
    pub description: Option<String>,
    /// Anything else for the card.
    pub metadata: BTreeMap<String, Value>,
    /// MCP servers to share, in order of their names.
    pub shares: Vec<ShareRequest>,
    /// Which names are reached through a gateway, and for which this node is one.
    pub gateways: Gateways,
    /// How the aggregated MCP server lists tools.
    pub mcp: McpConfig,
    /// How long things may take, and what peers may use.
    pub limits: Limits,
    /// What is done about credentials that are about to leave.
    pub secrets: SecretsSettings,
    /// What is in the audit, and how much is kept.
    pub audit: AuditSettings,
    /// Where the node's key comes from.
    pub identity: IdentitySource,
    /// The program and its first arguments that watch over each child, see
    /// [`peerage_services::mcp::stdio::guard`]; empty for none. Not in the file: the program sets it.
    pub guard: Vec<OsString>,
    origins: BTreeMap<String, Origin>,
}

/// How the aggregated MCP server lists tools.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct McpConfig {
    /// Tools that are listed even when there are too many to list.
    pub pinned: Vec<String>,
    /// List every tool, however many there are.
    pub all_tools: bool,
    /// Tools that are closed to sessions that have read text of other machines.
    pub not_after_remote: Vec<String>,
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file is there but cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not what it should be.
    #[error("{}:{line}: {message}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Line in it, from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// The file has a key that means nothing.
    #[error("{}:{line}: unknown key `{key}`", path.display())]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// Line in it, from 1.
        line: usize,
        /// The key, with those above it.
        key: String,
        /// The key that was probably meant.
        near: Option<String>,
    },
    /// A value cannot be used.
    #[error("{origin}: {message}")]
    Value {
        /// Where it came from.
        origin: Origin,
        /// What is wrong.
        message: String,
    },
}

impl From<ConfigError> for Problem {
    fn from(error: ConfigError) -> Self {
        let detail = error.to_string();
        match error {
            ConfigError::Read { .. } => Self::new(500, "config_unreadable", detail),
            ConfigError::UnknownKey { near, .. } => {
                let hint = near.map_or_else(
                    || "`peerage config show` lists the keys".to_owned(),
                    |near| format!("did you mean `{near}`?"),
                );
                Self::new(400, "config_unknown_key", detail).hint(hint)
            }
            ConfigError::Invalid { .. } | ConfigError::Value { .. } => {
                Self::new(400, "config_invalid", detail)
            }
        }
    }
}

impl Config {
    /// The defaults for a home, without file or environment.
    #[must_use]
    pub fn new(home: impl Into<PathBuf>) -> Self {
        Self {
            home: home.into(),
            name: host_name(),
            api: SocketAddr::from((Ipv4Addr::LOCALHOST, DEFAULT_API_PORT)),
            listen: Vec::new(),
            mdns: true,
            policy: None,
            pins: Pins::default(),
            peers: Vec::new(),
            description: None,
            metadata: BTreeMap::new(),
            shares: Vec::new(),
            gateways: Gateways::default(),
            mcp: McpConfig::default(),
            limits: Limits::default(),
            secrets: SecretsSettings::default(),
            audit: AuditSettings::default(),
            identity: IdentitySource::Stored,
            guard: Vec::new(),
            origins: BTreeMap::new(),
        }
    }

    /// Defaults, then `HOME/peerage.toml` if there is one, then the environment, then flags.
    ///
    /// # Errors
    /// What is wrong, with the file and line or the name of the variable or flag.
    pub fn load(
        home: &Path,
        environment: &Environment<'_>,
        flags: Layer,
    ) -> Result<Self, ConfigError> {
        let mut config = Self::new(home);
        let path = home.join(FILE_NAME);
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                let (layer, lines) = file::parse(&path, &text)?;
                let origin = |key: &str| Origin::File {
                    path: path.clone(),
                    line: lines.get(key).copied().unwrap_or(1),
                };
                config.apply(layer, &origin)?;
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => return Err(ConfigError::Read { path, source }),
        }
        config.apply(environment.layer()?, &Environment::origin)?;
        config.apply(flags, &|key| Origin::Flag(layer::flag(key)))?;
        Ok(config)
    }

    /// Puts one layer over what is there. `origin` says for a key where it came from.
    fn apply(&mut self, layer: Layer, origin: &dyn Fn(&str) -> Origin) -> Result<(), ConfigError> {
        if let Some(name) = &layer.name {
            check_name(name).map_err(|message| ConfigError::Value {
                origin: origin("name"),
                message,
            })?;
        }
        let mut slots = Slots {
            origins: &mut self.origins,
            origin,
        };
        slots.put("name", layer.name, &mut self.name);
        slots.put("api", layer.api, &mut self.api);
        slots.put("listen", layer.listen, &mut self.listen);
        slots.put("mdns", layer.mdns, &mut self.mdns);
        slots.put(
            "description",
            layer.description.map(Some),
            &mut self.description,
        );
        slots.put("metadata", layer.metadata, &mut self.metadata);
        let policy = layer.policy.map(|path| Some(self.home.join(path)));
        slots.put("policy", policy, &mut self.policy);
        slots.put("pins", layer.pins, &mut self.pins);
        let mcp = layer.mcp.unwrap_or_default();
        self.mcp.apply(mcp, &mut slots);
        self.limits
            .apply(layer.limits.unwrap_or_default(), &mut slots);
        let guard = layer.guard.unwrap_or_default();
        guard::apply(&mut self.secrets, guard, &mut slots);
        audit::apply(&mut self.audit, layer.audit.unwrap_or_default(), &mut slots);
        slots.put("identity", layer.identity, &mut self.identity);
        if !layer.peers.is_empty() {
            slots.origins.insert("peers".to_owned(), origin("peers"));
        }
        for peer in layer.peers {
            if !self.peers.contains(&peer.address) {
                self.peers.push(peer.address);
            }
        }
        gateways::apply(
            layer.gateways,
            layer.forwards,
            &mut self.gateways,
            &mut slots,
        )?;
        for (name, entry) in layer.shares {
            let key = format!("shares.{name}");
            let from = origin(&key);
            let share = entry.check(&name).map_err(|error| ConfigError::Value {
                origin: from.clone(),
                message: error.to_string(),
            })?;
            self.origins.insert(key, from);
            self.shares.retain(|other| other.name != share.name);
            self.shares.push(share);
        }
        self.shares.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(())
    }

    /// Where the value of a key came from, as `mcp.pinned` or `shares.files`.
    #[must_use]
    pub fn origin(&self, key: &str) -> Origin {
        self.origins.get(key).cloned().unwrap_or(Origin::Default)
    }

    /// The file with the rules who may do what.
    #[must_use]
    pub fn policy_file(&self) -> PolicyFile {
        match &self.policy {
            Some(path) => PolicyFile {
                path: path.clone(),
                required: true,
            },
            None => PolicyFile {
                path: self.home.join(POLICY_NAME),
                required: false,
            },
        }
    }

    /// The last part of the `o://` name that the node has in its mesh.
    #[must_use]
    pub fn segment(&self) -> String {
        Address::segment_from(&self.name)
    }

    /// Every effective value with where it came from, in the order of the documentation.
    #[must_use]
    pub fn settings(&self) -> Vec<Setting> {
        let text = |items: &[Multiaddr]| items.iter().map(ToString::to_string).collect::<Vec<_>>();
        let mut settings = vec![
            self.setting("name", self.name.as_str()),
            self.setting("api", self.api.to_string()),
            self.setting("listen", text(&self.listen)),
            self.setting("mdns", self.mdns),
            self.setting("description", self.description.clone()),
            self.setting("metadata", serde_json::json!(self.metadata)),
            self.setting("policy", self.policy_file().path.display().to_string()),
            self.setting("pins", self.pins.shown()),
            self.setting("peers", text(&self.peers)),
            self.setting("mcp.pinned", self.mcp.pinned.clone()),
            self.setting("mcp.all_tools", self.mcp.all_tools),
            self.setting("mcp.not_after_remote", self.mcp.not_after_remote.clone()),
        ];
        settings.extend(gateways::settings(&self.gateways, |key, value| {
            self.setting(key, value)
        }));
        settings.extend(self.limits.settings(|key, value| self.setting(key, value)));
        settings.extend(guard::settings(&self.secrets, |key, value| {
            self.setting(key, value)
        }));
        settings.extend(audit::settings(&self.audit, |key, value| {
            self.setting(key, value)
        }));
        settings.push(self.setting("identity", self.identity.to_string()));
        for share in &self.shares {
            settings.push(self.setting(&format!("shares.{}", share.name), share_target(share)));
        }
        settings
    }

    fn setting(&self, key: &str, value: impl Into<Value>) -> Setting {
        Setting {
            key: key.to_owned(),
            value: value.into(),
            origin: self.origin(key),
        }
    }
}

impl McpConfig {
    fn apply(&mut self, layer: McpLayer, slots: &mut Slots<'_>) {
        slots.put("mcp.pinned", layer.pinned, &mut self.pinned);
        slots.put("mcp.all_tools", layer.all_tools, &mut self.all_tools);
        let closed = &mut self.not_after_remote;
        slots.put("mcp.not_after_remote", layer.not_after_remote, closed);
    }
}

/// Fills values and remembers where each came from.
struct Slots<'a> {
    origins: &'a mut BTreeMap<String, Origin>,
    origin: &'a dyn Fn(&str) -> Origin,
}

impl Slots<'_> {
    /// Remembers where a key came from whose values add up.
    fn note(&mut self, key: &str) {
        self.origins.insert(key.to_owned(), (self.origin)(key));
    }

    fn put<T>(&mut self, key: &str, value: Option<T>, slot: &mut T) {
        if let Some(value) = value {
            *slot = value;
            self.origins.insert(key.to_owned(), (self.origin)(key));
        }
    }
}

/// Checks that a text can be a node's name, which is also a folder and a part of DNS-SD names.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn check_name(name: &str) -> Result<(), String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > MAX_NAME {
        return Err(format!("a node's name has 1 to {MAX_NAME} characters"));
    }
    if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) || !name.chars().all(allowed) {
        return Err(format!(
            "`{}` cannot be a node's name: letters, digits, `-`, `_` and `.` can, after a letter or digit",
            name.escape_default()
        ));
    }
    Ok(())
}

/// The host's name as a node's name.
fn host_name() -> String {
    let host = sysinfo::System::host_name().unwrap_or_default();
    let short = host.split('.').next().unwrap_or_default();
    Address::segment_from(short)
}

#[cfg(test)]
mod tests;
