//! The types of the local API: what its answers and requests look like as JSON.
//!
//! Field names are stable: scripts read them, and the OpenAPI document is made from these types. Keys,
//! DIDs, addresses and times are text here; whoever needs them as values parses them.

mod audit;
mod blocks;
mod limits;
mod names;
mod policy;
mod score;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

pub use audit::{AuditEntry, AuditVerdict, DEFAULT_AUDIT_LIMIT};
pub use blocks::{BlockRequest, BlockView};
pub use limits::{InUse, LimitsView, PeerLimitsView, RefusedView};
pub use names::{ResolveStep, ResolveView, ResolvedPeer};
pub use policy::{PolicyAnswer, PolicyQuestion, PolicyRequest, PolicyStep, PolicyView};
pub use score::{ReasonView, ScoreView};

/// How long a tool call may take when the caller does not say, in seconds.
pub const DEFAULT_CALL_TIMEOUT_S: u64 = 60;
/// For how long a grant holds unless it is said, in seconds.
pub const DEFAULT_GRANT_S: u64 = 30 * 24 * 3600;
/// How long an invite is good when its maker does not say, in seconds.
pub const DEFAULT_INVITE_S: u64 = 900;
/// How many pings are sent when the caller does not say.
pub const DEFAULT_PING_COUNT: u32 = 4;

/// A node, as `GET /api/v1/node` shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeStatus {
    /// Name of the node, unique under its home.
    pub name: String,
    /// libp2p PeerId of the node's key.
    pub peer_id: String,
    /// The same key as a `did:key`.
    pub did: String,
    /// Short digest of the key, for people to compare.
    pub fingerprint: String,
    /// Base URL of the local API, as `http://127.0.0.1:7337`.
    pub api: String,
    /// File with the bearer token that the API asks of TCP clients.
    pub token_file: String,
    /// Unix socket of the local API, which needs no token.
    pub socket: String,
    /// Addresses at which peers reach the node.
    pub listen: Vec<String>,
    /// Version of the program.
    pub version: String,
    /// Process id.
    pub pid: u32,
    /// Seconds since the node started.
    pub uptime_s: u64,
    /// The mesh of this home, and those the node was invited to.
    pub mesh: MeshView,
    /// How many peers there are.
    pub peers: PeerCount,
    /// What the node shares.
    pub shares: Vec<ShareView>,
    /// How multicast DNS fares, per interface; empty when it is off.
    pub mdns: Vec<MdnsView>,
    /// What peers may use of the node, what they use, and what they were refused.
    #[serde(default)]
    pub limits: LimitsView,
    /// What the node's owner should know, a sentence each: that its store was damaged, and what was lost.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// How to reach a running node: the file `node.json` in its folder, written when the local API answers and
/// removed when the node stops.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeFile {
    /// Process id.
    pub pid: u32,
    /// Name of the node.
    pub name: String,
    /// Base URL of the local API, as `http://127.0.0.1:7337`.
    pub api: String,
    /// File with the bearer token that the API asks of TCP clients.
    pub token_file: String,
    /// Unix socket of the local API, which needs no token; not always in the node's folder, for paths of
    /// sockets are short.
    pub socket: String,
    /// When it started, RFC 3339.
    pub started: String,
}

/// The meshes a node belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MeshView {
    /// Name of the mesh whose root this home holds, as `o://acme`.
    pub name: String,
    /// DID of that root.
    pub root: String,
    /// Names that this node holds, in its own mesh and in those it joined.
    pub member_of: Vec<String>,
}

/// How many peers a node knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PeerCount {
    /// Peers in the book.
    pub known: usize,
    /// Peers with a connection right now.
    pub connected: usize,
}

/// Multicast DNS on one interface.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MdnsView {
    /// Name of the interface, as `eth0`.
    pub interface: String,
    /// IP address that is used there.
    pub address: String,
    /// `up`, or the reason why it is not.
    pub state: String,
}

/// What a peer is to this node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Relation {
    /// It showed a grant of a mesh this node belongs to.
    Member,
    /// Its key was trusted by hand.
    Trusted,
    /// Seen, but not trusted.
    #[default]
    Stranger,
    /// This node.
    #[serde(rename = "self")]
    Own,
}

impl Relation {
    /// The word for it, as in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Trusted => "trusted",
            Self::Stranger => "stranger",
            Self::Own => "self",
        }
    }
}

/// How the bytes to a peer travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PeerPath {
    /// From machine to machine.
    Direct,
    /// Through a relay, still encrypted end to end.
    Relayed,
}

impl PeerPath {
    /// The word for it, as in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Relayed => "relayed",
        }
    }
}

