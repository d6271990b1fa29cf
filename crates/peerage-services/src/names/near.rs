//! What a text means by what this node knows: a key, a card's name, a part of an id.

use std::collections::BTreeSet;

use peerage_core::{
    PeerId,
    address::{Address, AddressError},
    did::Did,
    peer_book::Relation,
    problem::Problem,
};

use super::Meant;
use crate::context::Context;

/// The code of the problem that nobody is called so.
pub(super) const NO_SUCH_PEER: &str = "no_such_peer";
/// Characters of a PeerId that are enough to mean it.
const SHORTEST_PART: usize = 6;

/// The peer whose key a text spells.
pub(super) fn key(text: &str) -> Option<PeerId> {
    let peer = text.parse::<PeerId>().ok();
    peer.or_else(|| text.parse::<Did>().ok().map(|did| did.peer_id()))
}

/// What a text means relative to each of this node's names.
pub(super) fn relative(ctx: &Context, text: &str) -> Vec<Address> {
    let mut names: Vec<Address> = Vec::new();
    for own in ctx.names.own(ctx) {
        if let Ok(name) = own.resolve(text)
            && !names.contains(&name)
        {
            names.push(name);
        }
    }
    names
}

/// Who is called so by a card, by the last part of a name, or by a part of its id. Members come before trusted peers and those
/// before strangers, so that a stranger cannot take a member's name.
pub(super) fn find(ctx: &Context, text: &str) -> Result<Meant, Problem> {
    let mut found: Vec<(Relation, PeerId)> = ctx.mesh.book().read(|book| {
        let named = book.iter().filter(|(peer, record)| {
            let card = record.card.as_ref();
            card.is_some_and(|card| card.name() == text) || is_part_of(text, peer)
        });
        named
            .map(|(peer, record)| (record.relation, *peer))
            .collect()
    });
    let named = ctx.members.bearing(|name| name.last() == text);
    for (peer, _) in &named {
        if !found.iter().any(|(_, other)| other == peer) {
            found.push((ctx.members.relation(peer), *peer));
        }
    }
    let best = found.iter().map(|(relation, _)| *relation).max();
    let mut peers: Vec<PeerId> = found
        .iter()
        .filter(|(relation, _)| Some(*relation) == best)
        .map(|(_, peer)| *peer)
        .collect();
    peers.sort();
    match peers.as_slice() {
        [] => {
            let text = format!("no peer called `{text}` is known");
            Err(Problem::new(404, NO_SUCH_PEER, text)
                .hint("peerage peers lists those that are; a PeerId always works"))
        }
        [peer] => Ok(Meant::key(*peer)),
        several => {
            // Several that bear one name are one.
            let names: BTreeSet<&Address> = named.iter().map(|(_, name)| name).collect();
            let all = |name: &Address| {
                let bears = |peer| named.iter().any(|(p, n)| p == peer && n == name);
                several.iter().all(bears)
            };
            match names.into_iter().find(|name| all(name)) {
                Some(name) => Ok(Meant {
                    name: Some(name.clone()),
                    via: None,
                    peers: super::order::order(ctx, peers),
                    steps: Vec::new(),
                }),
                None => Err(ambiguous(text, several)),
            }
        }
    }
}

pub(super) fn ambiguous(text: &str, peers: &[PeerId]) -> Problem {
    let ids: Vec<_> = peers.iter().map(|peer| peer.to_base58()).collect();
    let text = format!("`{text}` may be any of {}", ids.join(", "));
    Problem::new(409, "ambiguous_peer", text).hint("use the PeerId")
}

pub(super) fn bad_name(error: &AddressError) -> Problem {
    Problem::new(400, "bad_name", error.to_string()).hint("names look like o://acme/sales")
}

fn is_part_of(text: &str, peer: &PeerId) -> bool {
    let id = peer.to_base58();
    text.len() >= SHORTEST_PART
        && (id.starts_with(text) || id.ends_with(text))
        && text.len() < id.len()
}
