//! `peerage share` and `peerage unshare`: which MCP servers peers may call here.

use std::{collections::BTreeMap, path::Path};

use http::Method;
use peerage::config::parse_share;
use peerage_services::api::{Allow, ShareRequest, ShareView};

use super::{Context, Failure, client::segment, output::Output, progress::Progress};

/// Share an MCP server, or list what is shared
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    peerage share files=\"npx -y @modelcontextprotocol/server-filesystem /data\"\n  \
    peerage share web=http://127.0.0.1:8080/mcp --allow public\n  \
    peerage share db --env PGPASSWORD -- my-server --port 5432")]
pub(crate) struct Args {
    /// NAME=COMMAND or NAME=URL; or only NAME, with the command after `--`
    #[arg(value_name = "NAME=COMMAND_OR_URL")]
    what: Option<String>,
    /// The command and its arguments, as they are
    #[arg(last = true, value_name = "COMMAND", requires = "what")]
    command: Vec<String>,
    /// Environment of the command; without a value, the one of this shell
    #[arg(long, value_name = "KEY[=VALUE]", requires = "what")]
    env: Vec<String>,
    /// Working directory of the command [default: this one]
    #[arg(long, value_name = "DIR", requires = "what")]
    cwd: Option<String>,
    /// Who may call it: mesh, public, o:// names or keys [default: mesh]
    #[arg(long, value_name = "WHO", value_delimiter = ',', requires = "what")]
    allow: Vec<String>,
}

/// Stop sharing an MCP server
#[derive(Debug, clap::Args)]
pub(crate) struct RemoveArgs {
    /// Name of the share
    share: String,
}

pub(crate) async fn add(context: &Context, args: Args) -> Result<(), Failure> {
    let output = &context.output;
    let Some(what) = &args.what else {
        let shares: Vec<ShareView> = context.client().await?.get("/api/v1/shares").await?;
        output.answer(&shares, |shares| render(output, shares));
        if shares.is_empty() {
            output.note("nothing is shared");
        }
        return Ok(());
    };
    let request = request(what, &args)?;
    let client = context.client().await?;
    let progress = Progress::new(output, format!("starting {}", request.name));
    let share: ShareView = client.post("/api/v1/shares", &request).await?;
    drop(progress);
    output.answer(&share, |share| render(output, std::slice::from_ref(share)));
    Ok(())
}

pub(crate) async fn remove(context: &Context, args: RemoveArgs) -> Result<(), Failure> {
    let client = context.client().await?;
    let path = format!("/api/v1/shares/{}", segment(&args.share));
    client.act(Method::DELETE, &path).await?;
    let removed = serde_json::json!({ "name": args.share, "shared": false });
    context
        .output
        .answer(&removed, |_| format!("{} is no longer shared", args.share));
    Ok(())
}

/// Shares as a table.
pub(crate) fn render(output: &Output, shares: &[ShareView]) -> String {
    if shares.is_empty() {
        return String::new();
    }
    let rows = shares.iter().map(|share| {
        vec![
            share.name.clone(),
            share.kind.as_str().to_owned(),
            share.target.clone(),
            who(&share.allow),
            share.error.clone().unwrap_or_else(|| share.state.clone()),
            share.tools.to_string(),
        ]
    });
    let header = ["share", "kind", "target", "allowed", "state", "tools"];
    output.table(&header, rows.collect())
}

fn who(allow: &Allow) -> String {
    match allow {
        Allow::One(who) => who.clone(),
        Allow::Listed(who) => who.join(", "),
    }
}

fn request(what: &str, args: &Args) -> Result<ShareRequest, Failure> {
    let text = match (what.contains('='), args.command.is_empty()) {
        (true, true) => what.to_owned(),
        (false, false) => format!("{what}={}", shell_words::join(&args.command)),
        (true, false) => {
            return Err(Failure::usage(
                "the command is given twice: after `=` and after `--`",
            ));
        }
        (false, true) => {
            return Err(Failure::usage(format!("`{what}` has no command"))
                .hint(format!("peerage share {what}=COMMAND_OR_URL")));
        }
    };
    let mut share = parse_share(&text).map_err(|error| Failure::usage(error.to_string()))?;
    match args.allow.as_slice() {
        [] => {}
        [one] => share.allow = Allow::One(one.clone()),
        many => share.allow = Allow::Listed(many.to_vec()),
    }
    if share.url.is_some() {
        if !args.env.is_empty() || args.cwd.is_some() {
            return Err(Failure::usage("a URL has no --env and no --cwd"));
        }
        return Ok(share);
    }
    share.env = environment(&args.env)?;
    // The node runs elsewhere: what is typed here is meant from here.
    share.cwd = Some(folder(args.cwd.as_deref().unwrap_or("."))?);
    Ok(share)
}

fn folder(text: &str) -> Result<String, Failure> {
    let folder = Path::new(text).canonicalize();
    let folder = folder.map_err(|error| Failure::io(format_args!("cannot use {text}"), &error))?;
    if !folder.is_dir() {
        return Err(Failure::usage(format!("{text} is not a folder")));
    }
    let unicode = folder.into_os_string().into_string();
    unicode.map_err(|_| Failure::usage(format!("the path of {text} is not Unicode")))
}

fn environment(pairs: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    let pair = |text: &String| match text.split_once('=') {
        Some(("", _)) => Err(Failure::usage(format!("`{text}` is not KEY=VALUE"))),
        Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
        None => std::env::var(text)
            .map(|value| (text.clone(), value))
            .map_err(|_| Failure::usage(format!("{text} is not set in this shell"))),
    };
    pairs.iter().map(pair).collect()
}

#[cfg(test)]
mod tests;
