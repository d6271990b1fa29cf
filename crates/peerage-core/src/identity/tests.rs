use base64::{Engine as _, prelude::BASE64_STANDARD, prelude::BASE64_URL_SAFE_NO_PAD};
use proptest::prelude::{any, prop_assert_eq, proptest};

use super::{Identity, SeedError, parse_seed_file};

#[test]
fn phrases_give_the_identities_that_other_software_derives() {
    for (phrase, peer) in [
        (
            "test-seed",
            "12D3KooWDvP6FWsRygrC8hN1cAQ5x92FQLsTXXXZYekN9eGTsZUU",
        ),
        (
            "leader-seed",
            "12D3KooWJTvUZHSyNEHV4vmP21AEYWd1iAwchcnGv6cFP1p5bRFt",
        ),
        (
            "calc-seed",
            "12D3KooWPLDeDQbbXStYdxu4wmgUvWLhzqEDCATfEDDgwLx4Ppzd",
        ),
        (
            "日本",
            "12D3KooWQ6oSKL8KWpnLBsDPboKnG8WtsKXWqoqGW8u4ZfUuJDAq",
        ),
        ("", "12D3KooWNeFQq6UZ8meyknx3sH7CGZUsJsSNntzRsDuFTdAwpDBP"),
    ] {
        assert_eq!(
            Identity::from_insecure_phrase(phrase).peer_id().to_string(),
            peer,
            "{phrase:?}"
        );
    }
}

#[test]
fn a_root_always_gives_the_same_identity_which_is_not_the_root_itself() {
    let root = [7; 32];
    let identity = Identity::from_root(&root);
    assert_eq!(identity.peer_id(), Identity::from_root(&root).peer_id());
    assert_ne!(identity.peer_id(), Identity::from_secret(root).peer_id());
    // Pinned: a change here would give every node with a stored root a new identity.
    assert_eq!(
        identity.peer_id().to_string(),
        "12D3KooWJ3t23AkHxkF8XbnWEYbc7xNuF3yUz9WY4WSC2gmAqfF5"
    );
}

#[test]
fn debug_and_clone_show_no_secret() {
    let identity = Identity::from_secret([0xab; 32]);
    let shown = format!("{:?} {:#?}", identity, identity.clone());
    assert_eq!(shown.matches(&identity.peer_id().to_string()).count(), 2);
    assert!(
        !shown.to_lowercase().contains("abab") && !shown.contains("171"),
        "{shown}"
    );
}

#[test]
fn the_secret_makes_the_identity_again() {
    let identity = Identity::generate();
    assert_eq!(
        Identity::from_secret(*identity.secret()).did(),
        identity.did()
    );
    assert_eq!(identity.keypair().public().to_peer_id(), identity.peer_id());
}

#[test]
fn a_signature_is_checked_strictly() {
    let identity = Identity::from_secret([1; 32]);
    let mut signature = identity.sign(b"message");
    assert!(identity.did().verify(b"message", &signature));
    assert!(!identity.did().verify(b"massage", &signature));
    assert!(
        !Identity::from_secret([2; 32])
            .did()
            .verify(b"message", &signature)
    );
    signature[0] ^= 1;
    assert!(!identity.did().verify(b"message", &signature));
}

#[test]
fn a_phrase_is_not_a_seed_file() {
    for phrase in [
        "correct horse battery staple",
        "",
        "\n",
        "exactly thirty-two letters here!",
        "exactly thirty-two letters her\r\n",
        "これは三十二バイトの文です。.",
        "0123456789abcdef0123456789abcdef",
        "zz23456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    ] {
        assert_eq!(
            parse_seed_file(phrase.as_bytes()),
            Err(SeedError::NotAKey),
            "{phrase:?}"
        );
    }
    let message = SeedError::NotAKey.to_string();
    assert!(message.contains("guessable phrase is not a key"));
    assert_eq!(parse_seed_file(&[0; 32]), Err(SeedError::Regular));
    assert_eq!(
        parse_seed_file("0".repeat(64).as_bytes()),
        Err(SeedError::Regular)
    );
    assert_eq!(parse_seed_file(&[b'a'; 1000]), Err(SeedError::TooLong));
}

proptest! {
    #[test]
    fn a_seed_is_read_in_each_of_its_spellings(mut seed in any::<[u8; 32]>(), newline in "\r?\n?") {
        // A control character and an odd byte out: neither a text nor uniform.
        seed[3] = 0;
        seed[4] = 0xff;
        prop_assert_eq!(*parse_seed_file(&seed).unwrap(), seed);
        for text in [
            data_encoding::HEXLOWER.encode(&seed),
            data_encoding::HEXUPPER.encode(&seed),
            BASE64_STANDARD.encode(seed),
            BASE64_URL_SAFE_NO_PAD.encode(seed),
        ] {
            prop_assert_eq!(*parse_seed_file(format!("{text}{newline}").as_bytes()).unwrap(), seed);
        }
    }

    #[test]
    fn garbage_is_an_error_and_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = parse_seed_file(&bytes);
    }
}
