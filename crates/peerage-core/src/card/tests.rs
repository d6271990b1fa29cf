use libp2p_identity::PeerId;
use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};
use serde_json::{Map, Value, json};

use super::{
    Card, CardContent, CardError, EXTENSION_URI, Interface, MAX_CARD_BYTES, SharedServer,
    json as strict, signature,
};
use crate::{identity::Identity, jws, problem::Problem};

const NOW: u64 = 1_795_000_000;
const LIFE: u64 = 3_600;

fn key(n: u8) -> Identity {
    Identity::from_secret([n; 32])
}

fn tool(name: &str) -> Map<String, Value> {
    let tool = json!({
        "name": name, "title": "Größe", "description": "lists \"files\"\n\u{1F600}",
        "inputSchema": {"type": "object", "properties": {"path": {"type": "string", "default": ""}, "depth":
            {"type": "integer", "minimum": 0, "maximum": i64::MAX, "multipleOf": 0.1}}, "required": []},
        "annotations": {"readOnlyHint": false},
    });
    tool.as_object().unwrap().clone()
}

fn content() -> CardContent {
    CardContent {
        name: "workstation".to_owned(),
        description: "Ann's desktop".to_owned(),
        version: "0.1.0".to_owned(),
        addresses: vec![
            "/ip4/192.168.1.20/tcp/4001".parse().unwrap(),
            "/ip6/::1/udp/1/quic-v1".parse().unwrap(),
        ],
        metadata: json!({"room": "12", "gpu": {"count": 2, "gb": 24.5}, "nothing": {}})
            .as_object()
            .unwrap()
            .clone(),
        servers: vec![SharedServer {
            name: "files".to_owned(),
            description: String::new(),
            tools: vec![tool("list_directory"), tool("read_file")],
        }],
        interfaces: vec![Interface {
            url: "http://127.0.0.1:7337/a2a/files".to_owned(),
            protocol_binding: "HTTP+JSON".to_owned(),
            protocol_version: "1.0".to_owned(),
            tenant: None,
        }],
    }
}

fn card() -> Card {
    Card::issue(&key(1), content(), NOW, NOW + LIFE).unwrap()
}

fn verify(bytes: &[u8]) -> Result<Card, CardError> {
    Card::verify(bytes, &key(1).peer_id(), NOW)
}

/// The card changed, and signed again by key 1, as only the node itself could.
fn resigned(change: impl FnOnce(&mut Value)) -> Result<Card, CardError> {
    let mut json = card().json();
    change(&mut json);
    json["signatures"] = signature::sign(&key(1), &json).unwrap();
    verify(&strict::write(&json))
}

fn refused(change: impl FnOnce(&mut Value)) -> String {
    match resigned(change).unwrap_err() {
        CardError::Content(reason) => reason,
        error => panic!("{error:?}"),
    }
}

fn params(json: &mut Value) -> &mut Value {
    &mut json["capabilities"]["extensions"][0]["params"]
}

#[test]
fn says_what_went_in() {
    let card = card();
    assert_eq!(
        (card.name(), card.description()),
        ("workstation", "Ann's desktop")
    );
    assert_eq!(
        (card.peer_id(), card.did()),
        (key(1).peer_id(), key(1).did())
    );
    assert_eq!((card.issued(), card.expires()), (NOW, NOW + LIFE));
    assert_eq!(card.addresses(), content().addresses);
    assert_eq!(card.metadata()["gpu"]["count"], json!(2));
    assert_eq!(
        card.servers()[0].tool_names().collect::<Vec<_>>(),
        ["list_directory", "read_file"]
    );
    // Whole tools, with what is empty in them.
    assert_eq!(
        card.servers()[0].tools[0]["inputSchema"]["required"],
        json!([])
    );
    assert_eq!(
        card.json()["skills"][0]["tags"],
        json!(["mcp", "list_directory", "read_file"])
    );
    assert_eq!(
        card.json()["skills"][0]["description"],
        json!("MCP server with 2 tools")
    );
    assert_eq!(
        card.json()["supportedInterfaces"][0]["protocolBinding"],
        json!("HTTP+JSON")
    );
    assert!(!format!("{card:?}").contains("inputSchema"));
}

