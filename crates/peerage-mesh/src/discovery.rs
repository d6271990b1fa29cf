//! The ways by which a node learns of others without being told; each only reports what it saw.

pub mod mdns;
