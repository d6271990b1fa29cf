//! The command line: what can be typed, and which file does it.
//!
//! Exit codes: 0 done, 1 refused or not found, 2 failed or wrongly typed, 130 interrupted. With `--json`
//! every command writes one JSON document to standard output, and a refusal or failure is such a document too
//! (a problem, RFC 9457: `status`, `code`, `detail`, `hint`); the exit code says which of the two it is. Without
//! it, errors go to standard error as `error: …` and `hint: …`.

mod audit;
mod block;
mod call;
mod card;
mod client;
mod completions;
mod config;
mod demo;
mod down;
mod failure;
mod grants;
mod guard;
mod home;
mod invite;
mod join;
mod log;
mod mcp;
mod output;
mod peers;
mod ping;
mod policy;
mod progress;
mod resolve;
mod share;
mod signal;
mod status;
mod table;
mod toolbox;
mod tools;
mod trust;
mod up;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use futures::future::BoxFuture;
use peerage::config::{Config, Environment, Layer};

use self::{failure::Failure, output::Output};

/// Share MCP servers and agents in an encrypted peer-to-peer mesh.
#[derive(Debug, Parser)]
#[command(
    name = "peerage",
    version,
    propagate_version = true,
    arg_required_else_help = true,
    after_help = "Exit codes: 0 done, 1 refused or not found, 2 failed.\nTry `peerage demo` first."
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Typed,
}

/// What every command takes.
#[derive(Clone, Debug, clap::Args)]
struct Global {
    /// Folder that holds everything: config, keys, stores [default: ~/.peerage]
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "PEERAGE_HOME",
        help_heading = "Global"
    )]
    home: Option<PathBuf>,
    /// Name of the node, if several run under this home [default: the host's name]
    #[arg(long, global = true, value_name = "NAME", help_heading = "Global")]
    name: Option<String>,
    /// Write one JSON document, also for errors
    #[arg(long, global = true, help_heading = "Global")]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Typed {
    #[command(flatten)]
    Listed(Command),
    /// Run a command that ends when the reader of its output is gone
    #[command(hide = true)]
    Guard(guard::Args),
}

/// The commands that users type.
#[derive(Debug, Subcommand)]
enum Command {
    /// Start a node
    Up(up::Args),
    /// Stop the running node
    Down,
    /// Show the running node
    Status,
    /// List the peers that are known
    Peers(peers::Args),
    /// Show the agent card of a peer, or of this node
    Card(card::Args),
    /// List the tools that this node may call
    Tools(tools::Args),
    /// Call a tool
    Call(call::Args),
    /// Share an MCP server, or list what is shared
    Share(share::Args),
    /// Stop sharing an MCP server
    Unshare(share::RemoveArgs),
    /// Make a code that lets another machine join the mesh, once
    Invite(invite::Args),
    /// Join a mesh with the code of an invite
    Join(join::Args),
    /// Grant a name to a peer: your own, or one below it
    Grant(grants::Args),
    /// List the grants that this node holds and has given
    Grants,
    /// Take back a grant that this node has given
    Revoke(grants::RevokeArgs),
    /// Show, check, replace or ask the rules who may do what
    Policy(policy::Args),
    /// Have nothing to do with a peer or a network
    Block(block::Args),
    /// Take back a block
    Unblock(block::RemoveArgs),
    /// List what is blocked
    Blocked,
    /// Trust one peer without an invite
    Trust(trust::Args),
    /// Stop trusting a peer
    Untrust(trust::Args),
    /// Show who did or wanted what, and what came of it
    Audit(audit::Args),
    /// Measure the round trip to a peer
    Ping(ping::Args),
    /// Show who is meant by a name, and how that was found
    Resolve(resolve::Args),
    /// Speak MCP on standard input and output: every tool this node may call
    Mcp,
    /// Serve the built-in MCP server on standard input and output
    Toolbox,
    /// See it work: two nodes on this machine share and call a tool
    Demo,
    /// Show the configuration
    Config(config::Args),
    /// Write the completions of a shell
    Completions(completions::Args),
}

