//! What there is to call, under which names, and which of it clients list.

use std::collections::BTreeMap;

use rmcp::model::Tool;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{AggregateConfig, MAX_LISTED, ServerEntry, meta};
use crate::mcp::names::{Coordinates, Names, tool_name};

/// One tool of the aggregate.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    /// Where it is.
    pub(super) at: Coordinates,
    /// What the peer that has it calls itself.
    pub(super) peer_name: String,
    /// Whether what it says was written on another machine.
    pub(super) remote: bool,
    /// Whether it is closed to who has read what another machine's tools said.
    pub(super) not_after_remote: bool,
    /// What its server is for.
    pub(super) about: String,
    /// The whole tool object under its name here.
    pub(super) whole: Value,
    /// Whether a call would get there.
    pub(super) reachable: bool,
}

impl Listed {
    pub(super) fn description(&self) -> &str {
        self.whole["description"].as_str().unwrap_or_default()
    }
}

/// All tools in the order of their names, and what clients see of them.
#[derive(Debug, Default)]
pub(super) struct Listing {
    tools: BTreeMap<String, Listed>,
    visible: Vec<Value>,
    digest: [u8; 32],
}

impl Listing {
    pub(super) fn build(servers: &[ServerEntry], config: &AggregateConfig) -> Self {
        let mut tools = name_all(servers);
        for (name, tool) in &mut tools {
            tool.not_after_remote = is_among(&config.not_after_remote, name, tool);
        }
        let visible = visible(&tools, config);
        let digest = Sha256::digest(Value::from(visible.clone()).to_string()).into();
        Self {
            tools,
            visible,
            digest,
        }
    }

    /// The tool objects that clients list, in order.
    pub(super) fn visible(&self) -> &[Value] {
        &self.visible
    }

    /// Changes exactly when [`Listing::visible`] does.
    pub(super) fn digest(&self) -> [u8; 32] {
        self.digest
    }

    pub(super) fn get(&self, name: &str) -> Option<&Listed> {
        self.tools.get(name)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Listed)> {
        self.tools.iter().map(|(name, tool)| (name.as_str(), tool))
    }
}

fn name_all(servers: &[ServerEntry]) -> BTreeMap<String, Listed> {
    let listed: Vec<_> = servers
        .iter()
        .flat_map(|entry| entry.tools.iter().filter_map(|tool| name_one(entry, tool)))
        .collect();
    let names = listed
        .iter()
        .map(|(_, tool)| (tool.peer_name.as_str(), tool.at.clone()));
    let names = Names::build(names);
    for name in names.ambiguous() {
        tracing::warn!(%name, "two tools claim one name: neither is offered");
    }
    let mut tools = BTreeMap::new();
    for (name, tool) in listed {
        if names.lookup(&name).is_some() {
            // A server that lists a tool twice means the first.
            tools.entry(name).or_insert(tool);
        }
    }
    tools
}

fn name_one(entry: &ServerEntry, tool: &Value) -> Option<(String, Listed)> {
    if let Err(reason) = check(tool) {
        let (peer, server) = (entry.peer, &entry.server);
        tracing::warn!(%peer, %server, %reason, "a malformed tool is left out");
        return None;
    }
    let at = Coordinates {
        peer: entry.peer,
        server: entry.server.clone(),
        tool: tool["name"].as_str()?.to_owned(),
    };
    let name = tool_name(&entry.peer_name, &at);
    let mut whole = tool.clone();
    whole["name"] = name.clone().into();
    // Where people confirm calls they see the title alone: it must say on which machine.
    if let Some(title) = tool["title"].as_str() {
        whole["title"] = format!("{title} (on {})", entry.peer_name).into();
    }
    let listed = Listed {
        at,
        peer_name: entry.peer_name.clone(),
        remote: entry.remote,
        not_after_remote: false,
        about: entry.description.clone(),
        whole,
        reachable: entry.reachable,
    };
    Some((name, listed))
}

/// Clients refuse the whole list for one tool they cannot read, so each is read here first.
fn check(tool: &Value) -> Result<(), String> {
    let typed: Tool = serde::Deserialize::deserialize(tool)
        .map_err(|error: serde_json::Error| error.to_string())?;
    if typed.name.is_empty() {
        return Err("it has no name".into());
    }
    match typed.input_schema.get("type").and_then(Value::as_str) {
        Some("object") => Ok(()),
        _ => Err(format!(
            "the input schema of {} is not for an object",
            typed.name
        )),
    }
}

fn visible(tools: &BTreeMap<String, Listed>, config: &AggregateConfig) -> Vec<Value> {
    let reachable = || tools.iter().filter(|(_, tool)| tool.reachable);
    let whole = |(_, tool): (&String, &Listed)| tool.whole.clone();
    if config.all_tools || reachable().count() <= MAX_LISTED {
        return reachable().map(whole).collect();
    }
    let pinned = reachable().filter(|(name, tool)| is_among(&config.pinned, name, tool));
    meta::tools().into_iter().chain(pinned.map(whole)).collect()
}

/// Whether one of these patterns means a tool.
fn is_among(patterns: &[String], name: &str, tool: &Listed) -> bool {
    let path = format!("{}/{}/{}", tool.peer_name, tool.at.server, tool.at.tool);
    let mut patterns = patterns.iter();
    patterns.any(|pattern| matches(pattern, name) || matches(pattern, &path))
}

/// Whether `text` fits `pattern`, where `*` is any characters and `?` is one.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<_>, Vec<_>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    // Where the last star stands, and what it has taken so far.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(&c) if c == '?' || c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((at, taken)) = star else {
                    return false;
                };
                star = Some((at, taken + 1));
                p = at + 1;
                t = taken + 1;
            }
        }
    }
    pattern[p..].iter().all(|&c| c == '*')
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_match_as_in_a_shell() {
        for (pattern, text, fits) in [
            ("", "", true),
            ("a", "a", true),
            ("a", "ab", false),
            ("*", "", true),
            ("desk/*/read", "desk/files/read", true),
            ("desk/*/read", "desk/files/read_all", false),
            ("*read*", "a__b__read_all", true),
            ("?esk*", "desk", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
        ] {
            assert_eq!(matches(pattern, text), fits, "{pattern} {text}");
        }
    }
}
