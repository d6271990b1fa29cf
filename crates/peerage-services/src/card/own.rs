//! This node's own card, as each caller may see it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use peerage_core::{
    Multiaddr, PeerId,
    card::{Card, CardContent, Interface},
    problem::Problem,
};

use crate::{
    context::Context,
    members::unix_now,
    shares::{Share, on_card},
};

/// How long a card is good, seconds.
const LIFETIME: u64 = 6 * 3600;
/// A card is made anew when less than this is left of it, seconds.
const RENEW: u64 = 2 * 3600;

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
    last: u64,
}

/// What a card depends on beside who asks.
type Version = (u64, Vec<Multiaddr>);

impl OwnCard {
    /// The card that lists what `peer` may call; `None` asks for what this machine may call: all.
    ///
    /// # Errors
    ///
    /// `card_too_large` when what is shared does not fit on a card.
    pub fn for_peer(&self, ctx: &Context, peer: Option<PeerId>) -> Result<Arc<Card>, Problem> {
        let shares = match peer {
            Some(peer) => ctx.shares.visible_to(&ctx.members.caller(peer)),
            None => ctx.shares.all(),
        };
        let names: Vec<String> = shares.iter().map(|share| share.name.clone()).collect();
        let version = (
            *ctx.shares.changes().borrow(),
            ctx.mesh.listening().borrow().clone(),
        );
        let now = unix_now();
        let mut issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        if issued.version.as_ref() != Some(&version) {
            issued.cards.clear();
            issued.last += 1;
            issued.version = Some(version.clone());
        }
        if let Some(card) = issued.cards.get(&names)
            && card.expires() > now + RENEW
        {
            return Ok(card.clone());
        }
        let at = now.max(issued.last);
        let card = issue(ctx, &shares, version.1, at)?;
        issued.last = at;
        issued.cards.insert(names, card.clone());
        Ok(card)
    }
}

fn issue(
    ctx: &Context,
    shares: &[Arc<Share>],
    addresses: Vec<Multiaddr>,
    at: u64,
) -> Result<Arc<Card>, Problem> {
    let content = CardContent {
        name: ctx.facts.name.clone(),
        description: ctx.facts.description.clone(),
        version: ctx.facts.version.clone(),
        addresses,
        metadata: ctx.facts.metadata.clone(),
        servers: shares.iter().map(|share| on_card(share)).collect(),
        interfaces: vec![Interface::libp2p(ctx.me())],
    };
    Card::issue(&ctx.identity, content, at, at + LIFETIME)
        .map(Arc::new)
        .map_err(|error| {
            Problem::new(500, "no_card", format!("the card cannot be issued: {error}"))
                .hint("share fewer tools, or from two nodes")
        })
}
