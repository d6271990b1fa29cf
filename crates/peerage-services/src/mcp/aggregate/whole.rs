//! How results and tools pass the SDK's types unharmed.
//!
//! The SDK's types keep only the fields they know, and fail on content of a type they do not. So an
//! object that is to go out whole travels inside the `_meta` of an empty one of the right type, under a
//! key that nobody else can know, and takes its place in the bytes that leave.

use axum::{
    body::{Body, Bytes},
    response::Response,
};
use futures::{StreamExt as _, stream};
use http::header;
use rmcp::model::{CallToolResult, MetaObject, Tool};
use serde_json::{Map, Value};

/// The longest line that is looked into, in bytes: longer than any result that was accepted on its way
/// here.
pub(super) const MAX_LINE: usize = 65 << 20;

/// The key under which whole objects travel: random for each aggregate.
#[derive(Clone)]
pub(super) struct Marker(String);

impl Marker {
    pub(super) fn new() -> Self {
        let key: [u8; 16] = rand::random();
        Self(format!(
            "peerage-whole-{}",
            data_encoding::HEXLOWER.encode(&key)
        ))
    }

    pub(super) fn result(&self, whole: Value) -> CallToolResult {
        let mut result = CallToolResult::success(Vec::new());
        result.meta = Some(self.meta(whole));
        result
    }

    pub(super) fn tool(&self, whole: &Value) -> Tool {
        let mut tool = Tool::default();
        tool.name = whole["name"].as_str().unwrap_or_default().to_owned().into();
        tool.meta = Some(self.meta(whole.clone()));
        tool
    }

    fn meta(&self, whole: Value) -> MetaObject {
        MetaObject(Map::from_iter([(self.0.clone(), whole)]))
    }

    /// The message with its whole objects in place; `None` if it carries none.
    fn restore(&self, message: &[u8]) -> Option<Vec<u8>> {
        if !contains(message, self.0.as_bytes()) {
            return None;
        }
        let mut message: Value = serde_json::from_slice(message).ok()?;
        let result = message.get_mut("result")?;
        self.replace(result);
        if let Some(tools) = result.get_mut("tools").and_then(Value::as_array_mut) {
            tools.iter_mut().for_each(|tool| self.replace(tool));
        }
        serde_json::to_vec(&message).ok()
    }

    fn replace(&self, object: &mut Value) {
        let carried = object
            .get_mut("_meta")
            .and_then(|meta| meta.get_mut(&self.0));
        if let Some(whole) = carried.map(Value::take) {
            *object = whole;
        }
    }

    /// Like [`Marker::restore`] for a line of a stream, where events begin with `data:`.
    pub(super) fn restore_line(&self, line: &[u8]) -> Option<Vec<u8>> {
        const DATA: &[u8] = b"data:";
        let (prefix, message) = match line.strip_prefix(DATA) {
            Some(message) => (DATA, message),
            None => (&[][..], line),
        };
        let mut restored = prefix.to_vec();
        restored.extend(self.restore(message)?);
        if line.ends_with(b"\n") {
            restored.push(b'\n');
        }
        Some(restored)
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// The response with its whole objects in place, line by line as they come.
pub(super) fn restore_response(marker: &Marker, response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    let lines = Lines {
        body: body.into_data_stream(),
        waiting: Vec::new(),
        looked_at: 0,
        marker: marker.clone(),
        ended: false,
    };
    let body = stream::unfold(lines, |mut lines| async move {
        let next = lines.next().await?;
        Some((next, lines))
    });
    Response::from_parts(parts, Body::from_stream(body))
}

struct Lines {
    body: axum::body::BodyDataStream,
    waiting: Vec<u8>,
    /// How much of it is known to hold no end of a line.
    looked_at: usize,
    marker: Marker,
    ended: bool,
}

impl Lines {
    async fn next(&mut self) -> Option<Result<Bytes, axum::Error>> {
        loop {
            if let Some(lines) = self.take() {
                return Some(Ok(lines));
            }
            if self.ended {
                return None;
            }
            match self.body.next().await {
                Some(Ok(chunk)) if self.waiting.len() + chunk.len() > MAX_LINE => {
                    self.ended = true;
                    self.waiting.clear();
                    return Some(Err(axum::Error::new(std::io::Error::other(
                        "a line is too long",
                    ))));
                }
                Some(Ok(chunk)) => self.waiting.extend_from_slice(&chunk),
                Some(Err(error)) => {
                    self.ended = true;
                    self.waiting.clear();
                    return Some(Err(error));
                }
                None => self.ended = true,
            }
        }
    }

    /// All whole lines that have come; what is left over once nothing more comes.
    fn take(&mut self) -> Option<Bytes> {
        let new = &self.waiting[self.looked_at..];
        let end = match new.iter().rposition(|&byte| byte == b'\n') {
            Some(last) => self.looked_at + last + 1,
            None if self.ended => self.waiting.len(),
            None => 0,
        };
        if end == 0 {
            self.looked_at = self.waiting.len();
            return None;
        }
        self.looked_at = 0;
        let rest = self.waiting.split_off(end);
        let ready = std::mem::replace(&mut self.waiting, rest);
        let mut out = Vec::with_capacity(ready.len());
        for line in ready.split_inclusive(|&byte| byte == b'\n') {
            match self.marker.restore_line(line) {
                Some(restored) => out.extend(restored),
                None => out.extend_from_slice(line),
            }
        }
        Some(out.into())
    }
}
