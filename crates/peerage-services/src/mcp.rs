//! The Model Context Protocol: servers this node shares, and those of its peers as if they were here.

pub mod aggregate;
pub mod client;
mod endpoint;
pub mod functions;
pub mod names;
