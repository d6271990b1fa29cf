//! `peerage audit`: who did or wanted what, and what came of it.

use std::time::Duration;

use peerage::config::parse_duration;
use peerage_services::api::{AuditEntry, AuditVerdict};

use super::{
    Context, Failure,
    client::{Client, segment},
    output::{Output, clean},
};

/// Show who did or wanted what, and what came of it
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    peerage audit --since 1h --verdict refused\n  \
    peerage audit --who laptop --follow\n  \
    peerage audit --json | jq -r '.[].rule' | sort | uniq -c")]
pub(crate) struct Args {
    /// Go on with what happens from now on; with --json one document a line
    #[arg(long, short)]
    follow: bool,
    /// Not older than this: 30s, 15m, 1h, 7d
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    since: Option<Duration>,
    /// Only of this one: a peer; `local` for programs on this machine
    #[arg(long, value_name = "PEER")]
    who: Option<String>,
    /// Only what was refused, allowed, changed or warned of
    #[arg(long, value_name = "VERDICT")]
    verdict: Option<AuditVerdict>,
    /// So many lines at the most, the latest
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    last: usize,
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let (client, output) = (context.client().await?, &context.output);
    let path = path(&args);
    if args.follow {
        return follow(&client, output, &path).await;
    }
    let entries: Vec<AuditEntry> = client.get(&path).await?;
    output.answer(&entries, |entries| {
        let lines: Vec<_> = entries.iter().map(line).collect();
        lines.join("\n")
    });
    if entries.is_empty() {
        output.note("nothing is in the audit that fits");
    }
    Ok(())
}

async fn follow(client: &Client, output: &Output, path: &str) -> Result<(), Failure> {
    let mut events = client.follow(path).await?;
    while let Some(event) = events.next().await? {
        match event.name.as_str() {
            "entry" => {
                let entry: AuditEntry = serde_json::from_str(&event.data).map_err(|error| {
                    Failure::failed("unexpected_answer", format!("a line of the audit: {error}"))
                })?;
                if output.json() {
                    output.text(&event.data);
                } else {
                    output.text(&line(&entry));
                }
            }
            "behind" => output.note(format!("{} lines came too fast to be shown", event.data)),
            _ => {}
        }
    }
    Ok(())
}

fn path(args: &Args) -> String {
    let mut path = format!("/api/v1/audit?limit={}", args.last.max(1));
    if let Some(since) = args.since {
        path += &format!("&since_s={}", since.as_secs());
    }
    if let Some(who) = &args.who {
        path += &format!("&who={}", segment(who));
    }
    if let Some(verdict) = args.verdict {
        path += &format!("&verdict={}", verdict.as_str());
    }
    path
}

/// One line for people.
fn line(entry: &AuditEntry) -> String {
    let who = match (&entry.name, &entry.claims) {
        (Some(name), _) => name.clone(),
        (None, Some(claims)) => format!("{} (says it is {claims})", entry.who),
        (None, None) => entry.who.clone(),
    };
    let mut line = format!(
        "{}  {:7}  {who}  {}  {}",
        entry.time,
        entry.verdict.as_str(),
        entry.action,
        entry.object
    );
    if let Some(rule) = &entry.rule {
        line += &format!("  [{rule}]");
    }
    let more = [
        entry.status.map(|status| format!("status {status}")),
        entry.bytes_in.map(|bytes| format!("in {bytes} B")),
        entry.bytes_out.map(|bytes| format!("out {bytes} B")),
        entry.ms.map(|ms| format!("{ms:.1} ms")),
        entry.count.map(|count| format!("x{count}")),
        entry.lost.map(|lost| format!("({lost} lines lost before)")),
    ];
    let more: Vec<_> = more.into_iter().flatten().collect();
    if !more.is_empty() {
        line += &format!("  {}", more.join(", "));
    }
    clean(&line)
}
