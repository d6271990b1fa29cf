//! One question to one peer: who bears this name?

use std::time::Duration;

use axum::body::{Body, to_bytes};
use http::Request;
use peerage_core::{
    PeerId,
    address::Address,
    lookup::{Answer, MAX_ANSWER},
    problem::Problem,
};
use tokio::time::timeout;

use super::{NAMES_PATH, path::part};
use crate::context::Context;

/// How long one question may take, with the time to connect.
pub(super) const DEADLINE: Duration = Duration::from_secs(4);

/// Asks a peer, within a time.
///
/// # Errors
///
/// Why there is no answer, for people.
pub(super) async fn ask(
    ctx: &Context,
    peer: PeerId,
    name: &Address,
    within: Duration,
) -> Result<Answer, String> {
    let request = Request::get(format!("{NAMES_PATH}{}", part(name)))
        .body(Body::empty())
        .expect("a name is made of characters that a path may have");
    let asked = async {
        let response = ctx.call(peer, request).await.map_err(|p| p.detail)?;
        let status = response.status();
        let bytes = to_bytes(response.into_body(), MAX_ANSWER)
            .await
            .map_err(|error| format!("its answer broke off: {error}"))?;
        if !status.is_success() {
            let said = Problem::from_json(&bytes).map(|problem| problem.detail);
            return Err(said.unwrap_or_else(|| format!("it answered {status}")));
        }
        Answer::decode(&bytes).map_err(|error| error.to_string())
    };
    match timeout(within, asked).await {
        Ok(answer) => answer,
        Err(_) => Err(format!("no answer within {:.1} s", within.as_secs_f64())),
    }
}
