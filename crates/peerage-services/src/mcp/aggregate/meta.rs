//! The three tools that stand for all others when there are too many to list.

use std::fmt::Write as _;

use rmcp::model::{CallToolResult, ContentBlock};
use serde_json::{Map, Value, json};

use super::{
    listing::Listing,
    search::{self, Found},
};

pub(super) const SEARCH: &str = "search_tools";
pub(super) const DESCRIBE: &str = "describe_tool";
pub(super) const CALL: &str = "call_tool";

/// How many tools a search brings unless asked for more.
const FOUND: usize = 10;

/// The most tools a search brings.
const MAX_FOUND: usize = 50;

/// How many near names an unknown one is answered with.
const NEAR: usize = 3;

pub(super) fn tools() -> Vec<Value> {
    let name = json!({
        "type": "string",
        "description": "The tool's name, exactly as search_tools gave it."
    });
    vec![
        json!({
            "name": SEARCH,
            "title": "Search tools",
            "description": "Finds tools on this machine and its peers. There are more than are listed \
                here: search for what you need, then use describe_tool and call_tool.",
            "inputSchema": {
                "type": "object",
                "properties": {
                    "query": {
                        "type": "string",
                        "description": "A few words: what the tool does, or the name of its server or peer. \
                            Empty for all."
                    },
                    "limit": {
                        "type": "integer",
                        "description": "How many to return.",
                        "minimum": 1, "maximum": MAX_FOUND, "default": FOUND
                    }
                },
                "required": ["query"]
            },
            "annotations": {"readOnlyHint": true, "openWorldHint": false}
        }),
        json!({
            "name": DESCRIBE,
            "title": "Describe a tool",
            "description": "Tells what a tool does and which arguments it takes.",
            "inputSchema": {"type": "object", "properties": {"name": name}, "required": ["name"]},
            "annotations": {"readOnlyHint": true, "openWorldHint": false}
        }),
        json!({
            "name": CALL,
            "title": "Call a tool",
            "description": "Calls a tool that search_tools found. See describe_tool for its arguments.",
            "inputSchema": {
                "type": "object",
                "properties": {
                    "name": name,
                    "arguments": {"type": "object", "description": "The tool's arguments."}
                },
                "required": ["name"]
            },
            "annotations": {"openWorldHint": true}
        }),
    ]
}

pub(super) fn search(listing: &Listing, arguments: &Map<String, Value>) -> CallToolResult {
    let query = text(arguments, "query");
    let limit = arguments.get("limit").and_then(Value::as_u64);
    let limit = limit.map_or(FOUND, |limit| usize::try_from(limit).unwrap_or(MAX_FOUND));
    let found = search::search(listing, query, limit.clamp(1, MAX_FOUND));
    let mut lines = String::new();
    for Found {
        name,
        line,
        reachable,
    } in &found
    {
        let away = if *reachable {
            ""
        } else {
            " (not reachable now)"
        };
        let _ = writeln!(lines, "{name}{away}: {line}");
    }
    if found.is_empty() {
        lines = format!(
            "No tool fits {query:?}. There are {}.",
            listing.iter().count()
        );
    }
    CallToolResult::success(vec![ContentBlock::text(lines.trim_end())])
}

pub(super) fn describe(listing: &Listing, arguments: &Map<String, Value>) -> CallToolResult {
    let name = text(arguments, "name");
    match listing.get(name) {
        Some(tool) => {
            let whole = serde_json::to_string_pretty(&tool.whole).unwrap_or_default();
            CallToolResult::success(vec![ContentBlock::text(whole)])
        }
        None => CallToolResult::error(vec![ContentBlock::text(unknown(listing, name))]),
    }
}

/// What to say about a name that no tool has.
pub(super) fn unknown(listing: &Listing, name: &str) -> String {
    let near = search::search(listing, name, NEAR);
    let near: Vec<_> = near.into_iter().map(|found| found.name).collect();
    let mut text = format!("unknown tool: {name}");
    if !near.is_empty() {
        let _ = write!(text, "; near it: {}", near.join(", "));
    }
    text
}

pub(super) fn text<'a>(arguments: &'a Map<String, Value>, key: &str) -> &'a str {
    arguments
        .get(key)
        .and_then(Value::as_str)
        .unwrap_or_default()
}
