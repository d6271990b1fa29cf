//! This node's own card, as each caller may see it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use peerage_core::{
    Multiaddr, PeerId,
    card::{Card, CardContent, CardError, MAX_TOOLS, SharedServer},
    problem::Problem,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::{
    context::Context,
    gate::{self, Listed},
    members::unix_now,
    store::Table,
};

/// How long a card is good, seconds.
const LIFETIME: u64 = 6 * 3600;
/// A card is made anew when less than this is left of it, seconds.
const RENEW: u64 = 2 * 3600;

/// Characters of a tool's description on a card that must be short.
const SHORT: usize = 160;

/// The cards that were issued, by what they list. Empty at start and after each change.
#[derive(Debug, Default)]
pub struct OwnCard {
    issued: Mutex<Issued>,
}

#[derive(Debug, Default)]
struct Issued {
    version: Option<Version>,
    cards: BTreeMap<Vec<String>, Arc<Card>>,
    /// When the last one was issued: each is at least as new as the one before, whatever the clock does.
    /// Not known before the first.
    last: Option<u64>,
}

/// Where it is kept when the last card was issued, if that was ahead of the clock: after a burst of
/// changes others would refuse the cards of a node that was killed, until the clock has caught up.
const LAST: &str = "card_issued";

/// What a card depends on beside who asks: what is shared, the rules, and where this node is.
type Version = (u64, u64, Vec<Multiaddr>);

impl OwnCard {
    /// The card that lists what `peer` may call; `None` asks for what this machine may call: all.
    ///
    /// # Errors
    ///
    /// `card_too_large` when what is shared does not fit on a card.
    pub fn for_peer(&self, ctx: &Context, peer: Option<PeerId>) -> Result<Arc<Card>, Problem> {
        let shares = match peer {
            Some(peer) => gate::listed(ctx, peer),
            None => all(ctx),
        };
        let names: Vec<String> = shares.iter().flat_map(names).collect();
        let version = (
            *ctx.shares.changes().borrow(),
            ctx.policy.in_force().version,
            ctx.addresses(),
        );
        let now = unix_now();
        let mut issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        let mut last = match issued.last {
            Some(last) => last,
            None => ctx.store.get(Table::Own, LAST)?.unwrap_or_default(),
        };
        if issued.version.as_ref() != Some(&version) {
            issued.cards.clear();
            last += 1;
            issued.version = Some(version.clone());
        }
        if let Some(card) = issued.cards.get(&names)
            && card.expires() > now + RENEW
        {
            return Ok(card.clone());
        }
        let at = now.max(last);
        if at > now && issued.last != Some(at) {
            ctx.store.put(Table::Own, LAST, &at)?;
        }
        issued.last = Some(at);
        let card = issue(ctx, &shares, version.2, at)?;
        issued.cards.insert(names, card.clone());
        Ok(card)
    }
}

/// All that this machine may call.
fn all(ctx: &Context) -> Vec<Listed> {
    let shares = ctx.shares.all().into_iter();
    let whole = shares.map(|share| Listed {
        tools: share.tools(),
        share,
        partly: false,
    });
    whole.collect()
}

/// What of a server is on a card: all of it, or these tools.
fn names(listed: &Listed) -> Vec<String> {
    let server = &listed.share.name;
    let mut names = vec![server.clone()];
    if listed.partly {
        let tools = listed.tools.iter();
        let tools = tools.filter_map(|tool| tool.get("name").and_then(Value::as_str));
        names.push(format!("{server}/"));
        names.extend(tools.map(|tool| format!("{server}/{tool}")));
    }
    names
}

fn issue(
    ctx: &Context,
    shares: &[Listed],
    addresses: Vec<Multiaddr>,
    at: u64,
) -> Result<Arc<Card>, Problem> {
    let mut issued = Err(CardError::TooLarge { bytes: 0 });
    for detail in [Detail::Whole, Detail::Short, Detail::Names] {
        let content = CardContent {
            name: ctx.facts.name.clone(),
            description: kept_in(ctx, ctx.facts.description.clone()),
            version: ctx.facts.version.clone(),
            addresses: addresses.clone(),
            metadata: kept_in(ctx, ctx.facts.metadata.clone()),
            servers: shares
                .iter()
                .map(|share| {
                    let server = on_card(share, detail);
                    let tools = kept_in(ctx, server.tools);
                    SharedServer { tools, ..server }
                })
                .collect(),
            interfaces: Vec::new(),
        };
        issued = Card::issue(&ctx.identity, content, at, at + LIFETIME);
        if !matches!(issued, Err(CardError::TooLarge { .. })) {
            break;
        }
        tracing::warn!(
            ?detail,
            "what is shared does not fit on a card in such detail"
        );
    }
    issued.map(Arc::new).map_err(|error| {
        Problem::new(
            500,
            "no_card",
            format!("the card cannot be issued: {error}"),
        )
        .hint("share fewer tools, or from two nodes")
    })
}

/// A part of the card without credentials. What is written over keeps its length, so that JSON stays JSON.
fn kept_in<T: Serialize + DeserializeOwned + Clone>(ctx: &Context, part: T) -> T {
    let text = serde_json::to_string(&part).unwrap_or_default();
    let kept = ctx.secrets.on_card(text.clone(), "the card");
    if kept == text {
        return part;
    }
    serde_json::from_str(&kept).unwrap_or(part)
}

/// How much a card tells of each tool. A caller asks the server itself for what a card leaves out.
#[derive(Clone, Copy, Debug)]
enum Detail {
    /// The whole tool objects.
    Whole,
    /// Names and the beginning of descriptions.
    Short,
    /// Names.
    Names,
}

/// What a card says of a share: tools without a usable name are left out, for they cost the card.
fn on_card(listed: &Listed, detail: Detail) -> SharedServer {
    let share = &listed.share;
    let tools = listed.tools.iter().filter_map(|tool| match tool {
        Value::Object(tool) => usable(tool.clone(), detail),
        _ => None,
    });
    SharedServer {
        name: share.name.clone(),
        description: share.description(),
        tools: tools.take(MAX_TOOLS).collect(),
    }
}

fn usable(tool: Map<String, Value>, detail: Detail) -> Option<Map<String, Value>> {
    let named = |tool: &Map<String, Value>| {
        let server = SharedServer {
            name: "check".to_owned(),
            description: String::new(),
            tools: vec![tool.clone()],
        };
        server.is_usable()
    };
    if !named(&tool) {
        return None;
    }
    Some(match detail {
        Detail::Whole => tool,
        Detail::Short => {
            let mut short = only_name(&tool);
            if let Some(text) = tool.get("description").and_then(Value::as_str) {
                let text: String = text.chars().take(SHORT).collect();
                short.insert("description".to_owned(), text.into());
            }
            short
        }
        Detail::Names => only_name(&tool),
    })
}

fn only_name(tool: &Map<String, Value>) -> Map<String, Value> {
    let name = tool.get("name").cloned().unwrap_or_default();
    let schema = serde_json::json!({ "type": "object" });
    [
        ("name".to_owned(), name),
        ("inputSchema".to_owned(), schema),
    ]
    .into_iter()
    .collect()
}