/// A peer, as the book knows it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PeerView {
    /// Name from the peer's card; its PeerId when no card is known.
    pub name: String,
    /// libp2p PeerId.
    pub peer_id: String,
    /// The same key as a `did:key`.
    pub did: String,
    /// Short digest of the key, for people to compare.
    pub fingerprint: String,
    /// What the peer is to this node.
    pub relation: Relation,
    /// Names it proved to hold, as `o://acme/sales`.
    pub names: Vec<String>,
    /// Whether there is a connection right now.
    pub connected: bool,
    /// How the connection goes; null without one.
    pub path: Option<PeerPath>,
    /// Where it was seen.
    pub addresses: Vec<AddressView>,
    /// Smoothed round trip in milliseconds; null until measured.
    pub rtt_ms: Option<f64>,
    /// Failed dials since the last good one.
    pub failures: u32,
    /// Bytes received from it, over all connections.
    pub bytes_in: u64,
    /// Bytes sent to it, over all connections.
    pub bytes_out: u64,
    /// Why the last dial or connection failed.
    pub last_error: Option<String>,
    /// Names of the MCP servers it shares with this node.
    pub servers: Vec<String>,
    /// When its card expires, RFC 3339; null without a card.
    pub card_expires: Option<String>,
    /// Program and version it says it runs.
    pub agent: Option<String>,
    /// What its deeds say of it.
    #[serde(default)]
    pub score: ScoreView,
}

/// One address of a peer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AddressView {
    /// The multiaddr.
    pub address: String,
    /// Where it came from: `mdns`, `config`, `card`, `invite`, `identify`.
    pub source: String,
    /// When it last worked, RFC 3339; null when it never did.
    pub last_good: Option<String>,
}

/// One tool that this node may call.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ToolView {
    /// Name in the aggregated MCP server: prefixed, stable, at most 64 characters.
    pub name: String,
    /// Name of the peer that shares it.
    pub peer: String,
    /// PeerId of that peer.
    pub peer_id: String,
    /// MCP server that has it.
    pub server: String,
    /// The tool's own name there.
    pub tool: String,
    /// Title for people.
    pub title: Option<String>,
    /// What it does.
    pub description: Option<String>,
    /// JSON Schema of its arguments.
    #[schema(value_type = Object)]
    pub input_schema: Value,
    /// Whether its peer is connected right now.
    pub reachable: bool,
}

/// Asks for a tool call: the body of `POST /api/v1/tools/call`.
///
/// The answer is a [`CallToolAnswer`]. With `Accept: text/event-stream` it is a stream of events:
/// `progress` ([`CallProgress`]) any number of times, then one `result` ([`CallToolAnswer`]) or one
/// `problem` (a problem document).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CallToolRequest {
    /// Peer: its name, PeerId or DID.
    pub peer: String,
    /// MCP server there.
    pub server: String,
    /// Tool of that server.
    pub tool: String,
    /// Arguments of the tool, an object.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub arguments: serde_json::Map<String, Value>,
    /// Deadline in seconds, extended while progress flows.
    #[serde(default = "default_call_timeout")]
    pub timeout_s: u64,
}

/// The answer to a tool call.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CallToolAnswer {
    /// MCP `CallToolResult` as the server gave it.
    #[schema(value_type = Object)]
    pub result: Value,
}

/// Progress of a call, as the server told it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CallProgress {
    /// How far.
    pub progress: f64,
    /// Of how much, if known.
    pub total: Option<f64>,
    /// In words.
    pub message: Option<String>,
}

/// Who may call what a node shares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum Allow {
    /// One word: `mesh` or `public`; or one name or key.
    One(String),
    /// Names (`o://acme/sales`, with those below) and keys (PeerId or DID).
    Listed(Vec<String>),
}

impl Default for Allow {
    fn default() -> Self {
        Self::One("mesh".to_owned())
    }
}

/// Shares an MCP server: the body of `POST /api/v1/shares`.
///
/// Exactly one of `command` and `url` is given. A share of the same name is replaced.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ShareRequest {
    /// Name under which peers call it.
    pub name: String,
    /// Command line of a stdio server, split as a shell would, but run without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// URL of a Streamable HTTP server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// More arguments, added after those in `command` as they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Environment of the child, added to the node's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Working directory of the child; the node's own by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// Who may call it; `mesh` by default.
    #[serde(default)]
    pub allow: Allow,
}

/// Environment and arguments may hold secrets, so only their names and number show.
impl std::fmt::Debug for ShareRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ShareRequest")
            .field("name", &self.name)
            .field("stdio", &self.command.is_some())
            .field("env", &self.env.keys().collect::<Vec<_>>())
            .field("cwd", &self.cwd)
            .field("allow", &self.allow)
            .finish_non_exhaustive()
    }
}

/// How a shared server is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ShareKind {
    /// A child process that speaks MCP on its standard streams.
    #[default]
    Stdio,
    /// A Streamable HTTP server.
    Http,
    /// A function in the embedding program.
    Function,
}

impl ShareKind {
    /// The word for it, as in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stdio => "stdio",
            Self::Http => "http",
            Self::Function => "function",
        }
    }
}

