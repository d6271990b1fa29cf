use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

use super::{CONTEXT, Found, MAX_OPEN, find, kinds, pointer, redact, search};
use crate::{
    grant::{Chain, Claims, Rights},
    identity::Identity,
};

/// Random letters and digits, the same in each run; long enough for all formats.
const RANDOM: &str = "q7ZtW2mXc9LrB4nKvP8sYd3HfJ6gTa1Q5wEeRxU0iOoMzNbVlCkDjSh7GyFpAuI2";
const UPPER: &str = "Q7ZTW2MXC9LRB4NKVP8SYD3HFJ6GTA1Q5WEERXU0IOOMZNBVLCKDJSH7GYFPAUI2";

fn only(text: &str) -> Found {
    let found = find(text.as_bytes());
    assert_eq!(found.len(), 1, "{text}: {found:?}");
    found[0]
}

#[test]
fn tokens_are_found_where_they_stand() {
    for (kind, prefix) in [
        ("anthropic-key", "sk-ant-"),
        ("openai-key", "sk-proj-"),
        ("api-key", "sk-"),
        ("github-token", "ghp_"),
        ("github-token", "github_pat_"),
        ("gitlab-token", "glpat-"),
        ("huggingface-token", "hf_"),
        ("slack-token", "xoxb-"),
        ("stripe-key", "sk_live_"),
        ("npm-token", "npm_"),
        ("google-key", "AIza"),
    ] {
        let token = format!("{prefix}{RANDOM}");
        for (before, after) in [
            ("", ""),
            ("{\"key\":\"", "\"}"),
            ("Bearer ", "\n"),
            ("x=", "&y=1"),
        ] {
            let found = only(&format!("{before}{token}{after}"));
            assert_eq!(
                (found.kind, found.at, found.len),
                (kind, before.len(), token.len())
            );
        }
    }
    let aws = only(&format!("id AKIA{} there", &UPPER[..16]));
    assert_eq!((aws.kind, aws.at, aws.len), ("aws-key-id", 3, 20));
}

#[test]
fn values_with_a_telling_name_are_found() {
    for text in [
        "DB_PASSWORD=Xk29fLqPz81mWv",
        "export API_KEY=\"Xk29fLqPz81mWv\"",
        "{\"env\":\"A=1\\nMY_SECRET=Xk29fLqPz81mWv\\nB=2\"}",
        "GITHUB_TOKEN='Xk29fLqPz81mWv'",
    ] {
        let found = only(text);
        assert_eq!(found.kind, "named-secret", "{text}");
        assert_eq!(&text[found.at..found.at + found.len], "Xk29fLqPz81mWv");
    }
}

#[test]
fn private_keys_are_found_as_one() {
    let key =
        format!("-----BEGIN PRIVATE KEY-----\n{RANDOM}\n{RANDOM}\n-----END PRIVATE KEY-----\n");
    for before in ["", "xglpat", "task-"] {
        let text = format!("{before}{key}");
        assert_eq!(only(&text).at, before.len(), "{text}");
    }
    for text in [key.clone(), key.replace('\n', "\\n")] {
        let found = only(&text);
        assert_eq!((found.kind, found.at), ("private-key", 0));
        assert!(found.len > 2 * RANDOM.len());
    }
}

#[test]
fn a_web_token_is_found_and_a_grant_is_none() {
    let token = format!("eyJhbGciOiJIUzI1NiJ9.{RANDOM}.{RANDOM}");
    assert_eq!(only(&token).kind, "json-web-token");
    assert_eq!(find(format!("eyJ{RANDOM}.{RANDOM}").as_bytes()), []);
    let root = Identity::from_secret([1; 32]);
    let claims = Claims {
        sub: root.did(),
        path: "o://acme/bot".parse().unwrap(),
        rights: Rights::member(),
        nbf: 1,
        exp: 2,
        depth: 0,
    };
    let chain = Chain::issue_root(&root, claims).unwrap().to_string();
    assert_eq!(find(chain.as_bytes()), []);
}

#[test]
fn talk_of_credentials_is_none() {
    for text in [
        "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "set API_KEY=your_api_key_here or PASSWORD=changeme",
        "PASSWORD=************",
        "PASSWORD=${DB_PASSWORD}",
        "the task-a1b2c3d4e5f6g7h8i9j0k1l2m3n4o5p6q7 is done",
        "sk-",
        "-----BEGIN PRIVATE KEY-----",
        "SG.",
        "eyJ",
        "the AKIA prefix",
        "MAX_TOKEN=4096",
    ] {
        assert_eq!(find(text.as_bytes()), [], "{text}");
    }
}

