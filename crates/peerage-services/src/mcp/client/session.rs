//! One session with a server: the SDK's client over our transport.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use peerage_core::problem::Problem;
use peerage_mesh::Tasks;
use rmcp::{
    Peer, RoleClient, ServiceError,
    model::{
        CancelledNotificationParam, ClientCapabilities, ClientConfig, ClientRequest,
        GetExtensions as _, Implementation, ProtocolVersion, RequestId, ServerResult,
    },
    service::{
        ClientLifecycleMode, PeerRequestOptions, RunningService, serve_client_with_lifecycle_and_ct,
    },
    transport::{
        StreamableHttpClientTransport, common::client_side_sse::ExponentialBackoff,
        streamable_http_client::StreamableHttpClientTransportConfig,
    },
};
use serde_json::Value;
use tokio::time::Instant;

use super::{
    CallOptions, FailedAttempt, HttpCall, ToolCallError, error,
    exchange::{Exchange, Exchanges},
    transport::{HttpTransport, LastFailure, MAX_ANSWER_BYTES},
};

/// The most calls of one client that wait for their first byte at a time.
const MAX_CONCURRENT: usize = 64;

/// How often a broken stream of events is taken up again where it ended.
const MAX_RESUMES: usize = 5;

/// The longest wait before a broken stream is taken up again.
const MAX_RESUME_DELAY: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Session {
    running: RunningService<RoleClient, ClientConfig>,
    tasks: Tasks,
    /// Why beginning anew failed, when the server had forgotten the session.
    failure: LastFailure,
    listed: AtomicBool,
    active: AtomicUsize,
    used: Mutex<Instant>,
}

impl Session {
    /// Introduces us to the server: asks in the current protocol, falls back to the one before.
    pub(super) async fn open(
        http: Arc<dyn HttpCall>,
        path: Arc<str>,
        tasks: &Tasks,
    ) -> Result<Self, Problem> {
        let transport = HttpTransport::new(http, Arc::new(Exchanges::default()));
        let failure = transport.failure();
        let mut retry = ExponentialBackoff::default();
        retry.max_times = Some(MAX_RESUMES);
        retry.max_delay = Some(MAX_RESUME_DELAY);
        let mut config = StreamableHttpClientTransportConfig::with_uri(path)
            .max_concurrent_requests(MAX_CONCURRENT)
            .max_sse_event_size(MAX_ANSWER_BYTES);
        config.retry_config = Arc::new(retry);
        let lifecycle = ClientLifecycleMode::Auto {
            preferred_versions: vec![ProtocolVersion::LATEST],
            legacy_version: Some(ProtocolVersion::V_2025_11_25),
        };
        let this = ClientConfig::new(
            ClientCapabilities::default(),
            Implementation::new("peerage", env!("CARGO_PKG_VERSION")),
        );
        let running = serve_client_with_lifecycle_and_ct(
            this,
            StreamableHttpClientTransport::with_client(transport, config),
            lifecycle,
            tasks.token().child_token(),
        )
        .await
        .map_err(|error| {
            failure
                .take()
                .unwrap_or_else(|| error::upstream_gone(format!("no MCP session: {error}")))
        })?;
        // A server that knows only the older protocol refused the newer one: that is no failure.
        failure.take();
        Ok(Self {
            running,
            tasks: tasks.clone(),
            failure,
            listed: AtomicBool::new(false),
            active: AtomicUsize::new(0),
            used: Mutex::new(Instant::now()),
        })
    }

    pub(super) fn is_open(&self) -> bool {
        !self.running.is_closed() && !self.running.peer().is_transport_closed()
    }

    /// Whether the SDK has seen the list of tools, so that it knows which arguments go into headers.
    pub(super) fn has_listed(&self) -> bool {
        self.listed.load(Ordering::SeqCst)
    }

