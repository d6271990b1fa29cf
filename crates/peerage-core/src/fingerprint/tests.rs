use libp2p_identity::PeerId;

use super::{fingerprint, groups, pair_fingerprint};
use crate::{did::DidError, identity::Identity};

#[test]
fn is_eight_groups_of_four_and_the_same_for_everyone() {
    let identity = Identity::from_insecure_phrase("test-seed");
    let text = fingerprint(&identity.peer_id()).unwrap();
    assert_eq!(text, identity.did().fingerprint());
    assert_eq!(text.split('-').map(str::len).collect::<Vec<_>>(), [4; 8]);
    assert_ne!(text, Identity::generate().did().fingerprint());
    assert_eq!(text, "b9hv-zh5v-9bbm-8bgr-2968-rbdp-m70a-dc0r");
}

#[test]
fn the_digits_are_those_of_crockford() {
    let mut hash = [0xff; 32];
    hash[0] = 0;
    assert_eq!(groups(&hash), "03zz-zzzz-zzzz-zzzz-zzzz-zzzz-zzzz-zzzz");
    hash[19] = 0b1110_0001;
    assert!(groups(&hash).ends_with("-zzz1"));
}

#[test]
fn a_pair_has_one_fingerprint_whoever_asks() {
    let (a, b) = (
        Identity::generate().peer_id(),
        Identity::generate().peer_id(),
    );
    assert_eq!(pair_fingerprint(&a, &b), pair_fingerprint(&b, &a));
    assert_ne!(pair_fingerprint(&a, &b), pair_fingerprint(&a, &a));
    assert_ne!(pair_fingerprint(&a, &a), fingerprint(&a));
    assert_eq!(fingerprint(&PeerId::random()), Err(DidError::OtherPeerId));
}