#[test]
fn what_was_found_is_written_over_and_the_rest_stays() {
    let mut bytes = format!("a ghp_{RANDOM} b").into_bytes();
    let found = find(&bytes);
    redact(&mut bytes, &found);
    let stars = "*".repeat(RANDOM.len() + 4);
    assert_eq!(
        String::from_utf8(bytes.clone()).unwrap(),
        format!("a {stars} b")
    );
    assert_eq!(find(&bytes), []);
}

#[test]
fn each_of_many_is_found_and_kinds_are_told_once() {
    let text = format!("ghp_{RANDOM} ").repeat(1_000);
    assert_eq!(find(text.as_bytes()).len(), 1_000);
    let all = kinds();
    assert!(all.contains(&"private-key") && all.windows(2).all(|pair| pair[0] < pair[1]));
}

#[test]
fn a_token_behind_an_escape_is_found_and_json_stays_json() {
    for before in ["\\n", "\\t", "\\u003d", "\\\"", "x\\n"] {
        let json = format!("{{\"text\":\"A{before}ghp_{RANDOM}\\nb\"}}");
        assert_eq!(only(&json).kind, "github-token", "{json}");
    }
    let key = format!("-----BEGIN PRIVATE KEY-----\n{RANDOM}\n-----END PRIVATE KEY-----\n");
    for text in [
        serde_json::json!({ "text": serde_json::json!({ "key": key }).to_string() }),
        serde_json::json!({ "text": format!("{key}\\") }),
    ] {
        let mut text = text.to_string().into_bytes();
        let found = find(&text);
        assert_eq!(found.len(), 1);
        redact(&mut text, &found);
        let json = serde_json::from_slice::<serde_json::Value>(&text);
        assert!(json.is_ok(), "{}", String::from_utf8_lossy(&text));
    }
}

#[test]
fn where_it_stands_in_json_is_told() {
    let json = format!(
        r#"{{"id": 1, "a\"b": [true, {{"x~/y": "q"}}, {{"k": "- ghp_{RANDOM}"}}], "z": 1}}"#
    );
    let at = find(json.as_bytes())[0].at;
    assert_eq!(pointer(json.as_bytes(), at).as_deref(), Some("/a\"b/2/k"));
    let at = json.find("\"q\"").unwrap() + 1;
    let escaped = pointer(json.as_bytes(), at);
    assert_eq!(escaped.as_deref(), Some("/a\"b/1/x~0~1y"));
    assert_eq!(pointer(b"plain text", 3), None);
    assert_eq!(
        pointer(format!("{{\"ghp_{RANDOM}\":\"x\"}}").as_bytes(), 72),
        None
    );
}

/// Searches as a stream would: what is undecided waits for the next piece.
fn in_pieces(text: &[u8], cuts: &[usize]) -> Vec<Found> {
    let (mut found, mut start, mut end) = (Vec::new(), 0_usize, 0_usize);
    let cuts = cuts.iter().copied().chain([text.len()]);
    for cut in cuts {
        end = cut.clamp(end, text.len());
        let before = &text[start.saturating_sub(CONTEXT)..start];
        let searched = search(before, &text[start..end], end == text.len());
        assert!(end - start - searched.decided <= MAX_OPEN);
        found.extend(searched.found.iter().map(|place| Found {
            at: place.at + start,
            ..*place
        }));
        start += searched.decided;
    }
    found
}

proptest! {
    #[test]
    fn pieces_hold_what_the_whole_holds(seed: Vec<u8>, cuts in proptest::collection::vec(0..2_000_usize, 0..20)) {
        let parts = [
            format!("ghp_{RANDOM}"), "task-".to_owned(), "sk-".to_owned(), RANDOM.to_owned(), "\\n".to_owned(), " ".to_owned(),
            "-----BEGIN PRIVATE KEY-----".to_owned(), "API_KEY=".to_owned(), "\"".to_owned(), "eyJ".to_owned(), ".".to_owned(),
        ];
        let text: String = seed.iter().take(40).map(|n| parts[usize::from(*n) % parts.len()].as_str()).collect();
        let mut cuts = cuts;
        cuts.sort_unstable();
        prop_assert_eq!(in_pieces(text.as_bytes(), &cuts), find(text.as_bytes()), "{}", text);
    }

    #[test]
    fn any_pointer_is_told_or_none(text: Vec<u8>, at: usize) {
        let _ = pointer(&text, at % (text.len() + 1));
    }

    #[test]
    fn anything_can_be_searched(bytes: Vec<u8>, at in any::<usize>()) {
        let mut text = bytes;
        let at = at % (text.len() + 1);
        text.splice(at..at, format!(" ghp_{RANDOM} ").into_bytes());
        let found = find(&text);
        for place in &found {
            prop_assert!(place.at + place.len <= text.len());
        }
        prop_assert!(found.iter().any(|place| place.at == at + 1), "{:?}", found);
        let length = text.len();
        redact(&mut text, &found);
        prop_assert_eq!(text.len(), length);
    }
}
