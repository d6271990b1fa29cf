//! The audit, as this machine may read it.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures::{Stream, StreamExt, stream};
use http::{HeaderMap, header::ACCEPT};
use peerage_core::problem::Problem;
use serde::Deserialize;
use tokio::sync::broadcast::{Receiver, error::RecvError};

use super::Local;
use crate::{
    api::{AuditEntry, AuditVerdict, DEFAULT_AUDIT_LIMIT},
    audit::{Filter, line_time, read},
    failure::Answer,
    names,
};

/// Lines of one answer, at the most.
const MOST: usize = 100_000;

/// Lines that may be written while the past ones are read.
const AGAIN: usize = 256;

/// What is looked for.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// Not older than so many seconds.
    since_s: Option<u64>,
    /// Only of this one: a peer as anywhere, or `local` for this machine, or `many`.
    who: Option<String>,
    /// Only with this verdict.
    verdict: Option<AuditVerdict>,
    /// So many lines at the most, the latest; 1000 unless it is said.
    limit: Option<usize>,
}

/// What was refused, what has changed and, where asked, what was called, the oldest first. With `Accept:
/// text/event-stream` as a stream that goes on, of events `entry`, and `behind` where some could not be sent.
#[utoipa::path(get, path = "/api/v1/audit", params(Wanted),
    responses((status = 200, body = [AuditEntry])))]
pub(super) async fn audit(
    State(local): State<Local>,
    headers: HeaderMap,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Answer<Response> {
    let Query(wanted) = wanted.map_err(|rejection| {
        Problem::new(
            rejection.status().as_u16(),
            "bad_request",
            rejection.body_text(),
        )
    })?;
    let audit = &local.ctx.audit;
    let who = match wanted.who.as_deref() {
        Some(text @ ("local" | "many")) => Some(text.to_owned()),
        Some(peer) => Some(names::known(&local.ctx, peer)?.to_base58()),
        None => None,
    };
    let since = wanted.since_s.map(|seconds| {
        line_time(peerage_mesh::book::now().saturating_sub(Duration::from_secs(seconds)))
    });
    let filter = Filter {
        since,
        who,
        verdict: wanted.verdict,
    };
    // Subscribed first: what is written meanwhile comes twice rather than never.
    let news = audit.follow();
    audit.flush().await;
    let ((path, files), limit) = (audit.files(), wanted.limit.unwrap_or(DEFAULT_AUDIT_LIMIT));
    let looked_for = filter.clone();
    let looked =
        tokio::task::spawn_blocking(move || read(&path, files, &looked_for, limit.clamp(1, MOST)));
    let unread = |text: String| Problem::new(500, "audit_unreadable", text);
    let past = looked.await.map_err(|error| unread(error.to_string()))?;
    let past = Vec::from(past.map_err(|error| unread(error.to_string()))?);
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    if accept.is_none_or(|accept| !accept.contains("text/event-stream")) {
        return Ok(Json(past).into_response());
    }
    let stop = local.stop.token();
    let events = follow(past, news, filter).take_until(stop.cancelled_owned());
    let events = Sse::new(events).keep_alive(KeepAlive::default());
    Ok(events.into_response())
}

fn follow(
    past: Vec<AuditEntry>,
    news: Receiver<Arc<AuditEntry>>,
    filter: Filter,
) -> impl Stream<Item = Result<Event, Infallible>> + Send {
    // Only the last of them can come again.
    let told = past[past.len().saturating_sub(AGAIN)..].to_vec();
    let live = stream::unfold(
        (news, filter, told),
        |(mut news, filter, told)| async move {
            loop {
                match news.recv().await {
                    Ok(entry) if filter.fits(&entry) && !told.contains(&entry) => {
                        return Some((event(&entry), (news, filter, told)));
                    }
                    Ok(_) => {}
                    Err(RecvError::Lagged(count)) => {
                        let behind = Event::default().event("behind").data(count.to_string());
                        return Some((behind, (news, filter, told)));
                    }
                    Err(RecvError::Closed) => return None,
                }
            }
        },
    );
    let past = stream::iter(past).map(|entry| event(&entry));
    past.chain(live).map(Ok)
}

fn event(entry: &AuditEntry) -> Event {
    let event = Event::default().event("entry").json_data(entry);
    event.unwrap_or_default()
}
