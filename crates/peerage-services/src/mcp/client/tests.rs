use std::sync::atomic::{AtomicUsize, Ordering};

use axum::{
    Router,
    extract::Request,
    middleware::{self, Next},
    response::Response,
};
use futures::stream;
use http::{StatusCode, header};
use proptest::prelude::*;
use serde_json::json;
use tokio::sync::{Notify, watch};

use super::*;
use crate::mcp::functions::FunctionServer;

fn functions() -> FunctionServer {
    FunctionServer::new("test")
        .tool("greet", "Greets.", |(): ()| async {
            Ok::<_, String>("hello")
        })
        .tool_with_progress(
            "count",
            "Counts.",
            |(): (), sink: ProgressSink| async move {
                for step in 1..=20 {
                    sink.send(Progress {
                        progress: step.into(),
                        total: Some(20.0),
                        message: Some(format!("step {step}")),
                    });
                    tokio::task::yield_now().await;
                }
                Ok::<_, String>("counted")
            },
        )
}

/// Answers as a server of the protocol before the current one does.
fn legacy(router: Router) -> Router {
    async fn refuse_modern(request: Request, next: Next) -> Response {
        let version = request.headers().get("mcp-protocol-version");
        if version.is_some_and(|version| version == "2026-07-28") {
            let mut response = Response::new(Body::from("Bad Request: unsupported version"));
            *response.status_mut() = StatusCode::BAD_REQUEST;
            return response;
        }
        next.run(request).await
    }
    router.layer(middleware::from_fn(refuse_modern))
}

fn client(http: impl HttpCall, tasks: &Tasks) -> McpClient {
    McpClient::new(Arc::new(http), "/mcp/test", tasks)
}

fn within(millis: u64) -> CallOptions {
    CallOptions {
        deadline: Duration::from_millis(millis),
        ..CallOptions::default()
    }
}

fn problem(answer: Result<Value, ToolCallError>) -> Problem {
    match answer {
        Err(ToolCallError::Problem(problem)) => problem,
        other => panic!("not a problem: {other:?}"),
    }
}

/// Counts what passes by method, and calls the router that is there at the moment.
#[derive(Clone)]
struct Counting {
    router: Arc<std::sync::Mutex<Router>>,
    posts: Arc<AtomicUsize>,
    deletes: watch::Sender<usize>,
}

impl Counting {
    fn new(router: Router) -> Self {
        Self {
            router: Arc::new(std::sync::Mutex::new(router)),
            posts: Arc::default(),
            deletes: watch::Sender::new(0),
        }
    }
}

#[async_trait]
impl HttpCall for Counting {
    async fn call(&self, request: http::Request<Body>) -> Result<http::Response<Body>, Problem> {
        match *request.method() {
            http::Method::POST => drop(self.posts.fetch_add(1, Ordering::SeqCst)),
            http::Method::DELETE => self.deletes.send_modify(|count| *count += 1),
            _ => {}
        }
        let router = self.router.lock().unwrap().clone();
        HttpCall::call(&router, request).await
    }
}

/// A server that answers each JSON-RPC method with what a function makes of it.
#[derive(Clone)]
struct ByHand<F>(F);

#[async_trait]
impl<F> HttpCall for ByHand<F>
where
    F: Fn(&Value) -> http::Response<Body> + Send + Sync + 'static,
{
    async fn call(&self, request: http::Request<Body>) -> Result<http::Response<Body>, Problem> {
        let body = axum::body::to_bytes(request.into_body(), 1 << 20)
            .await
            .unwrap();
        let message: Value = serde_json::from_slice(&body).unwrap_or_default();
        if message["method"] == "server/discover" {
            return Ok(answer(
                &message,
                &json!({
                    "resultType": "complete", "supportedVersions": ["2026-07-28"],
                    "capabilities": {"tools": {}}, "ttlMs": 0, "cacheScope": "private"
                }),
            ));
        }
        Ok((self.0)(&message))
    }
}

