use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};
use serde_json::{Value, json};

use super::{
    Chain, Claims, Grant, GrantError, GrantId, MAX_CHAIN_BYTES, MAX_LINK_BYTES, MAX_LINKS, Rights,
    RightsError, link::HEADER,
};
use crate::{address::Address, identity::Identity, jws, problem::Problem};

const NOW: u64 = 1_795_000_000;
const NBF: u64 = NOW - 100;
const EXP: u64 = NOW + 100_000;

fn key(n: u8) -> Identity {
    Identity::from_secret([n; 32])
}

fn address(text: &str) -> Address {
    text.parse().unwrap()
}

fn claims(sub: &Identity, path: &str, rights: Rights, depth: u8) -> Claims {
    Claims {
        sub: sub.did(),
        path: address(path),
        rights,
        nbf: NBF,
        exp: EXP,
        depth,
    }
}

/// Root (key 1) -> Anna (2, o://acme) -> Ben (3, o://acme/sales) -> bot (4, o://acme/sales/bot).
fn three() -> Chain {
    let chain = Chain::issue_root(&key(1), claims(&key(2), "o://acme", Rights::all(), 3)).unwrap();
    let chain = chain
        .delegate(&key(2), claims(&key(3), "o://acme/sales", Rights::all(), 2))
        .unwrap();
    chain
        .delegate(
            &key(3),
            claims(&key(4), "o://acme/sales/bot", Rights::member(), 0),
        )
        .unwrap()
}

fn verify(chain: &Chain) -> Result<Grant, GrantError> {
    chain.verify(&key(1).did(), NOW)
}

/// A link that nobody who follows the rules would make.
fn forge(signer: &Identity, payload: &str) -> String {
    forge_with(HEADER, signer, payload)
}

fn forge_with(header: &str, signer: &Identity, payload: &str) -> String {
    let input = format!("{header}.{}", jws::encode(payload));
    format!("{input}.{}", jws::encode(signer.sign(input.as_bytes())))
}

