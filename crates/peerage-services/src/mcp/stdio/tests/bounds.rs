use super::*;

const PING: &str = r#"{"jsonrpc":"2.0","id":"p","method":"ping"}"#;

async fn code(fixture: &Fixture, request: Request<Body>) -> (u16, i64, Value) {
    let response = fixture.server.handle("a", request).await;
    let status = response.status().as_u16();
    let error = json(response).await;
    (
        status,
        error["error"]["code"].as_i64().unwrap(),
        error["id"].clone(),
    )
}

#[tokio::test]
async fn garbage_is_told_what_is_wrong_and_starts_nothing() {
    let mut fixture = Fixture::new();
    for (body, status, rpc, id) in [
        ("", 400, -32700, Value::Null),
        ("{", 400, -32700, Value::Null),
        ("\u{0}\u{1}", 400, -32700, Value::Null),
        (
            r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#,
            400,
            -32600,
            Value::Null,
        ),
        (
            r#"{"jsonrpc":"1.0","id":3,"method":"ping"}"#,
            400,
            -32600,
            3.into(),
        ),
        (
            r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#,
            400,
            -32600,
            Value::Null,
        ),
        (r#"{"jsonrpc":"2.0","id":4}"#, 400, -32600, 4.into()),
        (PING, 400, -32600, "p".into()),
    ] {
        assert_eq!(
            code(&fixture, post(body, &[])).await,
            (status, rpc, id),
            "{body}"
        );
    }
    let bytes = request("POST", Body::from(vec![0xff, 0xfe]), &[]);
    assert_eq!(code(&fixture, bytes).await.1, -32700);
    let mut request = post(PING, &[]);
    request
        .headers_mut()
        .insert("content-type", HeaderValue::from_static("text/plain"));
    assert_eq!(code(&fixture, request).await, (415, -32600, "p".into()));
    let mut request = post(PING, &[]);
    request
        .headers_mut()
        .insert("accept", HeaderValue::from_static("application/json"));
    assert_eq!(code(&fixture, request).await, (406, -32600, "p".into()));
    let put = super::request("PUT", Body::empty(), &[]);
    let response = fixture.server.handle("a", put).await;
    assert_eq!(header(response.headers(), "allow"), "GET, POST, DELETE");
    assert_eq!(response.status(), 405);
    assert!(fixture.children.try_recv().is_err());
}

#[tokio::test]
async fn a_message_over_the_limit_is_refused_both_ways() {
    let limits = Limits {
        max_message: 1000,
        ..Limits::default()
    };
    let mut fixture = Fixture::with(limits);
    let big = format!(
        r#"{{"jsonrpc":"2.0","id":"b","method":"m","params":{{"x":"{}"}}}}"#,
        "x".repeat(2000)
    );
    assert_eq!(
        code(&fixture, post(&big, &[])).await,
        (413, -32600, "b".into())
    );
    let (session, mut child) = fixture.session("a").await;
    let headers = [("mcp-session-id", session.as_str())];
    let (response, ()) = tokio::join!(fixture.server.handle("a", post(PING, &headers)), async {
        child.line().await;
        child.say(&big).await;
    });
    let error = json(response).await;
    assert_eq!(
        (&error["id"], &error["error"]["data"]["code"]),
        (&"p".into(), &"message_too_large".into())
    );
    let (response, _) = tokio::join!(
        fixture.server.handle("a", post(PING, &headers)),
        child.answer("{}")
    );
    assert_eq!(json(response).await["id"], "p");
}

#[tokio::test]
async fn results_of_many_mebibytes_pass() {
    let mut fixture = Fixture::new();
    let (session, mut child) = fixture.session("a").await;
    let headers = [("mcp-session-id", session.as_str())];
    let data = "x".repeat(17 << 20);
    let (response, ()) = tokio::join!(fixture.server.handle("a", post(PING, &headers)), async {
        child.line().await;
        child
            .say(&format!(
                r#"{{"jsonrpc":"2.0","id":"p","result":{{"d":"{data}"}}}}"#
            ))
            .await;
    });
    assert_eq!(
        json(response).await["result"]["d"].as_str().map(str::len),
        Some(17 << 20)
    );
}

#[tokio::test]
async fn lines_that_are_no_messages_are_skipped() {
    let mut fixture = Fixture::new();
    let (session, mut child) = fixture.session("a").await;
    let headers = [("mcp-session-id", session.as_str())];
    let (response, ()) = tokio::join!(fixture.server.handle("a", post(PING, &headers)), async {
        child.line().await;
        for line in [
            "Listening on stdio",
            "",
            "[1,2]",
            "{}",
            r#"{"jsonrpc":"2.0","id":99,"result":{}}"#,
        ] {
            child.say(line).await;
        }
        child.output.write_all(&[0xff, 0xfe, b'\n']).await.unwrap();
        child
            .say("{\"jsonrpc\":\"2.0\",\"id\":\"p\",\"result\":{}}\r")
            .await;
    });
    assert_eq!(
        text(response).await,
        r#"{"jsonrpc":"2.0","id":"p","result":{}}"#
    );
}

#[tokio::test]
async fn an_error_without_an_id_answers_the_only_request() {
    let mut fixture = Fixture::new();
    let (session, mut child) = fixture.session("a").await;
    let headers = [("mcp-session-id", session.as_str())];
    let (response, ()) = tokio::join!(fixture.server.handle("a", post(PING, &headers)), async {
        child.line().await;
        child
            .say(r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"what?"}}"#)
            .await;
    });
    let error = json(response).await;
    assert_eq!(
        (&error["id"], &error["error"]["code"]),
        (&"p".into(), &(-32700).into())
    );
}

