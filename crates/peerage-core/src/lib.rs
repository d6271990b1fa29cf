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
pub use multiaddr::Multiaddr;
