//! Introductions: peers ask each other for their cards as soon as they are connected, and tell each
//! other when a card has changed.
//!
//! Whoever asks shows its grants (`Peerage-Grant` headers), so that the answer is the card for *this*
//! peer: it lists what this peer may call, and nothing else.

mod introduce;
mod own;
mod routes;
mod worker;

pub use introduce::Introductions;
pub use own::OwnCard;
pub use routes::{GRANT_HEADER, routes};
pub use worker::run;

/// Where a node's card is (A2A 1.0, section 8.2).
pub const CARD_PATH: &str = "/.well-known/agent-card.json";
/// Where a node takes the card of a peer that tells of a change.
pub const TELL_PATH: &str = "/api/v1/cards";
