//! A stand-in for a running node: the local API with known answers, so that the commands are tested by themselves.

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::{IntoResponse as _, Response},
    routing::{any, get, post},
};
use hyper_util::rt::TokioIo;
use peerage_core::problem::Problem;
use peerage_mesh::Tasks;
use peerage_services::api::{
    CallToolAnswer, InviteView, NodeFile, NodeStatus, PeerPath, PeerView, PingView, Relation,
    ShareView, ToolView, TrustView,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, UnixListener},
};

/// The token of the TCP side.
const TOKEN: &str = "a-token";

/// The stand-in, and what was asked of it.
#[derive(Debug)]
pub(crate) struct FakeNode {
    pub(crate) home: TempDir,
    asked: Asked,
    tasks: Tasks,
}

/// Method, path and body of the requests, in order.
type Asked = Arc<Mutex<Vec<(String, Value)>>>;

impl FakeNode {
    /// A node called `ann`, on a socket.
    pub(crate) async fn start() -> Self {
        let node = Self::empty();
        node.add("ann", true, std::process::id()).await;
        node
    }

    /// A home without a node.
    pub(crate) fn empty() -> Self {
        Self {
            home: tempfile::Builder::new().prefix("pg").tempdir().unwrap(),
            asked: Asked::default(),
            tasks: Tasks::new(),
        }
    }

    /// Adds a node, with or without a socket that works.
    pub(crate) async fn add(&self, name: &str, socket: bool, pid: u32) {
        let folder = self.home.path().join("nodes").join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("node.sock");
        let state = Node {
            name: name.to_owned(),
            asked: Arc::clone(&self.asked),
            pid,
            tasks: self.tasks.clone(),
        };
        if socket {
            let listener = UnixListener::bind(&path).unwrap();
            let routes = routes(state.clone());
            self.tasks.spawn("socket", async move {
                axum::serve(listener, routes).await.unwrap();
            });
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let api = format!("http://{}", listener.local_addr().unwrap());
        let routes = routes(state).layer(axum::middleware::from_fn(token));
        self.tasks.spawn("tcp", async move {
            axum::serve(listener, routes).await.unwrap();
        });
        std::fs::write(folder.join("api.token"), format!("{TOKEN}\n")).unwrap();
        announce(&folder, name, &api, pid);
    }

    /// What was asked, as `METHOD /path`, with the bodies.
    pub(crate) fn asked(&self) -> Vec<(String, Value)> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for FakeNode {
    fn drop(&mut self) {
        self.tasks.cancel();
    }
}

fn announce(folder: &Path, name: &str, api: &str, pid: u32) {
    let text = |path: &str| folder.join(path).to_str().unwrap().to_owned();
    let file = NodeFile {
        pid,
        name: name.to_owned(),
        api: api.to_owned(),
        token_file: text("api.token"),
        socket: text("node.sock"),
        started: "2026-01-01T00:00:00Z".to_owned(),
    };
    std::fs::write(folder.join("node.json"), serde_json::to_vec(&file).unwrap()).unwrap();
}

#[derive(Clone, Debug)]
struct Node {
    name: String,
    asked: Asked,
    pid: u32,
    tasks: Tasks,
}

fn routes(node: Node) -> Router {
    Router::new()
        .route("/api/v1/tools/call", post(call))
        .route("/mcp", get(mcp))
        .fallback(any(answer))
        .with_state(node)
}

async fn token(request: Request, next: axum::middleware::Next) -> Response {
    let shown = request.headers().get(header::AUTHORIZATION);
    if shown.is_none_or(|shown| shown != &format!("Bearer {TOKEN}")) {
        return problem(&Problem::new(401, "no_token", "no token"));
    }
    next.run(request).await
}

async fn answer(State(node): State<Node>, method: Method, uri: Uri, body: String) -> Response {
    let asked = format!("{method} {}", uri.path());
    let body = serde_json::from_str(&body).unwrap_or(Value::Null);
    node.asked
        .lock()
        .unwrap()
        .push((asked.clone(), body.clone()));
    match asked.as_str() {
        "GET /api/v1/node" => Json(status(&node)).into_response(),
        "GET /api/v1/peers" => Json([peer()]).into_response(),
        "GET /api/v1/peers/o%3A%2F%2Facme%2Fbob" => Json(peer()).into_response(),
        "POST /api/v1/peers/bob/ping" => Json(pings(&[1.0, 3.0], 1)).into_response(),
        "POST /api/v1/peers/lost/ping" => Json(pings(&[], 4)).into_response(),
        "GET /api/v1/card" => Json(json!({"name": "ann", "skills": []})).into_response(),
        "GET /api/v1/tools" => Json([tool()]).into_response(),
        "GET /api/v1/shares" => Json(Vec::<ShareView>::new()).into_response(),
        "POST /api/v1/shares" => Json(ShareView {
            name: body["name"].as_str().unwrap().to_owned(),
            target: "server".to_owned(),
            state: "ready".to_owned(),
            tools: 3,
            ..ShareView::default()
        })
        .into_response(),
        "POST /api/v1/invites" => Json(InviteView {
            code: "CODE-1".to_owned(),
            expires: "2026-01-01T00:15:00Z".to_owned(),
            expires_unix: 1_767_226_500,
            name: None,
        })
        .into_response(),
        "POST /api/v1/join" => problem(
            &Problem::new(410, "invite_used", "the invite was used before").hint("ask for another"),
        ),
        "PUT /api/v1/trust/bob" => Json(TrustView {
            peer_id: "12D3KooWBob".to_owned(),
            fingerprint: "aaaa-bbbb".to_owned(),
            pair_fingerprint: "cccc-dddd".to_owned(),
            trusted: true,
            name: None,
        })
        .into_response(),
        "POST /api/v1/stop" => {
            let ended = std::process::Command::new("kill")
                .arg(node.pid.to_string())
                .status();
            assert!(ended.unwrap().success());
            StatusCode::ACCEPTED.into_response()
        }
        "DELETE /api/v1/shares/files" => StatusCode::NO_CONTENT.into_response(),
        "GET /api/v1/peers/html" => (StatusCode::BAD_GATEWAY, "<html>").into_response(),
        _ => problem(&Problem::new(
            404,
            "unknown_peer",
            "nobody is known by that\u{1b}[2J name",
        )),
    }
}

/// Says back what it was called with; as events for those who want to watch.
async fn call(State(node): State<Node>, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    node.asked
        .lock()
        .unwrap()
        .push(("POST /api/v1/tools/call".to_owned(), body.clone()));
    let error = body["tool"] == "broken";
    let result = json!({
        "content": [{"type": "text", "text": body["arguments"].to_string()}],
        "isError": error,
    });
    let answer = CallToolAnswer { result };
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok());
    if !accept.unwrap_or_default().contains("text/event-stream") {
        return Json(answer).into_response();
    }
    let data = serde_json::to_string(&answer).unwrap();
    let events =
        format!("event: progress\ndata: {{\"progress\":1}}\n\nevent: result\ndata: {data}\n\n");
    ([(header::CONTENT_TYPE, "text/event-stream")], events).into_response()
}

/// Answers each line with the same line, and ends when the client does.
async fn mcp(State(node): State<Node>, request: Request) -> Response {
    assert_eq!(request.headers()[header::UPGRADE], "mcp-stdio");
    node.tasks.spawn("mcp", async move {
        let upgraded = hyper::upgrade::on(request).await.unwrap();
        let mut stream = TokioIo::new(upgraded);
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match stream.read(&mut buffer).await.unwrap() {
                0 => break,
                count => stream.write_all(&buffer[..count]).await.unwrap(),
            }
        }
        stream.write_all(b"{\"last\":true}\n").await.unwrap();
        stream.shutdown().await.unwrap();
    });
    Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(header::CONNECTION, "upgrade")
        .header(header::UPGRADE, "mcp-stdio")
        .body(Body::empty())
        .unwrap()
}

