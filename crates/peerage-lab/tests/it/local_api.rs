//! The local API: who comes in, what it says of bad input, and what its document promises.

use http::{Method, header};
use peerage_lab::{Lab, LocalApi};
use serde_json::{Value, json};

#[tokio::test]
async fn only_who_has_the_token_and_is_no_foreign_page_comes_in() {
    let lab = Lab::new();
    let node = lab.place("a").start().await;
    let api = LocalApi::of(&node);
    assert_eq!(api.get("/api/v1/node").await.json()["name"], "a");
    for path in [
        "/api/v1/node",
        "/mcp",
        "/peers/self/mcp/x",
        "/api/v1/stop",
        "/nothing",
    ] {
        let bare = || {
            api.bare(Method::POST, path)
                .header(header::HOST, "127.0.0.1")
        };
        let cases = [
            (bare(), 401, "no_token"),
            (
                bare().header(header::AUTHORIZATION, "Bearer wrong"),
                401,
                "no_token",
            ),
            (
                bare().header(header::AUTHORIZATION, "Basic eDp5"),
                401,
                "no_token",
            ),
            (
                api.bare(Method::POST, path)
                    .header(header::HOST, "evil.example"),
                403,
                "foreign_host",
            ),
            (
                api.request(Method::POST, path)
                    .header(header::ORIGIN, "https://evil.example"),
                403,
                "foreign_origin",
            ),
            (
                api.request(Method::POST, path)
                    .header(header::ORIGIN, "null"),
                403,
                "foreign_origin",
            ),
        ];
        for (request, status, code) in cases {
            let answered = api.send(request, "").await;
            assert_eq!(answered.status.as_u16(), status, "{path}");
            assert_eq!(answered.problem(), code, "{path}");
        }
    }
    assert_eq!(
        api.get("/api/v1/node").await.status,
        200,
        "nobody could stop it"
    );
    node.stop().await;
}

