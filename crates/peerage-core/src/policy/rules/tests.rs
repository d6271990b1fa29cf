use std::net::IpAddr;

use proptest::{
    prelude::{Just, ProptestConfig, Strategy, prop_assert, prop_assert_eq, prop_oneof, proptest},
    sample::select,
};

use super::{
    Action, Document, DocumentError, Effect, Fits, Limit, Part, Pattern, Rate, Rules, RulesError,
    RulesText, Step,
};
use crate::{
    grant::{Chain, Claims, Grant, Rights},
    identity::Identity,
    policy::Caller,
};

const NOW: u64 = 1_795_000_000;

/// The example of the documentation, and one rule for each kind of subject.
const TABLE: &str = r#"
[groups]
staff = ["o://acme/**"]
banned = ["12D3KooWDvP6FWsRygrC8hN1cAQ5x92FQLsTXXXZYekN9eGTsZUU"]
outside = ["@banned", "203.0.113.0/24"]

[[rule]]
name = "banned"
who = ["@outside"]
can = ["*"]
then = "refuse"

[[rule]]
name = "no admin tools"
who = ["everyone"]
can = ["call"]
on = ["mcp/*/admin-*"]
then = "refuse"

[[rule]]
name = "sales may use tickets"
who = ["o://acme/sales/**"]
can = ["see", "call"]
on = ["mcp/crm/ticket-*", "mcp/crm/search"]
then = "allow"
limit = { rate = "20/s", at_once = 4, body = 1048576, seconds = 30 }

[[rule]]
name = "staff news"
who = ["@staff"]
can = ["call"]
on = ["acme/news/**"]
then = "allow"
limit = { rate = "5/m", burst = 2 }

[[rule]]
name = "members look up"
who = ["mesh:acme"]
can = ["connect", "dial"]
then = "allow"

[[rule]]
name = "strangers may not call"
who = ["strangers"]
can = ["call"]
then = "refuse"
"#;

fn rules(text: &str) -> Rules {
    Rules::new(&toml::from_str(text).unwrap()).unwrap()
}

fn wrong(text: &str) -> RulesError {
    Rules::new(&toml::from_str(text).unwrap()).unwrap_err()
}

fn key(n: u8) -> Identity {
    Identity::from_secret([n; 32])
}

/// A grant of the mesh of key 1, valid for 100 seconds before and after now.
fn grant(subject: u8, path: &str) -> Grant {
    let claims = Claims {
        sub: key(subject).did(),
        path: path.parse().unwrap(),
        rights: Rights::member(),
        nbf: NOW - 100,
        exp: NOW + 100,
        depth: 0,
    };
    let chain = Chain::issue_root(&key(1), claims).unwrap();
    chain.verify(&key(1).did(), NOW).unwrap()
}

/// Key 2 with these names.
fn caller(names: &[&str]) -> Caller {
    Caller {
        peer: key(2).peer_id(),
        grants: names.iter().map(|name| grant(2, name)).collect(),
        trusted: false,
    }
}

fn decided(rules: &Rules, fits: &Fits, action: Action, object: &str) -> String {
    let rule = rules.decide(fits, action, object);
    rule.map_or_else(
        || "none".to_owned(),
        |rule| {
            let effect = match rule.then {
                Effect::Allow => "allow",
                Effect::Refuse => "refuse",
            };
            format!("{effect} by {}", rule.name)
        },
    )
}

/// Who, action, object: answer.
const ANSWERS: &str = "
sales    call      mcp/crm/ticket-create: allow by sales may use tickets
sales    see       mcp/crm/search:        allow by sales may use tickets
sales    call      mcp/crm/admin-users:   refuse by no admin tools
sales    see       mcp/crm/admin-users:   none
sales    call      mcp/crm/searching:     none
sales    call      mcp/crm:               none
sales    call      acme/news:             allow by staff news
sales    call      acme/news/today/x:     allow by staff news
sales    call      acme/newsletter:       none
sales    connect   -:                     allow by members look up
sales    see       -:                     none
purchase call      mcp/crm/search:        none
purchase dial      -:                     allow by members look up
stranger call      mcp/crm/search:        refuse by strangers may not call
stranger call      mcp/x/admin-x:         refuse by no admin tools
stranger connect   -:                     none
foreign  call      mcp/crm/search:        none
foreign  connect   -:                     none
";

