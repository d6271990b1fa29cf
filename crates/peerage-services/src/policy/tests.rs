//! The whole matrix: who it is, what it has to show, what it asks for, with whom that is shared, and which rules there are.

use std::sync::Arc;

use peerage_core::{
    Identity,
    policy::{Audience, Caller, decide},
    problem::Problem,
};

use super::{Asked, InForce, Subject};
use crate::members::unix_now;

const RULES: &str = r#"
[[rule]]
name = "no admin"
who = ["everyone"]
can = ["call"]
on = ["mcp/*/admin"]
then = "refuse"

[[rule]]
name = "sales search"
who = ["o://acme/sales/**"]
can = ["call"]
on = ["mcp/secret/search"]
then = "allow"

[[rule]]
name = "sales only look"
who = ["o://acme/sales"]
can = ["call"]
on = ["mcp/crm/write"]
then = "refuse"

[[rule]]
name = "open house"
who = ["strangers"]
can = ["call"]
on = ["mcp/house"]
then = "allow"

[[rule]]
name = "the banned"
who = ["12D3KooWDvP6FWsRygrC8hN1cAQ5x92FQLsTXXXZYekN9eGTsZUU", "10.0.0.0/8"]
can = ["*"]
then = "refuse"
"#;

/// `crm` is shared with the mesh, `secret` with `o://acme/boss`, `house` with nobody, `fair` with everyone.
fn audience(server: &str) -> Audience {
    match server {
        "crm" => Audience::Mesh,
        "secret" => "o://acme/boss".parse().unwrap(),
        "house" => Audience::Only(Vec::new()),
        _ => Audience::Public,
    }
}

/// Callers by what they have shown, and whether it counts.
fn caller(who: &str) -> Caller {
    let key = Identity::from_secret([2; 32]);
    let bears = |name: &str| Caller::supposed(&key, [name.parse().unwrap()]);
    let now = unix_now();
    match who {
        "stranger" => Caller::stranger(key.peer_id()),
        "banned" => Caller::stranger(
            "12D3KooWDvP6FWsRygrC8hN1cAQ5x92FQLsTXXXZYekN9eGTsZUU"
                .parse()
                .unwrap(),
        ),
        "trusted" => {
            let mut caller = Caller::stranger(key.peer_id());
            caller.trusted = true;
            caller
        }
        "expired" => {
            let mut caller = bears("o://acme/sales");
            caller.grants[0].expires = now - 1;
            caller
        }
        "early" => {
            let mut caller = bears("o://acme/sales");
            caller.grants[0].not_before = now + 3600;
            caller
        }
        "borrowed" => {
            let mut caller = bears("o://acme/sales");
            caller.peer = Identity::from_secret([3; 32]).peer_id();
            caller
        }
        "boss" => bears("o://acme/boss"),
        "sales" => bears("o://acme/sales"),
        "bot" => bears("o://acme/sales/bot"),
        name => bears(&format!("o://acme/{name}")),
    }
}

/// Who: crm, crm/write, crm/admin, secret, secret/search, house, fair, fair/admin.
/// `+` allowed by a rule, `-` refused by one, `y` and `n` by the audience, `s` a session only because of one tool.
const MATRIX: &str = "
stranger n n - n n + y -
trusted  y y - n n n y -
member   y y - n n n y -
boss     y y - y y n y -
sales    y - - s + n y -
bot      y y - s + n y -
expired  n n - n n + y -
early    n n - n n + y -
borrowed n n - n n + y -
banned   - - - - - + - -
near     - - - - - + - -
";

#[test]
fn every_caller_gets_what_it_may_of_every_server_and_tool() {
    let document = RULES.parse().unwrap();
    let in_force = Arc::new(InForce {
        document,
        ..InForce::default()
    });
    let asked = [
        Asked::Session("crm"),
        Asked::Tool("crm", "write"),
        Asked::Tool("crm", "admin"),
        Asked::Session("secret"),
        Asked::Tool("secret", "search"),
        Asked::Session("house"),
        Asked::Session("fair"),
        Asked::Tool("fair", "admin"),
    ];
    for line in MATRIX.trim().lines() {
        let mut words = line.split_whitespace();
        let who = words.next().unwrap();
        let near = who == "near";
        let caller = caller(if near { "stranger" } else { who });
        let from = near.then(|| "10.1.2.3".parse().unwrap());
        let subject = Subject::new(in_force.clone(), &caller, from);
        for (asked, expected) in asked.iter().zip(words) {
            let said = said(&subject, &caller, *asked);
            assert_eq!(said, expected, "{who} {asked:?}");
        }
    }
}

fn said(subject: &Subject, caller: &Caller, asked: Asked<'_>) -> &'static str {
    let (Asked::Session(server) | Asked::Server(server) | Asked::Tool(server, _)) = asked else {
        panic!("{asked:?}");
    };
    let mut otherwise = None;
    let verdict = subject.call(asked, || {
        let verdict = decide(&audience(server), caller, unix_now()).into_result();
        otherwise = Some(verdict.is_ok());
        verdict
    });
    match (verdict, otherwise) {
        (Ok(Some(_)), None) => "+",
        (Ok(None), Some(true)) => "y",
        (Ok(None), _) => "s",
        (Err(refused), None) => {
            assert!(refused.rule.is_some());
            assert_eq!(refused.problem.code, "refused_by_policy");
            "-"
        }
        (Err(refused), Some(_)) => {
            assert!(refused.rule.is_none());
            "n"
        }
        (Ok(Some(_)), Some(_)) => "both",
    }
}

#[test]
fn without_rules_the_audience_alone_decides() {
    let subject = Subject::new(Arc::default(), &caller("stranger"), None);
    let no = || Err(Problem::new(403, "no", "no"));
    assert_eq!(subject.call(Asked::Path("/x"), || Ok(())), Ok(None));
    assert!(subject.call(Asked::Server("crm"), no).is_err());
    assert!(subject.sees("mcp/crm"));
}
