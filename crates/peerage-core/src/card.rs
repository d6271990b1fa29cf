//! Stub.
use crate::Multiaddr;
/// Stub
#[derive(Debug, Clone)]
pub struct Card;
impl Card {
    /// Stub
    pub fn addresses(&self) -> &[Multiaddr] { &[] }
}