    /// Since when no call is under way; now, while one is.
    pub(super) fn idle_since(&self) -> Instant {
        if self.active.load(Ordering::SeqCst) > 0 {
            return Instant::now();
        }
        *self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn request(
        &self,
        mut request: ClientRequest,
        options: &CallOptions,
    ) -> Result<Value, FailedAttempt> {
        let _active = Active::new(self);
        let exchange = Exchange::new(options.progress.clone());
        request.extensions_mut().insert(exchange.clone());
        let answer = self.exchange(request, &exchange, options).await;
        answer.map_err(|error| FailedAttempt {
            error,
            sent: exchange.sent(),
            stale: !self.is_open(),
        })
    }

    async fn exchange(
        &self,
        request: ClientRequest,
        exchange: &Exchange,
        options: &CallOptions,
    ) -> Result<Value, ToolCallError> {
        let peer = self.running.peer();
        let handle = peer
            .send_request_with_option(request, PeerRequestOptions::no_options())
            .await
            .map_err(|error| self.failed(error, exchange))?;
        let mut abandoned = Abandoned::new(self, handle.id.clone());
        let mut answer = std::pin::pin!(handle.await_response());
        let mut due = Instant::now() + options.deadline;
        loop {
            tokio::select! {
                answer = &mut answer => {
                    abandoned.disarm();
                    let typed = answer.map_err(|error| self.failed(error, exchange))?;
                    if let ServerResult::ListToolsResult(_) = typed {
                        self.listed.store(true, Ordering::SeqCst);
                    }
                    return match exchange.take_result() {
                        Some(whole) => Ok(without_refused(whole, &typed)),
                        None => serde_json::to_value(typed)
                            .map_err(|error| error::bad_answer(error.to_string()).into()),
                    };
                }
                () = options.cancel.cancelled() => return Err(error::cancelled().into()),
                () = exchange.progressed() => due = Instant::now() + options.deadline,
                () = tokio::time::sleep_until(due) => {
                    return Err(error::deadline(options.deadline).into());
                }
            }
        }
    }

    fn failed(&self, error: ServiceError, exchange: &Exchange) -> ToolCallError {
        if let Some(problem) = exchange.take_problem() {
            return problem.into();
        }
        match error {
            ServiceError::McpError(error) => error.into(),
            ServiceError::TransportClosed if exchange.sent() => {
                error::upstream_gone("the server went away before it answered")
                    .hint("it may have been executed: look before calling again")
                    .into()
            }
            ServiceError::TransportClosed => error::upstream_gone("the server is gone").into(),
            other => self
                .failure
                .take()
                .unwrap_or_else(|| error::bad_answer(other.to_string()))
                .into(),
        }
    }
}

/// The SDK leaves tools out whose wishes for headers cannot be met, as the protocol demands.
fn without_refused(mut whole: Value, typed: &ServerResult) -> Value {
    if let ServerResult::ListToolsResult(taken) = typed
        && let Some(Value::Array(tools)) = whole.get_mut("tools")
    {
        let taken: HashSet<&str> = taken.tools.iter().map(|tool| tool.name.as_ref()).collect();
        tools.retain(|tool| {
            tool["name"]
                .as_str()
                .is_some_and(|name| taken.contains(name))
        });
    }
    whole
}

/// Counts a call as under way while it lives.
struct Active<'a>(&'a Session);

impl<'a> Active<'a> {
    fn new(session: &'a Session) -> Self {
        session.active.fetch_add(1, Ordering::SeqCst);
        Self(session)
    }
}

impl Drop for Active<'_> {
    fn drop(&mut self) {
        *self.0.used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.0.active.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Tells the server that nobody waits for a request any more, unless it was answered.
struct Abandoned {
    request: Option<RequestId>,
    peer: Peer<RoleClient>,
    tasks: Tasks,
}

impl Abandoned {
    fn new(session: &Session, request: RequestId) -> Self {
        Self {
            request: Some(request),
            peer: session.running.peer().clone(),
            tasks: session.tasks.clone(),
        }
    }

    fn disarm(&mut self) {
        self.request = None;
    }
}

impl Drop for Abandoned {
    fn drop(&mut self) {
        let Some(request) = self.request.take() else {
            return;
        };
        let peer = self.peer.clone();
        self.tasks.spawn("mcp cancel", async move {
            let reason = Some("the caller gave the call up".to_owned());
            let params = CancelledNotificationParam::new(Some(request), reason);
            if let Err(error) = peer.notify_cancelled(params).await {
                tracing::debug!(%error, "the server was not told that a call is given up");
            }
        });
    }
}
