//! Asks a shared server for its tools, at first and again, so that the card can list them.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use axum::body::Body;
use http::{Request, Response};
use peerage_core::problem::Problem;

use super::{Kind, Share, Shares, State};
use crate::mcp::client::{HttpCall, McpClient};

/// The wait after a server did not answer; it doubles up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_secs(2);
/// The longest wait until a server that did not answer is asked again.
const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// How often a server that answers is asked again: it may have changed. A command is asked less
/// often, for each time costs a child.
const AGAIN_HTTP: Duration = Duration::from_secs(60);
const AGAIN_COMMAND: Duration = Duration::from_secs(900);
/// How long the session of an inspection stays open without a request.
const IDLE: Duration = Duration::from_secs(1);

/// Keeps what is known of a share's tools true for as long as it is shared.
pub(super) async fn keep_inspected(share: Arc<Share>, shares: Shares) {
    let call = Arc::new(ToBackend(share.clone()));
    let path = format!("/mcp/{}", share.name);
    let client = McpClient::with_idle(call, path, &share.tasks, IDLE);
    let mut failures = 0_u32;
    loop {
        let listed = client.list_tools().await;
        client.close().await;
        let wait = match listed {
            Ok(tools) => {
                failures = 0;
                update(&share, &shares, State::Ready(tools));
                match share.kind {
                    Kind::Http => AGAIN_HTTP,
                    Kind::Stdio | Kind::Function => AGAIN_COMMAND,
                }
            }
            Err(error) => {
                failures += 1;
                tracing::warn!(share = share.name, %error, "a shared server does not answer");
                update(&share, &shares, State::Failed(error.to_string()));
                (FIRST_WAIT * 2_u32.saturating_pow(failures.min(10) - 1)).min(LONGEST_WAIT)
            }
        };
        tokio::time::sleep(wait).await;
    }
}

fn update(share: &Share, shares: &Shares, state: State) {
    let before = share.state();
    let same = match (&before, &state) {
        (State::Ready(before), State::Ready(after)) => before == after,
        (State::Failed(before), State::Failed(after)) => before == after,
        _ => false,
    };
    // A server that was there and is gone for the moment stays on the card: its calls say why.
    let keep = matches!((&before, &state), (State::Ready(_), State::Failed(_)));
    if !same && !keep {
        if let State::Ready(tools) = &state {
            tracing::info!(share = share.name, tools = tools.len(), "a share is ready");
        }
        share.set(state);
        shares.announce();
    }
}

/// Calls the share itself, as the local machine.
struct ToBackend(Arc<Share>);

#[async_trait]
impl HttpCall for ToBackend {
    async fn call(&self, request: Request<Body>) -> Result<Response<Body>, Problem> {
        Ok(self.0.backend.handle("inspect", request).await)
    }
}
