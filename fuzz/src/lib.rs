//! What the fuzz targets do with their bytes, as functions, so that tests can run them too.

mod included;
pub mod seeds;
pub mod targets;
