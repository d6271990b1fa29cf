use std::collections::BTreeMap;

use axum::body::Body;
use futures::StreamExt as _;
use http::{Request, Response, header};
use peerage_core::problem::Problem;
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, ReadHalf, WriteHalf},
    sync::Notify,
};
use tower::ServiceExt as _;

use super::*;
use crate::mcp::client::{CallOptions, McpClient, Progress, RpcError};

const MODERN: &str = "2026-07-28";
const LEGACY: &str = "2025-11-25";

fn peer(seed: u8) -> PeerId {
    let mut bytes = vec![0x00, 0x24, 0x08, 0x01, 0x12, 0x20];
    bytes.extend([seed; 32]);
    PeerId::from_bytes(&bytes).unwrap()
}

fn tool(name: &str) -> Value {
    json!({
        "name": name, "description": format!("Does {name}."),
        "inputSchema": {"type": "object"}, "x-vendor": {"kept": [1, null]}
    })
}

fn entry(seed: u8, peer_name: &str, server: &str, tools: &[&str]) -> ServerEntry {
    ServerEntry {
        peer: peer(seed),
        peer_name: peer_name.into(),
        server: server.into(),
        description: String::new(),
        tools: tools.iter().map(|name| tool(name)).collect(),
        remote: false,
        reachable: true,
    }
}

/// A source whose tools do what their names say.
struct Fake {
    servers: Mutex<Vec<ServerEntry>>,
    changes: watch::Sender<u64>,
    asked: watch::Sender<u64>,
    begun: Notify,
    ended: Arc<Notify>,
}

impl Fake {
    fn new(servers: Vec<ServerEntry>) -> Arc<Self> {
        Arc::new(Self {
            servers: Mutex::new(servers),
            changes: watch::Sender::new(0),
            asked: watch::Sender::new(0),
            begun: Notify::new(),
            ended: Arc::default(),
        })
    }

    fn set(&self, servers: Vec<ServerEntry>) {
        *self.servers.lock().unwrap() = servers;
        self.changes.send_modify(|count| *count += 1);
    }

    async fn wait(&self) -> Result<Value, ToolCallError> {
        struct Tell(Arc<Notify>);
        impl Drop for Tell {
            fn drop(&mut self) {
                self.0.notify_one();
            }
        }
        let _tell = Tell(self.ended.clone());
        self.begun.notify_one();
        std::future::pending().await
    }
}

