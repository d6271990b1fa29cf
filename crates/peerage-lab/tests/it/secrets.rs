//! What must not leave: credentials in requests are refused, in answers they are written over, and the audit says where.

use axum::body::Body;
use futures::stream;
use http::{Method, Request};
use peerage::Node;
use peerage_core::{PeerId, peer_book::Relation, policy::Subject};
use peerage_lab::{Lab, LocalApi, Place, introduced, related};
use peerage_services::{
    api::AuditVerdict,
    secrets::{Mode, SecretsSettings},
};
use serde_json::{Map, Value, json};

use super::audit::{audit, written};

/// Random, and so what it says it is to whoever looks.
const TOKEN: &str = "ghp_q7ZtW2mXc9LrB4nKvP8sYd3HfJ6gTa1Q5wEeRxU0";

/// `a` says what it is asked to, and what it keeps; `b` may call it.
async fn two(lab: &Lab, of_a: SecretsSettings, of_b: SecretsSettings) -> (Node, Node, Place) {
    let place = lab.place_at("home", "a");
    let a = place
        .builder()
        .secrets(of_a)
        .tool(
            "say",
            "Says it again",
            |args: Map<String, Value>| async move {
                Ok::<_, String>(args.get("text").cloned().unwrap_or_default())
            },
        )
        .tool(
            "keep",
            "Says what it keeps",
            |_: Map<String, Value>| async move {
                Ok::<_, String>(format!("first line\n{TOKEN}\nlast line"))
            },
        )
        .spawn()
        .await
        .unwrap();
    let b = lab.place_at("home", "b").knowing(&place);
    let b = b.builder().secrets(of_b).spawn().await.unwrap();
    introduced(&[&a, &b]).await;
    related(&b, a.peer_id(), Relation::Member).await;
    related(&a, b.peer_id(), Relation::Member).await;
    (a, b, place)
}

fn settings(outgoing: Mode, answers: Mode) -> SecretsSettings {
    SecretsSettings {
        outgoing,
        answers,
        ..SecretsSettings::default()
    }
}

async fn say(node: &Node, text: &str) -> Result<Value, peerage::Problem> {
    node.call("a/functions/say", json!({ "text": text })).await
}

