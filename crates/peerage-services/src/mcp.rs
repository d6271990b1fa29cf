//! The Model Context Protocol: servers this node shares, and those of its peers as if they were here.

pub mod aggregate;
pub mod backend;
pub mod client;
mod endpoint;
pub mod functions;
mod local;
pub mod names;
mod routes;
pub mod stdio;
pub mod upstream;

pub use backend::Backend;
pub use local::{STDIO_UPGRADE, local_routes};
pub use routes::routes;
pub use stdio::{CommandSpec, Limits, StdioServer};
pub use upstream::HttpUpstream;

/// The path below which shared servers are, each by its name.
pub const MCP_PREFIX: &str = "/mcp/";
