//! What a node answers: one module per service.

pub mod mcp;
