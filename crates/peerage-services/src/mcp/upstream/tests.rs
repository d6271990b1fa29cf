use std::sync::Mutex;

use axum::{Router, extract::State, routing::any};
use bytes::Bytes;
use http_body_util::BodyExt;
use peerage_mesh::Tasks;
use tokio::{net::TcpListener, sync::mpsc};

use super::*;

type Seen = Arc<Mutex<Vec<(http::request::Parts, Bytes)>>>;

/// Serves `router` on a free port of this machine.
async fn serve(router: Router, tasks: &Tasks) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tasks.spawn("upstream", async move {
        axum::serve(listener, router).await.unwrap();
    });
    format!("http://{at}")
}

async fn record(State(seen): State<Seen>, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    seen.lock().unwrap().push((parts, body));
    Response::builder()
        .status(418)
        .header("mcp-session-id", "s")
        .header("x-unknown", "kept")
        .header("connection", "x-hop")
        .header("x-hop", "dropped")
        .body(Body::from("{ \"as\":1.0 }"))
        .unwrap()
}

fn request(uri: &str) -> http::request::Builder {
    Request::builder().method("POST").uri(uri)
}

#[tokio::test]
async fn everything_passes_but_what_belongs_to_the_connection() {
    let (seen, tasks) = (Seen::default(), Tasks::new());
    let router = Router::new().fallback(any(record)).with_state(seen.clone());
    let url = serve(router, &tasks).await;
    let upstream = HttpUpstream::new(&format!("{url}/deep/mcp"))
        .unwrap()
        .withholding("node-token");
    let call = |token: &str| {
        request("/mcp/x?a=1")
            .header("host", "node")
            .header("mcp-name", "=?base64?eA==?=")
            .header("mcp-param-region", "eu")
            .header("authorization", format!("Bearer {token}"))
            .header("connection", "close, x-mine")
            .header("x-mine", "hop")
            .header("te", "trailers")
            .body(Body::from("{\n}"))
            .unwrap()
    };
    let response = upstream.handle(call("theirs")).await;
    assert_eq!(response.status(), 418);
    assert_eq!(response.headers()["mcp-session-id"], "s");
    assert_eq!(response.headers()["x-unknown"], "kept");
    assert!(!response.headers().contains_key("x-hop"));
    assert_eq!(
        response.into_body().collect().await.unwrap().to_bytes(),
        "{ \"as\":1.0 }"
    );
    upstream.handle(call("node-token")).await;
    let seen = seen.lock().unwrap();
    let (parts, body) = &seen[0];
    assert_eq!(parts.uri, "/deep/mcp?a=1");
    assert_eq!(body, "{\n}");
    assert_eq!(parts.headers["host"], url.strip_prefix("http://").unwrap());
    assert_eq!(parts.headers["mcp-name"], "=?base64?eA==?=");
    assert_eq!(parts.headers["mcp-param-region"], "eu");
    assert_eq!(parts.headers["authorization"], "Bearer theirs");
    for gone in ["connection", "x-mine", "te"] {
        assert!(!parts.headers.contains_key(gone), "{gone}");
    }
    assert!(!seen[1].0.headers.contains_key("authorization"));
}

#[tokio::test]
async fn streams_are_not_held_back() {
    let tasks = Tasks::new();
    let (send, receive) = mpsc::channel::<Result<Bytes, std::convert::Infallible>>(1);
    let stream = Mutex::new(Some(tokio_stream::wrappers::ReceiverStream::new(receive)));
    let stream = Arc::new(stream);
    let router = Router::new().fallback(any(move || async move {
        Body::from_stream(stream.lock().unwrap().take().unwrap())
    }));
    let upstream = HttpUpstream::new(&serve(router, &tasks).await).unwrap();
    let response = upstream
        .handle(request("/").body(Body::empty()).unwrap())
        .await;
    let mut body = response.into_body();
    for event in ["data: 1\n\n", "data: 2\n\n"] {
        send.send(Ok(Bytes::from(event))).await.unwrap();
        assert_eq!(
            body.frame().await.unwrap().unwrap().into_data().unwrap(),
            event
        );
    }
    // Going away is seen by the upstream.
    drop(body);
    send.closed().await;
}

#[tokio::test]
async fn redirects_are_passed_on() {
    let tasks = Tasks::new();
    let router =
        Router::new().fallback(any(|| async { (StatusCode::FOUND, [("location", "/x")]) }));
    let upstream = HttpUpstream::new(&serve(router, &tasks).await).unwrap();
    let response = upstream
        .handle(request("/").body(Body::empty()).unwrap())
        .await;
    assert_eq!(
        (response.status(), &response.headers()["location"]),
        (StatusCode::FOUND, &"/x".parse().unwrap())
    );
}

#[tokio::test]
async fn an_upstream_that_is_down_is_a_problem_with_a_hint() {
    let port = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let upstream = HttpUpstream::new(&format!("http://{port}/mcp?key=secret")).unwrap();
    let response = upstream
        .handle(request("/").body(Body::empty()).unwrap())
        .await;
    assert_eq!(response.status(), 502);
    assert_eq!(
        response.headers()["content-type"],
        "application/problem+json"
    );
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(problem["code"], "upstream_unreachable");
    assert!(problem["hint"].is_string());
    assert!(!format!("{upstream:?}").contains("secret"));
}

#[test]
fn only_plain_http_urls_are_shared() {
    for bad in [
        "",
        "ftp://x/",
        "/path",
        "example.com",
        "http://u:p@x/",
        "http://",
    ] {
        assert!(HttpUpstream::new(bad).is_err(), "{bad}");
    }
    for good in ["http://127.0.0.1:1/mcp", "https://example.com/mcp?key=1"] {
        assert!(HttpUpstream::new(good).is_ok(), "{good}");
    }
}

#[tokio::test]
async fn a_stream_breaks_off_when_its_server_is_not_shared_any_more() {
    let tasks = Tasks::new();
    let endless = || async {
        let first = futures::stream::iter([Ok::<_, io::Error>("data: 1\n\n")]);
        Body::from_stream(futures::StreamExt::chain(first, futures::stream::pending()))
    };
    let url = serve(Router::new().fallback(any(endless)), &tasks).await;
    let upstream = HttpUpstream::new(&url).unwrap();
    let asked = request("/mcp/x").body(Body::empty()).unwrap();
    let mut body = upstream.handle(asked).await.into_body();
    assert!(body.frame().await.unwrap().is_ok());
    upstream.stop();
    assert!(body.frame().await.unwrap().is_err());
    tasks.stop().await;
}