fn problem(problem: &Problem) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap();
    (
        status,
        [(header::CONTENT_TYPE, Problem::MEDIA_TYPE)],
        problem.to_json(),
    )
        .into_response()
}

fn status(node: &Node) -> NodeStatus {
    NodeStatus {
        name: node.name.clone(),
        peer_id: "12D3KooWAnn".to_owned(),
        api: "http://127.0.0.1:7337".to_owned(),
        uptime_s: 61,
        ..NodeStatus::default()
    }
}

fn peer() -> PeerView {
    PeerView {
        name: "bob".to_owned(),
        peer_id: "12D3KooWBob".to_owned(),
        relation: Relation::Member,
        connected: true,
        path: Some(PeerPath::Direct),
        rtt_ms: Some(1.25),
        servers: vec!["files".to_owned()],
        ..PeerView::default()
    }
}

fn pings(rtt_ms: &[f64], lost: u32) -> PingView {
    PingView {
        peer: "12D3KooWBob".to_owned(),
        rtt_ms: rtt_ms.to_vec(),
        lost,
        path: Some(PeerPath::Direct),
    }
}

fn tool() -> ToolView {
    ToolView {
        name: "bob-files-list".to_owned(),
        peer: "bob".to_owned(),
        peer_id: "12D3KooWBob".to_owned(),
        server: "files".to_owned(),
        tool: "list".to_owned(),
        description: Some("Lists a\u{1b}[31m folder".to_owned()),
        input_schema: json!({
            "type": "object",
            "properties": {"path": {"type": "string"}, "depth": {"type": "integer"}},
            "additionalProperties": false
        }),
        reachable: true,
        ..ToolView::default()
    }
}