#[async_trait]
impl ToolSource for Fake {
    fn servers(&self) -> Vec<ServerEntry> {
        self.asked.send_modify(|count| *count += 1);
        self.servers.lock().unwrap().clone()
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    async fn call(
        &self,
        call: ToolCall,
        progress: Option<ProgressSink>,
        _cancel: CancellationToken,
    ) -> Result<Value, ToolCallError> {
        match call.tool.as_str() {
            "odd" => Ok(odd()),
            "wait" => self.wait().await,
            "none" => Ok(Value::Null),
            "refuse" => Err(RpcError {
                code: -32042,
                message: "not so".into(),
                data: Some(json!({"why": "because"})),
            }
            .into()),
            "gone" => Err(Problem::new(502, "upstream_gone", "it went")
                .hint("start it")
                .into()),
            "count" => {
                for step in 1..=3 {
                    if let Some(sink) = &progress {
                        sink.send(Progress {
                            progress: step.into(),
                            total: Some(3.0),
                            message: None,
                        });
                    }
                }
                let asked = progress.is_some();
                Ok(json!({"content": [], "structuredContent": {"asked": asked}}))
            }
            _ => Ok(json!({
                "content": [{"type": "text", "text": format!("{}/{}", call.server, call.tool)}],
                "structuredContent": call.arguments
            })),
        }
    }
}

fn odd() -> Value {
    json!({
        "x-more": 1, "_meta": {"a": 1},
        "content": [{"type": "hologram", "data": "…"}, {"type": "text", "text": "t", "x-extra": true}]
    })
}

fn start(servers: Vec<ServerEntry>, config: AggregateConfig) -> (Arc<Fake>, Aggregate, Tasks) {
    let tasks = Tasks::new();
    let fake = Fake::new(servers);
    let aggregate = Aggregate::new(fake.clone(), config, &tasks);
    (fake, aggregate, tasks)
}

fn one(tools: &[&str]) -> Vec<ServerEntry> {
    vec![entry(1, "desk", "box", tools)]
}

/// A client over a stream that speaks either protocol and sees the bytes.
struct Wire {
    read: BufReader<ReadHalf<DuplexStream>>,
    write: WriteHalf<DuplexStream>,
    version: &'static str,
    next_id: u64,
    notified: Vec<Value>,
}

impl Wire {
    async fn open(aggregate: &Aggregate, tasks: &Tasks, version: &'static str) -> Self {
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let aggregate = aggregate.clone();
        tasks.spawn("wire", async move {
            let _ = aggregate.serve_stream(theirs).await;
        });
        let (read, write) = tokio::io::split(ours);
        let read = BufReader::new(read);
        let mut wire = Self {
            read,
            write,
            version,
            next_id: 1,
            notified: Vec::new(),
        };
        if version == LEGACY {
            let params = json!({
                "protocolVersion": LEGACY, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}
            });
            let answer = wire.ask("initialize", params).await;
            assert_eq!(answer["result"]["serverInfo"]["name"], "peerage");
            assert_eq!(
                answer["result"]["capabilities"]["tools"]["listChanged"],
                true
            );
            wire.send(json!({"jsonrpc": "2.0", "method": "notifications/initialized"}))
                .await;
        }
        wire
    }

    async fn send(&mut self, message: Value) {
        let line = message.to_string() + "\n";
        self.write.write_all(line.as_bytes()).await.unwrap();
    }

    /// Sends a request and returns its id.
    async fn post(&mut self, method: &str, mut params: Value) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        if self.version == MODERN {
            let meta = modern_meta();
            for (key, value) in meta.as_object().unwrap() {
                params["_meta"][key] = value.clone();
            }
        }
        self.send(json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}))
            .await;
        id
    }

    async fn read(&mut self) -> Option<Value> {
        let mut line = String::new();
        self.read.read_line(&mut line).await.unwrap();
        serde_json::from_str(&line).ok()
    }

    async fn answer(&mut self, id: u64) -> Value {
        loop {
            let message = self.read().await.expect("the server is there");
            if message["id"] == id && message.get("method").is_none() {
                return message;
            }
            self.notified.push(message);
        }
    }

    async fn notification(&mut self, method: &str) -> Value {
        loop {
            let message = self.read().await.expect("the server is there");
            if message["method"] == method {
                return message;
            }
        }
    }

    async fn ask(&mut self, method: &str, params: Value) -> Value {
        let id = self.post(method, params).await;
        self.answer(id).await
    }

    async fn list(&mut self) -> Vec<String> {
        let answer = self.ask("tools/list", json!({})).await;
        let tools = answer["result"]["tools"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        tools
            .iter()
            .map(|tool| tool["name"].as_str().unwrap().to_owned())
            .collect()
    }

    async fn call(&mut self, name: &str, arguments: Value) -> Value {
        self.ask("tools/call", json!({"name": name, "arguments": arguments}))
            .await
    }
}

fn modern_meta() -> Value {
    json!({
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientInfo": {"name": "t", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {}
    })
}

fn name_of(seed: u8, peer_name: &str, server: &str, tool: &str) -> String {
    let at = crate::mcp::names::Coordinates {
        peer: peer(seed),
        server: server.into(),
        tool: tool.into(),
    };
    crate::mcp::names::tool_name(peer_name, &at)
}

