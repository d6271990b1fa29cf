//! A client of one MCP server, reached by anything that can carry an HTTP call.
//!
//! The same code talks to a server of a peer (the call goes through the mesh) and to one of this node
//! (the call goes straight to its router). Under it is the official SDK; what a server answered is
//! taken from its bytes and not from the SDK's types, so nothing the SDK does not know is lost.
//!
//! There is at most one session per client. It begins with the first call, is kept warm, closes after
//! [`IDLE`] without calls, and begins anew when the server forgot it. A call is sent again only when it
//! is certain that it reached nobody who could have executed it.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use axum::body::Body;
use peerage_core::problem::Problem;
use peerage_mesh::Tasks;
use rmcp::model::{
    CallToolRequest, CallToolRequestParams, ClientRequest, ErrorCode, ListToolsRequest,
    PaginatedRequestParams,
};
use serde_json::{Map, Value};
use tokio::{sync::Mutex, time::Instant};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use self::session::Session;
pub use self::{
    error::{RpcError, ToolCallError},
    progress::{Progress, ProgressSink, Progresses},
};

mod error;
mod exchange;
mod progress;
mod session;
#[cfg(test)]
mod tests;
mod transport;

/// How long a session is kept without a call.
pub const IDLE: Duration = Duration::from_secs(5 * 60);

/// How long a call may take without an answer or progress, unless the caller says otherwise.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// The most pages of tools that are asked of a server.
const MAX_PAGES: usize = 100;

/// The most tools that are taken from a server.
const MAX_TOOLS: usize = 10_000;

/// The most bytes of tools that are taken from a server.
const MAX_LIST_BYTES: usize = 16 << 20;

/// Carries one HTTP request to the node that shares a server, and brings its answer.
#[async_trait]
pub trait HttpCall: Send + Sync + 'static {
    /// Makes the call. The answer's body may stream; dropping it is how a call is given up.
    ///
    /// # Errors
    ///
    /// A [`Problem`] when no answer came: nobody reached, refused on the way.
    async fn call(&self, request: http::Request<Body>) -> Result<http::Response<Body>, Problem>;
}

/// A server of this node itself, called without leaving it.
#[async_trait]
impl HttpCall for axum::Router {
    async fn call(&self, request: http::Request<Body>) -> Result<http::Response<Body>, Problem> {
        let Ok(response) = self.clone().oneshot(request).await;
        Ok(response)
    }
}

/// How one call is to be made.
#[derive(Clone, Debug)]
pub struct CallOptions {
    /// How long to wait without an answer or progress. Default: [`DEADLINE`].
    pub deadline: Duration,
    /// Where progress goes. Default: nowhere.
    pub progress: Option<ProgressSink>,
    /// Gives the call up and tells the server so. Default: never.
    pub cancel: CancellationToken,
    /// Told when the call has left this node, so that it may have been executed. Default: nobody is.
    pub sent: Sent,
    /// The tool wants arguments repeated in headers, as its server's list says; the list is then asked
    /// for once in each session. Default: no.
    pub repeats_arguments: bool,
}

impl Default for CallOptions {
    fn default() -> Self {
        Self {
            deadline: DEADLINE,
            progress: None,
            cancel: CancellationToken::new(),
            sent: Sent::default(),
            repeats_arguments: false,
        }
    }
}

/// Whether a call has left this node. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct Sent(Arc<AtomicBool>);

impl Sent {
    /// Whether it has, as far as the call has come.
    #[must_use]
    pub fn get(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// A client of one MCP server. Clones share its session.
#[derive(Clone, Debug)]
pub struct McpClient {
    inner: Arc<Inner>,
}

struct Inner {
    http: Arc<dyn HttpCall>,
    path: Arc<str>,
    tasks: Tasks,
    idle: Duration,
    session: Mutex<Option<Arc<Session>>>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl McpClient {
    /// A client of the server at `path` (`/mcp/files`); nothing is sent before the first call.
    #[must_use]
    pub fn new(http: Arc<dyn HttpCall>, path: impl Into<Arc<str>>, tasks: &Tasks) -> Self {
        Self::with_idle(http, path, tasks, IDLE)
    }

    /// Like [`McpClient::new`], with another time after which the session closes.
    #[must_use]
    pub fn with_idle(
        http: Arc<dyn HttpCall>,
        path: impl Into<Arc<str>>,
        tasks: &Tasks,
        idle: Duration,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                http,
                path: path.into(),
                tasks: tasks.clone(),
                idle,
                session: Mutex::new(None),
            }),
        }
    }

