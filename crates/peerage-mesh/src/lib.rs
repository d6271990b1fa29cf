//! The transport of Peerage: how bytes and peers arrive.
//!
//! libp2p is named only in this crate. [`Mesh::spawn`] starts one; its handle makes calls
//! ([`Mesh::call`]), and [`Inbound::serve`] answers those that arrive.

mod admission;
mod behaviour;
pub mod book;
mod call;
pub mod discovery;
mod gating;
mod limits;
mod mesh;
mod ping;
mod streams;
mod swarm;
mod tasks;
mod translate;
mod transport;

pub use book::{Book, Change};
pub use call::{Body, BoxError, CallError, Inbound, MAX_CALLS, Origin, ResponseBody};
pub use gating::{Forbidden, Gating};
pub use limits::{Budget, Cause, Held, Limits, PeerLimits, Refusal, RefusedPeer, Usage, Used};
pub use mesh::{CONNECT_TIMEOUT, Mesh, MeshConfig, StartError};
pub use ping::{PingError, Pinger};
pub use streams::{Accept, OpenError, PeerStream, ProtocolError};
pub use swarm::ListenError;
pub use tasks::Tasks;
pub use transport::{TransportError, Transports, vanish};