#[tokio::test]
async fn every_tool_is_listed_under_its_name_in_one_order() {
    let servers = vec![
        entry(2, "tower", "files", &["write", "read"]),
        entry(1, "desk", "files", &["read"]),
    ];
    let mut reversed = servers.clone();
    reversed.reverse();
    let expected = vec![
        name_of(1, "desk", "files", "read"),
        name_of(2, "tower", "files", "read"),
        name_of(2, "tower", "files", "write"),
    ];
    for servers in [servers, reversed] {
        let (_, aggregate, tasks) = start(servers, AggregateConfig::default());
        for version in [MODERN, LEGACY] {
            let mut wire = Wire::open(&aggregate, &tasks, version).await;
            assert_eq!(wire.list().await, expected);
        }
    }
}

#[tokio::test]
async fn tools_and_results_pass_whole() {
    let mut servers = one(&["odd"]);
    servers[0].tools[0]["title"] = "Odd one".into();
    let (_, aggregate, tasks) = start(servers, AggregateConfig::default());
    let name = name_of(1, "desk", "box", "odd");
    for version in [MODERN, LEGACY] {
        let mut wire = Wire::open(&aggregate, &tasks, version).await;
        let list = wire.ask("tools/list", json!({})).await;
        let mut expected = tool("odd");
        expected["name"] = name.clone().into();
        expected["title"] = "Odd one (on desk)".into();
        assert_eq!(list["result"]["tools"], json!([expected]));
        let mut expected = odd();
        if version == MODERN {
            expected["resultType"] = "complete".into();
        }
        assert_eq!(wire.call(&name, json!({})).await["result"], expected);
    }
}

#[tokio::test]
async fn over_http_they_pass_whole_too() {
    let (_, aggregate, tasks) = start(one(&["odd", "echo"]), AggregateConfig::default());
    let client = McpClient::new(Arc::new(aggregate.routes()), "/", &tasks);
    let tools = client.list_tools().await.unwrap();
    assert_eq!(tools[1]["x-vendor"], json!({"kept": [1, null]}));
    let name = name_of(1, "desk", "box", "odd");
    let result = client
        .call_tool(&name, Map::new(), CallOptions::default())
        .await
        .unwrap();
    assert_eq!(result["content"], odd()["content"]);
    let name = name_of(1, "desk", "box", "echo");
    let arguments = Map::from_iter([("a".to_owned(), json!(1))]);
    let result = client
        .call_tool(&name, arguments, CallOptions::default())
        .await
        .unwrap();
    assert_eq!(result["structuredContent"], json!({"a": 1}));
}

#[tokio::test]
async fn no_tool_or_peer_breaks_the_list() {
    let mut servers = vec![
        entry(1, "desk", "box", &["good", "good"]),
        entry(2, "dead", "box", &["gone"]),
    ];
    servers[1].reachable = false;
    servers[0].tools.extend([
        json!(null),
        json!({"name": 1}),
        json!({"name": "", "inputSchema": {"type": "object"}}),
        json!({"name": "no_schema"}),
        json!({"name": "text_schema", "inputSchema": {"type": "string"}}),
        json!({"name": "odd_hints", "inputSchema": {"type": "object"}, "annotations": "many"}),
    ]);
    let (_, aggregate, tasks) = start(servers, AggregateConfig::default());
    let mut wire = Wire::open(&aggregate, &tasks, LEGACY).await;
    assert_eq!(wire.list().await, [name_of(1, "desk", "box", "good")]);
    let gone = wire
        .call(&name_of(2, "dead", "box", "gone"), json!({}))
        .await;
    assert_eq!(gone["result"]["isError"], true);
    assert_eq!(
        gone["result"]["content"][0]["text"],
        "it went (upstream_gone)\nstart it"
    );
    assert_eq!(
        gone["result"]["_meta"]["peerage/problem"]["code"],
        "upstream_gone"
    );
}

