//! One client's view of the aggregate: what the SDK asks, answered.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use peerage_core::problem::Problem;
use rmcp::{
    ErrorData, Peer, RoleServer, ServerHandler,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ErrorCode,
        Implementation, ListToolsResult, MetaObject, PaginatedRequestParams, ProtocolVersion,
        ServerCapabilities, ServerConfig, SubscriptionFilter, Tool,
    },
    service::{NotificationContext, RequestContext, SubscriptionContext},
};
use serde_json::{Map, Value};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Shared, ToolCall, listing::Listed, meta};
use crate::mcp::{
    client::{ProgressSink, ToolCallError},
    functions::with_progress,
};

/// How many tools go into one page of the list.
const PAGE: usize = 1_000;

/// The key of a result's `_meta` under which a problem stands whole.
const PROBLEM: &str = "peerage/problem";

const INSTRUCTIONS: &str = "Tools of this machine and its peers in the Peerage mesh. A name tells where \
    a tool runs: peer, then server, then tool. If there is search_tools, there are more tools than are \
    listed: find them with it, read their arguments with describe_tool, and use call_tool.";

type Announced = watch::Receiver<[u8; 32]>;

/// Serves one session; one request where there are none.
pub(super) struct Handler {
    shared: Arc<Shared>,
    /// What had been announced when the client came: later changes are told.
    announced: Announced,
    /// The same for each subscription that was accepted and does not run yet: the SDK confirms it before
    /// it lets us run, and what changes in between must be told too.
    accepted: Mutex<Vec<Announced>>,
    /// Whether this session has read what another machine's tools said.
    read_remote: AtomicBool,
    /// The same for all clients over HTTP that have no session, each of whose requests has a handler of its own.
    without_session: Option<Arc<AtomicBool>>,
    gone: CancellationToken,
    _gone: DropGuard,
}

impl Handler {
    /// A session; over HTTP it may be a single request, whose client is one of those `without_session`.
    pub(super) fn new(shared: Arc<Shared>, without_session: Option<Arc<AtomicBool>>) -> Self {
        let gone = CancellationToken::new();
        Self {
            announced: shared.announced.subscribe(),
            shared,
            accepted: Mutex::default(),
            read_remote: AtomicBool::new(false),
            without_session,
            _gone: gone.clone().drop_guard(),
            gone,
        }
    }

    fn accepted(&self) -> MutexGuard<'_, Vec<Announced>> {
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which of several waiting subscriptions runs is not told, so each begins where the oldest did:
    /// one notification too many does no harm.
    fn next_accepted(&self) -> Announced {
        let mut accepted = self.accepted();
        let oldest = accepted.first().cloned();
        accepted.pop();
        oldest.unwrap_or_else(|| self.announced.clone())
    }

    async fn call(
        &self,
        name: &str,
        arguments: Map<String, Value>,
        context: &RequestContext<RoleServer>,
    ) -> Result<CallToolResult, ErrorData> {
        let listing = self.shared.listing();
        match (name, listing.get(name)) {
            (_, Some(tool)) => self.forward(tool, arguments, context).await,
            (meta::SEARCH, _) => Ok(meta::search(&listing, &arguments)),
            (meta::DESCRIBE, _) => Ok(meta::describe(&listing, &arguments)),
            (meta::CALL, _) => {
                let name = meta::text(&arguments, "name");
                let Some(tool) = listing.get(name) else {
                    let text = ContentBlock::text(meta::unknown(&listing, name));
                    return Ok(CallToolResult::error(vec![text]));
                };
                let arguments = match arguments.get("arguments") {
                    Some(Value::Object(arguments)) => arguments.clone(),
                    None | Some(Value::Null) => Map::new(),
                    Some(_) => {
                        let text = ContentBlock::text("`arguments` must be an object");
                        return Ok(CallToolResult::error(vec![text]));
                    }
                };
                self.forward(tool, arguments, context).await
            }
            (_, None) => {
                let message = meta::unknown(&listing, name);
                Err(ErrorData::invalid_params(message, None))
            }
        }
    }

    async fn forward(
        &self,
        tool: &Listed,
        arguments: Map<String, Value>,
        context: &RequestContext<RoleServer>,
    ) -> Result<CallToolResult, ErrorData> {
        let read_remote = self.read_remote(context);
        if tool.not_after_remote && read_remote.load(Ordering::SeqCst) {
            return failure(closed(tool).into());
        }
        let call = ToolCall {
            peer: tool.at.peer,
            server: tool.at.server.clone(),
            tool: tool.at.tool.clone(),
            arguments,
        };
        let (sink, progresses) = ProgressSink::new();
        let sink = context.meta.get_progress_token().is_some().then_some(sink);
        if tool.remote {
            // Before its answer: progress and errors are its words, too.
            read_remote.store(true, Ordering::SeqCst);
        }
        let answer = self.shared.source.call(call, sink, context.ct.clone());
        match with_progress(answer, progresses, context).await? {
            Ok(whole) => Ok(self.result(whole, context)),
            Err(error) => failure(error),
        }
    }

