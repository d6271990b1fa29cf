//! `peerage completions`: the completions of a shell.

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::{Cli, Context, Failure};

/// Write the completions of a shell
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: peerage completions bash > ~/.local/share/bash-completion/completions/peerage"
)]
pub(crate) struct Args {
    /// Which shell
    shell: Shell,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "peerage", &mut script);
    if context.output.json() {
        let shell = args.shell.to_string();
        let script = String::from_utf8_lossy(&script);
        context
            .output
            .document(&serde_json::json!({ "shell": shell, "script": script }));
    } else {
        context.output.raw(&script);
    }
    Ok(())
}
