use proptest::{collection::vec, prelude::*};

use super::*;

fn peer(seed: u8) -> PeerId {
    // An Ed25519 PeerId is the key itself behind this prefix; any 32 bytes do here.
    let mut bytes = vec![0x00, 0x24, 0x08, 0x01, 0x12, 0x20];
    bytes.extend(Sha256::digest([seed]));
    PeerId::from_bytes(&bytes).unwrap()
}

fn at(seed: u8, server: &str, tool: &str) -> Coordinates {
    Coordinates {
        peer: peer(seed),
        server: server.into(),
        tool: tool.into(),
    }
}

fn tag(seed: u8) -> String {
    let text = peer(seed).to_base58();
    text[text.len() - TAG_LEN..].to_owned()
}

#[test]
fn an_ordinary_tool_is_readable() {
    assert_eq!(
        tool_name("workstation", &at(1, "files", "list_directory")),
        format!("workstation-{}__files__list_directory", tag(1))
    );
}

#[test]
fn peers_with_the_same_name_do_not_meet() {
    assert_ne!(
        tool_name("desk", &at(1, "files", "read")),
        tool_name("desk", &at(2, "files", "read"))
    );
}

#[test]
fn a_nameless_peer_still_has_a_prefix() {
    assert_eq!(
        tool_name("  !!  ", &at(1, "a", "b")),
        format!("peer-{}__a__b", tag(1))
    );
}

#[test]
fn long_names_keep_the_beginning_of_the_tool() {
    let tool = "read_all_of_the_many_files_of_a_directory_and_its_children";
    let name = tool_name("workstation", &at(1, "filesystem", tool));
    assert_eq!(name.len(), MAX_NAME_LEN);
    assert!(name.contains("_read_all_of_the"), "{name}");
}

#[test]
fn separators_inside_names_do_not_confuse() {
    let pairs = [
        ("a", "b__c"),
        ("a__b", "c"),
        ("a_", "b"),
        ("a", "_b"),
        ("a.b", "c"),
        ("a-b", "c"),
        ("a", "b.c"),
        ("a", "b-c"),
        ("", "a"),
        ("a", ""),
    ];
    let names: BTreeSet<_> = pairs
        .iter()
        .map(|(server, tool)| tool_name("desk", &at(1, server, tool)))
        .collect();
    assert_eq!(names.len(), pairs.len());
}

#[test]
fn a_name_claimed_twice_stands_for_neither() {
    // What a peer name of 16 characters cannot be made to do, the table must still survive.
    let mut names = Names::default();
    names.insert("same".into(), at(1, "a", "b"));
    names.insert("same".into(), at(2, "a", "b"));
    names.insert("same".into(), at(1, "a", "b"));
    assert_eq!(names.lookup("same"), None);
    assert_eq!(names.ambiguous().collect::<Vec<_>>(), ["same"]);
}

/// Names of tools as an adversary would write them: separators, prefixes and short forms of others.
fn nasty() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-c_.-]{0,6}",
        "[a-zA-Z0-9_-]{1,70}",
        any::<String>(),
        Just("a__b".to_owned()),
        ("[a-c]{1,2}", "[a-c]{1,2}").prop_map(|(server, tool)| hash(&server, &tool)),
        ("[a-c]{1,2}", "[a-c]{1,2}")
            .prop_map(|(server, tool)| tool_name("desk", &at(1, &server, &tool))),
    ]
}

fn coordinates() -> impl Strategy<Value = (String, Coordinates)> {
    (nasty(), 1..4u8, nasty(), nasty())
        .prop_map(|(name, seed, server, tool)| (name, at(seed, &server, &tool)))
}

proptest! {
    #[test]
    fn every_name_is_allowed_everywhere((name, at) in coordinates()) {
        let name = tool_name(&name, &at);
        prop_assert!((1..=MAX_NAME_LEN).contains(&name.len()), "{name}");
        prop_assert!(name.bytes().all(allowed), "{name}");
    }

    #[test]
    fn different_tools_have_different_names(tools in vec(coordinates(), 0..40)) {
        let names = Names::build(tools.iter().map(|(name, at)| (name.as_str(), at.clone())));
        let different: BTreeSet<_> = tools.iter().map(|(_, at)| at).collect();
        let named: BTreeSet<_> = names.iter().map(|(_, at)| at).collect();
        prop_assert_eq!(named, different);
        prop_assert_eq!(names.ambiguous().count(), 0);
    }

    #[test]
    fn others_change_nothing((name, at) in coordinates(), others in vec(coordinates(), 0..20)) {
        let alone = tool_name(&name, &at);
        let all = others.iter().cloned().chain([(name, at.clone())]).collect::<Vec<_>>();
        let names = Names::build(all.iter().map(|(name, at)| (name.as_str(), at.clone())));
        prop_assert_eq!(names.lookup(&alone), Some(&at));
    }
}
