use std::sync::LazyLock;

use proptest::prelude::proptest;
use serde_json::{Value, json};

use super::{HEADER, Revocation, RevocationError};
use crate::{
    grant::{Chain, Claims, GrantId, Rights},
    identity::Identity,
    jws,
};

const AT: u64 = 1_500;

fn key(n: u8) -> Identity {
    Identity::from_secret([n; 32])
}

fn claims(sub: u8, path: &str, depth: u8, exp: u64) -> Claims {
    Claims {
        sub: key(sub).did(),
        path: path.parse().unwrap(),
        rights: if depth == 0 {
            Rights::member()
        } else {
            Rights::all()
        },
        nbf: 1_000,
        exp,
        depth,
    }
}

/// Root (key 1) → 2, o://acme → 3, o://acme/sales → 4, o://acme/sales/bot. One, for each that is made has ids of its own.
static CHAIN: LazyLock<Chain> = LazyLock::new(|| {
    let chain = Chain::issue_root(&key(1), claims(2, "o://acme", 3, 9_000)).unwrap();
    let chain = chain
        .delegate(&key(2), claims(3, "o://acme/sales", 2, 8_000))
        .unwrap();
    chain
        .delegate(&key(3), claims(4, "o://acme/sales/bot", 0, 7_000))
        .unwrap()
});

fn ids() -> Vec<GrantId> {
    CHAIN.verify(&key(1).did(), AT).unwrap().ids
}

#[test]
fn the_issuer_and_those_above_may_revoke_and_nobody_else() {
    for (link, until, may) in [
        (0, 9_000, vec![1]),
        (1, 8_000, vec![1, 2]),
        (2, 7_000, vec![1, 2, 3]),
    ] {
        for by in 1..=5 {
            let revocation = Revocation::issue(&key(by), &CHAIN, ids()[link], AT);
            if may.contains(&by) {
                let revoked = revocation.unwrap().verify(&key(1).did()).unwrap();
                assert_eq!((revoked.id, revoked.by), (ids()[link], key(by).did()));
                assert_eq!((revoked.at, revoked.until), (AT, until));
            } else {
                let by = key(by).did();
                assert_eq!(
                    revocation.unwrap_err(),
                    RevocationError::NotTheIssuer { by }
                );
            }
        }
    }
}

/// A statement that nobody who follows the rules would make.
fn forged(header: &str, signer: u8, payload: &Value) -> Revocation {
    let input = format!("{header}.{}", jws::encode(payload.to_string()));
    let signature = jws::encode(key(signer).sign(input.as_bytes()));
    Revocation {
        chain: CHAIN.clone(),
        statement: format!("{input}.{signature}"),
    }
}

#[test]
fn a_forged_one_is_refused() {
    let root = key(1).did();
    let payload = |iss: u8| json!({ "iss": key(iss).did(), "id": ids()[2], "at": AT });
    assert!(forged(HEADER, 2, &payload(2)).verify(&root).is_ok());
    let refused = |revocation: Revocation| revocation.verify(&root).unwrap_err();
    // By its subject, by a stranger, in the name of another.
    for by in [4, 5] {
        assert!(matches!(
            refused(forged(HEADER, by, &payload(by))),
            RevocationError::NotTheIssuer { .. }
        ));
    }
    assert_eq!(
        refused(forged(HEADER, 4, &payload(2))),
        RevocationError::Signature
    );
    // For another grant; with more in it; as an array; as a grant.
    let other = json!({ "iss": key(2).did(), "id": GrantId::of("x"), "at": AT });
    assert_eq!(
        refused(forged(HEADER, 2, &other)),
        RevocationError::OtherGrant
    );
    let mut more = payload(2);
    more["why"] = json!("because");
    assert!(matches!(
        refused(forged(HEADER, 2, &more)),
        RevocationError::Payload(_)
    ));
    let array = json!([key(2).did(), ids()[2], AT]);
    assert_eq!(refused(forged(HEADER, 2, &array)), RevocationError::Form);
    assert_eq!(
        refused(forged(crate::grant::link::HEADER, 2, &payload(2))),
        RevocationError::Form
    );
    // Of a mesh with another root; with a broken chain.
    let good = forged(HEADER, 2, &payload(2));
    assert!(matches!(
        good.verify(&key(9).did()),
        Err(RevocationError::Grant(_))
    ));
    let mut long = good.clone();
    long.statement.push_str(&"A".repeat(2_000));
    assert_eq!(refused(long), RevocationError::Form);
    let mut json = serde_json::to_value(&good).unwrap();
    json["chain"][1] = json["chain"][0].clone();
    let broken: Revocation = serde_json::from_value(json).unwrap();
    assert!(matches!(refused(broken), RevocationError::Grant(_)));
}

#[test]
fn an_expired_grant_can_still_be_revoked_and_json_goes_round() {
    let revocation = Revocation::issue(&key(1), &CHAIN, ids()[0], 100_000).unwrap();
    let json = serde_json::to_string(&revocation).unwrap();
    let again: Revocation = serde_json::from_str(&json).unwrap();
    assert_eq!(again, revocation);
    assert_eq!(again.verify(&key(1).did()).unwrap().until, 9_000);
    assert_eq!(revocation.root().unwrap(), key(1).did());
}

proptest! {
    #[test]
    fn garbage_is_an_error_and_no_panic(statement in ".{0,300}") {
        let revocation = Revocation { chain: CHAIN.clone(), statement };
        let _ = revocation.verify(&key(1).did());
    }
}