#[tokio::test]
async fn errors_are_told_as_what_they_are() {
    let (_, aggregate, tasks) = start(one(&["refuse", "none"]), AggregateConfig::default());
    let mut wire = Wire::open(&aggregate, &tasks, MODERN).await;
    let refused = wire
        .call(&name_of(1, "desk", "box", "refuse"), json!({}))
        .await;
    assert_eq!(
        refused["error"],
        json!({"code": -32042, "message": "not so", "data": {"why": "because"}})
    );
    let none = wire
        .call(&name_of(1, "desk", "box", "none"), json!({}))
        .await;
    assert_eq!(none["result"]["isError"], true);
    let unknown = wire.call("refuse", json!({})).await;
    assert_eq!(unknown["error"]["code"], -32602);
    let message = unknown["error"]["message"].as_str().unwrap();
    assert!(
        message.contains(&name_of(1, "desk", "box", "refuse")),
        "{message}"
    );
}

fn many(count: usize) -> Vec<ServerEntry> {
    let names: Vec<_> = (0..count).map(|n| format!("do_{n:02}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    one(&names)
}

#[tokio::test]
async fn too_many_tools_are_searched_instead_of_listed() {
    let config = AggregateConfig {
        pinned: vec!["desk/box/do_1?".into()],
        ..AggregateConfig::default()
    };
    let (fake, aggregate, tasks) = start(many(MAX_LISTED), config);
    let mut wire = Wire::open(&aggregate, &tasks, LEGACY).await;
    assert_eq!(wire.list().await.len(), MAX_LISTED);
    fake.set(many(MAX_LISTED + 1));
    let listed = wire.list().await;
    assert_eq!(listed[..3], ["search_tools", "describe_tool", "call_tool"]);
    assert_eq!(listed[3], name_of(1, "desk", "box", "do_10"));
    assert_eq!(listed.len(), 3 + 10);

    let name = name_of(1, "desk", "box", "do_33");
    let found = wire.call("search_tools", json!({"query": "33"})).await;
    let found = found["result"]["content"][0]["text"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(found, format!("{name}: Does do_33."));
    let described = wire.call("describe_tool", json!({"name": name})).await;
    let described = described["result"]["content"][0]["text"]
        .as_str()
        .unwrap()
        .to_owned();
    let described: Value = serde_json::from_str(&described).unwrap();
    assert_eq!(described["x-vendor"], json!({"kept": [1, null]}));
    let arguments = json!({"name": name, "arguments": {"deep": [1]}});
    let called = wire.call("call_tool", arguments).await;
    assert_eq!(called["result"]["structuredContent"], json!({"deep": [1]}));
    let direct = wire.call(&name, json!({})).await;
    assert_eq!(direct["result"]["content"][0]["text"], "box/do_33");
    let wrong = wire.call("call_tool", json!({"name": "do_33"})).await;
    assert_eq!(wrong["result"]["isError"], true);
}

#[tokio::test]
async fn all_tools_can_be_listed() {
    let config = AggregateConfig {
        all_tools: true,
        ..AggregateConfig::default()
    };
    let (_, aggregate, tasks) = start(many(1_500), config);
    let client = McpClient::new(Arc::new(aggregate.routes()), "/", &tasks);
    let names: Vec<_> = client.list_tools().await.unwrap();
    let different: BTreeMap<_, _> = names
        .iter()
        .map(|tool| (tool["name"].to_string(), ()))
        .collect();
    assert_eq!(different.len(), 1_500);
}

#[test]
fn better_fits_are_found_first() {
    let mut servers = vec![
        entry(
            1,
            "desk",
            "files",
            &["readFile", "write_file", "list_directory"],
        ),
        entry(2, "tower", "web", &["fetch"]),
    ];
    servers[1].tools[0]["description"] = "Fetches a page or file.\nMore.".into();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let _guard = runtime.enter();
    let (_, aggregate, _tasks) = start(servers, AggregateConfig::default());
    let names = |query: &str| -> Vec<String> {
        let found = aggregate.search(query, 10).into_iter();
        found
            .map(|found| found.name.rsplit("__").next().unwrap().to_owned())
            .collect()
    };
    assert_eq!(
        names("read files"),
        ["readFile", "list_directory", "write_file", "fetch"]
    );
    assert_eq!(names("tower"), ["fetch"]);
    assert_eq!(names("zebra"), [""; 0]);
    assert_eq!(names("").len(), 4);
    assert_eq!(
        aggregate.search("fetch", 1)[0].line,
        "Fetches a page or file."
    );
}

#[tokio::test]
async fn progress_carries_the_callers_token_and_only_if_asked() {
    let (_, aggregate, tasks) = start(one(&["count"]), AggregateConfig::default());
    let name = name_of(1, "desk", "box", "count");
    for version in [MODERN, LEGACY] {
        let mut wire = Wire::open(&aggregate, &tasks, version).await;
        let params = json!({"name": name, "_meta": {"progressToken": "mine"}});
        wire.ask("tools/call", params).await;
        let told: Vec<_> = wire
            .notified
            .drain(..)
            .map(|message| {
                (
                    message["params"]["progressToken"].clone(),
                    message["params"]["progress"].as_f64(),
                )
            })
            .collect();
        let expected: Vec<_> = (1..=3)
            .map(|step| (json!("mine"), Some(f64::from(step))))
            .collect();
        assert_eq!(told, expected);
        let silent = wire.call(&name, json!({})).await;
        assert_eq!(silent["result"]["structuredContent"]["asked"], false);
        assert!(wire.notified.is_empty());
    }
}

#[tokio::test]
async fn giving_up_and_going_away_end_the_call() {
    let (fake, aggregate, tasks) = start(one(&["wait"]), AggregateConfig::default());
    let name = name_of(1, "desk", "box", "wait");
    let mut wire = Wire::open(&aggregate, &tasks, LEGACY).await;
    let id = wire.post("tools/call", json!({"name": name})).await;
    fake.begun.notified().await;
    wire.send(json!({
        "jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": id}
    }))
    .await;
    fake.ended.notified().await;

    let request = http_request(
        MODERN,
        &json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
            "name": name, "arguments": {}, "_meta": modern_meta()
        }}),
        &[("mcp-method", "tools/call"), ("mcp-name", &name)],
    );
    let answer = aggregate.routes().oneshot(request);
    tokio::select! {
        answer = answer => panic!("{answer:?}"),
        () = fake.begun.notified() => {}
    }
    fake.ended.notified().await;
}

