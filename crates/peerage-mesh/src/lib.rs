//! The transport of Peerage: how bytes and peers arrive.

pub mod tasks;

pub use tasks::Tasks;
