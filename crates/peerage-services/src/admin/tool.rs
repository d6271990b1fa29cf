//! The tools that may be called, and calling one.

use std::{convert::Infallible, time::Duration};

use axum::{
    Json,
    extract::State,
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures::{FutureExt, Stream, StreamExt, stream};
use http::{HeaderMap, header::ACCEPT};
use peerage_core::problem::Problem;
use serde_json::{Value, json};

use super::Local;
use crate::{
    api::{CallProgress, CallToolAnswer, CallToolRequest, ToolView},
    context::is_away,
    failure::{Answer, Asked},
    mcp::{
        aggregate::{ServerEntry, ToolCall, ToolSource},
        client::{CallOptions, Progress, ProgressSink, Progresses, ToolCallError},
        names::{Coordinates, tool_name},
    },
    names::{self, Failed},
    tools::Tools,
};

/// The longest deadline that a caller may set, seconds.
const LONGEST: u64 = 24 * 3600;

/// Every tool this node may call, its own among them, in the order of their names.
#[utoipa::path(get, path = "/api/v1/tools", responses((status = 200, body = [ToolView])))]
pub(super) async fn list(State(local): State<Local>) -> Json<Vec<ToolView>> {
    let mut tools: Vec<ToolView> = local.tools.servers().iter().flat_map(views).collect();
    tools.sort_by(|a, b| (&a.peer, &a.server, &a.tool).cmp(&(&b.peer, &b.server, &b.tool)));
    Json(tools)
}

fn views(server: &ServerEntry) -> Vec<ToolView> {
    let text = |tool: &Value, key: &str| tool.get(key).and_then(Value::as_str).map(str::to_owned);
    server
        .tools
        .iter()
        .filter_map(|tool| {
            let name = text(tool, "name")?;
            let at = Coordinates {
                peer: server.peer,
                server: server.server.clone(),
                tool: name.clone(),
            };
            Some(ToolView {
                name: tool_name(&server.peer_name, &at),
                peer: server.peer_name.clone(),
                peer_id: server.peer.to_base58(),
                server: server.server.clone(),
                tool: name,
                title: text(tool, "title"),
                description: text(tool, "description"),
                input_schema: tool
                    .get("inputSchema")
                    .cloned()
                    .unwrap_or_else(|| json!({})),
                reachable: server.reachable,
            })
        })
        .collect()
}

/// Calls a tool. With `Accept: text/event-stream` the answer is a stream of `progress` events and one
/// `result` or `problem`.
#[utoipa::path(post, path = "/api/v1/tools/call", request_body = CallToolRequest,
    responses((status = 200, body = CallToolAnswer)))]
pub(super) async fn call(
    State(local): State<Local>,
    headers: HeaderMap,
    Asked(request): Asked<CallToolRequest>,
) -> Answer<Response> {
    let streams = headers
        .get(ACCEPT)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|accept| accept.contains("text/event-stream"));
    if streams {
        let events = events(local, request);
        return Ok(Sse::new(events)
            .keep_alive(KeepAlive::default())
            .into_response());
    }
    let result = call_by_name(&local, request, None).await?;
    Ok(Json(CallToolAnswer { result }).into_response())
}

/// Calls the tool that a request names.
///
/// # Errors
///
/// `no_such_peer`, `ambiguous_peer`; `mcp_error` with the server's own words; what the way there said.
pub async fn call_by_name(
    local: &Local,
    request: CallToolRequest,
    progress: Option<ProgressSink>,
) -> Result<Value, Problem> {
    let meant = names::resolve(&local.ctx, &request.peer).await?;
    let tools = &local.tools;
    let call = |peer| ToolCall {
        peer,
        server: request.server.clone(),
        tool: request.tool.clone(),
        arguments: request.arguments.clone(),
    };
    let options = || CallOptions {
        deadline: Duration::from_secs(request.timeout_s.clamp(1, LONGEST)),
        progress: progress.clone(),
        ..CallOptions::default()
    };
    if let (Some(name), true, [gateway, ..]) = (&meant.name, meant.via.is_some(), &meant.peers[..])
    {
        let called = tools.call_behind(name.clone(), call(*gateway), options());
        return called.await.map_err(problem);
    }
    let attempt = |peer| {
        let (call, options) = (call(peer), options());
        let sent = options.sent.clone();
        async move {
            let called = tools.call_with(call, options).await;
            called.map_err(|error| Failed {
                unsent: !sent.get() && is_unanswered(&error),
                error,
            })
        }
    };
    let name = meant.name.clone();
    let called = names::try_each(&local.ctx, meant, attempt).await;
    let (_, mut result) = called.map_err(problem)?;
    if let Some(name) = name {
        Tools::called_by(&mut result, &name);
    }
    Ok(result)
}

/// A refusal is an answer, and the same from each who bears a name.
fn is_unanswered(error: &ToolCallError) -> bool {
    matches!(error, ToolCallError::Problem(problem) if is_away(problem))
}

fn problem(error: ToolCallError) -> Problem {
    match error {
        ToolCallError::Problem(problem) => problem,
        ToolCallError::Rpc(error) => {
            let text = format!("the server answered: {} ({})", error.message, error.code);
            Problem::new(422, "mcp_error", text)
                .hint("`peerage tools` shows the tools and their arguments")
        }
    }
}

fn events(
    local: Local,
    request: CallToolRequest,
) -> impl Stream<Item = Result<Event, Infallible>> + Send {
    let (sink, progresses) = ProgressSink::new();
    let result = async move {
        let event = match call_by_name(&local, request, Some(sink)).await {
            Ok(result) => Event::default()
                .event("result")
                .json_data(CallToolAnswer { result }),
            Err(problem) => Event::default().event("problem").json_data(&problem),
        };
        event.unwrap_or_default()
    };
    // The sink is dropped with the call, which ends the progress.
    stream::select(progress(progresses), result.into_stream()).map(Ok)
}

fn progress(progresses: Progresses) -> impl Stream<Item = Event> + Send {
    stream::unfold(progresses, |mut progresses| async move {
        let Progress {
            progress,
            total,
            message,
        } = progresses.next().await?;
        let progress = CallProgress {
            progress,
            total,
            message,
        };
        let event = Event::default().event("progress").json_data(progress);
        Some((event.unwrap_or_default(), progresses))
    })
}
