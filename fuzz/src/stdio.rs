//! The decoders of the adapter for stdio servers, which are private where they live, included as they are.

#[allow(dead_code, reason = "only what decodes is used here")]
#[path = "../../crates/peerage-services/src/mcp/stdio/fault.rs"]
mod fault;
#[allow(dead_code, reason = "only what decodes is used here")]
#[path = "../../crates/peerage-services/src/mcp/stdio/headers.rs"]
mod headers;
#[path = "../../crates/peerage-services/src/mcp/stdio/lines.rs"]
mod lines;
#[allow(dead_code, reason = "only what decodes is used here")]
#[path = "../../crates/peerage-services/src/mcp/stdio/message.rs"]
mod message;
#[path = "../../crates/peerage-services/src/mcp/stdio/tool_headers.rs"]
mod tool_headers;

use bytes::Bytes;
use futures::FutureExt as _;
use http::{HeaderMap, HeaderName, HeaderValue};
use lines::Line;
use message::{Key, Kind, Message, id_in_beginning};
use tokio::io::BufReader;
use tool_headers::ToolHeaders;

/// Bytes of a line that the target takes.
const MAX_LINE: usize = 64;

/// See [`crate::targets::mcp`].
pub(crate) fn check_message(bytes: &[u8]) {
    id_in_beginning(bytes);
    let Ok(message) = Message::parse(Bytes::copy_from_slice(bytes)) else {
        return;
    };
    assert!(!message.bytes().iter().any(|b| matches!(b, b'\n' | b'\r')));
    let again = Message::parse(message.bytes().clone()).expect("what was read reads again");
    assert_eq!(again.bytes(), message.bytes());
    assert_eq!(
        (again.id(), again.method()),
        (message.id(), message.method())
    );
    for path in [&["_meta", "progressToken"][..], &["requestId"], &["name"]] {
        if let Some(value) = message.param(path) {
            Key::of(value);
        }
        message.param_text(path);
        message.outcome(path);
    }
    message.error();
    if let Some(id) = message.id() {
        Key::of(id).expect("an id is a string or a number");
        let with = message.with(&[(id, "\"another\"")]);
        let other = Message::parse(with).expect("another id leaves a message");
        assert_eq!(other.id(), Some("\"another\""));
        let same = matches!(
            (other.kind(), message.kind()),
            (Kind::Request { .. }, Kind::Request { .. })
                | (Kind::Response { .. }, Kind::Response { .. })
        );
        assert!(same);
    }
}

/// See [`crate::targets::headers`].
pub(crate) fn check_headers(bytes: &[u8]) {
    let end = bytes.windows(2).position(|two| two == b"\n\n");
    let (head, body) = bytes.split_at(end.unwrap_or(bytes.len()));
    let mut map = HeaderMap::new();
    for line in head.split(|byte| *byte == b'\n').take(64) {
        let colon = line.iter().position(|byte| *byte == b':');
        let (name, value) = line.split_at(colon.unwrap_or(line.len()));
        let name = HeaderName::from_bytes(name);
        let value = HeaderValue::from_bytes(value.get(1..).unwrap_or_default().trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            map.append(name, value);
        }
    }
    let body = body.get(2..).unwrap_or_default();
    // Whatever is refused, is refused by a whole answer.
    let refused = [headers::check_post(&map), headers::check_get(&map)];
    drop(refused.map(|checked| checked.map_err(|fault| fault.response(None))));
    drop(headers::check_session_version(&map, Some("2025-06-18")));
    let Ok(message) = Message::parse(Bytes::copy_from_slice(body)) else {
        return;
    };
    let modern = headers::is_modern(&map, &message);
    if headers::check_modern(&map, &message).is_ok() {
        assert!(modern || message.method() == Some("initialize"));
        let said = headers::single(&map, "mcp-method");
        assert!(matches!(said, Ok(said) if said == message.method() || message.method().is_none()));
    }
    let known = ToolHeaders::default();
    known.learn(&message);
    drop(known.check(&map, &message));
}

/// See [`crate::targets::lines`].
pub(crate) fn check_lines(bytes: &[u8]) {
    let capacity = bytes.first().map_or(1, |first| usize::from(*first) + 1);
    let mut from = BufReader::with_capacity(capacity, bytes);
    let mut next = || {
        let line = lines::next_line(&mut from, MAX_LINE).now_or_never();
        line.expect("bytes are there").expect("bytes do not fail")
    };
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        match next().expect("there is another line") {
            Line::Text(text) => {
                assert_eq!(text, line.strip_suffix(b"\r").unwrap_or(line));
            }
            Line::TooLong(beginning) => {
                assert!(line.len() > MAX_LINE && beginning == line[..MAX_LINE]);
            }
        }
    }
    assert_eq!(next(), None);
}