#[test]
fn the_same_bytes_verify_after_a_round_trip_and_are_kept() {
    let card = card();
    let received = verify(card.bytes()).unwrap();
    assert_eq!(received.bytes(), card.bytes());
    assert_eq!(received, card);
    // Other spacing and order of fields are other bytes of the same card: kept as they came.
    let pretty = serde_json::to_vec_pretty(&card.json()).unwrap();
    assert_eq!(verify(&pretty).unwrap().bytes(), pretty);
    let smallest = CardContent {
        name: "x".to_owned(),
        ..CardContent::default()
    };
    assert!(Card::issue(&key(1), smallest, NOW, NOW + 1).is_ok());
}

#[test]
fn whole_numbers_may_be_written_as_doubles() {
    let text = String::from_utf8(card().bytes().to_vec()).unwrap();
    let (issued, whole) = (
        format!("\"issuedAt\":{NOW}"),
        format!("\"issuedAt\":{NOW}.0"),
    );
    assert!(text.contains(&issued));
    assert_eq!(
        verify(text.replace(&issued, &whole).as_bytes())
            .unwrap()
            .issued(),
        NOW
    );
}

#[test]
fn the_header_names_the_key() {
    let protected = card().json()["signatures"][0]["protected"]
        .as_str()
        .unwrap()
        .to_owned();
    let header: Value = serde_json::from_slice(&jws::decode(&protected).unwrap()).unwrap();
    assert_eq!(
        header,
        json!({"alg": "EdDSA", "kid": key(1).did().key_url(), "typ": "JOSE"})
    );
}

#[test]
fn another_key_is_refused() {
    let error = Card::verify(card().bytes(), &key(2).peer_id(), NOW).unwrap_err();
    assert_eq!(
        error,
        CardError::WrongKey {
            found: key(1).did().key_url(),
            expected: key(2).peer_id()
        }
    );
    assert!(matches!(
        Card::verify(card().bytes(), &PeerId::random(), NOW).unwrap_err(),
        CardError::Key(_)
    ));

    // Key 2 signs what key 1 says of itself.
    let mut json = card().json();
    json["signatures"] = signature::sign(&key(2), &json).unwrap();
    let bytes = strict::write(&json);
    assert!(matches!(
        verify(&bytes).unwrap_err(),
        CardError::WrongKey { .. }
    ));
    let error = Card::verify(&bytes, &key(2).peer_id(), NOW).unwrap_err();
    assert_eq!(
        error,
        CardError::OtherPeer {
            found: key(1).peer_id().to_string(),
            expected: key(2).peer_id()
        }
    );
    let error = resigned(|json| params(json)["did"] = json!(key(2).did())).unwrap_err();
    assert_eq!(
        error,
        CardError::OtherPeer {
            found: key(2).did().to_string(),
            expected: key(1).peer_id()
        }
    );

    // Key 2 claims to be key 1.
    let header = json!({"alg": "EdDSA", "kid": key(1).did().key_url(), "typ": "JOSE"});
    json["signatures"][0]["protected"] = json!(jws::encode(header.to_string()));
    assert_eq!(
        verify(&strict::write(&json)).unwrap_err(),
        CardError::Signature
    );
}

#[test]
fn a_signature_of_another_besides_the_own_is_ignored() {
    let mut json = card().json();
    let own = json["signatures"][0].clone();
    let other = signature::sign(&key(2), &json).unwrap()[0].clone();
    json["signatures"] = json!([other, own]);
    assert!(verify(&strict::write(&json)).is_ok());
}