/// What is asked, and the status of the answer.
const BAD: [(Method, &str, &str, u16); 50] = [
    (Method::DELETE, "/api/v1/peers/nobody/score", "", 404),
    (Method::GET, "/api/v1/audit?who=nobody", "", 404),
    (Method::GET, "/api/v1/audit?verdict=guilty", "", 400),
    (Method::GET, "/api/v1/audit?until=1", "", 400),
    (Method::POST, "/api/v1/shares", "{", 400),
    (Method::POST, "/api/v1/shares", "", 400),
    (Method::POST, "/api/v1/shares", "[]", 422),
    (Method::POST, "/api/v1/shares", r#"{"name":"x"}"#, 400),
    (
        Method::POST,
        "/api/v1/shares",
        r#"{"name":"x","command":"a","url":"http://b/"}"#,
        400,
    ),
    (
        Method::POST,
        "/api/v1/shares",
        r#"{"name":"../x","command":"a"}"#,
        400,
    ),
    (
        Method::POST,
        "/api/v1/shares",
        r#"{"name":"x","command":"'"}"#,
        400,
    ),
    (
        Method::POST,
        "/api/v1/shares",
        r#"{"name":"x","url":"ftp://x"}"#,
        400,
    ),
    (
        Method::POST,
        "/api/v1/shares",
        r#"{"name":"x","command":"a","allow":"everyone"}"#,
        400,
    ),
    (
        Method::POST,
        "/api/v1/shares",
        r#"{"name":"x","comand":"a"}"#,
        422,
    ),
    (Method::POST, "/api/v1/invites", r#"{"expires":1}"#, 422),
    (Method::POST, "/api/v1/invites", r#"{"expires_s":0}"#, 400),
    (Method::POST, "/api/v1/invites", r#"{"expires_s":-1}"#, 422),
    (
        Method::POST,
        "/api/v1/join",
        r#"{"code":"x","more":1}"#,
        422,
    ),
    (Method::POST, "/api/v1/join", r#"{"code":"x"}"#, 400),
    (
        Method::POST,
        "/api/v1/tools/call",
        r#"{"peer":"a","server":"b"}"#,
        422,
    ),
    (
        Method::POST,
        "/api/v1/tools/call",
        r#"{"peer":"x","server":"b","tool":"c"}"#,
        404,
    ),
    (
        Method::POST,
        "/api/v1/tools/call",
        r#"{"peer":"a","server":"b","tool":"c","args":{}}"#,
        422,
    ),
    (Method::POST, "/api/v1/peers/nobody/ping", "{}", 404),
    (Method::POST, "/api/v1/peers/self/ping", "{}", 400),
    (Method::DELETE, "/api/v1/grants/nothing", "", 400),
    (
        Method::DELETE,
        "/api/v1/grants/00000000000000000000000000000000",
        "",
        404,
    ),
    (
        Method::POST,
        "/api/v1/grants",
        "{\"name\":\"bot\",\"to\":\"nobody\"}",
        404,
    ),
    (Method::PUT, "/api/v1/policy", r#"{"text":"x"}"#, 400),
    (Method::PUT, "/api/v1/policy", r#"{"rules":[]}"#, 422),
    (
        Method::POST,
        "/api/v1/policy/test",
        r#"{"as":"nobody","action":"call"}"#,
        404,
    ),
    (
        Method::POST,
        "/api/v1/policy/test",
        r#"{"as":"stranger","action":"eat"}"#,
        400,
    ),
    (Method::POST, "/api/v1/blocked", r#"{"what":"self"}"#, 400),
    (Method::POST, "/api/v1/blocked", r#"{"what":"nobody"}"#, 404),
    (
        Method::POST,
        "/api/v1/blocked",
        r#"{"what":"10.0.0.0/8","seconds":0}"#,
        400,
    ),
    (Method::DELETE, "/api/v1/blocked/10.0.0.0%2F8", "", 404),
    (Method::PUT, "/api/v1/trust/nobody", "", 404),
    (Method::PUT, "/api/v1/trust/self", "", 400),
    (Method::DELETE, "/api/v1/trust/nobody", "", 404),
    (Method::DELETE, "/api/v1/shares/nothing", "", 404),
    (Method::GET, "/api/v1/peers/nobody", "", 404),
    (Method::GET, "/api/v1/resolve/nobody", "", 404),
    (
        Method::GET,
        "/api/v1/resolve/o:%2F%2Fnobody%2Fat%2Fall",
        "",
        404,
    ),
    (Method::GET, "/api/v1/resolve/o:%2F%2FNobody", "", 400),
    (Method::GET, "/api/v1/resolve/..%2F..%2F..%2Fx", "", 404),
    (Method::GET, "/api/v1/names/acme/sales", "", 400),
    (Method::GET, "/api/v1/peers/nobody/card", "", 404),
    (Method::GET, "/peers/nobody/mcp/x", "", 404),
    (Method::GET, "/api/v1/nothing", "", 404),
    (Method::GET, "/", "", 404),
    (Method::DELETE, "/api/v1/node", "", 405),
];

#[tokio::test]
async fn bad_input_is_a_problem_that_says_what_was_wrong() {
    let lab = Lab::new();
    let node = lab.place("a").start().await;
    let api = LocalApi::of(&node);
    let post = Method::POST;
    for (method, path, body, status) in BAD {
        let answered = api.json(method.clone(), path, body).await;
        let shown = String::from_utf8_lossy(&answered.body).into_owned();
        assert_eq!(
            answered.status.as_u16(),
            status,
            "{method} {path} {body}: {shown}"
        );
        assert!(
            !answered.problem().is_empty(),
            "{method} {path} {body}: {shown}"
        );
    }
    let unknown = api
        .json(
            post.clone(),
            "/api/v1/shares",
            r#"{"name":"x","comand":"a"}"#,
        )
        .await;
    assert!(
        unknown.json()["detail"]
            .as_str()
            .unwrap()
            .contains("comand")
    );
    let text = api
        .request(post, "/api/v1/invites")
        .header(header::CONTENT_TYPE, "text/plain");
    assert_eq!(
        api.send(text, "{}").await.problem(),
        "unsupported_media_type"
    );
    node.stop().await;
}

/// The routes that clients rely on; the document must name each, and nothing that is not there.
const ROUTES: [(&str, &str); 28] = [
    ("delete", "/api/v1/peers/{peer}/score"),
    ("get", "/api/v1/audit"),
    ("get", "/api/v1/node"),
    ("get", "/api/v1/peers"),
    ("get", "/api/v1/peers/{peer}"),
    ("get", "/api/v1/peers/{peer}/card"),
    ("post", "/api/v1/peers/{peer}/ping"),
    ("get", "/api/v1/card"),
    ("get", "/api/v1/shares"),
    ("post", "/api/v1/shares"),
    ("delete", "/api/v1/shares/{name}"),
    ("post", "/api/v1/invites"),
    ("post", "/api/v1/join"),
    ("get", "/api/v1/resolve/{name}"),
    ("get", "/api/v1/grants"),
    ("post", "/api/v1/grants"),
    ("delete", "/api/v1/grants/{id}"),
    ("put", "/api/v1/trust/{peer}"),
    ("delete", "/api/v1/trust/{peer}"),
    ("get", "/api/v1/policy"),
    ("put", "/api/v1/policy"),
    ("post", "/api/v1/policy/test"),
    ("get", "/api/v1/blocked"),
    ("post", "/api/v1/blocked"),
    ("delete", "/api/v1/blocked/{what}"),
    ("get", "/api/v1/tools"),
    ("post", "/api/v1/tools/call"),
    ("post", "/api/v1/stop"),
];

#[tokio::test]
async fn the_document_names_every_route_and_its_references_resolve() {
    let lab = Lab::new();
    let node = lab.place("a").start().await;
    let document = LocalApi::of(&node).get("/api/v1/openapi.json").await.json();
    let mut named: Vec<(String, String)> = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            named.push((method.clone(), path.clone()));
        }
    }
    named.sort();
    let mut wanted: Vec<_> = ROUTES.map(|(m, p)| (m.to_owned(), p.to_owned())).into();
    wanted.sort();
    assert_eq!(named, wanted);
    let mut references = Vec::new();
    collect(&document, &mut references);
    assert!(!references.is_empty());
    for reference in references {
        let pointer = reference.trim_start_matches('#');
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
    for (schema, fields) in [
        (
            "NodeStatus",
            &["name", "peer_id", "did", "api", "token_file", "listen"][..],
        ),
        ("InviteView", &["code", "expires"]),
        ("ToolView", &["name", "peer", "server"]),
    ] {
        let properties = &document["components"]["schemas"][schema]["properties"];
        for field in fields {
            assert!(properties[field].is_object(), "{schema}.{field}");
        }
    }
    node.stop().await;
}

fn collect(value: &Value, references: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(reference)) = fields.get("$ref") {
                references.push(reference.clone());
            }
            fields.values().for_each(|value| collect(value, references));
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, references)),
        _ => {}
    }
}

#[tokio::test]
async fn the_token_does_not_travel_to_peers() {
    let lab = Lab::new();
    let node = lab.place("a").start().await;
    let status = LocalApi::of(&node).get("/api/v1/node").await.json();
    let token = std::fs::read_to_string(status["token_file"].as_str().unwrap()).unwrap();
    assert!(!status.to_string().contains(token.trim()));
    assert_ne!(status["peer_id"], json!(""));
    node.stop().await;
}
