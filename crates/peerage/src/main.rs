//! The program `peerage`.

use std::process::ExitCode;

use peerage_services::mcp::stdio::guard;

mod cli;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    // Not a command that anybody types: a node starts the children it shares behind it.
    if args.next().is_some_and(|first| first == cli::GUARD) {
        return guard::run(args);
    }
    cli::main()
}
