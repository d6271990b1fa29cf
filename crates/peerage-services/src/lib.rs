//! What a node answers: one module per feature.

pub mod mcp;
