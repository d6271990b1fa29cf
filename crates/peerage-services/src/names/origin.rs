//! Where an answer comes from, said in a header of it.

use http::{HeaderMap, HeaderName, HeaderValue};
use peerage_core::{PeerId, address::Address, did::Did};

use crate::context::Context;

/// The header: the DID of who has answered, and its name (a structured field, RFC 9651).
const ORIGIN: HeaderName = HeaderName::from_static("peerage-origin");
/// The most bytes of what a gateway says of where its answer comes from.
const MAX_SAID: usize = 1024;

/// Says in an answer that it comes from a peer, which the connection has proved, by the name that it was called by or has shown.
/// Behind a gateway the connection proves that one alone: then what it says of the last node stays, and `via` names it.
pub fn mark(
    ctx: &Context,
    peer: PeerId,
    name: Option<Address>,
    is_gateway: bool,
    headers: &mut HeaderMap,
) {
    let who = did(peer);
    let said = headers.remove(ORIGIN);
    let said = said.as_ref().and_then(|said| said.to_str().ok());
    let text = match said.filter(|said| is_gateway && said.len() <= MAX_SAID) {
        Some(said) => format!("{said}; via=\"{who}\""),
        None if is_gateway => format!("{who}; via=\"{who}\""),
        None => {
            let name = name.or_else(|| ctx.members.names_of(&peer).into_iter().next());
            named(&who, name.as_ref())
        }
    };
    let value = HeaderValue::try_from(text).expect("it is made of visible ASCII");
    headers.insert(ORIGIN, value);
}

/// Says in an answer to a forwarded call that it is this node's own.
pub(super) fn mark_own(ctx: &Context, name: &Address, headers: &mut HeaderMap) {
    let text = named(&did(ctx.me()), Some(name));
    let value = HeaderValue::try_from(text).expect("it is made of visible ASCII");
    headers.insert(ORIGIN, value);
}

fn did(peer: PeerId) -> String {
    Did::from_peer_id(&peer).map_or_else(|_| peer.to_base58(), |did| did.to_string())
}

fn named(who: &str, name: Option<&Address>) -> String {
    match name {
        Some(name) => format!("{who}; name=\"{name}\""),
        None => who.to_owned(),
    }
}
