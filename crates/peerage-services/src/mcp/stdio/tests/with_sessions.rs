use super::*;

fn call(id: &str, method: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}"}}"#)
}

#[tokio::test]
async fn ids_of_all_kinds_and_unknown_fields_pass_as_they_are() {
    let mut fixture = Fixture::new();
    let (session, mut child) = fixture.session("a").await;
    let session = [("mcp-session-id", session.as_str())];
    for (id, written_back) in [
        ("7", "7"),
        (r#""\u00e9 x""#, "\"é x\""),
        ("12345678901234567890123", "1.2345678901234568e+22"),
        ("9007199254740993", "9007199254740992"),
        ("-1.50", "-1.5"),
    ] {
        let body = format!(
            r#"{{ "x-first":1.00,"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"t","arguments":{{"b":1e2,"a":[ ]}},"_meta":{{"progressToken":"p\u0031"}}}},"x":null}}"#
        );
        let request = post(&body, &session);
        let (response, ()) = tokio::join!(fixture.server.handle("a", request), async {
            assert_eq!(child.line().await, body);
            let result = r#"{"content":[],"vendor":{"z":1.0,"a":"\/"}}"#;
            child
                .say(&format!(
                    r#"{{"result":{result}, "id":{written_back} ,"jsonrpc":"2.0"}}"#
                ))
                .await;
        });
        assert_eq!(response.status(), 200);
        assert_eq!(
            text(response).await,
            format!(
                r#"{{"result":{{"content":[],"vendor":{{"z":1.0,"a":"\/"}}}}, "id":{id} ,"jsonrpc":"2.0"}}"#
            )
        );
    }
}

#[tokio::test]
async fn what_belongs_to_a_request_comes_before_its_answer() {
    let mut fixture = Fixture::new();
    let (session, mut child) = fixture.session("a").await;
    let headers = [("mcp-session-id", session.as_str())];
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"_meta":{"progressToken":"p"}}}"#;
    let progress = r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"p","progress":1}}"#;
    let question = r#"{"jsonrpc":"2.0","id":"q","method":"elicitation/create"}"#;
    let request = post(body, &headers);
    let (response, ()) = tokio::join!(fixture.server.handle("a", request), async {
        child.line().await;
        child.say(progress).await;
        child.say(question).await;
    });
    let mut events = Events::of(response);
    assert_eq!(events.next().await.unwrap(), progress);
    assert_eq!(events.next().await.unwrap(), question);
    let answer = r#"{"jsonrpc":"2.0","id":"q","result":{"action":"accept"}}"#;
    let accepted = fixture.server.handle("a", post(answer, &headers)).await;
    assert_eq!(accepted.status(), 202);
    assert_eq!(child.line().await, answer);
    // Answered once; a second answer goes nowhere.
    fixture.server.handle("a", post(answer, &headers)).await;
    child.say(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#).await;
    assert_eq!(events.json().await["id"], 1);
    assert_eq!(events.next().await, None);
    let ping = post(&call("2", "ping"), &headers);
    let (_, seen) = tokio::join!(fixture.server.handle("a", ping), child.answer("{}"));
    assert_eq!(seen["method"], "ping");
}