#[test]
fn the_first_rule_that_fits_decides() {
    let rules = rules(TABLE);
    for line in ANSWERS.trim().lines() {
        let (question, answer) = line.split_once(": ").unwrap();
        let words: Vec<&str> = question.split_whitespace().collect();
        let caller = match words[0] {
            "sales" => caller(&["o://acme/sales/bot"]),
            "purchase" => caller(&["o://acme/purchase"]),
            "foreign" => caller(&["o://elsewhere/sales/bot"]),
            _ => caller(&[]),
        };
        let fits = rules.fits(&caller, None, NOW);
        let action = Action::from_word(words[1]).unwrap();
        let object = words[2].trim_start_matches('-');
        assert_eq!(
            decided(&rules, &fits, action, object),
            answer.trim(),
            "{line}"
        );
    }
}

#[test]
fn the_rule_that_decides_says_how_much() {
    let rules = rules(TABLE);
    let fits = rules.fits(&caller(&["o://acme/sales/bot"]), None, NOW);
    let rule = rules.decide(&fits, Action::Call, "mcp/crm/search").unwrap();
    let limit = Limit {
        rate: Some(Rate {
            count: 20,
            seconds: 1,
        }),
        at_once: Some(4),
        body: Some(1 << 20),
        seconds: Some(30),
        ..Limit::default()
    };
    assert_eq!(rule.limit, limit);
}

#[test]
fn each_kind_of_subject_is_found() {
    let did = key(2).did().to_string();
    let peer = key(2).peer_id().to_string();
    let from = |ip: &str| Some(ip.parse::<IpAddr>().unwrap());
    let named = caller(&["o://acme/sales"]);
    let mut trusted = caller(&[]);
    trusted.trusted = true;
    let nobody = caller(&[]);
    let mut borrowed = caller(&[]);
    borrowed.grants = vec![grant(3, "o://acme/sales")];
    let mut late = named.clone();
    late.grants[0].expires = NOW;
    for (who, caller, from, fits) in [
        ("everyone", &nobody, None, true),
        ("members", &named, None, true),
        ("members", &trusted, None, false),
        ("members", &borrowed, None, false),
        ("members", &late, None, false),
        ("trusted", &trusted, None, true),
        ("trusted", &named, None, false),
        ("strangers", &nobody, None, true),
        ("strangers", &borrowed, None, true),
        ("strangers", &late, None, true),
        ("strangers", &named, None, false),
        ("strangers", &trusted, None, false),
        ("mesh:acme", &named, None, true),
        ("mesh:acme", &late, None, false),
        ("mesh:ac", &named, None, false),
        ("o://acme/sales", &named, None, true),
        ("o://acme/*", &named, None, true),
        ("o://acme/**", &named, None, true),
        ("o://*/sales", &named, None, true),
        ("o://acme", &named, None, false),
        ("o://acme/sales/*", &named, None, false),
        ("o://acme/sales", &borrowed, None, false),
        (did.as_str(), &nobody, None, true),
        (peer.as_str(), &nobody, None, true),
        ("10.0.0.0/8", &nobody, from("10.1.2.3"), true),
        ("10.0.0.0/8", &nobody, from("::ffff:10.1.2.3"), true),
        ("10.0.0.0/8", &nobody, from("11.1.2.3"), false),
        ("10.0.0.0/8", &nobody, None, false),
        ("192.0.2.1", &nobody, from("192.0.2.1"), true),
        ("192.0.2.1", &nobody, from("192.0.2.2"), false),
        ("2001:db8::/32", &nobody, from("2001:db8::1"), true),
    ] {
        let text = format!("[[rule]]\nname = 'x'\nwho = ['{who}']\ncan = ['call']\nthen = 'allow'");
        let rules = rules(&text);
        let found = rules.decide(&rules.fits(caller, from, NOW), Action::Call, "mcp/x");
        assert_eq!(found.is_some(), fits, "{who} {caller:?} {from:?}");
        assert_eq!(
            rules.rules()[0].who[0].to_string().parse(),
            Ok(rules.rules()[0].who[0].clone())
        );
    }
}

#[test]
fn what_fits_holds_until_a_grant_begins_or_ends() {
    let rules = rules(TABLE);
    let mut bot = caller(&["o://acme/sales/bot"]);
    let fits = rules.fits(&bot, None, NOW);
    assert!(fits.hold_at(NOW + 99) && !fits.hold_at(NOW + 100));
    bot.grants[0].not_before = NOW + 90;
    let fits = rules.fits(&bot, None, NOW);
    let begins = bot.grants[0].begins();
    assert!(fits.hold_at(begins - 1) && !fits.hold_at(begins));
    assert_eq!(decided(&rules, &fits, Action::Connect, ""), "none");
    let fits = rules.fits(&bot, None, begins);
    assert_eq!(
        decided(&rules, &fits, Action::Connect, ""),
        "allow by members look up"
    );
    assert!(rules.fits(&caller(&[]), None, NOW).hold_at(u64::MAX));
}