#[test]
fn an_unusable_signature_is_refused() {
    let own = card().json()["signatures"][0].clone();
    let refused = |signatures: Value| {
        let mut json = card().json();
        json["signatures"] = signatures;
        verify(&strict::write(&json)).unwrap_err()
    };
    let with_header = |header: Value| {
        refused(
            json!([{"protected": jws::encode(header.to_string()), "signature": own["signature"]}]),
        )
    };
    let kid = key(1).did().key_url();
    for error in [
        refused(Value::Null),
        refused(json!([])),
        refused(json!(vec![&own; 9])),
        refused(json!([{"protected": own["protected"]}])),
        refused(json!([{"protected": "%", "signature": own["signature"]}])),
        refused(json!([{"protected": own["protected"], "signature": "AAAA"}])),
        with_header(json!({"alg": "none", "kid": kid})),
        with_header(json!({"alg": "ES256", "kid": kid})),
        with_header(json!({"alg": "EdDSA"})),
        with_header(json!({"alg": "EdDSA", "kid": kid, "crit": ["b64"], "b64": false})),
        with_header(json!({"alg": "EdDSA", "kid": "x".repeat(4_000)})),
    ] {
        assert!(matches!(error, CardError::NoSignature(_)), "{error:?}");
    }
    assert_eq!(
        with_header(json!({"alg": "EdDSA", "kid": kid})),
        CardError::Signature
    );
}

#[test]
fn time_is_checked() {
    let (card, peer) = (card(), key(1).peer_id());
    let at = |now| Card::verify(card.bytes(), &peer, now);
    assert!(at(NOW - 60).is_ok() && at(NOW + LIFE - 1).is_ok());
    assert_eq!(
        at(NOW - 61).unwrap_err(),
        CardError::FromTheFuture {
            issued: NOW,
            now: NOW - 61
        }
    );
    assert_eq!(
        at(NOW + LIFE).unwrap_err(),
        CardError::Expired {
            expires: NOW + LIFE,
            now: NOW + LIFE
        }
    );
    let stored = Card::verify_at_any_time(card.bytes(), &peer).unwrap();
    assert!(stored.is_expired_at(NOW + LIFE) && !stored.is_expired_at(NOW));
    assert!(refused(|json| params(json)["expiresAt"] = json!(NOW)).contains("expires before"));
}

#[test]
fn an_older_card_is_refused() {
    let newer = Card::issue(&key(1), content(), NOW + 1, NOW + LIFE).unwrap();
    assert_eq!(
        card().check_newer_than(&newer),
        Err(CardError::Older {
            issued: NOW,
            held: NOW + 1
        })
    );
    assert_eq!(newer.check_newer_than(&card()), Ok(()));
    assert_eq!(newer.check_newer_than(&newer), Ok(()));
}

#[test]
fn the_extension_must_be_there_once_and_whole() {
    assert_eq!(
        resigned(|json| json["capabilities"] = json!({})).unwrap_err(),
        CardError::NoExtension
    );
    let error = resigned(|json| {
        json["capabilities"]["extensions"][0]["uri"] = json!("https://example.com")
    })
    .unwrap_err();
    assert_eq!(error, CardError::NoExtension);
    assert!(
        refused(|json| {
            let ours = json["capabilities"]["extensions"][0].clone();
            json["capabilities"]["extensions"] = json!([ours, ours]);
        })
        .contains("twice")
    );
    assert!(refused(|json| *params(json) = json!(null)).contains("params"));
    assert!(
        refused(|json| drop(params(json).as_object_mut().unwrap().remove("expiresAt")))
            .contains("expiresAt")
    );
    assert!(
        refused(|json| params(json)["issuedAt"] = json!("2026-11-01")).contains("invalid type")
    );
    assert!(
        refused(|json| params(json)["addresses"] = json!(vec!["/ip4/127.0.0.1"; 65]))
            .contains("64 addresses")
    );
    for name in [
        json!(""),
        json!("a\u{7}"),
        json!("x".repeat(129)),
        json!(3),
        Value::Null,
    ] {
        assert!(refused(|json| json["name"] = name).contains("\"name\""));
    }
}

#[test]
fn servers_and_tools_must_have_usable_names() {
    let server = json!({"name": "a"});
    assert!(
        refused(|json| params(json)["mcpServers"] = json!([server, server]))
            .contains("two servers")
    );
    assert!(
        refused(|json| params(json)["mcpServers"] = json!(vec![&server; 65]))
            .contains("64 servers")
    );
    for name in ["", "..", "a/b", "-rf", "a b", "\u{1b}[2J", &"a".repeat(65)] {
        assert!(
            refused(|json| params(json)["mcpServers"][0]["name"] = json!(name)).contains("no name"),
            "{name}"
        );
    }
    for tool in [
        json!({}),
        json!({"name": ""}),
        json!({"name": 1}),
        json!({"name": "a\nb"}),
    ] {
        assert!(
            refused(|json| params(json)["mcpServers"][0]["tools"][0] = tool)
                .contains("no usable name")
        );
    }
    assert!(
        refused(|json| params(json)["mcpServers"][0]["tools"][0] = json!([]))
            .contains("invalid type")
    );
    assert!(
        refused(|json| params(json)["mcpServers"][0]["tools"] =
            json!(vec![json!({"name": "x"}); 2_001]))
        .contains("tools")
    );
}

