//! What a Peerage node answers: one module for each service.
//!
//! A service is routes, perhaps a worker, and tests. Services do not import each other: what they share
//! is in the [`context::Context`] or a type of `peerage-core`.

pub mod admin;
pub mod api;
pub mod audit;
pub mod card;
pub mod context;
pub mod failure;
pub mod gate;
pub mod hop;
pub mod limit;
pub mod mcp;
pub mod members;
pub mod names;
pub mod peers;
pub mod policy;
pub mod presence;
pub mod proxy;
pub mod secrets;
pub mod shares;
pub mod store;
pub mod tools;
pub mod trust;
