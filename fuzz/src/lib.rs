//! What the fuzz targets do with their bytes, as functions, so that tests can run them too.

mod http;
mod included;
pub mod seeds;
mod stdio;
pub mod targets;
