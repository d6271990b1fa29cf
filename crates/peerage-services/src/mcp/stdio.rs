//! A shared stdio server as Streamable HTTP: each session has a child process of its own.
//!
//! Two generations of MCP meet here. A client of 2025-11-25 or older opens a session with
//! `initialize`, and a child is started for that session. A client of 2026-07-28 or newer has no
//! session: all requests of one caller go to one child, under ids and tokens that are unique on it.
//! Messages pass as the bytes they were; see [`message`].

use std::{
    fmt, io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{body::Body, response::Response};
use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Method, Request, StatusCode, header::ALLOW, request::Parts};
use http_body_util::BodyExt;
use peerage_mesh::Tasks;
use tokio::time::{Instant, timeout};

use fault::{Fault, INVALID_REQUEST, PARSE_ERROR};
use message::{Invalid, Message};
use process::Pipes;

mod fault;
mod flight;
pub mod guard;
mod headers;
mod limits;
mod lines;
mod link;
mod message;
mod process;
mod queue;
mod reply;
mod session;
mod sessionless;
mod sessions;
mod tool_headers;

pub use limits::Limits;
pub use process::CommandSpec;

/// Starts one child.
type Launch = dyn Fn() -> io::Result<Pipes> + Send + Sync;

/// A stdio server that this node shares. Cloning gives another handle to the same children.
#[derive(Clone)]
pub struct StdioServer {
    shared: Arc<Shared>,
}

struct Shared {
    name: String,
    launch: Box<Launch>,
    limits: Arc<Limits>,
    tasks: Tasks,
    sessions: Mutex<sessions::Sessions>,
    /// Until when the server counts as one that knows only sessions.
    legacy_until: Mutex<Option<Instant>>,
}

impl fmt::Debug for StdioServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StdioServer")
            .field("program", &self.shared.name)
            .finish_non_exhaustive()
    }
}

impl StdioServer {
    /// A server run by `spec`. Nothing is started before the first call; what is started runs as part
    /// of `tasks` and ends with them.
    #[must_use]
    pub fn new(spec: CommandSpec, limits: Limits, tasks: &Tasks) -> Self {
        let children = tasks.child();
        let guard = limits.guard.clone();
        let name = spec.program.clone();
        let launch = {
            let tasks = children.clone();
            move || spec.start(&guard, &tasks)
        };
        Self::with_launch(name, Box::new(launch), limits, children)
    }

    fn with_launch(name: String, launch: Box<Launch>, limits: Limits, tasks: Tasks) -> Self {
        Self {
            shared: Arc::new(Shared {
                name,
                launch,
                limits: Arc::new(limits),
                tasks,
                sessions: Mutex::default(),
                legacy_until: Mutex::default(),
            }),
        }
    }

    /// Answers one HTTP request of `caller`. Sessions belong to the caller that opened them.
    pub async fn handle(&self, caller: &str, request: Request<Body>) -> Response {
        let server = &*self.shared;
        let (parts, body) = request.into_parts();
        let answer = match parts.method {
            Method::POST => server.post(caller, &parts, body).await,
            Method::GET => session::get(server, caller, &parts),
            Method::DELETE => session::delete(server, caller, &parts),
            _ => Err(method_not_allowed()),
        };
        let mut response = answer.unwrap_or_else(|fault| fault.response(None));
        if response.status() == StatusCode::METHOD_NOT_ALLOWED {
            let allowed = HeaderValue::from_static("GET, POST, DELETE");
            response.headers_mut().insert(ALLOW, allowed);
        }
        response
    }

    /// Ends all children and waits until they are gone. Nothing starts afterwards.
    pub async fn stop(&self) {
        let links = self.shared.sessions().stop();
        futures::future::join_all(links.iter().map(|link| link.gone())).await;
    }
}

