//! `/o/{name}/-/…`: whoever bears a name, used as if it were here.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use axum::{Router, body::Bytes, extract::Request, response::Response, routing::any};
use futures::future::join_all;
use http::{HeaderMap, Method, header};
use hyper_util::rt::TokioIo;
use peerage::Node;
use peerage_core::{address::Address, did::Did, policy::Audience};
use peerage_lab::{Answered, Lab, LocalApi, until};
use peerage_mesh::Tasks;
use peerage_services::{api::ShareRequest, names, shares::ShareSpec};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::{
    grants::{below, gift, give, mesh, stop},
    strangers::{ready, share},
};

const MCP: &str = "application/json, text/event-stream";

/// Two that bear one name and share the same, and somebody who uses it.
async fn pool(lab: &Lab) -> (Node, [Node; 3], Address) {
    let (root, nodes) = mesh(lab, ["one", "two", "asker"]).await;
    let name = below(&root, "pool");
    for node in &nodes[..2] {
        give(&root, gift(node, name.clone(), &["be", "call"], 600))
            .await
            .unwrap();
        share(node, "quotes", "mesh");
        ready(node, "quotes").await;
    }
    (root, nodes, name)
}

pub(crate) fn path(name: &Address, rest: &str) -> String {
    format!("/o/{}/-/{rest}", name.as_str().trim_start_matches("o://"))
}

pub(crate) async fn post(
    api: &LocalApi,
    path: &str,
    session: Option<&str>,
    body: &str,
) -> Answered {
    let mut request = api
        .request(Method::POST, path)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::ACCEPT, MCP);
    if let Some(session) = session {
        request = request
            .header("mcp-session-id", session)
            .header("mcp-protocol-version", "2025-11-25");
    }
    api.send(request, body).await
}

pub(crate) fn call(tool: &str) -> String {
    let params = json!({ "name": tool, "arguments": {} });
    json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params }).to_string()
}

fn hello() -> String {
    json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "t", "version": "1" } } }).to_string()
}

#[tokio::test]
async fn the_card_and_the_servers_of_a_name_are_here_and_say_where_they_are_from() {
    let lab = Lab::new();
    let (root, [one, two, asker], name) = pool(&lab).await;
    two.stop().await;
    let api = LocalApi::of(&asker);
    let answered = api.get(&path(&name, ".well-known/agent-card.json")).await;
    assert_eq!(answered.json()["name"], "one");
    let did = Did::from_peer_id(&one.peer_id()).unwrap();
    let from = format!("{did}; name=\"{name}\"");
    assert_eq!(answered.headers["peerage-origin"], from.as_str());
    // Also where a peer is named otherwise; and never for what is this node's own.
    let answered = api
        .get(&format!(
            "/peers/{}/.well-known/agent-card.json",
            one.peer_id()
        ))
        .await;
    assert!(
        answered.headers["peerage-origin"]
            .to_str()
            .unwrap()
            .starts_with(&did.to_string())
    );
    let own = api.get("/peers/self/.well-known/agent-card.json").await;
    assert!(own.headers.get("peerage-origin").is_none());
    // This node's own servers are called by its name, too.
    share(&asker, "mine", "mesh");
    let me = asker.context().members.own_names()[0].clone();
    for at in ["/peers/self/mcp/mine".to_owned(), path(&me, "mcp/mine")] {
        let answered = post(&api, &at, None, &hello()).await;
        assert_eq!(answered.status, 200, "{at} {answered:?}");
    }
    for (path, status, code) in [
        (path(&name, "nothing"), 403, "not_on_the_list"),
        (
            path(&below(&root, "nobody"), "mcp/quotes"),
            404,
            "unknown_name",
        ),
        ("/o/acme/sales".to_owned(), 400, "bad_name"),
        ("/o/Acme/-/mcp/x".to_owned(), 400, "bad_name"),
    ] {
        let answered = api.get(&path).await;
        assert_eq!(
            (answered.status.as_u16(), answered.problem().as_str()),
            (status, code),
            "{path}"
        );
    }
    stop([root, one, asker]).await;
}

#[tokio::test]
async fn a_session_stays_with_the_peer_that_gave_it() {
    let lab = Lab::new();
    let (root, [one, two, asker], name) = pool(&lab).await;
    let api = LocalApi::of(&asker);
    let at = path(&name, "mcp/quotes");
    let hello = hello();
    names::of(asker.context(), name.clone()).await.unwrap();
    for node in [&one, &two] {
        until(&asker, "both are near", |book| {
            let record = book.get(&node.peer_id());
            record.is_some_and(|record| record.link.is_some() && record.rtt.is_some())
        })
        .await;
    }
    let sessions = (0..12).map(async |_| {
        let begun = post(&api, &at, None, &hello).await;
        assert_eq!(begun.status, 200, "{begun:?}");
        let session = begun.headers["mcp-session-id"].to_str().unwrap().to_owned();
        let peer = begun.headers["peerage-origin"].clone();
        for _ in 0..3 {
            let called = post(&api, &at, Some(&session), &call("touch")).await;
            assert_eq!(called.status, 200, "{called:?}");
            assert_eq!(called.headers["peerage-origin"], peer);
        }
        peer
    });
    let mut from = join_all(sessions).await;
    from.sort();
    from.dedup();
    assert_eq!(from.len(), 2, "both give sessions");
    // A session whose peer is gone is no session of the other one: it is told to begin anew.
    let begun = post(&api, &at, None, &hello).await;
    let session = begun.headers["mcp-session-id"].to_str().unwrap().to_owned();
    let gave = begun.headers["peerage-origin"].to_str().unwrap().to_owned();
    let first = gave.starts_with(&Did::from_peer_id(&one.peer_id()).unwrap().to_string());
    let (gone, stays) = if first { (one, two) } else { (two, one) };
    gone.stop().await;
    let called = post(&api, &at, Some(&session), &call("touch")).await;
    assert_eq!(called.status, 404, "{called:?}");
    stop([root, stays, asker]).await;
}

