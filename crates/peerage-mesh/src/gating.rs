//! Who may connect and whom this node dials: asked of whoever decides, at each step of a connection.

use std::{fmt, net::IpAddr};

use peerage_core::PeerId;

/// Decides on connections. Asked by the one loop that owns them: answers come at once.
pub trait Gating: fmt::Debug + Send + Sync {
    /// Whether a connection may be made from an address, before it is known who comes.
    ///
    /// # Errors
    ///
    /// Why not.
    fn may_come(&self, from: IpAddr) -> Result<(), Forbidden>;

    /// Whether a connection may be had with a peer whose key is proved, and which is at an address unless it was reached
    /// without one.
    ///
    /// # Errors
    ///
    /// Why not.
    fn may_connect(
        &self,
        peer: &PeerId,
        at: Option<IpAddr>,
        dialled: bool,
    ) -> Result<(), Forbidden>;

    /// Whether this node may dial a peer.
    ///
    /// # Errors
    ///
    /// Why not.
    fn may_dial(&self, peer: &PeerId) -> Result<(), Forbidden>;
}

/// Why a connection may not be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Forbidden(pub String);
