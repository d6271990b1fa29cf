use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

use super::{Address, AddressError};

fn address(text: &str) -> Address {
    text.parse().unwrap()
}

#[test]
fn is_read_and_shown() {
    let bot = address("o://acme/sales/bot-2");
    assert_eq!(bot.to_string(), "o://acme/sales/bot-2");
    assert_eq!(
        bot.segments().collect::<Vec<_>>(),
        ["acme", "sales", "bot-2"]
    );
    assert_eq!((bot.last(), bot.depth()), ("bot-2", 3));
    assert_eq!(bot.parent(), Some(address("o://acme/sales")));
    assert_eq!(address("o://acme").parent(), None);
    assert_eq!(Address::top("acme").unwrap(), address("o://acme"));
    assert_eq!(address("o://acme/sales").child("bot-2").unwrap(), bot);
    assert_eq!(
        serde_json::to_string(&bot).unwrap(),
        "\"o://acme/sales/bot-2\""
    );
    assert_eq!(
        serde_json::from_str::<Address>("\"o://acme/sales/bot-2\"").unwrap(),
        bot
    );
    assert_eq!(format!("{bot:?}"), "Address(o://acme/sales/bot-2)");
}

#[test]
fn covers_by_segment() {
    let sales = address("o://acme/sales");
    for (other, covered) in [
        ("o://acme/sales", true),
        ("o://acme/sales/bot", true),
        ("o://acme/sales/bot/one", true),
        ("o://acme/sales2", false),
        ("o://acme/sales-2/bot", false),
        ("o://acme", false),
        ("o://acme/support", false),
        ("o://other/sales", false),
    ] {
        assert_eq!(sales.covers(&address(other)), covered, "{other}");
    }
}

#[test]
fn says_what_is_wrong() {
    let refused = |text: &str| text.parse::<Address>().unwrap_err();
    for text in ["", "acme/sales", "http://acme", "O://acme", "o:/acme"] {
        assert_eq!(refused(text), AddressError::NoScheme, "{text}");
    }
    for text in [
        "o://",
        "o:///acme",
        "o://acme/",
        "o://acme//bot",
        "o://a",
        "o://acme/x",
    ] {
        assert!(
            matches!(refused(text), AddressError::SegmentLength { .. }),
            "{text}"
        );
    }
    assert!(matches!(
        refused(&format!("o://{}", "a".repeat(64))),
        AddressError::SegmentLength { .. }
    ));
    for text in [
        "o://Acme",
        "o://ac me",
        "o://ac.me",
        "o://acme/../x",
        "o://acme/söl",
        "o://acme/a%2fb",
        "o://acme\n",
    ] {
        assert!(
            matches!(refused(text), AddressError::Character { .. }),
            "{text}"
        );
    }
    for text in ["o://-acme", "o://acme-", "o://acme/--"] {
        assert!(
            matches!(refused(text), AddressError::Hyphen { .. }),
            "{text}"
        );
    }
    assert_eq!(
        refused("o://a1/a2/a3/a4/a5/a6/a7/a8/a9"),
        AddressError::TooDeep
    );
    assert_eq!(
        address("o://a1/a2/a3/a4/a5/a6/a7/a8").child("a9"),
        Err(AddressError::TooDeep)
    );
    assert_eq!(
        refused(&format!("o://{}", "a".repeat(10_000))),
        AddressError::TooLong
    );
    assert!(address("o://acme").child("a/b").is_err());
    let longest = format!("o://{}", [const { "a" }; 8].map(|a| a.repeat(63)).join("/"));
    assert_eq!(address(&longest).as_str().len(), Address::MAX_TEXT);
}

#[test]
fn free_text_becomes_a_segment() {
    for (text, segment) in [
        ("workstation", "workstation"),
        ("Ann's MacBook.local", "ann-s-macbook-local"),
        ("--x--", "node-x"),
        ("", "node"),
        ("日本", "node"),
        ("my_host.example.com.", "my-host-example-com"),
    ] {
        assert_eq!(Address::segment_from(text), segment, "{text}");
    }
}

proptest! {
    #[test]
    fn any_text_becomes_a_valid_segment(text in ".{0,150}") {
        let segment = Address::segment_from(&text);
        prop_assert!(Address::top(&segment).is_ok(), "{segment}");
        prop_assert_eq!(Address::segment_from(&segment), segment);
    }

    #[test]
    fn what_is_valid_goes_round(text in "o://[a-z0-9]{2,10}(/[a-z0-9][a-z0-9-]{0,8}[a-z0-9]){0,7}") {
        let parsed = address(&text);
        prop_assert_eq!(parsed.to_string(), text);
        prop_assert!(parsed.covers(&parsed));
        if let Some(parent) = parsed.parent() {
            prop_assert!(parent.covers(&parsed) && !parsed.covers(&parent));
            prop_assert_eq!(parent.child(parsed.last()).unwrap(), parsed);
        }
    }

    #[test]
    fn garbage_is_an_error_and_no_panic(text in ".{0,100}") {
        let _ = text.parse::<Address>();
        let _ = format!("o://{text}").parse::<Address>();
    }
}

#[test]
fn relative_names_are_read_where_a_name_is_at_home() {
    let bot: Address = "o://acme/sales/bot".parse().unwrap();
    for (text, means) in [
        ("helper", "o://acme/sales/helper"),
        ("./helper", "o://acme/sales/helper"),
        ("bot/notes", "o://acme/sales/bot/notes"),
        ("../billing", "o://acme/billing"),
        ("../billing/../sales/bot", "o://acme/sales/bot"),
        ("../../other", "o://other"),
        ("o://elsewhere", "o://elsewhere"),
    ] {
        assert_eq!(bot.resolve(text).unwrap().as_str(), means, "{text}");
    }
    assert_eq!(
        bot.resolve("../../../x").unwrap_err(),
        AddressError::AboveTop
    );
    for text in [
        "",
        "/",
        "a",
        "Helper",
        "helper/",
        "o://",
        "../..",
        &"ab/".repeat(300),
    ] {
        assert!(bot.resolve(text).is_err(), "{text}");
    }
}
