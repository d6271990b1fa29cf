//! Which folder holds everything.

use std::path::{Path, PathBuf};

use super::Failure;

/// The folder that was said, else `~/.peerage`; always absolute, for nodes are started in other folders too.
pub(crate) fn resolve(said: Option<&Path>) -> Result<PathBuf, Failure> {
    let path = match said {
        Some(path) if !path.as_os_str().is_empty() => path.to_owned(),
        _ => std::env::home_dir()
            .filter(|home| !home.as_os_str().is_empty())
            .ok_or_else(|| Failure::usage("there is no home folder").hint("say one with --home"))?
            .join(".peerage"),
    };
    std::path::absolute(&path)
        .map_err(|error| Failure::io(format_args!("cannot use {}", path.display()), &error))
}
