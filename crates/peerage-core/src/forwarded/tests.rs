use proptest::{prelude::any, prop_assert, proptest};

use super::{
    CLOCK_SKEW, ForwardError, LIFE, Message, Signature, check_digest, digest, sign, verify,
};
use crate::{address::Address, identity::Identity};

const NOW: u64 = 1_795_000_000;

fn origin() -> Identity {
    Identity::from_secret([4; 32])
}

fn bob() -> Address {
    "o://acme/partners/bob".parse().unwrap()
}

fn message<'a>(name: &'a Address, digest: &'a str) -> Message<'a> {
    Message {
        method: "POST",
        name,
        path: "mcp/quotes?x=1",
        digest,
        grants: vec!["a.b.c~d.e.f", "g.h.i"],
    }
}

fn signed(name: &Address, digest: &str) -> Signature {
    sign(&origin(), &message(name, digest), NOW, [7; 16])
}

#[test]
fn a_signature_is_what_the_rfc_says_and_names_its_signer() {
    let (name, digest) = (bob(), digest(b"{}"));
    let signature = signed(&name, &digest);
    let did = origin().did();
    assert_eq!(
        signature.input,
        format!(
            "origin=(\"@method\" \"@target-uri\" \"@authority\" \"content-digest\" \"peerage-grant\");created={NOW};expires={};nonce=\"BwcHBwcHBwcHBwcHBwcHBw\";keyid=\"{did}\";alg=\"ed25519\";tag=\"peerage-forward\"",
            NOW + LIFE
        )
    );
    let parameters = signature.input.trim_start_matches("origin=");
    let base = message(&name, &digest).base(parameters);
    let lines: Vec<&str> = base.lines().collect();
    assert_eq!(lines[0], "\"@method\": POST");
    assert_eq!(
        lines[1],
        "\"@target-uri\": o://acme/partners/bob/-/mcp/quotes?x=1"
    );
    assert_eq!(lines[2], "\"@authority\": acme");
    assert_eq!(lines[3], format!("\"content-digest\": {digest}"));
    assert_eq!(lines[4], "\"peerage-grant\": a.b.c~d.e.f, g.h.i");
    assert_eq!(lines[5], format!("\"@signature-params\": {parameters}"));
    assert_eq!((lines.len(), base.ends_with('\n')), (6, false));
    let verified = verify(&message(&name, &digest), &signature, NOW).unwrap();
    assert_eq!((verified.by, verified.expires), (did, NOW + LIFE));
}

#[test]
fn what_was_altered_is_refused() {
    let (name, digest) = (bob(), digest(b"{}"));
    let signature = signed(&name, &digest);
    let whole = message(&name, &digest);
    let (other_name, other_digest) = (
        "o://acme/partners/eve".parse().unwrap(),
        super::digest(b"[]"),
    );
    let altered = [
        Message {
            method: "GET",
            ..whole.clone()
        },
        Message {
            name: &other_name,
            ..whole.clone()
        },
        Message {
            path: "mcp/quotes?x=2",
            ..whole.clone()
        },
        Message {
            digest: &other_digest,
            ..whole.clone()
        },
        Message {
            grants: vec!["a.b.c~d.e.f"],
            ..whole.clone()
        },
    ];
    for altered in altered {
        let error = verify(&altered, &signature, NOW).unwrap_err();
        assert_eq!(
            error,
            ForwardError::Signature(origin().did()),
            "{altered:?}"
        );
    }
    let without = Message {
        grants: Vec::new(),
        ..whole.clone()
    };
    assert_eq!(
        verify(&without, &signature, NOW),
        Err(ForwardError::Covered)
    );
    let eve = Identity::from_secret([5; 32]);
    let stolen = signature
        .input
        .replace(&origin().did().to_string(), &eve.did().to_string());
    let stolen = Signature {
        input: stolen,
        ..signature
    };
    assert_eq!(
        verify(&whole, &stolen, NOW),
        Err(ForwardError::Signature(eve.did()))
    );
}

#[test]
fn it_holds_for_a_moment() {
    let (name, digest) = (bob(), digest(b""));
    let (message, signature) = (message(&name, &digest), signed(&name, &digest));
    assert!(verify(&message, &signature, NOW - CLOCK_SKEW).is_ok());
    assert!(matches!(
        verify(&message, &signature, NOW - CLOCK_SKEW - 1),
        Err(ForwardError::Early { .. })
    ));
    assert!(verify(&message, &signature, NOW + LIFE - 1).is_ok());
    assert!(matches!(
        verify(&message, &signature, NOW + LIFE),
        Err(ForwardError::Expired { .. })
    ));
    let long = signature
        .input
        .replace(&(NOW + LIFE).to_string(), &(NOW + 301).to_string());
    let long = Signature {
        input: long,
        ..signature
    };
    assert_eq!(verify(&message, &long, NOW), Err(ForwardError::LongLived));
}

#[test]
fn what_is_missing_or_other_is_told() {
    let (name, digest) = (bob(), digest(b""));
    let (message, signature) = (message(&name, &digest), signed(&name, &digest));
    for (from, to, parameter) in [
        ("ed25519", "hmac-sha256", "alg"),
        ("peerage-forward", "other", "tag"),
        ("did:key:", "did:web:", "keyid"),
        ("BwcHBwcHBwcHBwcHBwcHBw", "", "nonce"),
        (";created=1795000000", ";created=\"1\"", "created"),
        (";alg=", ";more=1;alg=", "(another)"),
    ] {
        let input = signature.input.replace(from, to);
        let altered = Signature {
            input,
            ..signature.clone()
        };
        assert_eq!(
            verify(&message, &altered, NOW),
            Err(ForwardError::Parameter(parameter))
        );
    }
    for (from, to) in [
        ("\"@method\" ", ""),
        ("\"@method\"", "\"@method\";sf"),
        ("\"@method\"", "@method"),
    ] {
        let input = signature.input.replace(from, to);
        let altered = Signature {
            input,
            ..signature.clone()
        };
        assert!(verify(&message, &altered, NOW).is_err());
    }
    for (input, value) in [
        ("", ""),
        ("origin", "origin"),
        (signature.input.as_str(), "origin=:AA==:"),
        (&signature.input, ""),
        (
            &signature.input.replace("origin=", "other="),
            &signature.value,
        ),
    ] {
        let altered = Signature {
            input: input.to_owned(),
            value: value.to_owned(),
        };
        assert!(
            matches!(verify(&message, &altered, NOW), Err(ForwardError::Form(_))),
            "{altered:?}"
        );
    }
}

#[test]
fn a_body_is_the_one_that_was_digested() {
    assert_eq!(
        digest(b"{\"hello\": \"world\"}"),
        "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:"
    );
    assert!(check_digest(&digest(b"a"), b"a").is_ok());
    for header in ["", "sha-256", "sha-512=:AA==:", "sha-256=:AA==:", "\u{ff}"] {
        assert_eq!(
            check_digest(header, b"a"),
            Err(ForwardError::Digest),
            "{header}"
        );
    }
    assert_eq!(check_digest(&digest(b"a"), b"b"), Err(ForwardError::Digest));
}

proptest! {
    /// Whatever stands in the headers, it is refused unless it was signed, and nothing panics.
    #[test]
    fn no_other_headers_count(input in any::<String>(), value in any::<String>()) {
        let (name, digest) = (bob(), digest(b""));
        let signature = Signature { input, value };
        prop_assert!(verify(&message(&name, &digest), &signature, NOW).is_err());
    }
}