#[tokio::test]
async fn a_request_with_a_credential_is_refused_and_nothing_of_it_leaves() {
    let lab = Lab::new();
    let (a, b, _) = two(
        &lab,
        settings(Mode::Off, Mode::Off),
        SecretsSettings::default(),
    )
    .await;
    say(&b, "nothing of note").await.unwrap();
    let refused = say(&b, &format!("use {TOKEN} for it")).await.unwrap_err();
    assert_eq!(
        (refused.status, refused.code.as_str()),
        (403, "secret_in_request")
    );
    let pointer = "(/params/arguments/text)";
    assert!(refused.detail.contains("github-token at byte") && refused.detail.contains(pointer));
    assert!(!refused.detail.contains("q7ZtW2"));
    let api = LocalApi::of(&b);
    // The other ways to a peer: a header, a query, and the proxy.
    for (path, header) in [
        ("/peers/a/mcp/functions", format!("Bearer {TOKEN}")),
        (
            &*format!("/peers/a/mcp/functions?key={TOKEN}"),
            String::new(),
        ),
    ] {
        let request = api.request(Method::POST, path).header("x-key", header);
        assert_eq!(api.send(request, "{}").await.problem(), "secret_in_request");
    }
    let told = audit(&b, "verdict=refused").await;
    let told: Vec<_> = told
        .iter()
        .filter(|entry| entry.action == "secret")
        .collect();
    let count: u64 = told.iter().map(|entry| entry.count.unwrap_or(1)).sum();
    assert!(
        count == 3 && told.iter().all(|entry| entry.who == "local"),
        "{told:?}"
    );
    assert!(told[0].object.contains("github-token at byte"), "{told:?}");
    assert!(!written(&lab, "home", "b").contains("q7ZtW2"));
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_credential_in_a_long_request_is_found_over_the_borders_of_pieces() {
    const PIECE: usize = 64 * 1024;
    let lab = Lab::new();
    let (a, b, _) = two(
        &lab,
        settings(Mode::Off, Mode::Off),
        SecretsSettings::default(),
    )
    .await;
    for cut in [1, 4, 20, 43] {
        let mut text = vec![b' '; 48 * PIECE];
        let at = 40 * PIECE - cut;
        text[at..at + TOKEN.len()].copy_from_slice(TOKEN.as_bytes());
        let pieces: Vec<_> = text
            .chunks(PIECE)
            .map(|piece| Ok::<_, std::io::Error>(bytes::Bytes::copy_from_slice(piece)))
            .collect();
        let request = Request::post("/mcp/functions")
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream")
            .body(Body::from_stream(stream::iter(pieces)))
            .unwrap();
        let refused = b.context().call(a.peer_id(), request).await;
        let refused = refused.expect_err("it does not leave");
        assert_eq!(refused.code, "secret_in_request", "{refused}");
        assert!(
            refused.detail.contains(&format!("at byte {at}")),
            "{refused}"
        );
    }
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn an_answer_is_written_over_refused_or_told_as_is_wished() {
    for (mode, kind) in [
        (Mode::Redact, None),
        (Mode::Warn, None),
        (Mode::Refuse, Some("github-token")),
        (Mode::Off, None),
    ] {
        let lab = Lab::new();
        let (a, b, _) = two(
            &lab,
            settings(Mode::Refuse, mode),
            SecretsSettings::default(),
        )
        .await;
        let answer = b.call("a/functions/keep", json!({})).await;
        let told = audit(&a, &format!("who={}", b.peer_id())).await;
        let told: Vec<_> = told
            .iter()
            .filter(|entry| entry.action == "secret")
            .collect();
        match kind {
            // The answer is a stream of events: its error is JSON-RPC's.
            Some(kind) => {
                let refused = answer.unwrap_err();
                assert_eq!(refused.code, "mcp_error");
                assert!(
                    refused.detail.contains(&format!("{kind} at byte")),
                    "{refused}"
                );
            }
            None => {
                let answer = answer.unwrap();
                let text = answer["content"][0]["text"].as_str().unwrap();
                let stars = "*".repeat(TOKEN.len());
                let shown = if mode == Mode::Redact { &stars } else { TOKEN };
                assert_eq!(text, format!("first line\n{shown}\nlast line"));
            }
        }
        let verdicts: Vec<_> = told.iter().map(|entry| entry.verdict).collect();
        let wanted: &[AuditVerdict] = match mode {
            Mode::Refuse => &[AuditVerdict::Refused],
            Mode::Redact | Mode::Warn => &[AuditVerdict::Warned],
            Mode::Off => &[],
        };
        assert_eq!(verdicts, wanted, "{told:?}");
        a.stop().await;
        b.stop().await;
    }
}

#[tokio::test]
async fn what_may_leave_is_said_by_share_or_by_peer() {
    let lab = Lab::new();
    let key: PeerId = lab.place("never").peer_id();
    let mut of_a = settings(Mode::Refuse, Mode::Refuse);
    of_a.shares.insert("functions".to_owned(), Mode::Off);
    let mut of_b = settings(Mode::Refuse, Mode::Refuse);
    of_b.peers.push((Subject::Key(key), Mode::Refuse));
    let (a, b, _) = two(&lab, of_a.clone(), of_b.clone()).await;
    assert!(say(&b, TOKEN).await.is_err());
    let kept = b.call("a/functions/keep", json!({})).await.unwrap();
    assert!(kept.to_string().contains(TOKEN), "that share may say it");
    a.stop().await;
    b.stop().await;

    let lab = Lab::new();
    let top = a_mesh(&lab).await;
    of_b.peers = vec![(Subject::Name(top.parse().unwrap()), Mode::Off)];
    let (a, b, _) = two(&lab, of_a, of_b).await;
    let said = say(&b, TOKEN).await.unwrap();
    assert!(said.to_string().contains(TOKEN), "to that name it may go");
    a.stop().await;
    b.stop().await;
}

/// The name of the mesh that the lab's home has.
async fn a_mesh(lab: &Lab) -> String {
    let node = lab.place_at("home", "first").start().await;
    let name = node.status().mesh.name;
    node.stop().await;
    name
}

#[tokio::test]
async fn a_card_shows_no_credential() {
    let lab = Lab::new();
    let a = lab.place_at("home", "a");
    let b = lab.place_at("home", "b").knowing(&a);
    let description = format!("Calls {TOKEN}");
    let a = a
        .builder()
        .tool("call", &description, |_: Map<String, Value>| async move {
            Ok::<_, String>(1)
        })
        .spawn()
        .await
        .unwrap();
    let b = b.start().await;
    super::strangers::sees(&b, a.peer_id(), &["functions"]).await;
    peerage_lab::until(&b, "the tool on the card", |book| {
        let card = book
            .get(&a.peer_id())
            .and_then(|record| record.card.as_ref());
        card.is_some_and(|card| card.servers().iter().any(|s| !s.tools.is_empty()))
    })
    .await;
    let card = b.book().get(&a.peer_id()).unwrap().card.unwrap();
    let text = String::from_utf8_lossy(card.bytes()).into_owned();
    assert!(
        text.contains("Calls ****") && !text.contains("q7ZtW2"),
        "{text}"
    );
    a.stop().await;
    b.stop().await;
}
