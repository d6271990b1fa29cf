use multiaddr::Multiaddr;
use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

use super::{Invite, InviteError, InviteSecret, MAX_ADDRESSES, MAX_CODE, PREFIX, code::seal};
use crate::identity::Identity;

const EXPIRES: u64 = 1_795_000_900;

fn address(text: &str) -> Multiaddr {
    text.parse().unwrap()
}

fn invite() -> Invite {
    let inviter = Identity::from_secret([1; 32]).peer_id();
    let addresses = [
        address("/ip4/192.168.1.20/tcp/4001"),
        address("/ip4/192.168.1.20/udp/4001/quic-v1")
            .with_p2p(inviter)
            .unwrap(),
        address("/ip6/2001:db8::1/tcp/4001"),
    ];
    Invite::new(&inviter, addresses, EXPIRES).unwrap()
}

#[test]
fn goes_round() {
    let invite = invite();
    let code = invite.encode();
    assert!(
        code.starts_with(PREFIX) && code.len() < 200,
        "{} characters",
        code.len()
    );
    let read = Invite::decode(&code).unwrap();
    assert_eq!(read, invite);
    assert_eq!(read.inviter(), Identity::from_secret([1; 32]).peer_id());
    assert_eq!(
        read.addresses()[1],
        address("/ip4/192.168.1.20/udp/4001/quic-v1")
    );
    assert_eq!(read.secret_hash(), invite.secret().hash());
    assert!(!read.is_expired_at(EXPIRES - 1) && read.is_expired_at(EXPIRES));
    assert_ne!(
        self::invite().secret_hash(),
        invite.secret_hash(),
        "each has a secret of its own"
    );
}

#[test]
fn what_people_do_to_codes_is_forgiven() {
    let invite = invite();
    let code = invite.encode();
    let (one, two) = code.split_at(60);
    let look_alikes = code[PREFIX.len()..].replace('0', "O").replace('1', "l");
    for written in [
        code.to_uppercase(),
        format!("  {code}\r\n"),
        format!("{one}\n    {two}"),
        format!("{one}-{two}"),
        format!("{PREFIX}{look_alikes}"),
    ] {
        assert_eq!(Invite::decode(&written).unwrap(), invite, "{written}");
        assert_eq!(written.parse::<Invite>().unwrap(), invite);
    }
}

#[test]
fn says_what_is_wrong() {
    let code = invite().encode();
    let refused = |text: &str| Invite::decode(text).unwrap_err();
    for text in ["", "peerage", "hello world", "12D3KooW", "日本語日本語"] {
        assert_eq!(refused(text), InviteError::NoPrefix, "{text}");
    }
    assert_eq!(
        refused(&format!("{code}{}", "0".repeat(MAX_CODE))),
        InviteError::TooLong
    );
    assert_eq!(
        refused("peerage-abu"),
        InviteError::Character {
            character: 'u',
            position: 11
        }
    );
    assert_eq!(
        refused("peerage-日"),
        InviteError::Character {
            character: '日',
            position: 9
        }
    );
    assert_eq!(refused(PREFIX), InviteError::CutShort);
    for length in PREFIX.len()..code.len() {
        let error = refused(&code[..length]);
        assert!(
            matches!(error, InviteError::CutShort | InviteError::Checksum),
            "{length}: {error:?}"
        );
    }
    assert_eq!(refused(&code[..code.len() - 8]), InviteError::CutShort);
    assert_eq!(refused(&format!("{code}abc0")), InviteError::Trailing);
}

#[test]
fn keeps_the_first_addresses_that_fit() {
    let inviter = Identity::generate().peer_id();
    let long = address(&format!("/dns4/{}.example/tcp/1", "a".repeat(100)));
    let many = (1..20).map(|port| address(&format!("/ip4/127.0.0.1/tcp/{port}")));
    let own = address(&format!("/p2p/{inviter}"));
    let invite = Invite::new(&inviter, [own, long].into_iter().chain(many), EXPIRES).unwrap();
    assert_eq!(invite.addresses().len(), MAX_ADDRESSES);
    assert_eq!(invite.addresses()[0], address("/ip4/127.0.0.1/tcp/1"));

    let longest = (0..9).map(|_| address(&format!("/dns4/{}/tcp/1", "a".repeat(87))));
    let invite = Invite::new(&inviter, longest, u64::MAX).unwrap();
    assert_eq!(
        (invite.addresses().len(), invite.addresses()[0].len()),
        (MAX_ADDRESSES, super::MAX_ADDRESS_BYTES)
    );
    let code = invite.encode();
    assert!(code.len() <= MAX_CODE, "{}", code.len());
    assert_eq!(Invite::decode(&code).unwrap(), invite);

    let none = Invite::new(&inviter, [], EXPIRES).unwrap();
    assert_eq!(Invite::decode(&none.encode()).unwrap(), none);
    assert!(Invite::new(&libp2p_identity::PeerId::random(), [], EXPIRES).is_err());
}

