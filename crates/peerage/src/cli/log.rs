//! What goes to standard error while a command runs: a node's events, and warnings.

use std::io::IsTerminal as _;

use tracing_subscriber::{EnvFilter, fmt::time};

use super::Command;

/// Variable with a filter as `tracing_subscriber::EnvFilter` reads it.
const VARIABLE: &str = "PEERAGE_LOG";
/// A node tells its events. What these libraries call errors, callers are answered, with the cause.
const NODE: &str = "warn,peerage=info,peerage_services=info,peerage_mesh=info,peerage_core=info,\
                    rmcp=off,tower_http=off";
/// Anything else speaks for itself.
const OTHERS: &str = "error";

/// Starts logging. Lines have the seconds since the start on a terminal, the time of day in a file.
pub(crate) fn start(command: &Command) {
    let default = if matches!(command, Command::Up(_)) {
        NODE
    } else {
        OTHERS
    };
    let filter = EnvFilter::try_from_env(VARIABLE).unwrap_or_else(|_| EnvFilter::new(default));
    let terminal = std::io::stderr().is_terminal();
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(terminal && super::output::wants_color())
        .compact();
    let started = if terminal {
        lines.with_timer(time::uptime()).try_init()
    } else {
        lines.try_init()
    };
    // A second subscriber in one process is harmless: the first one keeps writing.
    drop(started);
}
