use libp2p_identity::{PeerId, ed25519};
use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

use super::{Did, DidError};
use crate::identity::Identity;

/// The example of the W3C did:key specification.
const W3C: &str = "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK";

#[test]
fn reads_the_example_of_the_specification() {
    let did: Did = W3C.parse().unwrap();
    assert_eq!(
        data_encoding::HEXLOWER.encode(did.public_key()),
        "2e6fcce36701dc791488e0d0b1745cc1e33a4c1c9fcc41c63bd343dbbe0970e6"
    );
    assert_eq!(did.to_string(), W3C);
    assert_eq!(Did::from_peer_id(&did.peer_id()).unwrap(), did);
    assert_eq!(did.key_url(), format!("{W3C}#{}", &W3C["did:key:".len()..]));
    assert_eq!(serde_json::to_string(&did).unwrap(), format!("\"{W3C}\""));
    assert_eq!(
        serde_json::from_str::<Did>(&format!("\"{W3C}\"")).unwrap(),
        did
    );
    assert_eq!(format!("{did:?}"), format!("Did({W3C})"));
}

#[test]
fn the_peer_id_is_the_one_libp2p_makes() {
    let identity = Identity::from_secret([9; 32]);
    let key = ed25519::PublicKey::try_from_bytes(identity.did().public_key()).unwrap();
    assert_eq!(
        identity.did().peer_id(),
        PeerId::from_public_key(&key.into())
    );
}

#[test]
fn says_what_is_wrong() {
    let refused = |text: &str| text.parse::<Did>().unwrap_err();
    assert_eq!(refused(""), DidError::NotDidKey);
    assert_eq!(refused("did:web:example.com"), DidError::NotDidKey);
    assert_eq!(refused("did:key:z6Mk0OIl"), DidError::NotBase58);
    assert_eq!(refused(&W3C[..W3C.len() - 3]), DidError::OtherKey);
    let short = bs58::encode([&[0xed, 0x01][..], &[7; 31]].concat()).into_string();
    assert_eq!(refused(&format!("did:key:z{short}")), DidError::InvalidKey);
    assert_eq!(
        refused(&format!("{W3C}{}", "1".repeat(100))),
        DidError::TooLong
    );
    // The specification's example of a P-256 key.
    assert_eq!(
        refused("did:key:zDnaerx9CtbPJ1q36T5Ln5wYt3MQYeGRG5ehnPAmxcf5mDZpv"),
        DidError::OtherKey
    );
    assert!(
        serde_json::from_str::<Did>("\"x\"")
            .unwrap_err()
            .to_string()
            .contains("did:key:z")
    );
}

#[test]
fn a_peer_id_without_an_ed25519_key_is_refused() {
    let rsa: PeerId = "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N"
        .parse()
        .unwrap();
    assert_eq!(Did::from_peer_id(&rsa), Err(DidError::OtherPeerId));
    assert_eq!(
        Did::from_peer_id(&PeerId::random()),
        Err(DidError::OtherPeerId)
    );
}

#[test]
fn weak_and_doubly_spelt_keys_are_refused() {
    let mut identity_point = [0; 32];
    identity_point[0] = 1;
    assert_eq!(
        Did::from_public_key(&identity_point),
        Err(DidError::WeakKey)
    );
    assert_eq!(Did::from_public_key(&[0; 32]), Err(DidError::WeakKey));
    // y = p + 3: the same point as y = 3, encoded a second time.
    let mut second_spelling = [0xff; 32];
    second_spelling[0] = 0xf0;
    second_spelling[31] = 0x7f;
    let mut first_spelling = [0; 32];
    first_spelling[0] = 3;
    assert!(Did::from_public_key(&first_spelling).is_ok());
    assert_eq!(
        Did::from_public_key(&second_spelling),
        Err(DidError::InvalidKey)
    );
}

proptest! {
    #[test]
    fn every_key_has_both_spellings(secret in any::<[u8; 32]>()) {
        let did = Identity::from_secret(secret).did();
        prop_assert_eq!(did.to_string().parse::<Did>().unwrap(), did);
        prop_assert_eq!(Did::from_peer_id(&did.peer_id()).unwrap(), did);
        prop_assert!(did.to_string().starts_with("did:key:z6Mk"));
    }

    #[test]
    fn garbage_is_an_error_and_no_panic(text in ".{0,200}", tail in "[1-9A-HJ-NP-Za-km-z]{0,60}") {
        let _ = text.parse::<Did>();
        let _ = format!("did:key:z{tail}").parse::<Did>();
    }
}
