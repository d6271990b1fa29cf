//! What goes into a card, before it is signed.

use multiaddr::Multiaddr;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{CardError, EXTENSION_URI, MAX_NAME, MAX_TOOLS, extension::Params};
use crate::did::Did;

/// The most characters of the name of a shared server.
const MAX_SERVER_NAME: usize = 64;

/// The most characters of a tool's name.
const MAX_TOOL_NAME: usize = 256;

/// What a node says about itself. The rest of the card follows from it and from the identity.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CardContent {
    /// The name, for people: 1 to [`MAX_NAME`] characters.
    pub name: String,
    /// What the node is, for people.
    pub description: String,
    /// The version of the agent, such as `1.2.0`.
    pub version: String,
    /// Where the node can be reached, the most promising first.
    pub addresses: Vec<Multiaddr>,
    /// Whatever the node's owner wants to add.
    pub metadata: Map<String, Value>,
    /// The shared MCP servers; each becomes a skill, too.
    pub servers: Vec<SharedServer>,
    /// Where A2A is spoken, the preferred one first.
    pub interfaces: Vec<Interface>,
}

/// Where and how A2A is spoken: an entry of `supportedInterfaces`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Interface {
    /// The URL.
    pub url: String,
    /// `JSONRPC`, `GRPC`, `HTTP+JSON` or a URI.
    pub protocol_binding: String,
    /// The version of A2A, such as `1.0`.
    pub protocol_version: String,
    /// What the caller has to send along, where several agents share a URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
}

/// A shared MCP server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SharedServer {
    /// The name by which it is called; see [`SharedServer::is_name`].
    pub name: String,
    /// What it is, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Its tools: whole MCP tool objects, as the server lists them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<Map<String, Value>>,
}

impl SharedServer {
    /// Whether a text can be the name of a shared server: 1 to 64 characters `A`–`Z`, `a`–`z`, `0`–`9`, `-`, `_` and `.`,
    /// the first a letter or digit. So it needs no quoting in a URL or on a command line.
    #[must_use]
    pub fn is_name(text: &str) -> bool {
        let in_alphabet = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        text.len() <= MAX_SERVER_NAME
            && text
                .bytes()
                .next()
                .is_some_and(|first| first.is_ascii_alphanumeric())
            && text.bytes().all(in_alphabet)
    }

    /// The names of the tools, in order.
    pub fn tool_names(&self) -> impl Iterator<Item = &str> {
        self.tools
            .iter()
            .filter_map(|tool| tool.get("name").and_then(Value::as_str))
    }

    /// Whether it can stand on a card: its name and the name of each tool are usable.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.check().is_ok()
    }

    /// Checks the name and that each tool has one.
    pub(super) fn check(&self) -> Result<(), String> {
        let shown = self.name.chars().take(MAX_SERVER_NAME).collect::<String>();
        if !Self::is_name(&self.name) {
            return Err(format!("{shown:?} is no name for a shared server"));
        }
        if self.tools.len() > MAX_TOOLS {
            return Err(format!(
                "the server {shown:?} has more than {MAX_TOOLS} tools"
            ));
        }
        let is_name = |name: &str| is_text(name, MAX_TOOL_NAME);
        let named = |tool: &Map<String, Value>| {
            tool.get("name")
                .and_then(Value::as_str)
                .is_some_and(is_name)
        };
        if !self.tools.iter().all(named) {
            return Err(format!("a tool of the server {shown:?} has no usable name"));
        }
        Ok(())
    }

    /// The server as a skill, by which A2A clients find it.
    fn as_skill(&self) -> Value {
        let count = self.tools.len();
        let description = match self.description.as_str() {
            "" => format!(
                "MCP server with {count} tool{}",
                if count == 1 { "" } else { "s" }
            ),
            text => text.to_owned(),
        };
        let tags: Vec<&str> = std::iter::once("mcp").chain(self.tool_names()).collect();
        json!({"id": self.name, "name": self.name, "description": description, "tags": tags})
    }
}

impl CardContent {
    /// The card without its signature. Optional fields that are empty or default are left out, since some readers drop
    /// them and would then compute another signature.
    pub(super) fn into_json(self, did: Did, issued: u64, expires: u64) -> Value {
        let skills: Vec<Value> = self.servers.iter().map(SharedServer::as_skill).collect();
        let params =
            Params::new(did, issued, expires).with(&self.addresses, self.metadata, self.servers);
        json!({
            "name": self.name,
            "description": self.description,
            "version": self.version,
            "supportedInterfaces": self.interfaces,
            "capabilities": {"extensions": [{
                "uri": EXTENSION_URI,
                "description": "The node behind this card: its key, addresses and shared MCP servers",
                "params": params,
            }]},
            "defaultInputModes": ["application/json", "text/plain"],
            "defaultOutputModes": ["application/json", "text/plain"],
            "skills": skills,
        })
    }
}

/// Reads the `name` of a card.
pub(super) fn checked_name(name: Option<&Value>) -> Result<String, CardError> {
    let name = name
        .and_then(Value::as_str)
        .filter(|name| is_text(name, MAX_NAME));
    name.map(str::to_owned).ok_or_else(|| {
        CardError::Content(format!(
            "its \"name\" is not 1 to {MAX_NAME} characters without control characters"
        ))
    })
}

fn is_text(text: &str, max: usize) -> bool {
    !text.is_empty() && text.chars().nth(max).is_none() && !text.chars().any(char::is_control)
}
