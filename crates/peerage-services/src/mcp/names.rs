//! The name under which a peer's tool appears in the aggregated MCP server.
//!
//! A name is a pure function of the tool's own coordinates (peer, server, tool): it never depends on
//! which other peers, servers or tools there are, so it stays the same while others come and go. That
//! rules out the obvious scheme "prefix with the peer's name, add a number when taken", for a peer
//! chooses its own name and two may choose the same. So part of the peer's identity is *always* in the
//! name:
//!
//! ```text
//! workstation-9fXk2LmPqR__files__list_directory        the plain form
//! └ peer name  └ tag      └ server └ tool
//! workstation-9fXk2LmPqR_q7n3vd5k2jx4m6ta_files__read  the short form
//! ```
//!
//! The *tag* is the last [`TAG_LEN`] characters of the PeerId as people see it, so that a tool's peer can
//! be recognised in any list of peers. 58^10 is about 2^58: whoever wants the tag of one chosen peer has
//! to try that many keys. The peer's name is decoration for the reader (a model, mostly).
//!
//! The *plain form* is used when it can be read back without doubt and fits: the peer's name holds no
//! `_`, the server's name neither `__` nor a `_` at an end, so the first two `__` are the separators
//! whatever the tool is called. Otherwise the *short form* carries a hash over server and tool, and then
//! as much of both as fits. The two forms cannot meet: after the tag comes `__` in one, `_` and a letter
//! or digit in the other.
//!
//! What no scheme can exclude (a key ground for years, a peer that shares two tools under one name)
//! ends closed: [`Names::build`] gives a name that two tools claim to neither of them.

use std::collections::{BTreeMap, BTreeSet};

use data_encoding::BASE32_NOPAD;
use peerage_core::PeerId;
use sha2::{Digest as _, Sha256};

#[cfg(test)]
mod tests;

/// The most characters in a name: model providers refuse longer ones.
pub const MAX_NAME_LEN: usize = 64;

/// How many characters of the PeerId are in each name.
pub const TAG_LEN: usize = 10;

/// The most characters of the peer's name that are shown.
const MAX_PEER_LEN: usize = 16;

/// Characters of base32 in the short form's hash: 80 bits.
const HASH_LEN: usize = 16;

/// Where a tool is: what a name in the aggregate stands for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Coordinates {
    /// The peer that shares the server.
    pub peer: PeerId,
    /// The server's name on that peer.
    pub server: String,
    /// The tool's name on that server.
    pub tool: String,
}

/// The name of a tool in the aggregate: 1 to [`MAX_NAME_LEN`] characters of `[A-Za-z0-9_-]`.
///
/// `peer_name` is what the peer calls itself; it is only shown, never relied upon.
#[must_use]
pub fn tool_name(peer_name: &str, at: &Coordinates) -> String {
    let prefix = prefix(peer_name, &at.peer);
    plain(&prefix, &at.server, &at.tool).unwrap_or_else(|| short(&prefix, &at.server, &at.tool))
}

/// `workstation-9fXk2LmPqR`: never holds a `_`.
fn prefix(peer_name: &str, peer: &PeerId) -> String {
    let mut shown = String::with_capacity(MAX_PEER_LEN);
    for c in peer_name.chars() {
        if shown.len() == MAX_PEER_LEN {
            break;
        }
        if c.is_ascii_alphanumeric() {
            shown.push(c);
        } else if !shown.is_empty() && !shown.ends_with('-') {
            shown.push('-');
        }
    }
    let shown = match shown.trim_end_matches('-') {
        "" => "peer",
        shown => shown,
    };
    let text = peer.to_base58();
    let tag = &text[text.len().saturating_sub(TAG_LEN)..];
    format!("{shown}-{tag}")
}

fn plain(prefix: &str, server: &str, tool: &str) -> Option<String> {
    let readable = is_clean(server)
        && is_clean(tool)
        && !server.contains("__")
        && !server.starts_with('_')
        && !server.ends_with('_');
    let len = prefix.len() + 2 + server.len() + 2 + tool.len();
    (readable && len <= MAX_NAME_LEN).then(|| format!("{prefix}__{server}__{tool}"))
}

fn short(prefix: &str, server: &str, tool: &str) -> String {
    let mut name = format!("{prefix}_{}_", hash(server, tool));
    let room = MAX_NAME_LEN - name.len();
    let whole = clean(server) + "__" + &clean(tool);
    if whole.len() <= room {
        name.push_str(&whole);
    } else {
        // The tool says more than the server, so its beginning is what stays.
        name.extend(clean(tool).chars().take(room));
    }
    name
}

/// Lengths go in first, so that no two pairs have the same bytes.
fn hash(server: &str, tool: &str) -> String {
    let mut hasher = Sha256::new();
    hasher.update((server.len() as u64).to_be_bytes());
    hasher.update(server);
    hasher.update(tool);
    let mut text = BASE32_NOPAD.encode(&hasher.finalize());
    text.make_ascii_lowercase();
    text.truncate(HASH_LEN);
    text
}

fn is_clean(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(allowed)
}

fn clean(name: &str) -> String {
    name.chars()
        .map(|c| match u8::try_from(c) {
            Ok(byte) if allowed(byte) => c,
            _ => '-',
        })
        .collect()
}

fn allowed(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

/// The names of a set of tools, and back from a name to its tool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    tools: BTreeMap<String, Coordinates>,
    ambiguous: BTreeSet<String>,
}

impl Names {
    /// Names each of `tools`, given as the peer's own name and where the tool is. Equal ones count once.
    #[must_use]
    pub fn build<'a>(tools: impl IntoIterator<Item = (&'a str, Coordinates)>) -> Self {
        let mut names = Self::default();
        for (peer_name, at) in tools {
            names.insert(tool_name(peer_name, &at), at);
        }
        names
    }

    fn insert(&mut self, name: String, at: Coordinates) {
        if self.ambiguous.contains(&name) {
            return;
        }
        if self.tools.get(&name).is_some_and(|held| *held != at) {
            self.tools.remove(&name);
            self.ambiguous.insert(name);
        } else {
            self.tools.insert(name, at);
        }
    }

    /// The tool that has this name.
    #[must_use]
    pub fn lookup(&self, name: &str) -> Option<&Coordinates> {
        self.tools.get(name)
    }

    /// All names with their tools, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Coordinates)> {
        self.tools.iter().map(|(name, at)| (name.as_str(), at))
    }

    /// The names that two different tools claim, which stand for neither.
    pub fn ambiguous(&self) -> impl Iterator<Item = &str> {
        self.ambiguous.iter().map(String::as_str)
    }

    /// How many tools have a name.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tools.len()
    }

    /// Whether no tool has a name.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tools.is_empty()
    }
}
