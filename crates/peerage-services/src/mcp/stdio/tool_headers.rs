//! Arguments that a tool wants repeated in headers (`x-mcp-header`), learnt from the tool lists that
//! pass.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use http::{HeaderMap, HeaderName};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    fault::Fault,
    headers::{decode, mismatch, single},
    message::Message,
};

/// Tools of one server whose headers are remembered; those beyond are not checked.
const MAX_TOOLS: usize = 4096;
/// Properties within properties that are looked into.
const MAX_DEPTH: usize = 16;

/// What is known of one server's tools.
#[derive(Debug, Default)]
pub(super) struct ToolHeaders(Mutex<HashMap<String, Vec<Argument>>>);

/// An argument that is repeated in a header.
#[derive(Clone, Debug)]
struct Argument {
    path: Vec<String>,
    header: HeaderName,
}

#[derive(Deserialize)]
struct Tool {
    name: String,
    #[serde(rename = "inputSchema")]
    input_schema: Option<Value>,
}

impl ToolHeaders {
    /// Remembers what the answer to `tools/list` says.
    pub(super) fn learn(&self, answer: &Message) {
        let tools = answer.outcome(&["tools"]);
        let Some(tools) = tools.and_then(|raw| serde_json::from_str::<Vec<Value>>(raw).ok()) else {
            return;
        };
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for tool in tools {
            let Ok(tool) = serde_json::from_value::<Tool>(tool) else {
                continue;
            };
            let mut arguments = Vec::new();
            let schema = tool.input_schema.unwrap_or_default();
            collect(&schema, &mut Vec::new(), &mut arguments);
            if arguments.is_empty() {
                known.remove(&tool.name);
            } else if known.len() < MAX_TOOLS || known.contains_key(&tool.name) {
                known.insert(tool.name, arguments);
            }
        }
    }

    /// The headers of a `tools/call` must say what its arguments say, as far as its tool is known.
    pub(super) fn check(&self, headers: &HeaderMap, message: &Message) -> Result<(), Fault> {
        let Some(name) = message.param_text(&["name"]) else {
            return Ok(());
        };
        let expected = {
            let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(expected) = known.get(&name) else {
                return Ok(());
            };
            expected.clone()
        };
        let arguments = message.param(&["arguments"]).unwrap_or("{}");
        let arguments: Value = serde_json::from_str(arguments).unwrap_or_default();
        for Argument { path, header } in &expected {
            let value = path
                .iter()
                .try_fold(&arguments, |value, key| value.get(key));
            let meant = value.filter(|value| !value.is_null());
            match (single(headers, header.as_str())?, meant) {
                (None, None) => {}
                (Some(said), Some(meant)) if decode(said).is_some_and(|s| same(&s, meant)) => {}
                (Some(_), Some(_)) => {
                    return Err(mismatch(format!("{header} differs from its argument")));
                }
                (Some(_), None) => return Err(mismatch(format!("{header} has no argument"))),
                (None, Some(_)) => return Err(mismatch(format!("the header {header} is missing"))),
            }
        }
        Ok(())
    }
}

fn collect(schema: &Value, path: &mut Vec<String>, found: &mut Vec<Argument>) {
    let properties = schema.get("properties").and_then(Value::as_object);
    if path.len() >= MAX_DEPTH {
        return;
    }
    for (name, schema) in properties.into_iter().flat_map(Map::iter) {
        path.push(name.clone());
        let header = schema.get("x-mcp-header").and_then(Value::as_str);
        let header = header.filter(|name| !name.is_empty());
        if let Some(Ok(header)) = header.map(|name| format!("mcp-param-{name}").parse()) {
            found.push(Argument {
                path: path.clone(),
                header,
            });
        }
        collect(schema, path, found);
        path.pop();
    }
}

/// `42`, `42.0` and `4.2e1` are the same number.
fn same(said: &str, meant: &Value) -> bool {
    match meant {
        Value::String(meant) => said == meant,
        Value::Bool(meant) => said == meant.to_string(),
        Value::Number(meant) => {
            let said_number: Option<f64> = said.parse().ok();
            said == meant.to_string() || (said_number.is_some() && said_number == meant.as_f64())
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> ToolHeaders {
        let known = ToolHeaders::default();
        let list = r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"plain"},7,{"name":"t","inputSchema":{"properties":{"region":{"type":"string","x-mcp-header":"Region"},"deep":{"properties":{"n":{"type":"integer","x-mcp-header":"N"}}},"bad":{"x-mcp-header":"not a token"}}}}]}}"#;
        known.learn(&Message::parse(list.into()).unwrap());
        known
    }

    fn agrees(arguments: &str, headers: &[(&'static str, &str)]) -> bool {
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"t","arguments":{arguments}}}}}"#
        );
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let message = Message::parse(body.into()).unwrap();
        known().check(&map, &message).is_ok()
    }

    #[test]
    fn headers_repeat_the_arguments_of_a_known_tool() {
        let region = ("mcp-param-region", "eu");
        assert!(agrees(r#"{"region":"eu"}"#, &[region]));
        assert!(agrees(
            r#"{"region":"ü"}"#,
            &[("mcp-param-region", "=?base64?w7w=?=")]
        ));
        assert!(agrees(r#"{"deep":{"n":42}}"#, &[("mcp-param-n", "42.0")]));
        assert!(agrees(r#"{"region":null}"#, &[]));
        assert!(agrees("{}", &[("mcp-param-unknown", "x")]));
        assert!(!agrees(r#"{"region":"us"}"#, &[region]));
        assert!(!agrees(r#"{"region":"eu"}"#, &[]));
        assert!(!agrees(r#"{"region":null}"#, &[region]));
        assert!(!agrees(r#"{"region":"eu"}"#, &[region, region]));
        assert!(!agrees(r#"{"deep":{"n":42}}"#, &[("mcp-param-n", "43")]));
    }
}
