use http::HeaderValue;

use super::*;

fn with(name: &'static str, value: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(name.parse().unwrap(), HeaderValue::from_static(value))])
}

#[test]
fn accept_is_read_as_http_has_it() {
    for (value, taken) in [
        ("application/json, text/event-stream", true),
        ("*/*", true),
        (
            "application/*;q=0.5, TEXT/Event-Stream; charset=utf-8",
            true,
        ),
        ("application/json", false),
        ("text/event-stream", false),
        ("application/json;q=0, text/event-stream", false),
        ("garbage", false),
    ] {
        let mut headers = with("accept", value);
        headers.insert(
            "content-type",
            HeaderValue::from_static("application/json; charset=utf-8"),
        );
        assert_eq!(check_post(&headers).is_ok(), taken, "{value}");
    }
    assert!(check_get(&HeaderMap::new()).is_ok());
}

#[test]
fn names_may_be_encoded() {
    let message = |name: &str| {
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{name}"}}}}"#
        );
        Message::parse(body.into()).unwrap()
    };
    assert!(
        check_name(
            &with("mcp-name", "=?base64?SGVsbG8sIOS4lueVjA==?="),
            &message("Hello, 世界")
        )
        .is_ok()
    );
    assert!(check_name(&with("mcp-name", "plain"), &message("plain")).is_ok());
    assert!(check_name(&with("mcp-name", "plain"), &message("other")).is_err());
}

#[test]
fn the_version_of_a_session_is_a_known_or_the_agreed_one() {
    assert!(check_session_version(&HeaderMap::new(), None).is_ok());
    assert!(check_session_version(&with(PROTOCOL_VERSION, "2025-06-18"), None).is_ok());
    assert!(check_session_version(&with(PROTOCOL_VERSION, "1900-01-01"), None).is_err());
    assert!(
        check_session_version(&with(PROTOCOL_VERSION, "1900-01-01"), Some("1900-01-01")).is_ok()
    );
}
