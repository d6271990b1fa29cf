use std::time::Duration;

use http::HeaderMap;
use serde_json::Value;
use tokio::{
    io::{
        AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, Lines, ReadHalf, WriteHalf, split,
    },
    sync::mpsc,
};

use super::*;

mod bounds;
mod processes;
mod with_sessions;
mod without_sessions;

/// The far end of a child: what the test plays.
struct Child {
    input: Lines<BufReader<ReadHalf<DuplexStream>>>,
    output: WriteHalf<DuplexStream>,
}

impl Child {
    async fn line(&mut self) -> String {
        self.input.next_line().await.unwrap().expect("a line")
    }

    async fn read(&mut self) -> Value {
        serde_json::from_str(&self.line().await).unwrap()
    }

    async fn say(&mut self, line: &str) {
        self.output.write_all(line.as_bytes()).await.unwrap();
        self.output.write_all(b"\n").await.unwrap();
    }

    /// Answers the next request with `result` and returns the request.
    async fn answer(&mut self, result: &str) -> Value {
        let request = self.read().await;
        let id = &request["id"];
        self.say(&format!(
            r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#
        ))
        .await;
        request
    }

    /// The server closed its end.
    async fn is_ended(&mut self) -> bool {
        self.input.next_line().await.unwrap().is_none()
    }
}

struct Fixture {
    server: StdioServer,
    children: mpsc::Receiver<Child>,
    tasks: Tasks,
}

impl Fixture {
    fn new() -> Self {
        Self::with(Limits::default())
    }

    fn with(limits: Limits) -> Self {
        let (started, children) = mpsc::channel(16);
        let launch = move || {
            let (near, far) = tokio::io::duplex(1 << 16);
            let (stdout, stdin) = split(near);
            let (input, output) = split(far);
            let input = BufReader::new(input).lines();
            let child = Child { input, output };
            started.try_send(child).map_err(io::Error::other)?;
            Ok(Pipes {
                stdin: Box::new(stdin),
                stdout: Box::new(stdout),
                process: None,
            })
        };
        let tasks = Tasks::new();
        let server =
            StdioServer::with_launch("fake".to_owned(), Box::new(launch), limits, tasks.child());
        Self {
            server,
            children,
            tasks,
        }
    }

    async fn child(&mut self) -> Child {
        self.children.recv().await.unwrap()
    }

    /// Opens a session and returns its id and child.
    async fn session(&mut self, caller: &str) -> (String, Child) {
        let server = self.server.clone();
        let opened = server.handle(caller, post(INITIALIZE, &[]));
        let (response, child) = tokio::join!(opened, async {
            let mut child = self.child().await;
            child.answer(r#"{"protocolVersion":"2025-11-25"}"#).await;
            child
        });
        assert_eq!(response.status(), 200);
        (
            header(response.headers(), "mcp-session-id").to_owned(),
            child,
        )
    }

    /// Lets a modern caller find a modern child.
    async fn modern(&mut self, caller: &str) -> Child {
        let server = self.server.clone();
        let request = modern(r#""d""#, "server/discover", "");
        let (response, child) = tokio::join!(server.handle(caller, request), async {
            let mut child = self.child().await;
            child
                .answer(r#"{"supportedVersions":["2026-07-28"]}"#)
                .await;
            child
        });
        assert_eq!(response.status(), 200);
        child
    }
}

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"0"}}}"#;

fn post(body: &str, headers: &[(&str, &str)]) -> Request<Body> {
    request("POST", Body::from(body.to_owned()), headers)
}

fn request(method: &str, body: Body, headers: &[(&str, &str)]) -> Request<Body> {
    let mut request = Request::builder()
        .method(method)
        .uri("/mcp/fake")
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body).unwrap()
}

/// A request of 2026-07-28; `params` is what stands before `_meta`, with its comma.
fn modern(id: &str, method: &str, params: &str) -> Request<Body> {
    modern_with_meta(id, method, params, "")
}

fn modern_with_meta(id: &str, method: &str, params: &str, meta: &str) -> Request<Body> {
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{{params}"_meta":{{{meta}"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{{}}}}}}}}"#
    );
    let name = serde_json::from_str::<Value>(&body).unwrap()["params"]["name"].clone();
    let mut headers = vec![
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", method),
    ];
    headers.extend(name.as_str().map(|name| ("mcp-name", name)));
    post(&body, &headers)
}

fn header<'h>(headers: &'h HeaderMap, name: &str) -> &'h str {
    headers[name].to_str().unwrap()
}

async fn text(response: Response) -> String {
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.into()).unwrap()
}

async fn json(response: Response) -> Value {
    assert_eq!(
        header(response.headers(), "content-type"),
        "application/json"
    );
    serde_json::from_str(&text(response).await).unwrap()
}

async fn frame(body: &mut Body) -> Vec<u8> {
    let frame = body.frame().await.expect("more of the body").unwrap();
    frame.into_data().unwrap().into()
}

/// The events of a response stream, one at a time.
struct Events {
    body: Body,
    pending: String,
}

impl Events {
    fn of(response: Response) -> Self {
        assert_eq!(
            header(response.headers(), "content-type"),
            "text/event-stream"
        );
        Self {
            body: response.into_body(),
            pending: String::new(),
        }
    }

    /// The data of the next event; `None` at the end.
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some((event, rest)) = self.pending.split_once("\n\n") {
                let data = event.split_once("data: ").map(|(_, data)| data.to_owned());
                // An event without data only tells where the stream is.
                let data = data.filter(|data| !data.is_empty());
                self.pending = rest.to_owned();
                match data {
                    Some(data) => return Some(data),
                    None => continue,
                }
            }
            let chunk = self.body.frame().await?.unwrap().into_data().unwrap();
            self.pending += std::str::from_utf8(&chunk).unwrap();
        }
    }

    async fn json(&mut self) -> Value {
        serde_json::from_str(&self.next().await.expect("an event")).unwrap()
    }
}
