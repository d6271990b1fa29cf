//! The ideas of Peerage as data and decisions.

pub mod address;
pub mod card;
pub mod did;
pub mod fingerprint;
pub mod grant;
pub mod identity;
pub mod invite;
mod jws;
pub mod problem;

pub use libp2p_identity::PeerId;
pub use multiaddr::{self, Multiaddr};
pub mod card;
pub mod dial;
pub mod peer_book;
pub mod policy;
pub use card::Card;
pub use identity::Identity;
