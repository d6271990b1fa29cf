//! `peerage guard`, which no user types: stands between a node and the child of an MCP session, and ends the child when
//! the node is killed.

use std::{
    ffi::{OsStr, OsString},
    process::ExitCode,
};

use peerage_services::mcp::stdio::guard;

use super::Failure;

/// Name of the command.
pub(crate) const NAME: &str = "guard";

/// Run a command that ends when the reader of its output is gone
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The command and its arguments
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

pub(crate) fn run(args: Args) -> ExitCode {
    guard::run(args.command)
}

/// This program as a guard: what to put before a command.
pub(crate) fn prefix() -> Result<Vec<OsString>, Failure> {
    let program = std::env::current_exe();
    let program = program.map_err(|error| Failure::io("cannot find this program", &error))?;
    let prefix = [program.as_os_str(), OsStr::new(NAME), OsStr::new("--")];
    Ok(prefix.map(OsStr::to_owned).into())
}
