//! The ideas of Peerage as data and decisions.

pub mod address;
pub mod card;
pub mod dial;
pub mod did;
pub mod fingerprint;
pub mod grant;
pub mod identity;
pub mod invite;
mod jws;
pub mod peer_book;
pub mod policy;
pub mod problem;

pub use identity::Identity;
pub use libp2p_identity::PeerId;
pub use multiaddr::{self, Multiaddr};
