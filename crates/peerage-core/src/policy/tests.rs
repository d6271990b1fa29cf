use libp2p_identity::PeerId;
use proptest::prelude::{prop_assert_eq, proptest};
use serde_json::json;

use super::{Audience, AudienceError, Caller, Subject, Verdict, decide};
use crate::{
    grant::{Chain, Claims, Grant, Rights},
    identity::Identity,
};

const NOW: u64 = 1_795_000_000;

fn key(n: u8) -> Identity {
    Identity::from_secret([n; 32])
}

/// A grant of the mesh of key 1 to the key given, valid for 100 seconds before and after now.
fn grant(subject: u8, path: &str, rights: &[&str]) -> Grant {
    let claims = Claims {
        sub: key(subject).did(),
        path: path.parse().unwrap(),
        rights: Rights::new(rights).unwrap(),
        nbf: NOW - 100,
        exp: NOW + 100,
        depth: 0,
    };
    Chain::issue_root(&key(1), claims)
        .unwrap()
        .verify(&key(1).did(), NOW)
        .unwrap()
}

/// Key 2 calls.
fn caller(grants: &[Grant], trusted: bool) -> Caller {
    Caller {
        peer: key(2).peer_id(),
        grants: grants.to_vec(),
        trusted,
    }
}

fn audience(text: &str) -> Audience {
    text.parse().unwrap()
}

fn code(verdict: Verdict) -> String {
    verdict
        .into_result()
        .map_or_else(|problem| problem.code, |()| "allow".to_owned())
}

fn asked(audience: &Audience, caller: &Caller) -> String {
    code(decide(audience, caller, NOW))
}

#[test]
fn public_is_for_everyone() {
    assert_eq!(
        asked(&Audience::Public, &Caller::stranger(PeerId::random())),
        "allow"
    );
}

#[test]
fn the_mesh_is_for_members_and_the_trusted() {
    let mesh = Audience::default();
    assert_eq!(
        asked(&mesh, &Caller::stranger(key(2).peer_id())),
        "not_a_member"
    );
    assert_eq!(
        asked(&mesh, &Caller::stranger(PeerId::random())),
        "not_a_member"
    );
    assert_eq!(asked(&mesh, &caller(&[], true)), "allow");
    assert_eq!(
        asked(
            &mesh,
            &caller(&[grant(2, "o://acme/bot", &["be", "call"])], false)
        ),
        "allow"
    );
    assert_eq!(
        asked(
            &mesh,
            &caller(&[grant(2, "o://acme/bot", &["call"])], false)
        ),
        "allow"
    );
    assert_eq!(
        asked(
            &mesh,
            &caller(&[grant(2, "o://acme/bot", &["be", "fly"])], false)
        ),
        "no_call_right"
    );
    assert_eq!(
        asked(
            &mesh,
            &caller(&[grant(3, "o://acme/bot", &["be", "call"])], false)
        ),
        "not_a_member"
    );
}

#[test]
fn a_list_is_for_those_on_it_alone() {
    let key_2 = audience(&key(2).did().to_string());
    assert_eq!(asked(&key_2, &caller(&[], false)), "allow");
    assert_eq!(
        asked(
            &audience(&key(2).peer_id().to_string()),
            &caller(&[], false)
        ),
        "allow"
    );
    assert_eq!(
        asked(&key_2, &Caller::stranger(key(3).peer_id())),
        "not_a_member"
    );
    assert_eq!(
        asked(
            &key_2,
            &Caller {
                trusted: true,
                ..Caller::stranger(key(3).peer_id())
            }
        ),
        "not_on_the_list"
    );

    let sales = audience("o://acme/sales");
    for (path, rights, expected) in [
        ("o://acme/sales", &["be"][..], "allow"),
        ("o://acme/support", &["be"], "no_call_right"),
        ("o://acme/sales/bot", &["be", "call"], "allow"),
        ("o://acme/sales/bot", &["call"], "not_on_the_list"),
        ("o://acme/sales2", &["be", "call"], "not_on_the_list"),
        ("o://acme", &["be", "call", "grant"], "not_on_the_list"),
        ("o://acme/support", &["be", "call"], "not_on_the_list"),
    ] {
        assert_eq!(
            asked(&sales, &caller(&[grant(2, path, rights)], false)),
            expected,
            "{path} {rights:?}"
        );
    }
    assert_eq!(
        asked(
            &sales,
            &caller(&[grant(3, "o://acme/sales", &["be"])], false)
        ),
        "not_a_member"
    );
    assert_eq!(asked(&sales, &caller(&[], true)), "not_on_the_list");
    assert_eq!(
        asked(
            &Audience::Only(Vec::new()),
            &caller(&[grant(2, "o://acme", &["be"])], true)
        ),
        "not_on_the_list"
    );
}

#[test]
fn a_stranger_cannot_tell_a_list_from_the_mesh() {
    let stranger = Caller::stranger(key(3).peer_id());
    let old = Caller {
        grants: vec![grant(2, "o://acme/bot", &["be", "call"])],
        ..Caller::stranger(key(2).peer_id())
    };
    for (caller, now) in [(&stranger, NOW), (&old, NOW + 100), (&old, NOW - 161)] {
        let verdict = decide(&audience("o://acme/sales"), caller, now);
        assert!(!verdict.is_allowed());
        assert_eq!(verdict, decide(&Audience::Mesh, caller, now));
    }
}

