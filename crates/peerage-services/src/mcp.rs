//! MCP between nodes: what a node does with the servers it shares and how their tools are reached.

pub mod backend;
pub mod stdio;
pub mod upstream;
