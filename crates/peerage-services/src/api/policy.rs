//! The policy, and questions to it.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// The rules in force, as `GET /api/v1/policy` shows them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PolicyView {
    /// File that they are read from.
    pub path: String,
    /// Since when they are in force, RFC 3339; absent where there is no file.
    pub since: Option<String>,
    /// Counts up with each change since the node started.
    pub version: u64,
    /// How many there are.
    pub rules: usize,
    /// Their text as it is in the file.
    pub text: String,
    /// The same as JSON: `groups`, and the list `rule`.
    pub policy: Value,
    /// Why what is in the file now is not in force.
    pub error: Option<String>,
    /// What is probably not meant: rules that never decide.
    pub notes: Vec<String>,
}

/// New rules: the body of `PUT /api/v1/policy`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyRequest {
    /// All of them, as TOML.
    pub text: String,
}

/// Asks what the policy says: the body of `POST /api/v1/policy/test`. Nothing happens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyQuestion {
    /// Who asks: a peer by name, PeerId or DID; an `o://` name, also of nobody; or `member`, `trusted`, `stranger`.
    #[serde(rename = "as")]
    pub who: String,
    /// What it wants: `connect`, `dial`, `see`, `call` or `resolve`.
    pub action: String,
    /// What it wants to see or call: `mcp/SERVER`, `mcp/SERVER/TOOL`, a path, or a name.
    #[serde(default)]
    pub object: String,
    /// IP address that it comes from. By default that of its connection, if it has one.
    #[serde(default)]
    pub from: Option<String>,
    /// Rules to ask in place of those in force, as TOML.
    #[serde(default)]
    pub text: Option<String>,
}

/// What the policy says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PolicyAnswer {
    /// `allow` or `refuse`.
    pub verdict: String,
    /// What decided: `rule`; `audience`, with whom the server is shared; or `default`, where no rule says anything.
    pub by: String,
    /// Rule that decided.
    pub rule: Option<String>,
    /// Line of the file on which it begins.
    pub line: Option<usize>,
    /// Why, in a sentence.
    pub reason: String,
    /// How much is allowed, as the rule says it.
    pub limit: Option<Value>,
    /// For whom it was asked: PeerId and names.
    pub who: String,
    /// What was asked for, in the words of the rules.
    pub asked: String,
    /// Each rule that was asked, in order.
    pub steps: Vec<PolicyStep>,
}

/// One rule that was asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicyStep {
    /// Its name.
    pub rule: String,
    /// Line of the file on which it begins.
    pub line: Option<usize>,
    /// `other_subject`, `other_action`, `other_object` or `decided`.
    pub why: String,
}
