//! Decoders that are private where they live, included as they are.

#[allow(dead_code, reason = "only what decodes is used here")]
#[path = "../../crates/peerage-services/src/mcp/stdio/message.rs"]
mod mcp_message;
#[allow(dead_code, reason = "only what decodes is used here")]
#[path = "../../crates/peerage-mesh/src/discovery/mdns/message.rs"]
mod mdns_message;

use bytes::Bytes;
use mcp_message::{Key, Kind, Message, id_in_beginning};

pub(crate) use mdns_message::{Packet, decode};

/// See [`crate::targets::mcp`].
pub(crate) fn check_mcp(bytes: &[u8]) {
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
