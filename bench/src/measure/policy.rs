//! What rules cost: the same `tools/call` without any, with fifty, and with fifty that name tools.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Result, ensure};
use serde_json::json;

use super::{
    Options, add_quantiles,
    tool::{SHARED, session, two_nodes},
};
use crate::{
    child::TOOL,
    http::Node,
    table::{Line, Rounds, Target::AtMost, Unit::Micros},
};

/// Turns in each round: in each, all ways have some calls.
const TURNS: usize = 5;
/// Times that each has its calls in a turn.
const TIMES: usize = 4;
/// Rules before the one that decides.
const RULES: usize = 49;
/// How long a change of rules may take to be told to peers.
const SETTLE: Duration = Duration::from_millis(300);
const NONE: &str = "no rules";
const SERVERS: &str = "50 rules about servers";
const TOOLS: &str = "50 rules that name tools";

/// Measures.
pub(super) async fn run(options: &Options) -> Result<Vec<Line>> {
    let home = tempfile::tempdir()?;
    let answering = Some(usize::from(!options.one_cpu));
    let (a, b) = two_nodes(home.path(), answering).await?;
    let mut shared = session(&b, SHARED, TOOL).await?;
    let mut rounds = Rounds::default();
    for round in 0..=options.rounds {
        let mut samples: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        for _ in 0..TURNS {
            for (way, rules) in [
                (NONE, String::new()),
                (SERVERS, table("mcp/other-*", "mcp/*")),
                (TOOLS, table("mcp/*/other-*", "mcp/*/*")),
            ] {
                set(&a, &rules).await?;
                for _ in 0..TIMES {
                    let times = shared.calls().await?;
                    samples.entry(way.to_owned()).or_default().extend(times);
                }
            }
        }
        if round > 0 {
            add_quantiles(&mut rounds, samples);
        }
    }
    a.stop().await?;
    b.stop().await?;
    let line = |way: &str| {
        let what = format!("tools/call through two nodes, {way}, p50");
        rounds.beside(&what, Micros, [way, NONE], Some(AtMost(1.1)))
    };
    Ok(vec![line(SERVERS), line(TOOLS)])
}

/// Rules that all concern the caller, of which the last decides, with limits that are never reached.
fn table(others: &str, shared: &str) -> String {
    let mut text = String::new();
    for number in 0..RULES {
        text += &format!(
            "[[rule]]\nname = 'r{number}'\nwho = ['members']\ncan = ['call']\non = ['{others}{number}']\nthen = 'refuse'\n"
        );
    }
    text + &format!(
        "[[rule]]\nname = 'last'\nwho = ['members']\ncan = ['call']\non = ['{shared}']\nthen = 'allow'\n\
         limit = {{ rate = '1000000/s', at_once = 1000, bytes_in = 1000000000, daily = 1000000000, body = 1000000 }}\n"
    )
}

async fn set(node: &Node, rules: &str) -> Result<()> {
    let mut client = node.client().await?;
    let answer = client
        .put("/api/v1/policy", &json!({ "text": rules }))
        .await?;
    ensure!(
        answer.status().is_success(),
        "the rules are refused: {:?}",
        answer.body()
    );
    tokio::time::sleep(SETTLE).await;
    Ok(())
}
