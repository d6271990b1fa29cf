//! An MCP server made of Rust functions: how a program adds tools of its own to its node.
//!
//! ```
//! use peerage_services::mcp::functions::FunctionServer;
//! use serde::Deserialize;
//!
//! #[derive(Deserialize, schemars::JsonSchema)]
//! struct Sum {
//!     /// The numbers to add.
//!     numbers: Vec<f64>,
//! }
//!
//! let server = FunctionServer::new("calculator").tool("sum", "Adds numbers.", |sum: Sum| async move {
//!     Ok::<f64, String>(sum.numbers.iter().sum())
//! });
//! ```

use std::{collections::BTreeMap, fmt::Display, sync::Arc};

use axum::Router;
use futures::future::BoxFuture;
use peerage_mesh::Tasks;
use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    handler::server::common::{schema_for_empty_input, schema_for_input},
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, Implementation,
        ListToolsResult, PaginatedRequestParams, ProgressNotificationParam, ServerCapabilities,
        ServerConfig, Tool,
    },
    service::RequestContext,
};
use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::{
    client::{Progress, ProgressSink, Progresses},
    endpoint::{self, Hosts},
};

#[cfg(test)]
mod tests;

type Answer = BoxFuture<'static, Result<Value, String>>;
type Run = Arc<dyn Fn(Map<String, Value>, ProgressSink) -> Answer + Send + Sync>;

/// An MCP server whose tools are functions.
#[derive(Clone)]
pub struct FunctionServer {
    name: String,
    functions: BTreeMap<String, Function>,
}

#[derive(Clone)]
struct Function {
    tool: Tool,
    run: Run,
}

impl std::fmt::Debug for FunctionServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FunctionServer")
            .field("name", &self.name)
            .field("tools", &self.functions.keys())
            .finish()
    }
}

impl FunctionServer {
    /// A server without tools yet. `name` is what it tells clients that it is called.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            functions: BTreeMap::new(),
        }
    }

    /// Adds a tool; one of the same name is replaced.
    ///
    /// The arguments' schema comes from `T`, which must be a struct or map (`()` for none). An answer
    /// becomes structured content if it is an object, and text in any case; an error becomes a result
    /// that says so. When the caller gives up, the future is dropped.
    #[must_use]
    pub fn tool<T, R, E, F>(
        self,
        name: impl Into<String>,
        description: impl Into<String>,
        function: impl Fn(T) -> F + Send + Sync + 'static,
    ) -> Self
    where
        T: DeserializeOwned + JsonSchema + 'static,
        R: Serialize,
        E: Display,
        F: Future<Output = Result<R, E>> + Send + 'static,
    {
        self.tool_with_progress(name, description, move |arguments, _| function(arguments))
    }

    /// Like [`FunctionServer::tool`], for a function that tells how far it has come.
    #[must_use]
    pub fn tool_with_progress<T, R, E, F>(
        mut self,
        name: impl Into<String>,
        description: impl Into<String>,
        function: impl Fn(T, ProgressSink) -> F + Send + Sync + 'static,
    ) -> Self
    where
        T: DeserializeOwned + JsonSchema + 'static,
        R: Serialize,
        E: Display,
        F: Future<Output = Result<R, E>> + Send + 'static,
    {
        let name = name.into();
        let schema = schema_for_input::<T>().unwrap_or_else(|_| schema_for_empty_input());
        let run: Run = Arc::new(move |arguments, progress| {
            let called = read::<T>(arguments).map(|arguments| function(arguments, progress));
            Box::pin(async move {
                let value = called?.await.map_err(|error| error.to_string())?;
                serde_json::to_value(value).map_err(|error| error.to_string())
            })
        });
        let tool = Tool::new(name.clone(), description.into(), schema);
        self.functions.insert(name, Function { tool, run });
        self
    }

    /// The tools as a client lists them.
    #[must_use]
    pub fn tools(&self) -> Vec<Value> {
        let tools = self.functions.values();
        tools
            .filter_map(|function| serde_json::to_value(&function.tool).ok())
            .collect()
    }

    /// Routes that answer at `/` as an MCP server over Streamable HTTP, to be nested where it is shared.
    pub fn into_router(self, tasks: &Tasks) -> Router {
        let server = Arc::new(self);
        endpoint::router(move || Functions(server.clone()), Hosts::Any, tasks)
    }
}

fn read<T: DeserializeOwned>(arguments: Map<String, Value>) -> Result<T, String> {
    let empty = arguments.is_empty();
    serde_json::from_value(Value::Object(arguments)).or_else(|error| {
        // `()` reads from null only.
        let none = empty.then(|| serde_json::from_value(Value::Null).ok());
        none.flatten()
            .ok_or_else(|| format!("invalid arguments: {error}"))
    })
}

struct Functions(Arc<FunctionServer>);

impl ServerHandler for Functions {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build()).with_server_info(
            Implementation::new(self.0.name.clone(), env!("CARGO_PKG_VERSION")),
        )
    }

    async fn list_tools(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let tools = self.0.functions.values();
        let tools = tools.map(|function| function.tool.clone()).collect();
        Ok(ListToolsResult::with_all_items(tools))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        Some(self.0.functions.get(name)?.tool.clone())
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let Some(function) = self.0.functions.get(request.name.as_ref()) else {
            let message = format!("unknown tool: {}", request.name);
            return Err(ErrorData::invalid_params(message, None));
        };
        let (sink, progresses) = ProgressSink::new();
        let answer = (function.run)(request.arguments.unwrap_or_default(), sink);
        let answer = with_progress(answer, progresses, &context).await?;
        Ok(result(answer).into())
    }
}

fn result(answer: Result<Value, String>) -> CallToolResult {
    match answer {
        Ok(value @ Value::Object(_)) => CallToolResult::structured(value),
        Ok(Value::String(text)) => CallToolResult::success(vec![ContentBlock::text(text)]),
        Ok(value) => CallToolResult::success(vec![ContentBlock::text(value.to_string())]),
        Err(error) => CallToolResult::error(vec![ContentBlock::text(error)]),
    }
}

/// Waits for an answer, and meanwhile tells the caller of progress if it asked for it.
///
/// The last progress leaves before the answer does.
pub(super) async fn with_progress<T>(
    answer: impl Future<Output = T>,
    mut progresses: Progresses,
    context: &RequestContext<RoleServer>,
) -> Result<T, ErrorData> {
    let mut answer = std::pin::pin!(answer);
    let mut open = true;
    loop {
        tokio::select! {
            biased;
            () = context.ct.cancelled() => {
                return Err(ErrorData::internal_error("cancelled", None));
            }
            progress = progresses.next(), if open => match progress {
                Some(progress) => tell(progress, context).await,
                None => open = false,
            },
            answer = &mut answer => {
                while let Some(progress) = progresses.try_next() {
                    tell(progress, context).await;
                }
                return Ok(answer);
            }
        }
    }
}

async fn tell(progress: Progress, context: &RequestContext<RoleServer>) {
    let Some(token) = context.meta.get_progress_token() else {
        return;
    };
    let mut params = ProgressNotificationParam::new(token, progress.progress);
    params.total = progress.total;
    params.message = progress.message;
    if let Err(error) = context.peer.notify_progress(params).await {
        tracing::debug!(%error, "the caller was not told of progress");
    }
}