fn answer(request: &Value, result: &Value) -> http::Response<Body> {
    let body = json!({"jsonrpc": "2.0", "id": request["id"], "result": result});
    http::Response::builder()
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(body.to_string()))
        .unwrap()
}

#[tokio::test]
async fn both_protocols_list_and_call() {
    let tasks = Tasks::new();
    let modern = functions().into_router(&tasks);
    for router in [modern.clone(), legacy(modern)] {
        let client = client(router, &tasks);
        let tools = client.list_tools().await.unwrap();
        assert_eq!(tools[1]["name"], "greet");
        let result = client
            .call_tool("greet", Map::new(), CallOptions::default())
            .await;
        assert_eq!(result.unwrap()["content"][0]["text"], "hello");
    }
    tasks.stop().await;
}

#[tokio::test]
async fn progress_comes_in_order() {
    let tasks = Tasks::new();
    let modern = functions().into_router(&tasks);
    for router in [modern.clone(), legacy(modern)] {
        let client = client(router, &tasks);
        let (sink, mut progresses) = ProgressSink::new();
        let options = CallOptions {
            progress: Some(sink),
            ..CallOptions::default()
        };
        client
            .call_tool("count", Map::new(), options)
            .await
            .unwrap();
        let mut steps = Vec::new();
        while let Some(progress) = progresses.try_next() {
            steps.push(progress.progress);
            assert_eq!(progress.total, Some(20.0));
        }
        assert_eq!(steps, (1..=20).map(f64::from).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn nothing_of_a_result_or_tool_is_lost() {
    let tool = json!({
        "name": "t", "inputSchema": {"type": "object"}, "x-vendor": {"a": [1, null]},
        "annotations": {"readOnlyHint": true, "x-mood": "calm"}, "execution": {"taskSupport": "optional"}
    });
    let odd = json!({
        "resultType": "complete", "x-more": 1,
        "content": [{"type": "hologram", "data": "…"}, {"type": "text", "text": "t", "x-extra": true}]
    });
    let known = json!({"content": [{"type": "text", "text": "t", "x-extra": true}], "x-more": 1});
    let (list, first, second) = (tool.clone(), odd.clone(), known.clone());
    let server = ByHand(move |request: &Value| {
        match (
            request["method"].as_str(),
            request["params"]["name"].as_str(),
        ) {
            (Some("tools/list"), _) => answer(
                request,
                &json!({
                    "resultType": "complete", "tools": [list], "ttlMs": 0, "cacheScope": "private"
                }),
            ),
            (_, Some("odd")) => answer(request, &first),
            _ => answer(request, &second),
        }
    });
    let tasks = Tasks::new();
    let client = client(server, &tasks);
    assert_eq!(client.list_tools().await.unwrap(), [tool]);
    let call = |name: &'static str| client.call_tool(name, Map::new(), CallOptions::default());
    assert_eq!(call("odd").await.unwrap(), odd);
    assert_eq!(call("known").await.unwrap(), known);
}

#[tokio::test]
async fn a_list_without_end_is_refused() {
    let server = ByHand(|request: &Value| {
        answer(
            request,
            &json!({
                "resultType": "complete", "tools": [], "nextCursor": "more", "ttlMs": 0, "cacheScope": "private"
            }),
        )
    });
    let tasks = Tasks::new();
    let Err(ToolCallError::Problem(problem)) = client(server, &tasks).list_tools().await else {
        panic!("it listed");
    };
    assert_eq!(problem.code, "bad_answer");
}

#[tokio::test]
async fn a_refusal_arrives_whole() {
    struct Refusing;
    #[async_trait]
    impl HttpCall for Refusing {
        async fn call(&self, _: http::Request<Body>) -> Result<http::Response<Body>, Problem> {
            let problem = Problem::new(403, "not_a_member", "no").hint("ask for an invite");
            Ok(http::Response::builder()
                .status(403)
                .header(header::CONTENT_TYPE, Problem::MEDIA_TYPE)
                .body(Body::from(problem.to_json()))
                .unwrap())
        }
    }
    struct Unreachable;
    #[async_trait]
    impl HttpCall for Unreachable {
        async fn call(&self, _: http::Request<Body>) -> Result<http::Response<Body>, Problem> {
            Err(Problem::new(502, "unreachable", "no address works"))
        }
    }
    let tasks = Tasks::new();
    let refused = client(Refusing, &tasks)
        .call_tool("t", Map::new(), within(5_000))
        .await;
    let refused = problem(refused);
    assert_eq!(
        (refused.status, refused.code.as_str()),
        (403, "not_a_member")
    );
    assert_eq!(refused.hint.as_deref(), Some("ask for an invite"));
    let unreachable = client(Unreachable, &tasks)
        .call_tool("t", Map::new(), within(5_000))
        .await;
    assert_eq!(problem(unreachable).code, "unreachable");
}

#[tokio::test]
async fn the_servers_own_errors_stay_its_own() {
    let tasks = Tasks::new();
    let client = client(functions().into_router(&tasks), &tasks);
    let error = client
        .call_tool("none", Map::new(), CallOptions::default())
        .await;
    let Err(ToolCallError::Rpc(error)) = error else {
        panic!("{error:?}");
    };
    assert_eq!(error.code, -32602);
    assert!(error.message.contains("none"));
}

/// A tool that never answers and tells when it begins and when it is given up.
fn stuck() -> (FunctionServer, Arc<Notify>, Arc<Notify>) {
    struct Tell(Arc<Notify>);
    impl Drop for Tell {
        fn drop(&mut self) {
            self.0.notify_one();
        }
    }
    let (begun, ended) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tell_begun, tell_ended) = (begun.clone(), ended.clone());
    let server = FunctionServer::new("stuck").tool("wait", "Waits.", move |(): ()| {
        let (begun, ended) = (tell_begun.clone(), Tell(tell_ended.clone()));
        async move {
            begun.notify_one();
            std::future::pending::<()>().await;
            drop(ended);
            Ok::<_, String>("never")
        }
    });
    (server, begun, ended)
}

#[tokio::test]
async fn a_deadline_ends_the_call_on_both_sides() {
    let tasks = Tasks::new();
    for old in [false, true] {
        let (server, _begun, ended) = stuck();
        let router = server.into_router(&tasks);
        let client = client(if old { legacy(router) } else { router }, &tasks);
        client.list_tools().await.unwrap();
        let answer = client.call_tool("wait", Map::new(), within(50)).await;
        assert_eq!(problem(answer).code, "deadline");
        ended.notified().await;
    }
}

#[tokio::test]
async fn progress_extends_the_deadline() {
    let server = FunctionServer::new("slow").tool_with_progress(
        "work",
        "Works.",
        |(): (), sink: ProgressSink| async move {
            for step in 0..6 {
                tokio::time::sleep(Duration::from_millis(100)).await;
                sink.send(Progress {
                    progress: step.into(),
                    total: None,
                    message: None,
                });
            }
            Ok::<_, String>("done")
        },
    );
    let tasks = Tasks::new();
    let client = client(server.into_router(&tasks), &tasks);
    let answer = client.call_tool("work", Map::new(), within(400)).await;
    assert_eq!(answer.unwrap()["content"][0]["text"], "done");
}

#[tokio::test]
async fn cancelling_or_leaving_reaches_the_server() {
    let tasks = Tasks::new();
    for old in [false, true] {
        let (server, begun, ended) = stuck();
        let router = server.into_router(&tasks);
        let client = client(if old { legacy(router) } else { router }, &tasks);
        let options = CallOptions::default();
        let cancel = options.cancel.clone();
        let call = client.call_tool("wait", Map::new(), options);
        let (answer, ()) = tokio::join!(call, async {
            begun.notified().await;
            cancel.cancel();
        });
        assert_eq!(problem(answer).code, "cancelled");
        ended.notified().await;

        tokio::select! {
            answer = client.call_tool("wait", Map::new(), CallOptions::default()) => panic!("{answer:?}"),
            () = begun.notified() => {}
        }
        ended.notified().await;
    }
}

#[tokio::test]
async fn a_forgotten_session_begins_anew() {
    let tasks = Tasks::new();
    let http = Counting::new(legacy(functions().into_router(&tasks)));
    let client = client(http.clone(), &tasks);
    let call = || client.call_tool("greet", Map::new(), CallOptions::default());
    call().await.unwrap();
    *http.router.lock().unwrap() = legacy(functions().into_router(&tasks));
    call().await.unwrap();
}

#[tokio::test]
async fn a_call_that_may_have_run_is_not_repeated() {
    let calls = Arc::new(AtomicUsize::new(0));
    let count = calls.clone();
    let server = ByHand(move |request: &Value| {
        if request["method"] != "tools/call" {
            return answer(request, &json!({"resultType": "complete"}));
        }
        count.fetch_add(1, Ordering::SeqCst);
        let broken = stream::iter([Ok("data: "), Err(std::io::Error::other("cut"))]);
        http::Response::builder()
            .header(header::CONTENT_TYPE, "text/event-stream")
            .body(Body::from_stream(broken))
            .unwrap()
    });
    let tasks = Tasks::new();
    let client = client(server, &tasks);
    let answer = problem(client.call_tool("t", Map::new(), within(5_000)).await);
    assert_eq!(answer.code, "upstream_gone");
    assert!(answer.hint.unwrap().contains("may have been executed"));
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn an_idle_session_closes_and_a_later_call_opens_another() {
    let tasks = Tasks::new();
    let http = Counting::new(legacy(functions().into_router(&tasks)));
    let idle = Duration::from_millis(50);
    let client = McpClient::with_idle(Arc::new(http.clone()), "/", &tasks, idle);
    let call = || client.call_tool("greet", Map::new(), CallOptions::default());
    call().await.unwrap();
    http.deletes
        .subscribe()
        .wait_for(|deletes| *deletes == 1)
        .await
        .unwrap();
    call().await.unwrap();
}

#[tokio::test]
async fn one_session_serves_many_calls() {
    let tasks = Tasks::new();
    let http = Counting::new(functions().into_router(&tasks));
    let client = client(http.clone(), &tasks);
    let calls = (0..20).map(|_| client.call_tool("greet", Map::new(), CallOptions::default()));
    for answer in futures::future::join_all(calls).await {
        answer.unwrap();
    }
    // One to discover, and one for each call.
    assert_eq!(http.posts.load(Ordering::SeqCst), 21);
}

fn garbage() -> impl Strategy<Value = (u16, String, Vec<u8>)> {
    let types = prop_oneof![
        Just("application/json".to_owned()),
        Just("text/event-stream".to_owned()),
        Just("application/problem+json".to_owned()),
        "[ -~]{0,20}",
    ];
    let bodies = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..200),
        Just(br#"{"jsonrpc":"2.0","id":0,"result":{}}"#.to_vec()),
        Just(br#"{"jsonrpc":"2.0","id":9,"error":{"code":1,"message":"m"}}"#.to_vec()),
        Just(b"data: {\"jsonrpc\":\"2.0\"}\n\n".to_vec()),
        Just(b"id: 1\n\n".to_vec()),
    ];
    (prop_oneof![Just(200_u16), 200..600_u16], types, bodies)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn garbage_is_an_error((status, kind, body) in garbage()) {
        struct Garbage(u16, String, Vec<u8>);
        #[async_trait]
        impl HttpCall for Garbage {
            async fn call(&self, _: http::Request<Body>) -> Result<http::Response<Body>, Problem> {
                Ok(http::Response::builder()
                    .status(self.0)
                    .header(header::CONTENT_TYPE, &self.1)
                    .body(Body::from(self.2.clone()))
                    .unwrap())
            }
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let tasks = Tasks::new();
            let client = client(Garbage(status, kind, body), &tasks);
            client.call_tool("t", Map::new(), within(300)).await.unwrap_err();
        });
    }
}

/// A server of the current protocol by hand: one list of tools, and a result that tells the headers.
fn with_headers(tools: Value) -> Router {
    Router::new().fallback(move |headers: http::HeaderMap, body: String| {
        let tools = tools.clone();
        async move {
            let asked: Value = serde_json::from_str(&body).unwrap_or_default();
            let region = headers.get("mcp-param-region").map(|it| it.to_str().unwrap_or_default());
            let result = match asked["method"].as_str() {
                Some("server/discover") => {
                    json!({"resultType": "complete", "supportedVersions": ["2026-07-28"],
                        "capabilities": {"tools": {}}, "ttlMs": 0, "cacheScope": "private"})
                }
                Some("tools/list") => {
                    json!({"resultType": "complete", "tools": tools, "ttlMs": 0, "cacheScope": "private"})
                }
                _ => json!({"resultType": "complete", "content": [], "region": region}),
            };
            axum::Json(json!({"jsonrpc": "2.0", "id": asked["id"], "result": result}))
        }
    })
}

#[tokio::test]
async fn arguments_are_repeated_in_headers_from_the_first_call_on() {
    let tasks = Tasks::new();
    let schema = |header: &str| json!({"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": header}}});
    let tools = json!([
        {"name": "good", "inputSchema": schema("Region"), "vendor": 1},
        {"name": "bad", "inputSchema": schema("not a token")},
    ]);
    let client = client(with_headers(tools.clone()), &tasks);
    let options = CallOptions {
        repeats_arguments: true,
        ..CallOptions::default()
    };
    let arguments = Map::from_iter([("region".to_owned(), json!("eu"))]);
    let result = client.call_tool("good", arguments, options).await.unwrap();
    assert_eq!(result["region"], "eu");
    // A tool whose wish cannot be met is not offered; the other one is whole.
    assert_eq!(client.list_tools().await.unwrap(), [tools[0].clone()]);
    tasks.stop().await;
}

