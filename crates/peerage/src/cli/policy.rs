//! `peerage policy`: who may do what, shown, checked, replaced and asked.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use clap::Subcommand;
use http::Method;
use peerage_core::policy::rules::{Document, Rule};
use peerage_services::api::{PolicyAnswer, PolicyQuestion, PolicyRequest, PolicyView};
use serde_json::json;

use super::{Context, Failure, output::Output};

/// How long it may take.
const WITHIN: Duration = Duration::from_secs(30);

/// Who may do what
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the rules in force
    Show,
    /// Check a file with rules; nothing changes
    Check(File),
    /// Replace the rules of the running node by those in a file
    Set(File),
    /// Ask what the rules say; nothing happens
    Test(Test),
}

#[derive(Debug, clap::Args)]
struct File {
    /// A file with rules, as TOML
    file: PathBuf,
}

/// Ask what the rules say; nothing happens
#[derive(Debug, clap::Args)]
#[command(
    group = clap::ArgGroup::new("what").required(true),
    after_help = "Exit codes: 0 allowed, 1 refused, 2 failed.\n\nExamples:\n  \
    peerage policy test --as o://acme/sales/bot --call mcp/files/write\n  \
    peerage policy test --as stranger --connect --from 203.0.113.7"
)]
struct Test {
    /// Who: an o:// name, a peer, or `member`, `trusted`, `stranger`
    #[arg(long = "as", value_name = "WHO")]
    who: String,
    /// Calls this: mcp/SERVER, mcp/SERVER/TOOL, or a path
    #[arg(long, value_name = "OBJECT", group = "what")]
    call: Option<String>,
    /// Finds this listed: mcp/SERVER or mcp/SERVER/TOOL
    #[arg(long, value_name = "OBJECT", group = "what")]
    see: Option<String>,
    /// Asks this node who bears this name
    #[arg(long, value_name = "NAME", group = "what")]
    resolve: Option<String>,
    /// Connects to this node
    #[arg(long, group = "what")]
    connect: bool,
    /// Is dialled by this node
    #[arg(long, group = "what")]
    dial: bool,
    /// Where it comes from [default: where it is connected from]
    #[arg(long, value_name = "IP")]
    from: Option<IpAddr>,
    /// Ask the rules in this file, not those in force
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    match args.command {
        Command::Show => show(context).await,
        Command::Check(args) => check(context, &args),
        Command::Set(args) => set(context, &args).await,
        Command::Test(args) => test(context, args).await,
    }
}

async fn show(context: &Context) -> Result<(), Failure> {
    let view: PolicyView = context.client().await?.get("/api/v1/policy").await?;
    tell(context, &view);
    Ok(())
}

fn check(context: &Context, args: &File) -> Result<(), Failure> {
    let text = read(&args.file)?;
    let document: Document = text.parse().map_err(|error| {
        let text = format!("{}: {error}", args.file.display());
        peerage_core::problem::Problem::new(400, "policy_invalid", text)
    })?;
    let notes: Vec<_> = document.rules.hidden().into_iter().map(never).collect();
    let rules = document.rules.rules().len();
    let checked = json!({ "file": args.file, "valid": true, "rules": rules, "notes": notes });
    let output = &context.output;
    output.answer(&checked, |_| {
        format!("{} is valid: {rules} rules", args.file.display())
    });
    for note in notes {
        output.note(format!("note: {note}"));
    }
    Ok(())
}

async fn set(context: &Context, args: &File) -> Result<(), Failure> {
    let request = PolicyRequest {
        text: read(&args.file)?,
    };
    let client = context.client().await?;
    let view: PolicyView = client
        .send(Method::PUT, "/api/v1/policy", &request, WITHIN)
        .await?;
    let output = &context.output;
    output.answer(&view, |view| {
        format!("{} rules are in force, and in {}", view.rules, view.path)
    });
    for note in &view.notes {
        output.note(format!("note: {note}"));
    }
    Ok(())
}

async fn test(context: &Context, args: Test) -> Result<(), Failure> {
    let (action, object) = match (args.call, args.see, args.resolve) {
        (Some(object), ..) => ("call", object),
        (_, Some(object), _) => ("see", object),
        (.., Some(name)) => ("resolve", name),
        _ if args.connect => ("connect", String::new()),
        _ => ("dial", String::new()),
    };
    let question = PolicyQuestion {
        who: args.who,
        action: action.to_owned(),
        object,
        from: args.from.map(|from| from.to_string()),
        text: args.file.as_ref().map(read).transpose()?,
    };
    let client = context.client().await?;
    let answer: PolicyAnswer = client.post("/api/v1/policy/test", &question).await?;
    let output = &context.output;
    output.answer(&answer, |answer| render(output, answer));
    if answer.verdict == "allow" {
        Ok(())
    } else {
        Err(Failure::refused_and_told())
    }
}

fn render(output: &Output, answer: &PolicyAnswer) -> String {
    let mut lines: Vec<_> = answer
        .steps
        .iter()
        .map(|step| {
            let why = match step.why.as_str() {
                "other_subject" => "concerns others",
                "other_action" => "is about other actions",
                "other_object" => "is about other objects",
                _ => "decides",
            };
            format!("  {}{} {why}", step.rule, on_line(step.line))
        })
        .collect();
    lines.insert(0, format!("{}: {}", answer.asked, answer.who));
    let verdict = output.bold(&answer.verdict);
    lines.push(format!("{verdict}: {}", answer.reason));
    if let Some(limit) = &answer.limit {
        lines.push(format!("limit: {}", limits(limit)));
    }
    super::output::clean_lines(&lines.join("\n"))
}

/// The limits of a rule on one line.
fn limits(limit: &serde_json::Value) -> String {
    let all = limit.as_object().into_iter().flatten();
    let shown = all.map(|(name, value)| {
        let value = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        format!("{name} {value}")
    });
    shown.collect::<Vec<_>>().join(", ")
}

fn on_line(line: Option<usize>) -> String {
    line.map_or_else(String::new, |line| format!(" (line {line})"))
}

fn tell(context: &Context, view: &PolicyView) {
    let output = &context.output;
    output.answer(view, |view| {
        super::output::clean_lines(view.text.trim_end())
    });
    match &view.since {
        Some(since) => output.note(format!(
            "{} rules, in force since {since}, from {}",
            view.rules, view.path
        )),
        None => output.note(format!("no rules: there is no file {}", view.path)),
    }
    for note in &view.notes {
        output.note(format!("note: {note}"));
    }
    if let Some(error) = &view.error {
        output.note(format!("warning: {error}; the rules before stay in force"));
    }
}

fn never((hidden, before): (&Rule, &Rule)) -> String {
    format!(
        "the rule `{}` never decides, for `{}` before it always does",
        hidden.name, before.name
    )
}

fn read(path: &PathBuf) -> Result<String, Failure> {
    std::fs::read_to_string(path)
        .map_err(|error| Failure::io(format!("cannot read {}", path.display()), &error))
}