/// What every command gets: where to print, and which node is meant.
#[derive(Clone, Debug)]
struct Context {
    output: Output,
    home: PathBuf,
    name: Option<String>,
}

impl Context {
    fn new(global: &Global) -> Result<Self, Failure> {
        Ok(Self {
            output: Output::new(global.json),
            home: home::resolve(global.home.as_deref())?,
            name: global.name.clone(),
        })
    }

    /// The running node that is meant.
    async fn client(&self) -> Result<client::Client, Failure> {
        let variable = || std::env::var("PEERAGE_NAME").ok();
        let name = self
            .name
            .clone()
            .or_else(variable)
            .filter(|name| !name.is_empty());
        client::find(&self.home, name.as_deref()).await
    }

    /// The configuration, with these flags above the environment and the file.
    fn config(&self, mut flags: Layer) -> Result<Config, Failure> {
        flags.name = flags.name.or_else(|| self.name.clone());
        Ok(Config::load(&self.home, &Environment::process(), flags)?)
    }
}

/// Runs what was typed.
pub(crate) fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().collect();
    let cli = match Cli::try_parse_from(&args) {
        Ok(cli) => cli,
        Err(error) => return output::usage(&error, wants_json(&args)),
    };
    let (global, command) = match cli {
        // Has a runtime of its own, as small as can be: one such process runs for each session.
        Cli {
            command: Typed::Guard(args),
            ..
        } => return guard::run(args),
        Cli {
            global,
            command: Typed::Listed(command),
        } => (global, command),
    };
    let output = Output::new(global.json);
    log::start(&command);
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return output.failure(&Failure::io("cannot start", &error)),
    };
    let done = runtime.block_on(run(&global, command));
    // Not waited for: a read of standard input that nobody needs any more cannot be cancelled.
    runtime.shutdown_background();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => output.failure(&failure),
    }
}

fn wants_json(args: &[std::ffi::OsString]) -> bool {
    args.iter()
        .take_while(|arg| *arg != "--")
        .any(|arg| arg == "--json")
}

async fn run(global: &Global, command: Command) -> Result<(), Failure> {
    let context = Context::new(global)?;
    let context = &context;
    let rest: BoxFuture<'_, Result<(), Failure>> = match command {
        // These two have something to put in order before they end.
        Command::Up(args) => return up::run(context, args).await,
        Command::Demo => return demo::run(context).await,
        Command::Down => Box::pin(down::run(context)),
        Command::Status => Box::pin(status::run(context)),
        Command::Peers(args) => Box::pin(peers::run(context, args)),
        Command::Card(args) => Box::pin(card::run(context, args)),
        Command::Tools(args) => Box::pin(tools::run(context, args)),
        Command::Call(args) => Box::pin(call::run(context, args)),
        Command::Share(args) => Box::pin(share::add(context, args)),
        Command::Unshare(args) => Box::pin(share::remove(context, args)),
        Command::Invite(args) => Box::pin(invite::run(context, args)),
        Command::Join(args) => Box::pin(join::run(context, args)),
        Command::Grant(args) => Box::pin(grants::give(context, args)),
        Command::Grants => Box::pin(grants::list(context)),
        Command::Revoke(args) => Box::pin(grants::revoke(context, args)),
        Command::Policy(args) => Box::pin(policy::run(context, args)),
        Command::Block(args) => Box::pin(block::add(context, args)),
        Command::Unblock(args) => Box::pin(block::remove(context, args)),
        Command::Blocked => Box::pin(block::list(context)),
        Command::Trust(args) => Box::pin(trust::trust(context, args)),
        Command::Untrust(args) => Box::pin(trust::untrust(context, args)),
        Command::Audit(args) => Box::pin(audit::run(context, args)),
        Command::Ping(args) => Box::pin(ping::run(context, args)),
        Command::Resolve(args) => Box::pin(resolve::run(context, args)),
        Command::Mcp => Box::pin(mcp::run(context)),
        Command::Toolbox => Box::pin(toolbox::run()),
        Command::Config(args) => return config::run(context, &args),
        Command::Completions(args) => return completions::run(context, &args),
    };
    signal::interruptible(rest).await
}

#[cfg(test)]
mod tests;
