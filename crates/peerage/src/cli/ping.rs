//! `peerage ping`: the round trip to a peer.

use std::time::Duration;

use http::Method;
use peerage_services::api::{DEFAULT_PING_COUNT, PingRequest, PingView};

use super::{Context, Failure, client::segment, output::Output, progress::Progress};

/// How long one ping may take, with the time to connect.
const EACH: Duration = Duration::from_secs(12);
/// The most pings of one command.
const MAX_COUNT: i64 = 100;

/// Measure the round trip to a peer
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Its name, PeerId, DID or o:// name
    peer: String,
    /// How many
    #[arg(long, short, default_value_t = DEFAULT_PING_COUNT, value_parser = clap::value_parser!(u32).range(1..=MAX_COUNT))]
    count: u32,
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let client = context.client().await?;
    let output = &context.output;
    let path = format!("/api/v1/peers/{}/ping", segment(&args.peer));
    let request = PingRequest { count: args.count };
    let progress = Progress::new(output, format!("ping {}", args.peer));
    let view: PingView = client
        .send(Method::POST, &path, &request, EACH * args.count)
        .await?;
    drop(progress);
    output.answer(&view, |view| render(output, view, &args.peer));
    if view.rtt_ms.is_empty() {
        // The answer says so already; scripts look at the exit code.
        return Err(Failure::told());
    }
    Ok(())
}

fn render(output: &Output, view: &PingView, peer: &str) -> String {
    let count = view.rtt_ms.len();
    let sum: f64 = view.rtt_ms.iter().sum();
    let mean = u32::try_from(count).map_or(0.0, |count| sum / f64::from(count.max(1)));
    let least = view
        .rtt_ms
        .iter()
        .copied()
        .reduce(f64::min)
        .unwrap_or_default();
    let most = view
        .rtt_ms
        .iter()
        .copied()
        .reduce(f64::max)
        .unwrap_or_default();
    let path = view.path.map_or("", |path| path.as_str());
    let times = if count == 0 {
        String::new()
    } else {
        format!("{least:.2} / {mean:.2} / {most:.2} ms")
    };
    output.fields(&[
        ("peer", peer.to_owned()),
        ("path", path.to_owned()),
        ("min / mean / max", times),
        (
            "answered",
            format!("{count} of {}", count + view.lost as usize),
        ),
    ])
}