#[test]
fn a_decision_is_explained_rule_by_rule() {
    let rules = rules(TABLE);
    let fits = rules.fits(&caller(&["o://acme/sales/bot"]), None, NOW);
    let steps: Vec<_> = rules
        .explain(&fits, Action::Call, "mcp/crm/search")
        .into_iter()
        .map(|(rule, step)| (rule.name.as_str(), step))
        .collect();
    assert_eq!(
        steps,
        [
            ("banned", Step::OtherSubject),
            ("no admin tools", Step::OtherObject),
            ("sales may use tickets", Step::Decided),
        ]
    );
    let steps = rules.explain(&fits, Action::See, "");
    assert!(steps.iter().all(|(_, step)| *step != Step::Decided));
    assert_eq!(steps.len(), rules.rules().len());
}

#[test]
fn what_depends_on_the_tool_is_told() {
    let rules = rules(TABLE);
    let stranger = rules.fits(&caller(&[]), None, NOW);
    let below = |object| rules.depends_below(&stranger, Action::Call, object);
    assert!(below("mcp/crm"), "admin tools are refused");
    assert!(!below("a2a/crm"));
    assert!(!rules.depends_below(&stranger, Action::See, "mcp/crm"));
    for (pattern, object, depends) in [
        ("mcp/crm/**", "mcp/crm", false),
        ("mcp/crm", "mcp/crm", true),
        ("mcp/crm/search", "mcp/crm", true),
        ("mcp/other/search", "mcp/crm", false),
        ("**", "mcp/crm", false),
        ("mcp/*/*", "mcp/crm", true),
        ("mcp", "mcp/crm", false),
    ] {
        let pattern: Pattern = pattern.parse().unwrap();
        assert_eq!(
            pattern.may_match_below(object),
            depends,
            "{pattern} {object}"
        );
    }
}

fn rule(more: &str) -> String {
    format!("[[rule]]\nname = 'one'\n{more}\n")
}

/// `who`, `can` and more of a rule: what is said of it.
const WRONG: &str = "
who = []; can = ['call']; then = 'allow' => rule `one`: it needs `who` and `can`
who = ['everyone']; can = ['cal']; then = 'allow' => unknown action `cal`, one of connect, dial, see, call, resolve
who = ['@x']; can = ['call']; then = 'allow' => there is no group `x`
who = ['o://acme/**/x']; can = ['call']; then = 'allow' => only possible as the last part
who = ['sombody']; can = ['call']; then = 'allow' => \"sombody\" is neither
who = ['10.0.0.0/40']; can = ['call']; then = 'allow' => is neither
who = ['everyone']; can = ['call']; on = ['mcp//x']; then = 'allow' => no part of a pattern is empty
who = ['everyone']; can = ['call']; then = 'refuse'; limit = { daily = 1 } => a rule that refuses has no limit
who = ['everyone']; can = ['call']; then = 'allow'; limit = { rate = '0/s' } => `rate` of 0 allows nothing
";

