//! A small MCP server on standard input and output: the child that a measure calls, directly and through
//! two nodes.

use std::io::{BufRead, Write};

use anyhow::Result;
use serde_json::{Value, json};

/// Its one tool, which answers with what it is given.
pub(crate) const TOOL: &str = "echo";

/// The revision of MCP that it speaks.
pub(crate) const REVISION: &str = "2025-11-25";

/// Answers until the input ends. Threads and buffers are not needed: it answers one after the other.
pub(crate) fn run() -> Result<()> {
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let message: Value = serde_json::from_str(&line?)?;
        if let Some(answer) = answer(&message) {
            writeln!(out, "{answer}")?;
            out.flush()?;
        }
    }
    Ok(())
}

/// The answer to a request; none to a notification.
fn answer(message: &Value) -> Option<Value> {
    let id = message.get("id")?;
    let params = &message["params"];
    let result = match message["method"].as_str()? {
        "initialize" => json!({
            "protocolVersion": REVISION,
            "capabilities": { "tools": {} },
            "serverInfo": { "name": "peerage-bench", "version": "0" },
        }),
        "tools/list" => json!({ "tools": [{
            "name": TOOL,
            "description": "Answers with what it is given",
            "inputSchema": { "type": "object", "properties": { "text": { "type": "string" } } },
        }] }),
        "tools/call" => {
            let text = &params["arguments"]["text"];
            json!({ "content": [{ "type": "text", "text": text }], "isError": false })
        }
        "ping" => json!({}),
        other => {
            let error = json!({ "code": -32601, "message": format!("{other} is not known") });
            return Some(json!({ "jsonrpc": "2.0", "id": id, "error": error }));
        }
    };
    Some(json!({ "jsonrpc": "2.0", "id": id, "result": result }))
}