    /// The server's tools, each the whole object as the server sent it.
    ///
    /// # Errors
    ///
    /// [`ToolCallError::Rpc`] with what the server said, else a problem: `upstream_gone`, `deadline`,
    /// `bad_answer` (no list, or one without end).
    pub async fn list_tools(&self) -> Result<Vec<Value>, ToolCallError> {
        let mut tools = Vec::new();
        let mut cursor: Option<String> = None;
        let mut bytes = 0;
        for _ in 0..MAX_PAGES {
            let request = ListToolsRequest::with_param(
                PaginatedRequestParams::default().with_cursor(cursor.take()),
            );
            let mut page = self
                .request(request.into(), &CallOptions::default())
                .await?;
            let Some(Value::Array(items)) = page.get_mut("tools").map(Value::take) else {
                return Err(error::bad_answer("the list of tools has no `tools`").into());
            };
            bytes += items
                .iter()
                .map(|tool| tool.to_string().len())
                .sum::<usize>();
            tools.extend(items);
            if tools.len() > MAX_TOOLS || bytes > MAX_LIST_BYTES {
                return Err(error::bad_answer("the list of tools is too long").into());
            }
            match page.get_mut("nextCursor").map(Value::take) {
                Some(Value::String(next)) => cursor = Some(next),
                _ => return Ok(tools),
            }
        }
        Err(error::bad_answer("the list of tools has no end").into())
    }

    /// Calls a tool; the result is the whole object as the server sent it, `isError` or not.
    ///
    /// When the returned future is dropped, the server is told that the call is given up.
    ///
    /// # Errors
    ///
    /// [`ToolCallError::Rpc`] with what the server said, else a problem: `upstream_gone`, `deadline`,
    /// `cancelled`, or what the way there answered (`refused`, …).
    pub async fn call_tool(
        &self,
        name: &str,
        arguments: Map<String, Value>,
        options: CallOptions,
    ) -> Result<Value, ToolCallError> {
        if options.repeats_arguments && !self.session().await?.has_listed() {
            self.list_tools().await?;
        }
        let params = CallToolRequestParams::new(name.to_owned()).with_arguments(arguments);
        let request = ClientRequest::from(CallToolRequest::new(params));
        match self.request(request.clone(), &options).await {
            // The server refused before executing anything: it wants arguments repeated in headers,
            // and which ones stands in its list of tools.
            Err(ToolCallError::Rpc(error)) if error.code == ErrorCode::HEADER_MISMATCH.0 => {
                self.list_tools().await?;
                self.request(request, &options).await
            }
            answer => answer,
        }
    }

    /// Ends the session, if there is one.
    pub async fn close(&self) {
        self.inner.session.lock().await.take();
    }

    async fn request(
        &self,
        request: ClientRequest,
        options: &CallOptions,
    ) -> Result<Value, ToolCallError> {
        let mut answer = self.attempt(request.clone(), options).await;
        // The session died under us before the request left.
        if answer.as_ref().is_err_and(|it| !it.sent && it.stale) {
            answer = self.attempt(request, options).await;
        }
        answer.map_err(|attempt| {
            options.sent.0.fetch_or(attempt.sent, Ordering::SeqCst);
            attempt.error
        })
    }

    async fn attempt(
        &self,
        request: ClientRequest,
        options: &CallOptions,
    ) -> Result<Value, FailedAttempt> {
        let session = tokio::select! {
            session = self.session() => session.map_err(FailedAttempt::before)?,
            () = options.cancel.cancelled() => return Err(FailedAttempt::before(error::cancelled())),
            () = tokio::time::sleep(options.deadline) => {
                return Err(FailedAttempt::before(error::deadline(options.deadline)));
            }
        };
        session.request(request, options).await
    }

    async fn session(&self) -> Result<Arc<Session>, Problem> {
        let mut slot = self.inner.session.lock().await;
        if let Some(session) = slot.as_ref().filter(|session| session.is_open()) {
            return Ok(session.clone());
        }
        let inner = &self.inner;
        let session =
            Arc::new(Session::open(inner.http.clone(), inner.path.clone(), &inner.tasks).await?);
        *slot = Some(session.clone());
        let watch = close_when_idle(Arc::downgrade(inner), Arc::downgrade(&session), inner.idle);
        inner.tasks.spawn("mcp session", watch);
        Ok(session)
    }
}

/// A request that failed, and whether sending it again is safe.
#[derive(Debug)]
struct FailedAttempt {
    error: ToolCallError,
    /// The request left this node, so it may have been executed.
    sent: bool,
    /// The session was already gone when the request came.
    stale: bool,
}

impl FailedAttempt {
    fn before(problem: Problem) -> Self {
        Self {
            error: problem.into(),
            sent: false,
            stale: false,
        }
    }
}

async fn close_when_idle(client: Weak<Inner>, session: Weak<Session>, idle: Duration) {
    loop {
        let Some(due) = session.upgrade().map(|session| session.idle_since() + idle) else {
            return;
        };
        tokio::time::sleep_until(due).await;
        let (Some(client), Some(session)) = (client.upgrade(), session.upgrade()) else {
            return;
        };
        let mut slot = client.session.lock().await;
        if session.idle_since() + idle <= Instant::now() {
            if slot
                .as_ref()
                .is_some_and(|held| Arc::ptr_eq(held, &session))
            {
                slot.take();
            }
            return;
        }
    }
}
