//! Peerage.

pub mod config;
pub mod toolbox;
