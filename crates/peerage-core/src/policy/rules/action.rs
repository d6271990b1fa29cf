//! What a peer may do.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a peer may do, and to which object.
///
/// | word | what it does | object |
/// |---|---|---|
/// | `connect` | connects to this node, or is dialled by it | none |
/// | `see` | finds something listed: on the card, among the tools | `mcp/SERVER/TOOL` |
/// | `call` | calls it | `mcp/SERVER/TOOL`, or the path of the request |
/// | `publish` | publishes on a topic | the topic |
/// | `subscribe` | gets what is published on a topic | the topic |
/// | `resolve` | asks who bears a name | the name without `o://` |
/// | `relay` | reaches others through this node | none |
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Connect to this node, or be dialled by it.
    Connect,
    /// Find something listed.
    See,
    /// Call something.
    Call,
    /// Publish on a topic.
    Publish,
    /// Get what is published on a topic.
    Subscribe,
    /// Ask who bears a name.
    Resolve,
    /// Reach others through this node.
    Relay,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Connect,
        Self::See,
        Self::Call,
        Self::Publish,
        Self::Subscribe,
        Self::Resolve,
        Self::Relay,
    ];

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::See => "see",
            Self::Call => "call",
            Self::Publish => "publish",
            Self::Subscribe => "subscribe",
            Self::Resolve => "resolve",
            Self::Relay => "relay",
        }
    }

    /// The action of a word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == word)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