fn http_request(version: &str, message: &Value, headers: &[(&str, &str)]) -> Request<Body> {
    let mut request = Request::post("/")
        .header(header::HOST, "127.0.0.1:7337")
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::ACCEPT, "application/json, text/event-stream")
        .header("mcp-protocol-version", version);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::from(message.to_string())).unwrap()
}

/// Waits until the aggregate has looked at a change.
async fn looked_at(fake: &Fake, asked: u64) {
    let mut seen = fake.asked.subscribe();
    seen.wait_for(|count| *count > asked).await.unwrap();
}

#[tokio::test]
async fn a_change_is_announced_once_and_only_if_it_is_one() {
    const CHANGED: &str = "notifications/tools/list_changed";
    for version in [MODERN, LEGACY] {
        let (fake, aggregate, tasks) = start(one(&["a"]), AggregateConfig::default());
        let mut wire = Wire::open(&aggregate, &tasks, version).await;
        if version == MODERN {
            wire.post(
                "subscriptions/listen",
                json!({"notifications": {"toolsListChanged": true}}),
            )
            .await;
            wire.notification("notifications/subscriptions/acknowledged")
                .await;
        }
        wire.list().await;
        let asked = *fake.asked.borrow();
        fake.set(one(&["a"]));
        looked_at(&fake, asked).await;
        assert_eq!(wire.list().await.len(), 1);
        fake.set(one(&["a", "b"]));
        wire.notification(CHANGED).await;
        assert_eq!(wire.list().await.len(), 2);
        wire.list().await;
        assert_eq!(wire.notified, [Value::Null; 0]);
    }
}

