//! Decoders that are private where they live, included as they are.

#[allow(dead_code, reason = "only what decodes is used here")]
#[path = "../../crates/peerage-mesh/src/discovery/mdns/message.rs"]
mod mdns_message;

#[allow(dead_code, reason = "only what decodes is used here")]
#[path = "../../crates/peerage-services/src/gate/asked/message.rs"]
mod gate_message;

#[allow(dead_code, reason = "only what decodes is used here")]
#[path = "../../crates/peerage-services/src/gate/listing/cut.rs"]
mod gate_cut;

pub(crate) use gate_cut::{end_of_event, event_without, without};
pub(crate) use gate_message::meant;
pub(crate) use mdns_message::{Packet, decode};