#[test]
fn a_relayed_address_keeps_the_relay() {
    let inviter = Identity::generate().peer_id();
    let relay = Identity::generate().peer_id();
    let circuit = address(&format!("/ip4/192.0.2.1/tcp/4001/p2p/{relay}/p2p-circuit"));
    let invite = Invite::new(
        &inviter,
        [circuit.clone().with_p2p(inviter).unwrap()],
        EXPIRES,
    )
    .unwrap();
    assert_eq!(invite.addresses(), [circuit]);
}

#[test]
fn nothing_but_the_code_shows_the_secret() {
    let invite = invite();
    let secret = serde_json::to_string(invite.secret()).unwrap();
    let secret = secret.trim_matches('"');
    let decimal = format!("{:?}", invite.secret().as_bytes());
    for shown in [
        format!("{invite}"),
        format!("{invite:?}"),
        format!("{:?}", invite.secret()),
    ] {
        assert!(
            !shown.contains(secret)
                && !shown.contains(&decimal)
                && !shown.contains(&invite.encode()),
            "{shown}"
        );
    }
    assert!(invite.to_string().contains(&invite.inviter().to_string()));
    assert_eq!(secret.parse::<InviteSecret>().unwrap(), *invite.secret());
    assert!("00".parse::<InviteSecret>().is_err());
}

/// Codes that no version of this program writes, with a checksum that fits.
#[test]
fn a_whole_code_of_another_kind_is_told_apart() {
    assert_eq!(
        Invite::decode(&seal(2, &[0; 10])).unwrap_err(),
        InviteError::Version { found: 2 }
    );
    assert!(matches!(
        Invite::decode(&seal(1, &[0; 10])).unwrap_err(),
        InviteError::Content(_)
    ));
    assert!(matches!(
        Invite::decode(&seal(1, &[0; 56])).unwrap_err(),
        InviteError::Inviter(_)
    ));
    let mut body = Identity::generate().did().public_key().to_vec();
    body.extend([0; 24]);
    assert!(Invite::decode(&seal(1, &body)).is_ok());
    for addresses in [&[9, 1][..], &[0], &[200; 201], &[1, 4].repeat(7)] {
        let body = [&body, addresses].concat();
        assert!(
            matches!(
                Invite::decode(&seal(1, &body)).unwrap_err(),
                InviteError::Content(_)
            ),
            "{addresses:?}"
        );
    }
    let unknown_protocol = [&body[..], &[3, 0xff, 0xff, 0x7f]].concat();
    assert_eq!(
        Invite::decode(&seal(1, &unknown_protocol))
            .unwrap()
            .addresses(),
        []
    );
}

proptest! {
    #[test]
    fn every_invite_goes_round(
        secret in any::<[u8; 32]>(), expires in any::<u64>(), ports in proptest::collection::vec(any::<u16>(), 0..8),
    ) {
        let addresses = ports.iter().map(|port| address(&format!("/ip4/10.0.0.1/udp/{port}/quic-v1")));
        let invite = Invite::new(&Identity::from_secret(secret).peer_id(), addresses, expires).unwrap();
        prop_assert_eq!(Invite::decode(&invite.encode()).unwrap(), invite);
    }

    #[test]
    fn one_wrong_character_is_noticed(at in any::<proptest::sample::Index>(), to in "[0-9a-hjkmnp-tv-z]") {
        let code = invite().encode();
        let at = PREFIX.len() + at.index(code.len() - PREFIX.len());
        let mut other = code.clone();
        other.replace_range(at..=at, &to);
        prop_assert_eq!(Invite::decode(&other).is_err(), other != code);
    }

    #[test]
    fn garbage_is_an_error_and_no_panic(text in ".{0,1200}", digits in "[0-9a-z -]{0,300}") {
        prop_assert!(Invite::decode(&text).is_err());
        let prefixed = format!("{PREFIX}{digits}");
        prop_assert!(Invite::decode(&prefixed).is_err());
    }
}
