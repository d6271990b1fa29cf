//! Decoders that are private where they live, included as they are.

#[allow(dead_code, reason = "only what decodes is used here")]
#[path = "../../crates/peerage-mesh/src/discovery/mdns/message.rs"]
mod mdns_message;

pub(crate) use mdns_message::{Packet, decode};
