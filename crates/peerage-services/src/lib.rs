//! What a Peerage node answers: one module for each service.

pub mod api;
pub mod mcp;