#[test]
fn a_grant_counts_only_in_its_time() {
    let member = caller(&[grant(2, "o://acme/bot", &["be", "call"])], false);
    for audience in [Audience::Mesh, audience("o://acme")] {
        for (now, expected) in [
            (NOW - 161, "grant_not_yet_valid"),
            (NOW - 160, "allow"),
            (NOW + 99, "allow"),
            (NOW + 100, "grant_expired"),
            (u64::MAX, "grant_expired"),
        ] {
            assert_eq!(
                code(decide(&audience, &member, now)),
                expected,
                "{audience} at {now}"
            );
        }
    }
    // One that is valid is enough.
    let mut old = grant(2, "o://acme/old", &["call"]);
    old.expires = NOW - 1;
    assert_eq!(
        asked(&Audience::Mesh, &caller(&[old.clone()], false)),
        "grant_expired"
    );
    assert_eq!(
        asked(
            &Audience::Mesh,
            &caller(&[old, grant(2, "o://acme/new", &["call"])], false)
        ),
        "allow"
    );
}

#[test]
fn a_refusal_says_why_and_what_helps() {
    let problem = decide(&Audience::Mesh, &Caller::stranger(key(2).peer_id()), NOW)
        .into_result()
        .unwrap_err();
    assert_eq!(
        (problem.status, problem.code.as_str()),
        (403, "not_a_member")
    );
    let hint = problem.hint.unwrap();
    assert!(
        hint.contains("`peerage join CODE`")
            && hint.contains(&format!("`peerage trust {}`", key(2).peer_id()))
    );

    let list = Audience::Only(vec![
        Subject::Key(key(9).peer_id()),
        Subject::Name("o://secret/name".parse().unwrap()),
    ]);
    let bearer = caller(&[grant(2, "o://acme/bot", &["be", "call"])], false);
    let problem = decide(&list, &bearer, NOW).into_result().unwrap_err();
    assert!(problem.detail.contains("o://acme/bot"));
    let told = format!("{problem:?}");
    assert!(
        !told.contains("secret") && !told.contains(&key(9).peer_id().to_string()),
        "the list is not told"
    );

    assert_eq!(
        decide(&Audience::Public, &bearer, NOW).into_result(),
        Ok(())
    );
    assert!(decide(&Audience::Public, &bearer, NOW).is_allowed());
}

#[test]
fn an_audience_is_read_and_shown() {
    let peer = key(2).peer_id();
    let list = audience(&format!("o://acme/sales, {}", key(2).did()));
    assert_eq!(
        list,
        Audience::Only(vec![
            Subject::Name("o://acme/sales".parse().unwrap()),
            Subject::Key(peer)
        ])
    );
    assert_eq!(list.to_string(), format!("o://acme/sales, {peer}"));
    assert_eq!(
        serde_json::to_value(&list).unwrap(),
        json!(["o://acme/sales", peer.to_string()])
    );
    assert_eq!(serde_json::to_value(Audience::Mesh).unwrap(), json!("mesh"));
    assert_eq!(
        serde_json::to_value(Audience::Public).unwrap(),
        json!("public")
    );
    for audience in [
        Audience::Mesh,
        Audience::Public,
        list,
        Audience::Only(Vec::new()),
    ] {
        let json = serde_json::to_value(&audience).unwrap();
        assert_eq!(serde_json::from_value::<Audience>(json).unwrap(), audience);
    }
    assert_eq!(
        serde_json::from_value::<Audience>(json!("o://acme")).unwrap(),
        audience("o://acme")
    );
}

#[test]
fn says_what_is_wrong_with_an_audience() {
    let refused = |text: &str| text.parse::<Audience>().unwrap_err();
    assert_eq!(refused(" "), AudienceError::Empty);
    assert_eq!(refused("o://acme,,"), AudienceError::Empty);
    assert_eq!(refused("o://acme,mesh"), AudienceError::Alone("mesh"));
    assert_eq!(
        refused("everyone"),
        AudienceError::Unknown("everyone".to_owned())
    );
    assert!(matches!(refused("o://Acme"), AudienceError::Name(_)));
    assert!(matches!(
        refused("did:web:example.com"),
        AudienceError::Did(_)
    ));
    assert!(
        matches!(refused(&"x".repeat(1_000)), AudienceError::Unknown(text) if text.len() == 80)
    );
    assert_eq!(refused(&"o://acme,".repeat(257)), AudienceError::TooMany);
    assert!(serde_json::from_value::<Audience>(json!(vec!["o://acme"; 257])).is_err());
    assert!(
        serde_json::from_value::<Audience>(json!(["public"]))
            .unwrap_err()
            .to_string()
            .contains("alone")
    );
    assert!(
        serde_json::from_value::<Audience>(json!(true))
            .unwrap_err()
            .to_string()
            .contains("mesh")
    );
}

proptest! {
    #[test]
    fn what_is_read_goes_round(text in "(o://[a-z]{2,5}(/[a-z]{2,5}){0,2}|mesh|public)(,o://[a-z]{2,5}){0,3}|.{0,40}") {
        if let Ok(audience) = text.parse::<Audience>() {
            prop_assert_eq!(audience.to_string().parse::<Audience>(), Ok(audience));
        }
    }
}
