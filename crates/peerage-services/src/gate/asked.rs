//! What a request asks of an MCP server: read from its body only where some rule depends on more than the server.

use std::{borrow::Cow, fmt, time::Duration};

use axum::{body::Body, extract::Request};
use bytes::Bytes;
use http::Method;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use peerage_core::problem::Problem;
use serde::{
    Deserializer,
    de::{self, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;
use tokio::time::timeout;

use crate::policy::{Asked, Subject};

/// Bytes of a body that is read to see what it asks for. Where rules name tools, there are no larger calls.
pub(super) const MAX_READ: usize = 16 * 1024 * 1024;
/// How long reading it may take.
const READ_DEADLINE: Duration = Duration::from_secs(60);
/// What a client needs to come to a tool: who may call one may send these.
const SESSION_METHODS: [&str; 5] = [
    "initialize",
    "ping",
    "server/discover",
    "logging/setLevel",
    "subscriptions/listen",
];

/// As [`Asked`] without the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum OfServer {
    Session,
    /// The list of tools.
    List,
    Whole,
    Tool(String),
}

impl OfServer {
    pub(super) fn of<'a>(&'a self, server: &'a str) -> Asked<'a> {
        match self {
            Self::Session | Self::List => Asked::Session(server),
            Self::Whole => Asked::Server(server),
            Self::Tool(tool) => Asked::Tool(server, tool),
        }
    }
}

/// What the request asks for, and the request, whose body may have been read.
pub(super) async fn asked(
    subject: &Subject,
    server: &str,
    request: Request,
) -> Result<(Request, OfServer), Problem> {
    if !super::depends(subject, server) {
        return Ok((request, OfServer::Whole));
    }
    if request.method() != Method::POST {
        return Ok((request, OfServer::Session));
    }
    let (head, body) = request.into_parts();
    let bytes = read(body).await?;
    let asked = meant(&bytes)?;
    Ok((Request::from_parts(head, Body::from(bytes)), asked))
}

async fn read(body: Body) -> Result<Bytes, Problem> {
    let all = Limited::new(body, MAX_READ).collect();
    let late = || Problem::new(408, "body_too_slow", "the body did not arrive in time");
    let read = timeout(READ_DEADLINE, all).await.map_err(|_| late())?;
    read.map(http_body_util::Collected::to_bytes)
        .map_err(|error| {
            if error.is::<LengthLimitError>() {
                let text = format!(
                    "where rules of this node name tools, a call has at most {MAX_READ} bytes"
                );
                Problem::new(413, "too_large", text)
            } else {
                Problem::new(
                    400,
                    "bad_request",
                    format!("the body cannot be read: {error}"),
                )
            }
        })
}

fn meant(body: &[u8]) -> Result<OfServer, Problem> {
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