#[tokio::test]
async fn a_server_that_answers_anything_is_asked_in_the_older_protocol() {
    let tasks = Tasks::new();
    let router = Router::new().fallback(|body: String| async move {
        let asked: Value = serde_json::from_str(&body).unwrap_or_default();
        let result = match asked["method"].as_str() {
            Some("initialize") => {
                json!({"protocolVersion": "2025-11-25", "capabilities": {"tools": {}},
                    "serverInfo": {"name": "old", "version": "0"}})
            }
            Some("tools/list") => json!({"tools": []}),
            _ => json!({}),
        };
        axum::Json(json!({"jsonrpc": "2.0", "id": asked["id"], "result": result}))
    });
    let client = client(router, &tasks);
    assert_eq!(client.list_tools().await.unwrap(), Vec::<Value>::new());
    tasks.stop().await;
}

#[tokio::test]
async fn a_result_of_64_mib_arrives() {
    let tasks = Tasks::new();
    const SIZE: usize = 64 << 20;
    let server = FunctionServer::new("test").tool("large", "Answers at length.", |(): ()| async {
        Ok::<_, String>("x".repeat(SIZE - 1024))
    });
    let client = client(server.into_router(&tasks), &tasks);
    let result = client
        .call_tool("large", Map::new(), within(60_000))
        .await
        .unwrap();
    assert_eq!(
        result["content"][0]["text"].as_str().unwrap().len(),
        SIZE - 1024
    );
    tasks.stop().await;
}