#[test]
fn what_is_wrong_is_said() {
    for line in WRONG.trim().lines() {
        let (text, error) = line.split_once(" => ").unwrap();
        let said = wrong(&rule(&text.replace("; ", "\n"))).to_string();
        assert!(said.contains(error), "{said}");
    }
    let circle = format!(
        "[groups]\na = ['@b']\nb = ['@a']\n{}",
        rule("who = ['@a']\ncan = ['call']\nthen = 'allow'")
    );
    assert!(wrong(&circle).to_string().contains("it names itself"));
    let one = rule("who = ['everyone']\ncan = ['call']\nthen = 'allow'");
    assert_eq!(wrong(&one.repeat(2)), RulesError::SameName("one".into()));
    let unnamed = one.replace("'one'", "'a\\nb'").replace('\'', "\"");
    assert!(matches!(wrong(&unnamed), RulesError::Name(_)));
    for (more, word) in [
        ("then = 'maybe'", "maybe"),
        ("then = 'allow'\nwhen = 1", "when"),
        ("then = 'allow'\nlimit = { rate = '1/y' }", "20/s"),
        ("then = 'allow'\nlimit = { rat = '1/s' }", "rat"),
    ] {
        let text = rule(&format!("who = ['everyone']\ncan = ['call']\n{more}"));
        let error = toml::from_str::<RulesText>(&text).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn groups_that_double_at_each_level_end() {
    let mut text = "[groups]\ng0 = ['everyone', 'everyone']\n".to_owned();
    for level in 1..60 {
        let below = level - 1;
        text += &format!("g{level} = ['@g{below}', '@g{below}']\n");
    }
    let error = wrong(&text);
    assert!(
        matches!(
            error,
            RulesError::Group {
                part: Part::TooMany,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn a_hidden_rule_is_found() {
    let rules = rules(
        "[[rule]]\nname = 'all'\nwho = ['everyone']\ncan = ['call', 'see']\non = ['mcp/x']\nthen = 'allow'\n
         [[rule]]\nname = 'hidden'\nwho = ['members']\ncan = ['call']\non = ['mcp/x']\nthen = 'refuse'\n
         [[rule]]\nname = 'wider'\nwho = ['members']\ncan = ['call']\nthen = 'refuse'",
    );
    let hidden: Vec<_> = rules
        .hidden()
        .iter()
        .map(|(a, b)| (a.name.as_str(), b.name.as_str()))
        .collect();
    assert_eq!(hidden, [("hidden", "all")]);
}

#[test]
fn rates_are_read_and_written() {
    for text in ["20/s", "100/m", "5/h", "1000/d"] {
        assert_eq!(text.parse::<Rate>().unwrap().to_string(), text);
    }
    for text in [
        "",
        "/s",
        "20",
        "20/",
        "+20/s",
        " 20/s",
        "20/w",
        "4294967296/s",
        "-1/s",
    ] {
        assert!(text.parse::<Rate>().is_err(), "{text}");
    }
}

#[test]
fn written_rules_read_the_same() {
    let text: RulesText = toml::from_str(TABLE).unwrap();
    let again: RulesText = toml::from_str(&toml::to_string(&text).unwrap()).unwrap();
    assert_eq!(again, text);
    let json: RulesText = serde_json::from_value(serde_json::to_value(&text).unwrap()).unwrap();
    assert_eq!(json, text);
}

fn text_of_parts() -> impl Strategy<Value = String> {
    proptest::collection::vec("[ab]{1,3}", 1..4).prop_map(|parts| parts.join("/"))
}

fn pattern() -> impl Strategy<Value = String> {
    let part = prop_oneof![Just("*".to_owned()), "[ab]{0,2}\\*[ab]{1,2}", "[ab]{1,3}"];
    let closed = proptest::collection::vec(part, 1..4).prop_map(|parts| parts.join("/"));
    prop_oneof![
        closed.clone(),
        closed.prop_map(|text| format!("{text}/**")),
        Just("**".to_owned())
    ]
}

/// What a pattern means, by going through all possibilities.
fn naive(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern, text) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => {
            naive(rest, text)
                || text.first().is_some_and(|c| *c != b'/') && naive(pattern, &text[1..])
        }
        ([p, rest @ ..], [t, more @ ..]) if p == t => naive(rest, more),
        _ => false,
    }
}

fn naive_open(pattern: &str, text: &str) -> bool {
    if pattern == "**" {
        return true;
    }
    match pattern.strip_suffix("/**") {
        None => naive(pattern.as_bytes(), text.as_bytes()),
        Some(closed) => {
            let ends = text
                .match_indices('/')
                .map(|(at, _)| at)
                .chain([text.len()]);
            ends.into_iter()
                .any(|end| naive(closed.as_bytes(), &text.as_bytes()[..end]))
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn patterns_mean_what_they_say(pattern in pattern(), text in text_of_parts()) {
        let parsed: Pattern = pattern.parse().unwrap();
        prop_assert_eq!(parsed.matches(&text), naive_open(&pattern, &text), "{} {}", pattern, text);
        prop_assert_eq!(parsed.to_string(), pattern);
    }

    #[test]
    fn where_nothing_depends_below_all_below_is_as_the_object(
        pattern in pattern(),
        text in text_of_parts(),
        more in text_of_parts(),
    ) {
        let parsed: Pattern = pattern.parse().unwrap();
        if !parsed.may_match_below(&text) {
            let below = format!("{text}/{more}");
            prop_assert_eq!(parsed.matches(&text), parsed.matches(&below), "{} {}", pattern, below);
        }
    }

    #[test]
    fn deciding_is_explaining(action in select(&Action::ALL[..]), object in text_of_parts()) {
        let rules = rules(TABLE);
        let fits = rules.fits(&caller(&["o://acme/sales/bot"]), None, NOW);
        let steps = rules.explain(&fits, action, &object);
        let decided = steps.iter().find(|(_, step)| *step == Step::Decided).map(|(rule, _)| *rule);
        prop_assert_eq!(rules.decide(&fits, action, &object), decided);
    }

    #[test]
    fn garbage_is_refused_or_read(text in "\\PC{0,60}") {
        if let Ok(pattern) = text.parse::<Pattern>() {
            let _ = pattern.matches(&text);
            prop_assert!(pattern.to_string() == text);
        }
    }
}

#[test]
fn a_rule_about_a_server_is_about_its_tools() {
    let text = |on: &str| {
        rule(&format!(
            "who = ['everyone']\ncan = ['call']\non = ['{on}']\nthen = 'refuse'"
        ))
    };
    for (on, object, fits) in [
        ("mcp/crm", "mcp/crm", true),
        ("mcp/crm", "mcp/crm/search", true),
        ("mcp/*", "mcp/crm/search", true),
        ("mcp/crm/search", "mcp/crm", false),
        ("mcp", "mcp/crm", false),
        ("api/x", "api/x/y", false),
    ] {
        let rules = rules(&text(on));
        let fitting = rules.fits(&caller(&[]), None, NOW);
        let found = rules.decide(&fitting, Action::Call, object);
        assert_eq!(found.is_some(), fits, "{on} {object}");
    }
    assert_eq!(Rules::tool("crm", "a/b"), "mcp/crm/a%2Fb");
}

#[test]
fn who_has_shown_no_grants_yet_is_refused_only_if_none_would_help() {
    let one = |who: &str, then: &str| {
        format!(
            "[[rule]]\nname = '{who} {then}'\nwho = ['{who}']\ncan = ['connect']\nthen = '{then}'\n"
        )
    };
    let banned = key(2).peer_id().to_string();
    let from = |ip: &str| Some(ip.parse::<IpAddr>().unwrap());
    for (table, from, refused) in [
        (one("strangers", "refuse"), None, false),
        (
            one("members", "allow") + &one("everyone", "refuse"),
            None,
            false,
        ),
        (
            one("trusted", "allow") + &one("everyone", "refuse"),
            None,
            true,
        ),
        (
            one("everyone", "refuse") + &one("members", "allow"),
            None,
            true,
        ),
        (
            one("members", "refuse") + &one("everyone", "allow"),
            None,
            false,
        ),
        (
            one(&banned, "refuse") + &one("members", "allow"),
            None,
            true,
        ),
        (one("10.0.0.0/8", "refuse"), from("10.1.1.1"), true),
        (one("10.0.0.0/8", "refuse"), from("11.1.1.1"), false),
        (String::new(), None, false),
    ] {
        let rules = rules(&table);
        let found = rules.refuses_anyway(&caller(&[]), from, NOW, Action::Connect);
        assert_eq!(found.is_some(), refused, "{table}");
    }
    let members = rules(&one("members", "refuse"));
    let refused = |who: &Caller| {
        members
            .refuses_anyway(who, None, NOW, Action::Connect)
            .is_some()
    };
    assert!(
        refused(&caller(&["o://acme/sales"])),
        "what it has shown already counts"
    );
}

#[test]
fn a_file_is_read_with_its_lines_or_refused_with_one() {
    let document: Document = TABLE.parse().unwrap();
    let lines: Vec<_> = document
        .rules
        .rules()
        .iter()
        .map(|rule| rule.line.unwrap())
        .collect();
    let headers = TABLE
        .lines()
        .enumerate()
        .filter(|(_, line)| *line == "[[rule]]");
    assert_eq!(lines, headers.map(|(at, _)| at + 1).collect::<Vec<_>>());
    let ends = |text: &str| text.parse::<Document>().unwrap_err().to_string();
    assert!(ends("x = 1").starts_with("line 1: "), "{}", ends("x = 1"));
    let cut = TABLE.replacen("\"call\"", "\"cal\"", 1);
    assert!(
        ends(&cut).starts_with("line 13: rule `no admin tools`: unknown action"),
        "{}",
        ends(&cut)
    );
    let twice = format!(
        "{TABLE}\n[[rule]]\nname = 'banned'\nwho = ['everyone']\ncan = ['*']\nthen = 'refuse'"
    );
    assert!(
        ends(&twice).contains("two rules are called `banned`"),
        "{}",
        ends(&twice)
    );
    assert_eq!("".parse(), Ok(Document::default()));
    let long = "#".repeat(Document::MAX_BYTES + 1);
    assert_eq!(long.parse::<Document>(), Err(DocumentError::TooLong));
}
