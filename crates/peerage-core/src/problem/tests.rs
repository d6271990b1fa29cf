use serde_json::json;

use super::Problem;

#[test]
fn is_rfc_9457_json_both_ways() {
    let problem = Problem::new(403, "not_a_member", "you are no member of this mesh")
        .hint("peerage join CODE");
    let value = serde_json::to_value(&problem).unwrap();
    assert_eq!(
        value,
        json!({"type": "about:blank", "title": "Forbidden", "status": 403, "code": "not_a_member",
               "detail": "you are no member of this mesh", "hint": "peerage join CODE"})
    );
    assert_eq!(Problem::from_json(&problem.to_json()).unwrap(), problem);

    let bare = Problem::new(404, "no_such_peer", "no peer is called x");
    assert!(serde_json::to_value(&bare).unwrap().get("hint").is_none());
    assert_eq!(Problem::from_json(&bare.to_json()).unwrap(), bare);
    assert_eq!(bare.to_string(), "no peer is called x (no_such_peer)");
}

#[test]
fn reads_what_other_software_writes() {
    let foreign =
        br#"{"type":"https://example.com/p","title":"Out of credit","status":403,"balance":30}"#;
    let problem = Problem::from_json(foreign).unwrap();
    assert_eq!(
        (problem.code.as_str(), problem.detail.as_str()),
        ("unknown", "Out of credit")
    );
    assert_eq!(
        Problem::from_json(br#"{"status":599}"#).unwrap().detail,
        "Error"
    );
    assert_eq!(Problem::from_json(b"<html>"), None);
    assert_eq!(Problem::from_json(br#"{"detail":"no status"}"#), None);
}

#[test]
fn a_stranger_cannot_write_to_the_terminal_or_fill_it() {
    let evil = json!({"status": 500, "code": "a\nb", "detail": "\u{1b}[2Jgone\u{202e}", "hint": "x".repeat(10_000)});
    let problem = Problem::from_json(evil.to_string().as_bytes()).unwrap();
    assert_eq!(problem.code, "a b");
    assert_eq!(problem.detail, " [2Jgone ");
    assert_eq!(problem.hint.unwrap().len(), Problem::MAX_TEXT);

    let huge = json!({"status": 500, "detail": "x".repeat(Problem::MAX_BYTES)}).to_string();
    assert_eq!(Problem::from_json(huge.as_bytes()), None);
}