#[test]
fn what_is_not_known_is_kept_and_covered() {
    let card = resigned(|json| {
        json["iconUrl"] = json!("https://example.com/x.png");
        params(json)["colour"] = json!("blue");
        let extension =
            json!({"uri": "https://example.com/other", "params": {"a": [1, {"b": 2.5}]}});
        json["capabilities"]["extensions"]
            .as_array_mut()
            .unwrap()
            .push(extension);
        params(json)["addresses"]
            .as_array_mut()
            .unwrap()
            .push(json!("/carrier-pigeon/7"));
    })
    .unwrap();
    assert_eq!(
        card.addresses(),
        content().addresses,
        "an address of an unknown kind is left out"
    );
    let text = String::from_utf8(card.bytes().to_vec()).unwrap();
    for (from, to) in [
        ("x.png", "y.png"),
        ("blue", "bleu"),
        ("2.5", "2.6"),
        ("/7", "/8"),
    ] {
        assert!(text.contains(from));
        assert_eq!(
            verify(text.replace(from, to).as_bytes()).unwrap_err(),
            CardError::Signature,
            "{from}"
        );
    }
}

#[test]
fn empty_values_are_not_signed_as_in_the_official_sdk() {
    let mut json = card().json();
    json["documentationUrl"] = json!("");
    json["provider"] = json!({"organization": "", "url": null});
    json["skills"].as_array_mut().unwrap().push(json!([[], {}]));
    assert!(verify(&strict::write(&json)).is_ok());
    json["provider"]["organization"] = json!(false);
    assert_eq!(
        verify(&strict::write(&json)).unwrap_err(),
        CardError::Signature,
        "false is a value"
    );
}

#[test]
fn a_doubled_field_is_refused_wherever_it_is() {
    let text = String::from_utf8(card().bytes().to_vec()).unwrap();
    for (field, twice) in [
        ("{\"capabilities\"", "{\"name\":\"evil\",\"capabilities\""),
        (
            "\"readOnlyHint\":false",
            "\"readOnlyHint\":false,\"readOnlyHint\":true",
        ),
        (
            "\"readOnlyHint\":false",
            "\"readOnlyHint\":false,\"readOnly\\u0048int\":true",
        ),
    ] {
        assert!(text.contains(field), "{text}");
        let error = verify(text.replacen(field, twice, 1).as_bytes()).unwrap_err();
        assert!(error.to_string().contains("duplicate field"), "{error}");
    }
}

#[test]
fn bombs_are_refused() {
    let too_large = vec![b' '; MAX_CARD_BYTES + 1];
    assert_eq!(
        verify(&too_large).unwrap_err(),
        CardError::TooLarge {
            bytes: MAX_CARD_BYTES + 1
        }
    );
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let half = MAX_CARD_BYTES / 2 / open.len() - 1;
        for bomb in [
            open.repeat(half),
            format!("{}1{}", open.repeat(half), close.repeat(half)),
        ] {
            assert!(
                verify(bomb.as_bytes())
                    .unwrap_err()
                    .to_string()
                    .contains("recursion limit"),
                "{open}"
            );
        }
    }
    let wide = format!("[{}0]", "0,".repeat(MAX_CARD_BYTES / 2 - 2));
    assert!(
        verify(wide.as_bytes())
            .unwrap_err()
            .to_string()
            .contains("more than")
    );
    for text in [
        "",
        "null",
        "[]",
        "{}",
        "\"x\"",
        "{\"signatures\":{}}",
        "{} {}",
        "{\"a\":1e999}",
        "\u{feff}{}",
    ] {
        assert!(verify(text.as_bytes()).is_err(), "{text}");
    }
    assert!(verify(&[0xff, 0xfe]).is_err());
    let huge = CardContent {
        description: "x".repeat(MAX_CARD_BYTES),
        ..content()
    };
    assert!(matches!(
        Card::issue(&key(1), huge, NOW, NOW + 1).unwrap_err(),
        CardError::TooLarge { .. }
    ));
}