async fn read_until(response: Response<Body>, wanted: &str) -> (Response<Body>, String) {
    let (parts, body) = response.into_parts();
    let mut body = body.into_data_stream();
    let mut text = String::new();
    while !text.contains(wanted) {
        let chunk = body.next().await.expect("the stream goes on").unwrap();
        text.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    (Response::from_parts(parts, Body::from_stream(body)), text)
}

#[tokio::test]
async fn over_http_a_change_right_after_the_confirmation_is_told() {
    let (fake, aggregate, _tasks) = start(one(&["a"]), AggregateConfig::default());
    let listen = json!({"jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen", "params": {
        "notifications": {"toolsListChanged": true}, "_meta": modern_meta()
    }});
    let request = http_request(MODERN, &listen, &[("mcp-method", "subscriptions/listen")]);
    let response = aggregate.routes().oneshot(request).await.unwrap();
    let (response, _) = read_until(response, "acknowledged").await;
    fake.set(one(&["b"]));
    read_until(response, "tools/list_changed").await;
}

fn initialize() -> Request<Body> {
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": LEGACY, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}
    }});
    let mut request = http_request(LEGACY, &message, &[]);
    request.headers_mut().remove("mcp-protocol-version");
    request
}

#[tokio::test]
async fn over_http_older_clients_are_told_on_their_stream() {
    let (fake, aggregate, _tasks) = start(one(&["a"]), AggregateConfig::default());
    let routes = aggregate.routes();
    let response = routes.clone().oneshot(initialize()).await.unwrap();
    let session = response.headers()["mcp-session-id"]
        .to_str()
        .unwrap()
        .to_owned();
    read_until(response, "serverInfo").await;
    let headers = [("mcp-session-id", session.as_str())];
    let message = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    let accepted = routes
        .clone()
        .oneshot(http_request(LEGACY, &message, &headers))
        .await
        .unwrap();
    assert_eq!(accepted.status(), 202);
    let mut get = http_request(LEGACY, &json!({}), &headers);
    *get.method_mut() = http::Method::GET;
    let stream = routes.clone().oneshot(get).await.unwrap();
    fake.set(one(&["b"]));
    read_until(stream, "tools/list_changed").await;
}

#[tokio::test]
async fn sessions_are_limited_and_hosts_checked() {
    let (_, aggregate, _tasks) = start(one(&["a"]), AggregateConfig::default());
    let routes = aggregate.routes();
    let mut rebound = initialize();
    rebound
        .headers_mut()
        .insert(header::HOST, "evil.example".parse().unwrap());
    assert_eq!(routes.clone().oneshot(rebound).await.unwrap().status(), 403);

    let mut refused = None;
    for _ in 0..300 {
        let response = routes.clone().oneshot(initialize()).await.unwrap();
        if response.status() != 200 {
            refused = Some(response);
            break;
        }
    }
    let refused = refused.expect("there is a limit");
    assert_eq!(refused.status(), 503);
    let body = axum::body::to_bytes(refused.into_body(), 1 << 16)
        .await
        .unwrap();
    assert_eq!(Problem::from_json(&body).unwrap().code, "too_many_sessions");
}