#[tokio::test]
async fn messages_without_a_request_wait_for_the_listener_and_the_latest_one_gets_them() {
    let mut fixture = Fixture::new();
    let (session, mut child) = fixture.session("a").await;
    let headers = [("mcp-session-id", session.as_str())];
    let get = || request("GET", Body::empty(), &headers);
    child
        .say(r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#)
        .await;
    let mut first = Events::of(fixture.server.handle("a", get()).await);
    assert_eq!(
        first.json().await["method"],
        "notifications/tools/list_changed"
    );
    let mut second = Events::of(fixture.server.handle("a", get()).await);
    assert_eq!(first.next().await, None);
    drop(first);
    child.say(r#"{"jsonrpc":"2.0","method":"n2"}"#).await;
    assert_eq!(second.json().await["method"], "n2");
    fixture.server.stop().await;
    assert_eq!(second.next().await, None);
}

#[tokio::test]
async fn two_requests_in_flight_are_kept_apart() {
    let mut fixture = Fixture::new();
    let (session, mut child) = fixture.session("a").await;
    let headers = [("mcp-session-id", session.as_str())];
    let with_token = |n: u8| {
        format!(
            r#"{{"jsonrpc":"2.0","id":{n},"method":"m","params":{{"_meta":{{"progressToken":{n}}}}}}}"#
        )
    };
    let (one, two) = (
        post(&with_token(1), &headers),
        post(&with_token(2), &headers),
    );
    let (one, two, ()) = tokio::join!(
        fixture.server.handle("a", one),
        fixture.server.handle("a", two),
        async {
            child.line().await;
            child.line().await;
            for n in [2, 1] {
                child.say(&format!(r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":{n}}}}}"#)).await;
                child
                    .say(&format!(
                        r#"{{"jsonrpc":"2.0","id":{n},"result":{{"n":{n}}}}}"#
                    ))
                    .await;
            }
        }
    );
    for (n, response) in [(1, one), (2, two)] {
        let mut events = Events::of(response);
        assert_eq!(events.json().await["params"]["progressToken"], n);
        assert_eq!(events.json().await["result"]["n"], n);
        assert_eq!(events.next().await, None);
    }
}

#[tokio::test]
async fn a_session_belongs_to_its_caller_and_ends_with_delete() {
    let mut fixture = Fixture::new();
    let (session, mut child) = fixture.session("a").await;
    let headers = [("mcp-session-id", session.as_str())];
    let ping = || post(&call(r#""p""#, "ping"), &headers);
    let stranger = fixture.server.handle("b", ping()).await;
    assert_eq!(stranger.status(), 404);
    let error = json(stranger).await;
    assert_eq!(
        (&error["id"], &error["error"]["data"]["code"]),
        (&"p".into(), &"session_not_found".into())
    );
    let delete = || request("DELETE", Body::empty(), &headers);
    assert_eq!(fixture.server.handle("b", delete()).await.status(), 404);
    assert_eq!(fixture.server.handle("a", delete()).await.status(), 204);
    assert!(child.is_ended().await);
    assert_eq!(fixture.server.handle("a", ping()).await.status(), 404);
    assert_eq!(fixture.server.handle("a", delete()).await.status(), 404);
    let none = fixture
        .server
        .handle("a", post(&call("1", "ping"), &[]))
        .await;
    assert_eq!(none.status(), 400);
    assert_eq!(json(none).await["id"], 1);
}

#[tokio::test]
async fn a_crash_fails_what_is_in_flight_and_the_session() {
    let mut fixture = Fixture::new();
    let (session, mut child) = fixture.session("a").await;
    let headers = [("mcp-session-id", session.as_str())];
    let request = post(&call("5", "tools/call"), &headers);
    let (response, ()) = tokio::join!(fixture.server.handle("a", request), async move {
        child.line().await;
    });
    let error = json(response).await;
    assert_eq!(
        (&error["id"], &error["error"]["code"]),
        (&5.into(), &(-32603).into())
    );
    assert_eq!(error["error"]["data"]["code"], "server_ended");
    let later = fixture
        .server
        .handle("a", post(&call("6", "ping"), &headers))
        .await;
    assert_eq!(later.status(), 404);
    // The next session has a child of its own.
    let (again, _child) = fixture.session("a").await;
    assert_ne!(again, session);
}

#[tokio::test]
async fn a_failed_initialize_opens_no_session() {
    let mut fixture = Fixture::new();
    let server = fixture.server.clone();
    let (response, ended) = tokio::join!(server.handle("a", post(INITIALIZE, &[])), async {
        let mut child = fixture.child().await;
        child.line().await;
        child
            .say(r#"{"jsonrpc":"2.0","id":0,"error":{"code":-32602,"message":"no"}}"#)
            .await;
        child.is_ended().await
    });
    assert!(ended);
    assert!(!response.headers().contains_key("mcp-session-id"));
    assert_eq!(json(response).await["error"]["message"], "no");
}

#[tokio::test]
async fn going_away_does_not_cancel_but_the_client_can() {
    let mut fixture = Fixture::new();
    let (session, mut child) = fixture.session("a").await;
    let headers = [("mcp-session-id", session.as_str())];
    {
        let gone = fixture
            .server
            .handle("a", post(&call("1", "slow"), &headers));
        tokio::select! {
            _ = gone => panic!("nobody answered"),
            line = child.line() => assert!(line.contains("slow")),
        }
    }
    let cancel = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#;
    assert_eq!(
        fixture
            .server
            .handle("a", post(cancel, &headers))
            .await
            .status(),
        202
    );
    assert_eq!(child.line().await, cancel);
    child.say(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#).await;
    let ping = post(&call("2", "ping"), &headers);
    let (response, _) = tokio::join!(
        fixture.server.handle("a", ping),
        child.answer(r#"{"pong":1}"#)
    );
    assert_eq!(json(response).await["result"]["pong"], 1);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_request_is_closed_when_no_answer_follows() {
    let mut fixture = Fixture::new();
    let (session, mut child) = fixture.session("a").await;
    let headers = [("mcp-session-id", session.as_str())];
    let begun = Instant::now();
    let slow = fixture
        .server
        .handle("a", post(&call("1", "slow"), &headers));
    let (response, _) = tokio::join!(slow, async {
        child.line().await;
        let cancel =
            r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#;
        fixture.server.handle("a", post(cancel, &headers)).await
    });
    assert_eq!(Events::of(response).next().await, None);
    assert!(begun.elapsed() < Duration::from_secs(8));
    assert_eq!(child.read().await["method"], "notifications/cancelled");
    let ping = post(&call("1", "ping"), &headers);
    let (_, seen) = tokio::join!(fixture.server.handle("a", ping), child.answer("{}"));
    assert_eq!(seen["method"], "ping");
}

/// The rest of a stream whose reader has gone.
async fn resume(fixture: &Fixture, session: &str, after: &str) -> Response {
    let headers = [("mcp-session-id", session), ("last-event-id", after)];
    let request = request("GET", Body::empty(), &headers);
    fixture.server.handle("a", request).await
}

#[tokio::test]
async fn a_stream_that_broke_is_read_on_from_where_it_broke() {
    let mut fixture = Fixture::new();
    let (session, mut child) = fixture.session("a").await;
    let accept = "text/event-stream, application/json";
    let mut headers = vec![("mcp-session-id", session.as_str())];
    let mut request = post(
        r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"_meta":{"progressToken":"p"}}}"#,
        &headers,
    );
    request
        .headers_mut()
        .insert("accept", accept.parse().unwrap());
    let response = fixture.server.handle("a", request).await;
    child.line().await;
    let step = |n| {
        format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":"p","progress":{n}}}}}"#
        )
    };
    let mut body = response.into_body();
    let primer = String::from_utf8(frame(&mut body).await).unwrap();
    let begin = primer
        .strip_prefix("id: ")
        .unwrap()
        .lines()
        .next()
        .unwrap()
        .to_owned();
    assert!(
        primer.contains("\nretry: ") && primer.ends_with("\ndata: \n\n"),
        "{primer:?}"
    );
    child.say(&step(1)).await;
    let first = String::from_utf8(frame(&mut body).await).unwrap();
    let seen = first
        .strip_prefix("id: ")
        .unwrap()
        .lines()
        .next()
        .unwrap()
        .to_owned();
    drop(body);

    // Nobody reads: the request goes on, and what it says is kept.
    child.say(&step(2)).await;
    let mut events = Events::of(resume(&fixture, &session, &seen).await);
    assert_eq!(events.next().await.unwrap(), step(2));
    let answer = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
    child.say(answer).await;
    assert_eq!(events.next().await.unwrap(), answer);
    assert_eq!(events.next().await, None);

    // All of it, also after the answer.
    let mut events = Events::of(resume(&fixture, &session, &begin).await);
    for expected in [step(1), step(2), answer.to_owned()] {
        assert_eq!(events.next().await.unwrap(), expected);
    }
    assert_eq!(resume(&fixture, &session, "77-1").await.status(), 410);
    headers.push(("last-event-id", &seen));
    let other = super::request("GET", Body::empty(), &headers);
    assert_eq!(fixture.server.handle("b", other).await.status(), 404);
}

#[tokio::test]
async fn a_listener_that_comes_back_hears_what_it_missed() {
    let mut fixture = Fixture::new();
    let (session, mut child) = fixture.session("a").await;
    let listen = || {
        request(
            "GET",
            Body::empty(),
            &[("mcp-session-id", session.as_str())],
        )
    };
    let changed =
        |what| format!(r#"{{"jsonrpc":"2.0","method":"notifications/{what}/list_changed"}}"#);
    let mut body = fixture.server.handle("a", listen()).await.into_body();
    let primer = String::from_utf8(frame(&mut body).await).unwrap();
    let begin = primer
        .strip_prefix("id: ")
        .unwrap()
        .lines()
        .next()
        .unwrap()
        .to_owned();
    child.say(&changed("tools")).await;
    frame(&mut body).await;
    drop(body);
    child.say(&changed("prompts")).await;
    let mut events = Events::of(resume(&fixture, &session, &begin).await);
    assert_eq!(events.next().await.unwrap(), changed("tools"));
    assert_eq!(events.next().await.unwrap(), changed("prompts"));
}