impl Shared {
    async fn post(&self, caller: &str, parts: &Parts, body: Body) -> Result<Response, Fault> {
        let body = match self.read(body).await {
            Ok(body) => body,
            Err((fault, id)) => return Ok(fault.response(id.as_deref())),
        };
        let message = match Message::parse(body) {
            Ok(message) => message,
            Err(invalid) => return Ok(unreadable(&invalid)),
        };
        let answer = async {
            headers::check_post(&parts.headers)?;
            headers::check_method(&parts.headers, &message)?;
            if headers::is_modern(&parts.headers, &message) {
                sessionless::post(self, caller, parts, &message).await
            } else {
                session::post(self, caller, parts, &message).await
            }
        };
        let answer = answer.await;
        Ok(answer.unwrap_or_else(|fault| fault.response(message.id())))
    }

    /// Reads a body within bounds of size and time. With the fault comes the id of the request if it
    /// could be seen.
    async fn read(&self, mut body: Body) -> Result<Bytes, (Fault, Option<String>)> {
        let limit = self.limits.max_message;
        let mut read = BytesMut::new();
        let all = async {
            while let Some(frame) = body.frame().await {
                let frame = frame.map_err(|e| {
                    Fault::bad_request(
                        INVALID_REQUEST,
                        "body_unreadable",
                        format!("the body cannot be read: {e}"),
                        "send the whole body",
                    )
                })?;
                let Ok(data) = frame.into_data() else {
                    continue;
                };
                let room = limit - read.len();
                read.extend_from_slice(&data[..data.len().min(room)]);
                if data.len() > room {
                    return Err(Fault::new(
                        StatusCode::PAYLOAD_TOO_LARGE,
                        INVALID_REQUEST,
                        "message_too_large",
                        format!("a message may have {limit} bytes"),
                        "send less at once",
                    ));
                }
            }
            Ok(())
        };
        let outcome = timeout(self.limits.request_timeout, all).await;
        let fault = match outcome {
            Ok(Ok(())) => return Ok(read.freeze()),
            Ok(Err(fault)) => fault,
            Err(_) => Fault::new(
                StatusCode::REQUEST_TIMEOUT,
                INVALID_REQUEST,
                "body_too_slow",
                "the body did not arrive in time",
                "send the body at once",
            ),
        };
        Err((fault, message::id_in_beginning(&read)))
    }

    /// Starts a child for `caller`; the lock on `sessions` shows that there is room for it.
    fn start(
        &self,
        caller: &str,
        shared: bool,
        sessions: &mut sessions::Sessions,
    ) -> Result<Arc<link::Link>, Fault> {
        sessions.make_room(caller, &self.limits)?;
        let pipes = (self.launch)().map_err(|e| {
            tracing::warn!(program = self.name, error = %e, "cannot start an MCP server");
            // Which program that is, is not the caller's business.
            let cause = match e.kind() {
                io::ErrorKind::NotFound => "its program was not found".to_owned(),
                kind => kind.to_string(),
            };
            Fault::new(
                StatusCode::BAD_GATEWAY,
                fault::INTERNAL_ERROR,
                "server_not_started",
                format!("the MCP server cannot be started: {cause}"),
                "its owner should check the shared command",
            )
        })?;
        tracing::debug!(program = self.name, caller, "started an MCP server");
        Ok(link::Link::start(pipes, shared, &self.limits, &self.tasks))
    }

    fn sessions(&self) -> MutexGuard<'_, sessions::Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unreadable(invalid: &Invalid) -> Response {
    let (rpc, code, id) = match invalid {
        Invalid::Json(_) => (PARSE_ERROR, "invalid_json", None),
        Invalid::Batch => (INVALID_REQUEST, "batch", None),
        Invalid::Shape { id, .. } => (INVALID_REQUEST, "invalid_message", id.as_deref()),
    };
    let hint = "send one JSON-RPC 2.0 message as the body";
    Fault::bad_request(rpc, code, invalid.to_string(), hint).response(id)
}

fn method_not_allowed() -> Fault {
    Fault::new(
        StatusCode::METHOD_NOT_ALLOWED,
        INVALID_REQUEST,
        "method_not_allowed",
        "MCP is spoken with POST; sessions also have GET and DELETE",
        "use POST",
    )
}

#[cfg(test)]
mod tests;
