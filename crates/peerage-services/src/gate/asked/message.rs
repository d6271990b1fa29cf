//! The part of an MCP message that says what it asks for, read so that no server can read something else.

use std::{borrow::Cow, fmt};

use peerage_core::problem::Problem;
use serde::{
    Deserializer,
    de::{self, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// What a client needs to come to a tool: who may call one may send these.
const SESSION_METHODS: [&str; 5] = [
    "initialize",
    "ping",
    "server/discover",
    "logging/setLevel",
    "subscriptions/listen",
];

/// What of a server is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OfServer {
    /// To speak with it.
    Session,
    /// The list of tools.
    List,
    /// What it has beside tools.
    Whole,
    /// A tool.
    Tool(String),
}

/// What a message asks for.
///
/// # Errors
///
/// `unreadable_call`.
pub(crate) fn meant(body: &[u8]) -> Result<OfServer, Problem> {
    let [method, params] = members(body, ["method", "params"])?;
    let Some(method) = method else {
        // The answer to a question of the server.
        return Ok(OfServer::Session);
    };
    let method = text(method)?;
    if method == "tools/call" {
        let params = params.map_or("", RawValue::get);
        let [name] = members(params.as_bytes(), ["name"])?;
        let name = name.ok_or_else(|| unreadable("the tool has no name"))?;
        return Ok(OfServer::Tool(text(name)?));
    }
    if method == "tools/list" {
        return Ok(OfServer::List);
    }
    let session =
        method.starts_with("notifications/") || SESSION_METHODS.contains(&method.as_str());
    Ok(if session {
        OfServer::Session
    } else {
        OfServer::Whole
    })
}

/// Members of one JSON object. Of one that stands twice nobody knows which counts, and some readers take `Method` for
/// `method`: both are refused, for the server must not read something else than the gate.
fn members<'a, const N: usize>(
    bytes: &'a [u8],
    names: [&str; N],
) -> Result<[Option<&'a RawValue>; N], Problem> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let found = reader.deserialize_map(Members(names));
    let found = found.and_then(|found| reader.end().map(|()| found));
    found.map_err(|error| unreadable(&error.to_string()))
}

struct Members<'n, const N: usize>([&'n str; N]);

impl<'de, const N: usize> Visitor<'de> for Members<'_, N> {
    type Value = [Option<&'de RawValue>; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = [None; N];
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            let folded = key.to_uppercase().to_lowercase();
            match self.0.iter().position(|name| *name == folded) {
                Some(at) if self.0[at] == key && found[at].is_none() => {
                    found[at] = Some(map.next_value()?);
                }
                Some(at) => {
                    let name = self.0[at];
                    return Err(de::Error::custom(format!(
                        "`{name}` stands twice or is misspelt"
                    )));
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(found)
    }
}

fn text(value: &RawValue) -> Result<String, Problem> {
    serde_json::from_str(value.get()).map_err(|error| unreadable(&error.to_string()))
}

fn unreadable(why: &str) -> Problem {
    let text =
        format!("rules of this node name tools, and what this asks for cannot be read: {why}");
    Problem::new(400, "unreadable_call", text).hint("send one JSON-RPC 2.0 message as the body")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_message_asks_for_is_seen_or_it_is_refused() {
        let tool = |name: &str| Some(OfServer::Tool(name.to_owned()));
        for (body, asked) in [
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{"name":"b"}}}"#,
                tool("a"),
            ),
            (
                r#" {"params":{"name":"a"},"method":"tools/call"}"#,
                tool("a"),
            ),
            (
                r#"{"method":"tools\/call","params":{"name":"\u0061"}}"#,
                tool("a"),
            ),
            (
                r#"{"m\u0065thod":"tools/call","params":{"n\u0061me":"a"}}"#,
                tool("a"),
            ),
            (r#"{"method":"tools/list"}"#, Some(OfServer::List)),
            (
                r#"{"method":"notifications/cancelled"}"#,
                Some(OfServer::Session),
            ),
            (r#"{"id":1,"result":{}}"#, Some(OfServer::Session)),
            (
                r#"{"method":"resources/read","params":["x"]}"#,
                Some(OfServer::Whole),
            ),
            (
                r#"{"method":"tools/call","method":"ping","params":{"name":"a"}}"#,
                None,
            ),
            (
                r#"{"method":"tools/call","params":{"name":"a","name":"b"}}"#,
                None,
            ),
            (
                r#"{"method":"tools/call","params":{"name":"a"},"params":{"name":"b"}}"#,
                None,
            ),
            (r#"{"method":"tools/call","params":["a"]}"#, None),
            (r#"{"method":"tools/call"}"#, None),
            (r#"{"method":"tools/call","params":{"Name":"a"}}"#, None),
            (r#"{"Method":"tools/call","params":{"name":"a"}}"#, None),
            (r#"{"method":"ping","paramſ":{"name":"a"}}"#, None),
            (r#"{"method":"tools/call","params":{"name":1}}"#, None),
            (r#"{"method":null}"#, None),
            (r#"[{"method":"tools/call","params":{"name":"a"}}]"#, None),
            (r#"["ping",null]"#, None),
            (r#"{"method":"ping"} {"method":"tools/call"}"#, None),
            ("", None),
        ] {
            assert_eq!(meant(body.as_bytes()).ok(), asked, "{body}");
        }
        assert!(meant(b"{\"method\":\"\xff\"}").is_err());
    }
}