/// A server that this node shares.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ShareView {
    /// Name under which peers call it.
    pub name: String,
    /// How it is reached.
    pub kind: ShareKind,
    /// What it is, without secrets: the program's name or the URL without user, query and fragment.
    pub target: String,
    /// Who may call it.
    pub allow: Allow,
    /// `ready`, `starting` or `failed`.
    pub state: String,
    /// How many tools it has.
    pub tools: usize,
    /// Why it failed.
    pub error: Option<String>,
}

/// Asks for an invite: the body of `POST /api/v1/invites`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InviteRequest {
    /// How long it is good, in seconds.
    #[serde(default = "default_invite")]
    pub expires_s: u64,
    /// Last part of the name the new member gets; by default the one its node has.
    #[serde(default)]
    pub name: Option<String>,
}

impl Default for InviteRequest {
    fn default() -> Self {
        Self {
            expires_s: DEFAULT_INVITE_S,
            name: None,
        }
    }
}

/// An invite: whoever has the code may use it once.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InviteView {
    /// The code for `peerage join`.
    pub code: String,
    /// When it expires, RFC 3339.
    pub expires: String,
    /// When it expires, in seconds since 1970.
    pub expires_unix: u64,
    /// The name the new member gets, if the invite fixes it.
    pub name: Option<String>,
}

/// The code is a secret until it is used.
impl std::fmt::Debug for InviteView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InviteView")
            .field("expires", &self.expires)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Uses an invite, or takes a grant: the body of `POST /api/v1/join`.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct JoinRequest {
    /// The code that `peerage invite` printed, or the text of a grant.
    pub code: String,
}

/// The code is a secret until it is used.
impl std::fmt::Debug for JoinRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JoinRequest").finish_non_exhaustive()
    }
}

/// What joining gave.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JoinView {
    /// Name of the mesh, as `o://acme`.
    pub mesh: String,
    /// Name that this node now holds there.
    pub name: String,
    /// DID of the mesh root.
    pub root: String,
    /// PeerId of the node that made the invite.
    pub inviter: String,
}

/// Asks for a grant: the body of `POST /api/v1/grants`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GrantRequest {
    /// Name that is granted: `o://acme/sales`, or relative to this node's own.
    pub name: String,
    /// Peer that gets it: its name, PeerId or DID.
    pub to: String,
    /// What it may do: `be`, `call`, `grant`, and words of one's own. By default `be` and `call`.
    #[serde(default)]
    pub rights: Vec<String>,
    /// For how long it holds, in seconds; it is renewed as long as it is not revoked.
    #[serde(default = "default_grant")]
    pub seconds: u64,
}

/// A grant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GrantView {
    /// Its id, by which it is revoked.
    pub id: String,
    /// Name that it is for.
    pub name: String,
    /// What its holder may do.
    pub rights: Vec<String>,
    /// PeerId of its holder.
    pub peer_id: String,
    /// Name on the card of its holder, if that is known.
    pub peer: Option<String>,
    /// DID of the root of its mesh.
    pub root: String,
    /// DID of whoever gave it.
    pub issuer: String,
    /// Until when it holds, RFC 3339.
    pub expires: String,
    /// The same in seconds since 1970.
    pub expires_unix: u64,
    /// How many further grants may follow below it.
    pub depth: u8,
    /// The proof as text: its holder can take it by hand with `peerage join`. Only where it was just given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain: Option<String>,
    /// Why its holder has not got it yet. Only where it was just given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undelivered: Option<String>,
}

/// The grants that this node holds and has given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GrantsView {
    /// What it holds.
    pub held: Vec<GrantView>,
    /// What it has given.
    pub given: Vec<GrantView>,
}

/// The trust in one peer, after `PUT` or `DELETE /api/v1/trust/{peer}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TrustView {
    /// PeerId of the peer.
    pub peer_id: String,
    /// Its name, if its card is known.
    pub name: Option<String>,
    /// Digest of its key.
    pub fingerprint: String,
    /// Digest of both keys: the same on both sides, for people to compare.
    pub pair_fingerprint: String,
    /// Whether it is trusted now.
    pub trusted: bool,
}

/// Asks for pings: the body of `POST /api/v1/peers/{peer}/ping`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PingRequest {
    /// How many, one after the other.
    #[serde(default = "default_ping_count")]
    pub count: u32,
}

impl Default for PingRequest {
    fn default() -> Self {
        Self {
            count: DEFAULT_PING_COUNT,
        }
    }
}

/// What the pings measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PingView {
    /// PeerId of the peer.
    pub peer: String,
    /// Round trips in milliseconds, in order.
    pub rtt_ms: Vec<f64>,
    /// How many were not answered.
    pub lost: u32,
    /// How they went.
    pub path: Option<PeerPath>,
}

const fn default_call_timeout() -> u64 {
    DEFAULT_CALL_TIMEOUT_S
}

const fn default_invite() -> u64 {
    DEFAULT_INVITE_S
}

const fn default_grant() -> u64 {
    DEFAULT_GRANT_S
}

const fn default_ping_count() -> u32 {
    DEFAULT_PING_COUNT
}