#[test]
fn a_card_near_the_limit_is_accepted() {
    let mut content = content();
    content.servers[0].tools = (0..1_700).map(|n| tool(&format!("tool_{n}"))).collect();
    let card = Card::issue(&key(1), content, NOW, NOW + 1).unwrap();
    assert!(
        card.bytes().len() > MAX_CARD_BYTES / 2,
        "{}",
        card.bytes().len()
    );
    assert_eq!(
        verify(card.bytes()).unwrap().servers()[0].tools.len(),
        1_700
    );
}

#[test]
fn the_signed_form_is_the_one_of_rfc_8785() {
    let json = json!({"b": 1.0, "a": {"z": 1e21, "\u{20ac}": "\u{7}ö", "": ""}, "c": [], "signatures": [1], "d": i64::MAX});
    let json = strict::read(&strict::write(&json), 1_000).unwrap();
    assert_eq!(
        String::from_utf8(strict::canonical(&json).unwrap()).unwrap(),
        "{\"a\":{\"z\":1e+21,\"\u{20ac}\":\"\\u0007ö\"},\"b\":1,\"d\":9223372036854776000}"
    );
}

#[test]
fn a_refusal_is_a_problem_with_a_code() {
    let problem = Problem::from(CardError::Expired { expires: 1, now: 2 });
    assert_eq!(
        (problem.status, problem.code.as_str()),
        (422, "card_expired")
    );
    assert!(problem.hint.is_some());
    assert!(
        Problem::from(CardError::NoExtension)
            .detail
            .contains(EXTENSION_URI)
    );
}

/// Every place of a value that is neither object nor array, as a JSON pointer.
fn leaves(value: &Value, at: String, found: &mut Vec<String>) {
    match value {
        Value::Array(items) => {
            items
                .iter()
                .enumerate()
                .for_each(|(index, item)| leaves(item, format!("{at}/{index}"), found));
        }
        Value::Object(fields) => {
            for (name, value) in fields {
                leaves(
                    value,
                    format!("{at}/{}", name.replace('~', "~0").replace('/', "~1")),
                    found,
                );
            }
        }
        _ => found.push(at),
    }
}

proptest! {
    #[test]
    fn any_signed_value_that_is_changed_is_noticed(at in any::<proptest::sample::Index>(), other in "[a-z]{1,4}") {
        let mut json = card().json();
        let mut places = Vec::new();
        leaves(&json, String::new(), &mut places);
        let place = at.get::<String>(&places);
        let value = json.pointer_mut(place).unwrap();
        // An empty text is not signed (see above), and neither is its absence: there is nothing to notice.
        *value = match value.take() {
            Value::Bool(flag) => json!(!flag),
            Value::Number(number) => json!(number.as_f64().unwrap() / 2.0 + 7.0),
            Value::String(text) => json!(format!("{text}{other}")),
            _ => json!(other),
        };
        prop_assert!(verify(&strict::write(&json)).is_err(), "{}", place);
    }

    #[test]
    fn any_byte_that_is_changed_is_noticed(at in any::<proptest::sample::Index>(), to in 0x21_u8..0x7f) {
        // Without empty values, which are not signed.
        let mut content = content();
        content.metadata.remove("nothing");
        content.servers[0].tools.iter_mut().for_each(|tool| drop(tool.remove("inputSchema")));
        let card = Card::issue(&key(1), content, NOW, NOW + LIFE).unwrap();
        let mut bytes = card.bytes().to_vec();
        *at.get_mut(&mut bytes) = to;
        prop_assert_eq!(verify(&bytes).is_err(), bytes != card.bytes());
    }

    #[test]
    fn garbage_is_an_error_and_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), text in ".{0,200}") {
        prop_assert!(verify(&bytes).is_err());
        prop_assert!(verify(text.as_bytes()).is_err());
    }
}
