use super::*;

fn call(id: &str, name: &str) -> Request<Body> {
    modern(id, "tools/call", &format!(r#""name":"{name}","#))
}

#[tokio::test]
async fn two_clients_of_a_caller_share_a_child_under_their_own_ids() {
    let mut fixture = Fixture::new();
    let mut child = fixture.modern("a").await;
    let same = r#""progressToken":"t","#;
    let request = || modern_with_meta("1", "tools/call", r#""x-vendor":1.00,"name":"n","#, same);
    let (one, two, ()) = tokio::join!(
        fixture.server.handle("a", request()),
        fixture.server.handle("a", request()),
        async {
            let (line, second) = (child.line().await, child.read().await);
            assert!(line.contains(r#""x-vendor":1.00,"name":"n""#));
            let first: Value = serde_json::from_str(&line).unwrap();
            assert_ne!(first["id"], second["id"]);
            for (n, request) in [("2", second), ("1", first)] {
                let token = &request["params"]["_meta"]["progressToken"];
                child.say(&format!(r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":{token},"message":"{n}"}}}}"#)).await;
                let id = &request["id"];
                child.say(&format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"n":"{n}","big":12345678901234567890.10}}}}"#)).await;
            }
        }
    );
    for (n, response) in [("1", one), ("2", two)] {
        let mut events = Events::of(response);
        let progress = events.json().await;
        assert_eq!(progress["params"]["progressToken"], "t");
        assert_eq!(progress["params"]["message"], n);
        assert_eq!(
            events.next().await.unwrap(),
            format!(
                r#"{{"jsonrpc":"2.0","id":1,"result":{{"n":"{n}","big":12345678901234567890.10}}}}"#
            )
        );
        assert_eq!(events.next().await, None);
    }
}

#[tokio::test]
async fn callers_do_not_share_a_child() {
    let mut fixture = Fixture::new();
    let mut of_a = fixture.modern("a").await;
    let mut of_b = fixture.modern("b").await;
    let (response, request) = tokio::join!(
        fixture.server.handle("b", call("1", "n")),
        of_b.answer(r#"{"of":"b"}"#)
    );
    assert_eq!(request["params"]["name"], "n");
    assert_eq!(json(response).await["result"]["of"], "b");
    fixture.server.stop().await;
    assert!(of_a.is_ended().await && of_b.is_ended().await);
}

#[tokio::test]
async fn dropping_the_response_cancels_under_the_id_on_the_wire() {
    let mut fixture = Fixture::new();
    let mut child = fixture.modern("a").await;
    let sent = {
        let gone = fixture.server.handle("a", call(r#""mine""#, "slow"));
        tokio::select! {
            _ = gone => panic!("nobody answered"),
            sent = child.read() => sent,
        }
    };
    let cancelled = child.read().await;
    assert_eq!(cancelled["method"], "notifications/cancelled");
    assert_eq!(cancelled["params"]["requestId"], sent["id"]);
    // The same once the stream is open.
    let (response, sent) = tokio::join!(fixture.server.handle("a", call("2", "slow")), async {
        let sent = child.read().await;
        child
            .say(r#"{"jsonrpc":"2.0","method":"notifications/x"}"#)
            .await;
        sent
    });
    drop(response);
    assert_eq!(child.read().await["params"]["requestId"], sent["id"]);
    // A late answer reaches nobody.
    child
        .say(&format!(
            r#"{{"jsonrpc":"2.0","id":{},"result":{{}}}}"#,
            sent["id"]
        ))
        .await;
    let (response, _) = tokio::join!(
        fixture.server.handle("a", call("2", "n")),
        child.answer(r#"{"ok":1}"#)
    );
    assert_eq!(json(response).await["result"]["ok"], 1);
}

#[tokio::test]
async fn a_subscription_is_a_long_stream_under_the_callers_id() {
    let mut fixture = Fixture::new();
    let mut child = fixture.modern("a").await;
    let listen = modern(r#""sub""#, "subscriptions/listen", r#""notifications":{},"#);
    let tagged = |method: &str, id: &Value| {
        format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/{method}","params":{{"_meta":{{"io.modelcontextprotocol/subscriptionId":{id}}}}}}}"#
        )
    };
    let (response, id) = tokio::join!(fixture.server.handle("a", listen), async {
        let id = child.read().await["id"].clone();
        child.say(&tagged("subscriptions/acknowledged", &id)).await;
        id
    });
    let mut events = Events::of(response);
    let mine = Value::from("sub");
    assert_eq!(
        events.next().await.unwrap(),
        tagged("subscriptions/acknowledged", &mine)
    );
    child.say(&tagged("tools/list_changed", &id)).await;
    assert_eq!(
        events.next().await.unwrap(),
        tagged("tools/list_changed", &mine)
    );
    child.say(&format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"_meta":{{"io.modelcontextprotocol/subscriptionId":{id}}}}}}}"#)).await;
    let end = events.json().await;
    assert_eq!(end["id"], mine);
    assert_eq!(
        end["result"]["_meta"]["io.modelcontextprotocol/subscriptionId"],
        mine
    );
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn a_legacy_server_says_so_once_and_then_serves_the_session() {
    let mut fixture = Fixture::new();
    let server = fixture.server.clone();
    let discover = || modern("1", "server/discover", "");
    let (response, mut child) = tokio::join!(server.handle("a", discover()), async {
        let mut child = fixture.child().await;
        let id = child.read().await["id"].clone();
        child.say(&format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32602,"message":"Invalid request parameters","x":1}}}}"#)).await;
        child
    });
    assert_eq!(response.status(), 400);
    assert_eq!(
        text(response).await,
        r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"Invalid request parameters","x":1}}"#
    );
    // The child that was asked serves the session, under the client's own ids.
    let initialized = server.handle("a", post(INITIALIZE, &[]));
    let (response, line) = tokio::join!(initialized, child.answer("{}"));
    assert!(response.headers().contains_key("mcp-session-id"));
    assert_eq!(line["id"], 0);
    // What is known is not asked again, whoever calls.
    let response = server.handle("b", discover()).await;
    assert_eq!(
        (
            response.status(),
            json(response).await["error"]["code"].as_i64()
        ),
        (StatusCode::NOT_FOUND, Some(-32601))
    );
    let response = server.handle("b", call("2", "n")).await;
    assert_eq!(response.status(), 400);
    let error = json(response).await;
    assert_eq!(error["error"]["code"], -32022);
    assert_eq!(error["error"]["data"]["supported"][0], "2025-11-25");
    assert!(fixture.children.try_recv().is_err());
}

#[tokio::test]
async fn a_call_without_a_probe_is_probed_first() {
    let mut fixture = Fixture::new();
    let server = fixture.server.clone();
    let (one, two, ()) = tokio::join!(
        server.handle("a", call("1", "n")),
        server.handle("a", call("2", "n")),
        async {
            let mut child = fixture.child().await;
            let probe = child
                .answer(r#"{"supportedVersions":["2026-07-28"]}"#)
                .await;
            assert_eq!(probe["method"], "server/discover");
            assert_eq!(
                probe["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"],
                "2026-07-28"
            );
            child.answer("{}").await;
            child.answer("{}").await;
        }
    );
    assert_eq!(json(one).await["id"], 1);
    assert_eq!(json(two).await["id"], 2);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_silent_before_initialize_hangs_nobody() {
    let mut fixture = Fixture::new();
    let server = fixture.server.clone();
    let (one, two) = tokio::join!(
        server.handle("a", modern("1", "server/discover", "")),
        server.handle("a", call("2", "n")),
    );
    assert_eq!(one.status(), 404);
    assert_eq!(json(one).await["error"]["code"], -32601);
    assert_eq!(json(two).await["error"]["code"], -32022);
    let mut child = fixture.child().await;
    child.line().await;
    assert_eq!(child.read().await["method"], "notifications/cancelled");
    assert!(child.is_ended().await);
}

#[tokio::test]
async fn a_crash_is_an_error_at_once_and_the_next_call_starts_afresh() {
    let mut fixture = Fixture::new();
    let mut child = fixture.modern("a").await;
    let (response, ()) = tokio::join!(
        fixture.server.handle("a", call(r#""x""#, "n")),
        async move {
            child.line().await;
        }
    );
    let error = json(response).await;
    assert_eq!(
        (&error["id"], &error["error"]["data"]["code"]),
        (&"x".into(), &"server_ended".into())
    );
    let mut child = fixture.modern("a").await;
    let (response, _) = tokio::join!(
        fixture.server.handle("a", call("1", "n")),
        child.answer("{}")
    );
    assert_eq!(response.status(), 200);
}

#[tokio::test]
async fn errors_map_to_http_status() {
    let mut fixture = Fixture::new();
    let mut child = fixture.modern("a").await;
    for (code, status) in [
        (-32022, 400),
        (-32020, 400),
        (-32021, 400),
        (-32601, 404),
        (-32602, 200),
        (-1, 200),
    ] {
        let (response, ()) = tokio::join!(fixture.server.handle("a", call("1", "n")), async {
            let id = child.read().await["id"].clone();
            child
                .say(&format!(
                    r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":{code},"message":""}}}}"#
                ))
                .await;
        });
        assert_eq!(response.status(), status);
        assert_eq!(json(response).await["error"]["code"], code);
    }
}

#[tokio::test]
async fn headers_must_agree_with_the_body() {
    let fixture = Fixture::new();
    let body = |meta: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":"h","method":"tools/call","params":{{"name":"n","_meta":{{{meta}}}}}}}"#
        )
    };
    let version = r#""io.modelcontextprotocol/protocolVersion":"2026-07-28""#;
    let full = format!(r#"{version},"io.modelcontextprotocol/clientCapabilities":{{}}"#);
    let v = ("mcp-protocol-version", "2026-07-28");
    let old = ("mcp-protocol-version", "2025-11-25");
    let (m, n) = (("mcp-method", "tools/call"), ("mcp-name", "n"));
    for (body, headers, code) in [
        (body(&full), vec![m, n], -32020),
        (body(&full), vec![old, m, n], -32020),
        (body(&full), vec![v, n], -32020),
        (body(&full), vec![v, m], -32020),
        (
            body(&full),
            vec![v, ("mcp-method", "tools/list"), n],
            -32020,
        ),
        (body(&full), vec![v, m, ("mcp-name", "other")], -32020),
        (body(&full), vec![v, m, n, n], -32020),
        (
            body(&full),
            vec![v, m, ("mcp-name", "=?base64?!?=")],
            -32020,
        ),
        (body(""), vec![v, m, n], -32602),
        (body(version), vec![v, m, n], -32602),
    ] {
        let response = fixture.server.handle("a", post(&body, &headers)).await;
        assert_eq!(response.status(), 400, "{headers:?}");
        let error = json(response).await;
        assert_eq!(
            (&error["id"], &error["error"]["code"]),
            (&"h".into(), &code.into()),
            "{headers:?}"
        );
    }
}

#[tokio::test]
async fn a_question_of_a_modern_server_is_refused_in_the_clients_place() {
    let mut fixture = Fixture::new();
    let mut child = fixture.modern("a").await;
    child
        .say(r#"{"jsonrpc":"2.0","id":9,"method":"sampling/createMessage"}"#)
        .await;
    let refusal = child.read().await;
    assert_eq!(
        (&refusal["id"], &refusal["error"]["code"]),
        (&9.into(), &(-32601).into())
    );
}

#[tokio::test]
async fn a_modern_client_that_sends_initialize_is_told_the_modern_way() {
    let mut fixture = Fixture::new();
    let request = post(INITIALIZE, &[("mcp-protocol-version", "2026-07-28")]);
    let server = fixture.server.clone();
    let (response, ()) = tokio::join!(server.handle("a", request), async {
        let mut child = fixture.child().await;
        child.line().await;
        child
            .say(r#"{"jsonrpc":"2.0","id":0,"error":{"code":-32601,"message":"no"}}"#)
            .await;
        assert!(child.is_ended().await);
    });
    assert_eq!(response.status(), 404);
}

#[tokio::test]
async fn headers_that_a_listed_tool_wants_are_checked() {
    let mut fixture = Fixture::new();
    let mut child = fixture.modern("a").await;
    let list = fixture.server.handle("a", modern("1", "tools/list", ""));
    let tools = r#"{"tools":[{"name":"n","inputSchema":{"properties":{"r":{"type":"string","x-mcp-header":"R"}}}}]}"#;
    let (response, _) = tokio::join!(list, child.answer(tools));
    assert_eq!(response.status(), 200);
    let call = |header: &'static str| {
        let mut call = modern("2", "tools/call", r#""name":"n","arguments":{"r":"eu"},"#);
        let value = HeaderValue::from_static(header);
        call.headers_mut().insert("mcp-param-r", value);
        call
    };
    let refused = fixture.server.handle("a", call("us")).await;
    assert_eq!(refused.status(), 400);
    assert_eq!(json(refused).await["error"]["code"], -32020);
    let (response, _) = tokio::join!(fixture.server.handle("a", call("eu")), child.answer("{}"));
    assert_eq!(response.status(), 200);
}
