use super::*;

fn parse(text: &str) -> Result<Message, Invalid> {
    Message::parse(Bytes::copy_from_slice(text.as_bytes()))
}

fn code(text: &str) -> &'static str {
    match parse(text).unwrap_err() {
        Invalid::Json(_) => "json",
        Invalid::Batch => "batch",
        Invalid::Shape { .. } => "shape",
    }
}

#[test]
fn tells_the_kinds_apart() {
    let request = parse(r#"{"jsonrpc":"2.0","id":"a","method":"ping"}"#).unwrap();
    assert_eq!(request.id(), Some(r#""a""#));
    assert_eq!(request.method(), Some("ping"));
    let note = parse(r#"{"jsonrpc":"2.0","method":"n"}"#).unwrap();
    assert!(matches!(note.kind(), Kind::Notification { .. }));
    let answer = parse(r#"{"jsonrpc":"2.0","id":7,"result":null}"#).unwrap();
    assert!(matches!(
        answer.kind(),
        Kind::Response {
            id: Some(_),
            error: None
        }
    ));
    let error = parse(r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"x"}}"#);
    assert_eq!(
        error.unwrap().kind(),
        &Kind::Response {
            id: None,
            error: Some(-32700)
        }
    );
}

#[test]
fn refuses_what_is_not_a_message_and_keeps_its_id() {
    assert_eq!(code("{"), "json");
    assert_eq!(code("{} trailing"), "json");
    assert_eq!(code("\u{1}"), "json");
    assert_eq!(code(" [ ]"), "batch");
    assert_eq!(code("3"), "shape");
    assert_eq!(code(r#"{"jsonrpc":"2.0","id":null,"method":"x"}"#), "shape");
    assert_eq!(code(r#"{"jsonrpc":"2.0","id":{},"method":"x"}"#), "shape");
    assert_eq!(
        code(r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"x"}"#),
        "shape"
    );
    assert_eq!(
        code(r#"{"jsonrpc":"2.0","id":1,"method":"x","result":1}"#),
        "shape"
    );
    assert_eq!(
        code("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"a\nb\"}"),
        "json"
    );
    let Err(Invalid::Shape { id, .. }) = parse(r#"{"id":12,"method":"x"}"#) else {
        panic!("no version");
    };
    assert_eq!(id.as_deref(), Some("12"));
    assert!(Message::parse(Bytes::from_static(b"{\"id\":\"\xff\"}")).is_err());
}

#[test]
fn changes_only_the_values_it_is_told_to() {
    let text = r#"{ "x-vendor" : 1.00, "params":{"_meta":{"progressToken":"t","z":[1]},"progressToken":9},"id": 12345678901234567890 ,"jsonrpc":"2.0","method":"m"}"#;
    let message = parse(text).unwrap();
    let id = message.id().unwrap();
    let token = message.param(&["_meta", "progressToken"]).unwrap();
    assert_eq!(
        message.with(&[(id, "1"), (token, "22")]),
        text.replace("12345678901234567890", "1")
            .replace(r#""t""#, "22")
    );
    assert_eq!(message.with(&[(id, id)]), text);
}

#[test]
fn finds_the_last_of_members_and_sees_through_escapes() {
    let text = r#"{"jsonrpc":"2.0","method":"m","params":{"name":"a","n\u0061me":"b"}}"#;
    assert_eq!(
        parse(text).unwrap().param_text(&["name"]).as_deref(),
        Some("b")
    );
    let text = r#"{"jsonrpc":"2.0","method":"m","params":[1]}"#;
    assert_eq!(parse(text).unwrap().param(&["name"]), None);
}

#[test]
fn fits_on_one_line() {
    let message = parse("{\r\n \"jsonrpc\":\"2.0\",\n\"id\":5,\"method\":\"m\"}\n").unwrap();
    assert_eq!(
        message.bytes(),
        "{   \"jsonrpc\":\"2.0\", \"id\":5,\"method\":\"m\"}"
    );
    assert_eq!(message.id(), Some("5"));
}

#[test]
fn keys_compare_by_meaning() {
    assert_eq!(Key::of("1"), Key::of("1.0"));
    assert_ne!(Key::of("1"), Key::of("\"1\""));
    assert_eq!(Key::of(r#""\u00e9""#), Key::of("\"é\""));
    assert_eq!(
        Key::of("12345678901234567890"),
        Key::of("12345678901234567000")
    );
    assert_ne!(Key::of("9007199254740991"), Key::of("9007199254740990"));
    assert_eq!(Key::of("null"), None);
}

#[test]
fn finds_the_id_of_a_message_that_is_cut_off() {
    let sniff = |text: &str| id_in_beginning(text.as_bytes());
    assert_eq!(
        sniff(r#"{"a":{"id":1},"id":"x","params":{"b":"#).as_deref(),
        Some("\"x\"")
    );
    assert_eq!(sniff(r#"{"params":{"b":"#), None);
    assert_eq!(sniff("garbage"), None);
}