#[tokio::test]
async fn what_was_sent_is_never_sent_to_another() {
    let lab = Lab::new();
    let (root, [one, two, asker], name) = pool(&lab).await;
    // Both take a call and break off.
    let count = Arc::new(AtomicUsize::new(0));
    for node in [&one, &two] {
        let count = count.clone();
        let breaks = Router::new().fallback(move |headers: HeaderMap| {
            // What this node asks its share by itself does not count.
            let ours = headers.contains_key("mcp-session-id");
            count.fetch_add(usize::from(ours), SeqCst);
            broken()
        });
        let shares = &node.context().shares;
        shares
            .add_service("breaks", Audience::Mesh, breaks)
            .unwrap();
    }
    let api = LocalApi::of(&asker);
    let answered = post(&api, &path(&name, "mcp/breaks"), Some("s"), &call("x")).await;
    assert_eq!(answered.problem(), "connection_lost");
    assert_eq!(count.load(SeqCst), 1);
    stop([root, one, two, asker]).await;
}

/// The task that answers ends, and with it the stream.
fn broken() -> impl Future<Output = Response> {
    std::future::poll_fn(|_| panic!("broken on purpose"))
}

/// A server that agrees to any upgrade, and then says everything again; else it streams three events.
pub(crate) async fn echo(tasks: &Tasks) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let background = tasks.clone();
    let answer = move |mut request: Request| {
        let tasks = background.clone();
        async move {
            let upgrade = request.headers().get(header::UPGRADE).cloned();
            let Some(protocol) = upgrade else {
                let events =
                    (0..3).map(|n| Ok::<_, std::io::Error>(Bytes::from(format!("data: {n}\n\n"))));
                let body = axum::body::Body::from_stream(futures::stream::iter(events));
                return Response::builder()
                    .header(header::CONTENT_TYPE, "text/event-stream")
                    .body(body)
                    .unwrap();
            };
            let upgraded = hyper::upgrade::on(&mut request);
            tasks.spawn("echo", async move {
                let (mut read, mut write) = tokio::io::split(TokioIo::new(upgraded.await.unwrap()));
                let _ = tokio::io::copy(&mut read, &mut write).await;
            });
            Response::builder()
                .status(101)
                .header(header::CONNECTION, "upgrade")
                .header(header::UPGRADE, protocol)
                .body(axum::body::Body::empty())
                .unwrap()
        }
    };
    let router = Router::new().route("/ws", any(answer));
    tasks.spawn("echo server", async move {
        axum::serve(listener, router).await.unwrap();
    });
    format!("http://{address}/ws")
}

#[tokio::test]
async fn upgrades_and_streams_of_events_pass_unchanged() {
    let lab = Lab::new();
    let (root, [one, two, asker], name) = pool(&lab).await;
    two.stop().await;
    let tasks = Tasks::new();
    let request = ShareRequest {
        name: "echo".to_owned(),
        url: Some(echo(&tasks).await),
        ..ShareRequest::default()
    };
    let spec = ShareSpec::try_from(request).unwrap();
    one.context().shares.add(spec).unwrap();
    let api = LocalApi::of(&asker);
    let at = path(&name, "mcp/echo");
    let events = api.get(&at).await;
    assert_eq!(events.content_type, "text/event-stream");
    assert_eq!(events.body, "data: 0\n\ndata: 1\n\ndata: 2\n\n");

    let request = api.request(Method::GET, &at);
    let mut stream = upgraded(&api, request).await;
    for size in [5, 100_000] {
        let said = vec![b'x'; size];
        let mut heard = vec![0; size];
        let (mut read, mut write) = stream.split();
        let (wrote, read) = tokio::join!(write.write_all(&said), read.read_exact(&mut heard));
        wrote.unwrap();
        read.unwrap();
        assert_eq!(heard, said);
    }
    tasks.stop().await;
    stop([root, one, asker]).await;
}

/// Speaks HTTP by hand, for what comes after the head is no HTTP.
pub(crate) async fn upgraded(api: &LocalApi, request: http::request::Builder) -> TcpStream {
    let request = request.body(()).unwrap();
    let mut stream = TcpStream::connect(api.address()).await.unwrap();
    let mut head = format!("GET {} HTTP/1.1\r\n", request.uri());
    let headers: &HeaderMap = request.headers();
    for (name, value) in headers {
        head += &format!("{name}: {}\r\n", value.to_str().unwrap());
    }
    head += "connection: Upgrade\r\nupgrade: websocket\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await.unwrap());
        assert!(answer.len() < 4096);
    }
    let answer = String::from_utf8(answer).unwrap().to_lowercase();
    assert!(answer.starts_with("http/1.1 101 "), "{answer}");
    assert!(answer.contains("upgrade: websocket"), "{answer}");
    stream
}
