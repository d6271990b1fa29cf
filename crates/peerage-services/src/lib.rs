//! Peerage.

pub mod api;
