//! What a peer may do.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a peer may do, and to which object.
///
/// | word | what it does | object |
/// |---|---|---|
/// | `connect` | has a connection with this node, whoever dialled, and introduces itself | none |
/// | `dial` | is dialled by this node, which wants `connect` too | none |
/// | `see` | finds something listed: on the card, among the tools | `mcp/SERVER/TOOL` |
/// | `call` | calls it | `mcp/SERVER/TOOL`, or the path of the request without the first `/` |
/// | `resolve` | asks this node who bears a name | the name without `o://` |
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Have a connection with this node.
    Connect,
    /// Be dialled by this node.
    Dial,
    /// Find something listed.
    See,
    /// Call something.
    Call,
    /// Ask who bears a name.
    Resolve,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Connect,
        Self::Dial,
        Self::See,
        Self::Call,
        Self::Resolve,
    ];

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Dial => "dial",
            Self::See => "see",
            Self::Call => "call",
            Self::Resolve => "resolve",
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