    /// Whether the client of a request has read what another machine's tools said.
    fn read_remote(&self, context: &RequestContext<RoleServer>) -> &AtomicBool {
        match &self.without_session {
            Some(all) if is_modern(context) => all,
            _ => &self.read_remote,
        }
    }

    /// The whole result, with the field by which the two protocols differ.
    fn result(&self, mut whole: Value, context: &RequestContext<RoleServer>) -> CallToolResult {
        let modern = is_modern(context);
        let Some(fields) = whole.as_object_mut() else {
            let text = ContentBlock::text("the server answered with something that is no result");
            return CallToolResult::error(vec![text]);
        };
        let kind = fields.get("resultType").and_then(Value::as_str);
        match kind {
            None if modern => drop(fields.insert("resultType".into(), "complete".into())),
            None => {}
            Some("complete") if modern => {}
            Some("complete") => drop(fields.remove("resultType")),
            Some(other) => {
                let text = format!("the server wants more than this endpoint carries: {other}");
                return CallToolResult::error(vec![ContentBlock::text(text)]);
            }
        }
        self.shared.marker.result(whole)
    }
}

/// Whether a client speaks the protocol that has no sessions.
fn is_modern(context: &RequestContext<RoleServer>) -> bool {
    let version = context.protocol_version();
    version.is_some_and(|version| version >= ProtocolVersion::V_2026_07_28)
}

fn closed(tool: &Listed) -> Problem {
    let (server, name) = (&tool.at.server, &tool.at.tool);
    let text =
        format!("{server}/{name} is closed to this session, which has read text of other machines");
    Problem::new(403, "read_remote_text", text)
        .hint("its owner says so (`[mcp] not_after_remote`); a new session may call it")
}

/// A JSON-RPC error stays one; for the rest, models are told in words what happened and what would help.
fn failure(error: ToolCallError) -> Result<CallToolResult, ErrorData> {
    let problem = match error {
        ToolCallError::Rpc(error) => {
            return Err(ErrorData::new(
                ErrorCode(error.code),
                error.message,
                error.data,
            ));
        }
        ToolCallError::Problem(problem) => problem,
    };
    let mut text = problem.to_string();
    if let Some(hint) = &problem.hint {
        text = format!("{text}\n{hint}");
    }
    let mut result = CallToolResult::error(vec![ContentBlock::text(text)]);
    let problem = serde_json::to_value(&problem).unwrap_or_default();
    result.meta = Some(MetaObject(Map::from_iter([(PROBLEM.to_owned(), problem)])));
    Ok(result)
}

impl ServerHandler for Handler {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_tools()
            .enable_tool_list_changed()
            .build();
        ServerConfig::new(capabilities)
            .with_server_info(Implementation::new("peerage", env!("CARGO_PKG_VERSION")))
            .with_instructions(INSTRUCTIONS)
    }

    async fn list_tools(
        &self,
        request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let listing = self.shared.listing();
        let tools = listing.visible();
        let from = match request.and_then(|params| params.cursor) {
            None => 0,
            Some(cursor) => cursor
                .parse()
                .ok()
                .filter(|&from| from <= tools.len())
                .ok_or_else(|| ErrorData::invalid_params("unknown cursor", None))?,
        };
        let to = tools.len().min(from + PAGE);
        let page = tools[from..to]
            .iter()
            .map(|whole| self.shared.marker.tool(whole));
        let mut result = ListToolsResult::with_all_items(page.collect());
        result.next_cursor = (to < tools.len()).then(|| to.to_string());
        Ok(result)
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        let listing = self.shared.listing();
        serde_json::from_value(listing.get(name)?.whole.clone()).ok()
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let arguments = request.arguments.unwrap_or_default();
        let result = self.call(&request.name, arguments, &context).await?;
        Ok(result.into())
    }

    async fn on_initialized(&self, context: NotificationContext<RoleServer>) {
        let follow = follow(self.announced.clone(), context.peer, self.gone.clone());
        self.shared.tasks.spawn("mcp list changes", follow);
    }

    fn accepted_subscription_filter(
        &self,
        requested: &SubscriptionFilter,
    ) -> Option<SubscriptionFilter> {
        self.accepted().push(self.shared.announced.subscribe());
        let mut filter = SubscriptionFilter::new();
        filter.tools_list_changed = requested.tools_list_changed;
        Some(filter)
    }

    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        let mut announced = self.next_accepted();
        loop {
            tokio::select! {
                () = context.cancelled() => return Ok(()),
                changed = announced.changed() => if changed.is_err() {
                    return Ok(());
                }
            }
            if let Err(error) = context.sink().notify_tool_list_changed().await {
                tracing::debug!(%error, "a subscriber was not told of a change");
                return Ok(());
            }
        }
    }
}

/// Tells an older client of changes until it is gone.
async fn follow(mut announced: Announced, client: Peer<RoleServer>, gone: CancellationToken) {
    let told = async {
        while announced.changed().await.is_ok() {
            if let Err(error) = client.notify_tool_list_changed().await {
                tracing::debug!(%error, "a client was not told of a change");
                return;
            }
        }
    };
    tokio::select! {
        () = told => {}
        () = gone.cancelled() => {}
    }
}
