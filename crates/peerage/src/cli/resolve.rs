//! `peerage resolve`: whom a name means, step by step.

use peerage_services::api::{ResolveStep, ResolveView};

use super::{Context, Failure, client::segment, output::Output, progress::Progress};

/// Show who is meant by a name, and how that was found
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    peerage resolve o://acme/sales/assistant\n  \
    peerage resolve ../billing")]
pub(crate) struct Args {
    /// o://acme/sales/assistant, or relative to this node's own: assistant, ../billing
    #[arg(value_name = "NAME")]
    wanted: String,
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let client = context.client().await?;
    let output = &context.output;
    let progress = Progress::new(output, format!("resolve {}", args.wanted));
    let path = format!("/api/v1/resolve/{}", segment(&args.wanted));
    let view: ResolveView = client.get(&path).await?;
    drop(progress);
    output.answer(&view, |view| render(output, view));
    Ok(())
}

fn render(output: &Output, view: &ResolveView) -> String {
    let mut rows: Vec<Vec<String>> = view.steps.iter().map(step).collect();
    rows.extend(view.peers.iter().map(|peer| {
        let name = peer.peer.clone().unwrap_or_default();
        let at = peer.rtt_ms.map_or_else(
            || {
                if peer.connected {
                    "connected"
                } else {
                    "not connected"
                }
                .to_owned()
            },
            |rtt| format!("{rtt:.1} ms away"),
        );
        vec![
            "found".to_owned(),
            format!("{} {name}", peer.peer_id).trim_end().to_owned(),
            String::new(),
            at,
        ]
    }));
    let table = output.table(&["step", "who", "took", "said"], rows);
    let via = view.via.as_ref();
    let via = via.map_or_else(String::new, |via| format!(", through {via},"));
    format!(
        "{}{via} in {:.1} ms\n\n{table}",
        output.bold(&view.name),
        view.took_ms
    )
}

fn step(step: &ResolveStep) -> Vec<String> {
    let (what, who) = match (&step.asked, &step.by) {
        (Some(peer), Some(name)) => ("asked", format!("{peer} {name}")),
        _ => ("looked", "this node".to_owned()),
    };
    vec![
        what.to_owned(),
        who,
        format!("{:.1} ms", step.took_ms),
        step.said.clone(),
    ]
}
