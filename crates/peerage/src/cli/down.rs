//! `peerage down`: stops the running node and waits until it has.

use std::time::Duration;

use http::Method;
use tokio::time::{Instant, sleep};

use super::{Context, Failure, client::Client, progress::Progress};

/// How long a node may take to stop.
const WITHIN: Duration = Duration::from_secs(20);
/// How often to look whether it has.
const LOOK: Duration = Duration::from_millis(50);

pub(crate) async fn run(context: &Context) -> Result<(), Failure> {
    let client = context.client().await?;
    let name = client.node().name.clone();
    let progress = Progress::new(&context.output, format!("stopping {name}"));
    stop(&client).await?;
    drop(progress);
    let stopped = serde_json::json!({ "name": name, "pid": client.node().pid, "stopped": true });
    context
        .output
        .answer(&stopped, |_| format!("{name} has stopped"));
    Ok(())
}

/// Stops a node and waits until its process has ended.
pub(crate) async fn stop(client: &Client) -> Result<(), Failure> {
    match client.act(Method::POST, "/api/v1/stop").await {
        // It may stop faster than it answers.
        Err(failure) if failure.code() != "node_gone" => return Err(failure),
        _ => {}
    }
    let end = Instant::now() + WITHIN;
    while client.is_alive() {
        if Instant::now() > end {
            let (name, pid) = (&client.node().name, client.node().pid);
            return Err(
                Failure::failed("node_late", format!("{name} is still stopping"))
                    .hint(format!("end its process: kill {pid}")),
            );
        }
        sleep(LOOK).await;
    }
    Ok(())
}