#[tokio::test(start_paused = true)]
async fn silence_ends_a_request_and_progress_extends_it() {
    let mut fixture = Fixture::new();
    let (session, mut child) = fixture.session("a").await;
    let headers = [("mcp-session-id", session.as_str())];
    let body = r#"{"jsonrpc":"2.0","id":"s","method":"m","params":{"_meta":{"progressToken":1}}}"#;
    let begun = Instant::now();
    let (error, cancelled) = tokio::join!(
        async {
            let response = fixture.server.handle("a", post(body, &headers)).await;
            let mut events = Events::of(response);
            events.json().await;
            events.json().await;
            events.json().await
        },
        async {
            child.line().await;
            for _ in 0..2 {
                tokio::time::sleep(Duration::from_secs(50)).await;
                child.say(r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1}}"#).await;
            }
            child.read().await
        }
    );
    let took = begun.elapsed().as_secs();
    assert!((160..165).contains(&took), "{took}");
    assert_eq!(
        (&error["id"], &error["error"]["data"]["code"]),
        (&"s".into(), &"deadline_exceeded".into())
    );
    assert_eq!(cancelled["params"]["requestId"], "s");
}

#[tokio::test(start_paused = true)]
async fn a_question_stops_the_deadline_until_it_is_answered() {
    let mut fixture = Fixture::new();
    let (session, mut child) = fixture.session("a").await;
    let headers = [("mcp-session-id", session.as_str())];
    let (response, ()) = tokio::join!(fixture.server.handle("a", post(PING, &headers)), async {
        child.line().await;
        child
            .say(r#"{"jsonrpc":"2.0","id":1,"method":"elicitation/create"}"#)
            .await;
    });
    let mut events = Events::of(response);
    events.json().await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    let answer = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
    fixture.server.handle("a", post(answer, &headers)).await;
    child
        .say(r#"{"jsonrpc":"2.0","id":"p","result":{"ok":1}}"#)
        .await;
    assert_eq!(events.json().await["result"]["ok"], 1);
}

#[tokio::test(start_paused = true)]
async fn a_silent_stream_is_kept_open() {
    let mut fixture = Fixture::new();
    let (session, mut child) = fixture.session("a").await;
    let headers = [("mcp-session-id", session.as_str())];
    let response = fixture.server.handle("a", post(PING, &headers)).await;
    let (all, ()) = tokio::join!(text(response), async {
        tokio::time::sleep(Duration::from_secs(40)).await;
        child.answer("{}").await;
    });
    assert_eq!(all.matches("retry: ").count(), 1);
    assert_eq!(all.lines().filter(|line| *line == ": ").count(), 2);
    assert_eq!(all.matches("data: {").count(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_idle_child_ends_but_not_while_someone_listens() {
    let mut fixture = Fixture::new();
    let (_, mut idle) = fixture.session("a").await;
    let (session, mut heard) = fixture.session("a").await;
    let headers = [("mcp-session-id", session.as_str())];
    let listening = fixture
        .server
        .handle("a", request("GET", Body::empty(), &headers))
        .await;
    let begun = Instant::now();
    assert!(idle.is_ended().await);
    assert!((600..605).contains(&begun.elapsed().as_secs()));
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let (response, _) = tokio::join!(
        fixture.server.handle("a", post(PING, &headers)),
        heard.answer("{}")
    );
    assert_eq!(response.status(), 200);
    drop(listening);
    assert!(heard.is_ended().await);
}

#[tokio::test]
async fn a_caller_with_too_many_sessions_loses_the_one_it_does_not_use() {
    let limits = Limits {
        max_sessions_per_caller: 2,
        max_sessions: 3,
        ..Limits::default()
    };
    let mut fixture = Fixture::with(limits);
    let (_first, mut oldest) = fixture.session("a").await;
    let (second, _child) = fixture.session("a").await;
    let (third, _child3) = fixture.session("a").await;
    assert!(oldest.is_ended().await);
    let get = |id: &str| request("GET", Body::empty(), &[("mcp-session-id", id)]);
    let _busy = (
        fixture.server.handle("a", get(&second)).await,
        fixture.server.handle("a", get(&third)).await,
    );
    assert_eq!(code(&fixture, post(INITIALIZE, &[])).await.0, 429);
    let (_, _child) = fixture.session("b").await;
    let response = fixture.server.handle("c", post(INITIALIZE, &[])).await;
    assert_eq!(
        json(response).await["error"]["data"]["code"],
        "too_many_sessions"
    );
}

#[tokio::test]
async fn a_reader_that_does_not_keep_up_is_told_and_dropped() {
    let limits = Limits {
        queue_messages: 4,
        ..Limits::default()
    };
    let mut fixture = Fixture::with(limits);
    let mut child = fixture.modern("a").await;
    let call = modern_with_meta("1", "tools/call", r#""name":"n","#, r#""progressToken":1,"#);
    let (response, cancelled) = tokio::join!(fixture.server.handle("a", call), async {
        let token = child.read().await["params"]["_meta"]["progressToken"].clone();
        let line = format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":{token}}}}}"#
        );
        for _ in 0..20 {
            child.say(&line).await;
        }
        child.read().await
    });
    assert_eq!(cancelled["method"], "notifications/cancelled");
    let all = text(response).await;
    assert!(all.contains("reader_too_slow"), "{all}");
}

#[tokio::test]
async fn an_id_in_use_is_refused() {
    let mut fixture = Fixture::new();
    let (session, mut child) = fixture.session("a").await;
    let headers = [("mcp-session-id", session.as_str())];
    let first = fixture.server.handle("a", post(PING, &headers));
    let (response, again) = tokio::join!(first, async {
        child.line().await;
        let again = code(&fixture, post(PING, &headers)).await;
        child.say(r#"{"jsonrpc":"2.0","id":"p","result":{}}"#).await;
        again
    });
    assert_eq!(again, (400, -32600, "p".into()));
    assert_eq!(response.status(), 200);
}

#[tokio::test]
async fn the_node_stopping_ends_children_and_streams() {
    let mut fixture = Fixture::new();
    let (session, mut child) = fixture.session("a").await;
    let headers = [("mcp-session-id", session.as_str())];
    let listening = fixture
        .server
        .handle("a", request("GET", Body::empty(), &headers))
        .await;
    let call = fixture.server.handle("a", post(PING, &headers));
    let (response, ()) = tokio::join!(call, async {
        child.line().await;
        fixture.tasks.stop().await;
    });
    assert_eq!(
        json(response).await["error"]["data"]["code"],
        "server_ended"
    );
    assert!(text(listening).await.starts_with("id: 0-0\n"));
    assert!(child.is_ended().await);
}