#[tokio::test]
async fn garbage_over_a_stream_ends_nothing_else() {
    let (_, aggregate, tasks) = start(one(&["a"]), AggregateConfig::default());
    let mut wire = Wire::open(&aggregate, &tasks, LEGACY).await;
    for garbage in [
        "",
        "{",
        "[]",
        "null",
        "\u{0}\u{1}",
        "{\"jsonrpc\":\"2.0\",\"id\":{}}",
    ] {
        wire.write
            .write_all(format!("{garbage}\n").as_bytes())
            .await
            .unwrap();
    }
    assert_eq!(wire.list().await.len(), 1);
    let mut broken = Wire::open(&aggregate, &tasks, MODERN).await;
    broken
        .write
        .write_all(b"GET / HTTP/1.1\r\n\r\n")
        .await
        .unwrap();
    broken.write.shutdown().await.unwrap();
    while broken.read().await.is_some() {}
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_calls_along() {
    let (fake, aggregate, tasks) = start(one(&["wait"]), AggregateConfig::default());
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let served = {
        let aggregate = aggregate.clone();
        tasks.spawn("served", async move {
            let _ = aggregate.serve_stream(theirs).await;
        })
    };
    let (read, write) = tokio::io::split(ours);
    let read = BufReader::new(read);
    let mut wire = Wire {
        read,
        write,
        version: MODERN,
        next_id: 1,
        notified: Vec::new(),
    };
    let name = name_of(1, "desk", "box", "wait");
    wire.post("tools/call", json!({"name": name})).await;
    fake.begun.notified().await;
    drop(wire);
    fake.ended.notified().await;
    served.await.unwrap();
}

/// A server here whose tool is closed to who has read what the other one, elsewhere, has said.
fn guarded() -> (Vec<ServerEntry>, AggregateConfig) {
    let mut elsewhere = entry(1, "desk", "box", &["run"]);
    elsewhere.remote = true;
    let config = AggregateConfig {
        not_after_remote: vec!["*/shell/*".into()],
        ..AggregateConfig::default()
    };
    (
        vec![elsewhere, entry(2, "here", "shell", &["exec"])],
        config,
    )
}

#[tokio::test]
async fn who_has_read_remote_text_does_not_reach_guarded_tools() {
    let (servers, config) = guarded();
    let (_, aggregate, tasks) = start(servers, config);
    let (remote, local) = (
        name_of(1, "desk", "box", "run"),
        name_of(2, "here", "shell", "exec"),
    );
    for version in [LEGACY, MODERN] {
        let mut wire = Wire::open(&aggregate, &tasks, version).await;
        let before = wire.call(&local, json!({})).await;
        assert_eq!(before["result"]["content"][0]["text"], "shell/exec");
        wire.call(&remote, json!({})).await;
        for _ in 0..2 {
            let after = wire.call(&local, json!({})).await;
            assert_eq!(after["result"]["isError"], true, "{after}");
            let problem = &after["result"]["_meta"]["peerage/problem"];
            assert_eq!(problem["code"], "read_remote_text");
        }
        let through = json!({"name": local, "arguments": {}});
        let through = wire.call("call_tool", through).await;
        assert_eq!(through["result"]["isError"], true, "{through}");
        // Another session has read nothing.
        let mut other = Wire::open(&aggregate, &tasks, version).await;
        let other = other.call(&local, json!({})).await;
        assert_eq!(other["result"]["content"][0]["text"], "shell/exec");
    }
}

#[tokio::test]
async fn clients_without_a_session_have_read_what_one_of_them_has() {
    let (servers, config) = guarded();
    let (_, aggregate, tasks) = start(servers, config);
    let (remote, local) = (
        name_of(1, "desk", "box", "run"),
        name_of(2, "here", "shell", "exec"),
    );
    let client = || McpClient::new(Arc::new(aggregate.routes()), "/", &tasks);
    let call = async |client: &McpClient, name: &str| {
        let called = client
            .call_tool(name, Map::new(), CallOptions::default())
            .await;
        called.unwrap()["isError"].as_bool().unwrap_or_default()
    };
    let (one, two) = (client(), client());
    assert!(!call(&one, &local).await && !call(&two, &local).await);
    assert!(!call(&one, &remote).await);
    assert!(call(&one, &local).await && call(&two, &local).await);
}