fn payload(link: &str) -> Value {
    serde_json::from_slice(&jws::decode(link.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

fn chain_of(links: &[String]) -> Result<Chain, GrantError> {
    links.join("~").parse()
}

/// The chain of three with the payload of one link changed and signed again by the key that `signer` says.
fn altered(link: usize, signer: u8, change: impl FnOnce(&mut Value)) -> GrantError {
    let mut links = three().links().to_vec();
    let mut value = payload(&links[link]);
    change(&mut value);
    links[link] = forge(&key(signer), &value.to_string());
    verify(&chain_of(&links[..=link]).unwrap()).unwrap_err()
}

#[test]
fn the_header_is_the_constant() {
    assert_eq!(
        jws::decode(HEADER).unwrap(),
        br#"{"alg":"EdDSA","typ":"o-grant+jwt"}"#
    );
}

#[test]
fn three_links_verify_and_say_what_they_grant() {
    let chain = three();
    let grant = verify(&chain).unwrap();
    assert_eq!((grant.root, grant.subject), (key(1).did(), key(4).did()));
    assert_eq!(
        (grant.path.as_str(), grant.depth),
        ("o://acme/sales/bot", 0)
    );
    assert_eq!(
        (grant.not_before, grant.expires, grant.ids.len()),
        (NBF, EXP, 3)
    );
    assert_eq!(grant.rights, Rights::member());
    assert_eq!(payload(&chain.links()[2])["prf"], json!(grant.ids[1]));
    assert_eq!(payload(&chain.links()[0]).get("prf"), None);
    assert_eq!(chain.root().unwrap(), key(1).did());
    assert_eq!(chain.subject().unwrap(), key(4).did());
}

#[test]
fn text_and_json_go_round() {
    let chain = three();
    let text = chain.to_string();
    assert_eq!(text.parse::<Chain>().unwrap(), chain);
    assert!(http::HeaderValue::from_str(&text).is_ok());
    let json = serde_json::to_string(&chain).unwrap();
    assert!(json.starts_with("[\"eyJ"));
    assert_eq!(serde_json::from_str::<Chain>(&json).unwrap(), chain);
    assert!(!format!("{chain:?}").contains("eyJ"));
}

#[test]
fn a_right_reaches_below_but_a_name_does_not() {
    let chain = Chain::issue_root(
        &key(1),
        claims(&key(2), "o://acme/sales", Rights::member(), 0),
    )
    .unwrap();
    let grant = verify(&chain).unwrap();
    for (path, right, allowed) in [
        ("o://acme/sales", Rights::CALL, true),
        ("o://acme/sales/bot", Rights::CALL, true),
        ("o://acme/sales", Rights::BE, true),
        ("o://acme/sales/bot", Rights::BE, false),
        ("o://acme/sales2", Rights::CALL, false),
        ("o://acme", Rights::CALL, false),
        ("o://acme/sales", Rights::GRANT, false),
        ("o://acme/sales", "fly", false),
    ] {
        assert_eq!(
            grant.allows(&address(path), right),
            allowed,
            "{path} {right}"
        );
    }
    assert_eq!(grant.name(), Some(&address("o://acme/sales")));
    let caller = Chain::issue_root(
        &key(1),
        claims(&key(2), "o://acme", Rights::new(["call"]).unwrap(), 0),
    )
    .unwrap();
    assert_eq!(verify(&caller).unwrap().name(), None);
}

#[test]
fn time_is_checked_with_a_little_slack_at_the_beginning_only() {
    let (chain, root) = (three(), key(1).did());
    assert!(chain.verify(&root, NBF - 60).is_ok());
    assert_eq!(
        chain.verify(&root, NBF - 61).unwrap_err(),
        GrantError::NotYetValid { link: 0, nbf: NBF }
    );
    let grant = chain.verify(&root, EXP - 1).unwrap();
    assert_eq!(
        chain.verify(&root, EXP).unwrap_err(),
        GrantError::Expired { link: 0, exp: EXP }
    );
    assert!(grant.is_valid_at(EXP - 1) && grant.is_valid_at(NBF - 60));
    assert!(
        !grant.is_valid_at(EXP) && !grant.is_valid_at(NBF - 61) && !grant.is_valid_at(u64::MAX)
    );
    assert!(grant.is_early_at(0));
}

#[test]
fn a_leaf_that_ends_earlier_expires_earlier() {
    let chain = Chain::issue_root(&key(1), claims(&key(2), "o://acme", Rights::all(), 1)).unwrap();
    let short = Claims {
        exp: NOW + 1,
        ..claims(&key(3), "o://acme/bot", Rights::member(), 0)
    };
    let chain = chain.delegate(&key(2), short).unwrap();
    assert_eq!(verify(&chain).unwrap().expires, NOW + 1);
    assert_eq!(
        chain.verify(&key(1).did(), NOW + 1).unwrap_err(),
        GrantError::Expired {
            link: 1,
            exp: NOW + 1
        }
    );
}

#[test]
fn several_devices_bear_one_name() {
    let chain =
        Chain::issue_root(&key(1), claims(&key(2), "o://acme/anna", Rights::all(), 1)).unwrap();
    let device = |n| {
        chain
            .delegate(
                &key(2),
                claims(&key(n), "o://acme/anna", Rights::member(), 0),
            )
            .unwrap()
    };
    let (phone, laptop) = (verify(&device(3)).unwrap(), verify(&device(4)).unwrap());
    assert_eq!(phone.name(), laptop.name());
    assert_ne!(phone.ids[1], laptop.ids[1], "each can be revoked alone");
}

#[test]
fn a_foreign_root_is_refused() {
    let error = three().verify(&key(9).did(), NOW).unwrap_err();
    assert_eq!(
        error,
        GrantError::ForeignRoot {
            found: key(1).did(),
            expected: key(9).did()
        }
    );
    // Somebody else who names our root has not its signature.
    assert_eq!(altered(0, 9, |_| ()), GrantError::Signature { link: 0 });
}

#[test]
fn each_rule_between_links_fires() {
    assert_eq!(
        altered(0, 1, |p| p["prf"] = json!("0".repeat(32))),
        GrantError::ProofAtRoot
    );
    assert_eq!(
        altered(1, 2, |p| p["iss"] = json!(key(9).did())),
        GrantError::Issuer {
            link: 1,
            found: key(9).did(),
            expected: key(2).did()
        }
    );
    assert_eq!(altered(1, 9, |_| ()), GrantError::Signature { link: 1 });
    assert_eq!(
        altered(1, 2, |p| p["prf"] = json!("0".repeat(32))),
        GrantError::Proof { link: 1 }
    );
    assert_eq!(
        altered(1, 2, |p| drop(p.as_object_mut().unwrap().remove("prf"))),
        GrantError::Proof { link: 1 }
    );
    assert_eq!(
        altered(2, 3, |p| p["rights"] = json!(["be", "call", "fly"])),
        GrantError::Widened {
            link: 2,
            right: "fly".to_owned()
        }
    );
    for path in [
        "o://acme/support",
        "o://acme/sales2",
        "o://acme",
        "o://other/sales",
    ] {
        assert_eq!(
            altered(2, 3, |p| p["path"] = json!(path)),
            GrantError::Outside {
                link: 2,
                path: address(path),
                above: address("o://acme/sales")
            }
        );
    }
    assert_eq!(
        altered(2, 3, |p| p["nbf"] = json!(NBF - 1)),
        GrantError::Earlier { link: 2 }
    );
    assert_eq!(
        altered(2, 3, |p| p["exp"] = json!(EXP + 1)),
        GrantError::Longer { link: 2 }
    );
    assert_eq!(
        altered(2, 3, |p| p["depth"] = json!(2)),
        GrantError::Deeper { link: 2, above: 2 }
    );
}

#[test]
fn without_the_right_to_grant_nothing_can_be_granted() {
    let chain = three();
    let mut links = chain.links().to_vec();
    let mut below = payload(&links[2]);
    below["iss"] = json!(key(4).did());
    below["prf"] = json!(verify(&chain).unwrap().ids[2]);
    links.push(forge(&key(4), &below.to_string()));
    assert_eq!(
        verify(&chain_of(&links).unwrap()).unwrap_err(),
        GrantError::MayNotGrant { link: 3 }
    );
}

#[test]
fn a_link_moved_under_another_chain_is_refused() {
    // The same holder got the same name twice; what was made under one does not hold under the other.
    let other = Chain::issue_root(&key(1), claims(&key(2), "o://acme", Rights::all(), 3)).unwrap();
    let mut links = three().links().to_vec();
    links[0] = other.links()[0].clone();
    assert_eq!(
        verify(&chain_of(&links).unwrap()).unwrap_err(),
        GrantError::Proof { link: 1 }
    );
    // Without its parent a link is nobody's.
    let orphan = chain_of(&three().links()[1..]).unwrap();
    assert!(matches!(
        verify(&orphan).unwrap_err(),
        GrantError::ForeignRoot { .. }
    ));
}

#[test]
fn a_malformed_payload_is_refused() {
    let refused = |change: fn(&mut Value)| match altered(0, 1, change) {
        GrantError::Payload { link: 0, reason } => reason,
        error => panic!("{error:?}"),
    };
    assert!(refused(|p| p["admin"] = json!(true)).contains("unknown field `admin`"));
    assert!(
        refused(|p| drop(p.as_object_mut().unwrap().remove("exp"))).contains("missing field `exp`")
    );
    assert!(refused(|p| p["rights"] = json!(["call", "call"])).contains("twice"));
    assert!(refused(|p| p["rights"] = json!(["Call"])).contains("no right"));
    assert!(refused(|p| p["rights"] = json!([])).contains("at least one"));
    assert!(refused(|p| p["path"] = json!("o://acme/../x")).contains("a-z"));
    assert!(refused(|p| p["path"] = json!("acme")).contains("o://"));
    assert!(refused(|p| p["exp"] = json!(NBF)).contains("ends before it begins"));
    assert!(refused(|p| p["exp"] = json!(1_u64 << 53)).contains("beyond"));
    assert!(refused(|p| p["exp"] = json!(-1)).contains("invalid value"));
    assert!(refused(|p| p["nbf"] = json!(1.5)).contains("invalid type"));
    assert!(refused(|p| p["depth"] = json!(256)).contains("invalid value"));
    assert!(refused(|p| p["jti"] = json!("")).contains("jti"));
    assert!(refused(|p| p["jti"] = json!("a b")).contains("jti"));
    assert!(refused(|p| p["prf"] = Value::Null).contains("null"));
    assert!(refused(|p| p["prf"] = json!("00FF".repeat(8))).contains("32 characters"));
    assert!(
        refused(|p| *p = p.as_object().unwrap().values().cloned().collect()).contains("object")
    );
    // The neutral element of the curve: with it, anybody could sign.
    let point = [&[0xed, 0x01, 0x01][..], &[0; 31]].concat();
    let weak = format!("did:key:z{}", bs58::encode(point).into_string());
    let error = altered(0, 1, |p| p["sub"] = json!(weak));
    assert!(error.to_string().contains("weak key"), "{error}");
}

#[test]
fn a_doubled_field_is_refused() {
    let text = payload(&three().links()[0]).to_string();
    for doubled in [
        "\"depth\":0",
        "\"sub\":\"did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK\"",
    ] {
        let twice = format!("{},{doubled}}}", text.strip_suffix('}').unwrap());
        let error = verify(&chain_of(&[forge(&key(1), &twice)]).unwrap()).unwrap_err();
        assert!(error.to_string().contains("duplicate field"), "{error}");
    }
}

#[test]
fn another_header_is_refused() {
    let text = payload(&three().links()[0]).to_string();
    for header in [
        r#"{"alg":"none","typ":"o-grant+jwt"}"#,
        r#"{"alg":"EdDSA","typ":"o-revoke+jwt"}"#,
        r#"{"typ":"o-grant+jwt","alg":"EdDSA"}"#,
        r#"{"alg":"EdDSA","typ":"o-grant+jwt","kid":"x"}"#,
    ] {
        let link = forge_with(&jws::encode(header), &key(1), &text);
        assert_eq!(
            verify(&chain_of(&[link]).unwrap()).unwrap_err(),
            GrantError::Header { link: 0 }
        );
    }
    let longer = forge_with(&format!("{HEADER}A"), &key(1), &text);
    assert_eq!(
        verify(&chain_of(&[longer]).unwrap()).unwrap_err(),
        GrantError::Header { link: 0 }
    );
}

#[test]
fn a_second_spelling_of_the_signature_is_refused_and_has_no_second_id() {
    let link = three().links()[0].clone();
    let (input, signature) = link.rsplit_once('.').unwrap();
    let last = signature.as_bytes()[85];
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let index = alphabet.iter().position(|c| *c == last).unwrap();
    let respelt = format!(
        "{input}.{}{}",
        &signature[..85],
        char::from(alphabet[index + 1])
    );
    assert_eq!(
        verify(&chain_of(&[respelt]).unwrap()).unwrap_err(),
        GrantError::Base64 { link: 0 }
    );
    assert_eq!(
        GrantId::of(input),
        verify(&chain_of(std::slice::from_ref(&link)).unwrap())
            .unwrap()
            .ids[0]
    );
}

#[test]
fn the_form_is_checked_before_anything_is_read() {
    let link = three().links()[0].clone();
    assert_eq!("".parse::<Chain>().unwrap_err(), GrantError::Empty);
    assert_eq!(
        "~".parse::<Chain>().unwrap_err(),
        GrantError::Form { link: 0 }
    );
    for bad in [
        "a.b", "a.b.c.d", "a..c", "a.b.c=", "a.b.c d", "hello", "a.b.ü",
    ] {
        assert_eq!(
            bad.parse::<Chain>().unwrap_err(),
            GrantError::Form { link: 0 },
            "{bad}"
        );
    }
    let many = vec![link; MAX_LINKS + 1];
    assert_eq!(chain_of(&many).unwrap_err(), GrantError::TooManyLinks);
    assert!(
        serde_json::from_value::<Chain>(json!(many))
            .unwrap_err()
            .to_string()
            .contains("more than 8 links")
    );
    assert!(serde_json::from_value::<Chain>(json!([])).is_err());
    assert!(serde_json::from_value::<Chain>(json!("a.b.c")).is_err());
    let long = format!("a.b.{}", "c".repeat(MAX_LINK_BYTES));
    assert_eq!(
        long.parse::<Chain>().unwrap_err(),
        GrantError::LinkTooLong {
            link: 0,
            bytes: MAX_LINK_BYTES + 4
        }
    );
    let error = "a"
        .repeat(MAX_CHAIN_BYTES + 1)
        .parse::<Chain>()
        .unwrap_err();
    assert_eq!(
        error,
        GrantError::ChainTooLong {
            bytes: MAX_CHAIN_BYTES + 1
        }
    );
    let not_base64 = format!("{HEADER}.A.A").parse::<Chain>().unwrap();
    assert_eq!(
        verify(&not_base64).unwrap_err(),
        GrantError::Base64 { link: 0 }
    );
}

#[test]
fn nobody_can_issue_what_would_be_refused() {
    let chain =
        Chain::issue_root(&key(1), claims(&key(2), "o://acme/sales", Rights::all(), 1)).unwrap();
    let issue = |claims| chain.delegate(&key(2), claims).unwrap_err();
    let fine = claims(&key(3), "o://acme/sales", Rights::member(), 0);
    assert!(chain.delegate(&key(2), fine.clone()).is_ok());
    assert_eq!(
        chain.delegate(&key(3), fine.clone()).unwrap_err(),
        GrantError::NotTheHolder {
            subject: key(2).did()
        }
    );
    assert_eq!(
        issue(Claims {
            exp: EXP + 1,
            ..fine.clone()
        }),
        GrantError::Longer { link: 1 }
    );
    assert_eq!(
        issue(Claims {
            depth: 1,
            ..fine.clone()
        }),
        GrantError::Deeper { link: 1, above: 1 }
    );
    assert!(matches!(
        issue(Claims {
            path: address("o://acme"),
            ..fine.clone()
        }),
        GrantError::Outside { .. }
    ));
    assert!(matches!(
        issue(Claims {
            exp: NBF,
            ..fine.clone()
        }),
        GrantError::Payload { .. }
    ));
    assert!(
        Chain::issue_root(
            &key(1),
            Claims {
                exp: u64::MAX,
                ..fine
            }
        )
        .is_err()
    );
}

#[test]
fn the_longest_chain_with_the_longest_claims_fits() {
    let longest = ["a"; 8].map(|a| a.repeat(63)).join("/");
    let rights = Rights::new(
        (0..15)
            .map(|n| format!("{n:032}"))
            .chain(["grant".to_owned()]),
    )
    .unwrap();
    let claims = |n: u8| Claims {
        depth: 8 - n,
        ..claims(&key(n + 1), &format!("o://{longest}"), rights.clone(), 0)
    };
    let mut chain = Chain::issue_root(&key(1), claims(1)).unwrap();
    for n in 2..=8 {
        chain = chain.delegate(&key(n), claims(n)).unwrap();
    }
    assert_eq!(verify(&chain).unwrap().ids.len(), MAX_LINKS);
    assert!(chain.to_string().len() <= MAX_CHAIN_BYTES);
    let error = chain.delegate(&key(9), claims(8)).unwrap_err();
    assert_eq!(error, GrantError::TooManyLinks);
}

#[test]
fn rights_are_words() {
    assert_eq!(Rights::new(["call", "be"]).unwrap(), Rights::member());
    assert_eq!(Rights::all().to_string(), "be, call, grant");
    assert_eq!(
        Rights::new([""; 1]).unwrap_err(),
        RightsError::Word(String::new())
    );
    assert_eq!(
        Rights::new(["a"; 2]).unwrap_err(),
        RightsError::Twice("a".to_owned())
    );
    assert_eq!(Rights::new([""; 0]).unwrap_err(), RightsError::Empty);
    assert_eq!(
        Rights::new((0..17).map(|n| n.to_string())).unwrap_err(),
        RightsError::TooMany
    );
    assert!(matches!(
        Rights::new(["x".repeat(33)]).unwrap_err(),
        RightsError::Word(_)
    ));
    let unknown = Rights::new(["call", "teleport"]).unwrap();
    let chain =
        Chain::issue_root(&key(1), claims(&key(2), "o://acme", unknown.clone(), 0)).unwrap();
    assert_eq!(
        verify(&chain).unwrap().rights,
        unknown,
        "kept for those who know it"
    );
}

#[test]
fn a_refusal_is_a_problem_with_a_code() {
    let problem = Problem::from(GrantError::Expired { link: 0, exp: EXP });
    assert_eq!(
        (problem.status, problem.code.as_str()),
        (403, "grant_expired")
    );
    assert!(problem.hint.unwrap().contains("peerage join"));
    assert_eq!(Problem::from(GrantError::Empty).code, "grant_invalid");
}

proptest! {
    #[test]
    fn an_altered_character_anywhere_is_refused(at in any::<proptest::sample::Index>(), to in "[A-Za-z0-9_.~-]") {
        let text = three().to_string();
        let at = at.index(text.len());
        let mut other = text.clone();
        other.replace_range(at..=at, &to);
        if other != text {
            prop_assert!(other.parse().and_then(|chain| verify(&chain)).is_err());
        }
    }

    #[test]
    fn garbage_is_an_error_and_no_panic(text in ".{0,300}", payload in ".{0,200}") {
        let _ = text.parse::<Chain>();
        let _ = serde_json::from_str::<Chain>(&text);
        let chain = chain_of(&[forge(&key(1), &payload)]);
        if let Ok(chain) = chain {
            prop_assert!(verify(&chain).is_err());
            let _ = (chain.root(), chain.subject(), format!("{chain:?}"));
        }
    }

    /// Whatever a holder tries, the grant never exceeds what the holder had.
    #[test]
    fn delegation_never_widens(
        path in "o://acme(/(sales|support|bot)){0,3}",
        rights in proptest::collection::btree_set("be|call|grant|fly", 1..4),
        nbf in NBF - 10..NBF + 10,
        exp in EXP - 10..EXP + 10,
        depth in 0_u8..4,
    ) {
        let parent = Claims {
            rights: Rights::new(["call", "grant"]).unwrap(),
            ..claims(&key(2), "o://acme/sales", Rights::all(), 2)
        };
        let chain = Chain::issue_root(&key(1), parent.clone()).unwrap();
        let child = Claims { sub: key(3).did(), path: address(&path), rights: Rights::new(rights).unwrap(), nbf, exp, depth };
        let within = parent.path.covers(&child.path)
            && child.rights.iter().all(|right| parent.rights.contains(right))
            && nbf >= NBF && exp <= EXP && depth < 2;
        let delegated = chain.delegate(&key(2), child);
        prop_assert_eq!(delegated.is_ok(), within);
        if let Ok(chain) = delegated {
            prop_assert!(verify(&chain).is_ok());
        }
    }
}
