//! Where a result comes from, said in its `_meta`, so that an agent can tell what others wrote.

use peerage_core::{PeerId, address::Address, did::Did};
use serde_json::{Map, Value, json};

use crate::context::Context;

/// The key of a result's `_meta` under which it stands.
pub(super) const ORIGIN: &str = "dev.peerage/origin";
/// The most bytes of what a peer says itself of where its result comes from.
const MAX_SAID: usize = 2048;

/// Where the result of a peer's server comes from: the key that the connection has proved, and a name that it bears.
pub(super) fn of_peer(ctx: &Context, peer: PeerId, server: &str) -> Value {
    let mut origin = json!({ "peer": peer.to_base58(), "server": server });
    if let Ok(did) = Did::from_peer_id(&peer) {
        origin["did"] = did.to_string().into();
    }
    if let Some(name) = ctx.members.names_of(&peer).into_iter().next() {
        origin["name"] = name.to_string().into();
    }
    origin
}

/// Where the result of a name behind a gateway comes from: the connection proves the gateway alone.
pub(super) fn behind(name: &Address, gateway: PeerId, server: &str) -> Value {
    json!({ "name": name.to_string(), "via": gateway.to_base58(), "server": server })
}

/// Says in a result that is marked by which name its peer was called.
pub(super) fn called_by(result: &mut Value, name: &Address) {
    if let Some(Value::Object(origin)) = result.pointer_mut("/_meta/dev.peerage~1origin") {
        origin.insert("name".to_owned(), name.to_string().into());
    }
}

/// Marks a result. What stands there already is what the peer says, of a result that it got elsewhere itself.
pub(super) fn mark(result: &mut Value, mut origin: Value) {
    let Some(fields) = result.as_object_mut() else {
        return;
    };
    let meta = fields.entry("_meta").or_insert_with(|| Map::new().into());
    if !meta.is_object() {
        *meta = Map::new().into();
    }
    let Some(meta) = meta.as_object_mut() else {
        return;
    };
    if let Some(said) = meta.remove(ORIGIN)
        && said.to_string().len() <= MAX_SAID
    {
        origin["said"] = said;
    }
    meta.insert(ORIGIN.to_owned(), origin);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_this_nodes_own_and_keeps_what_the_peer_says() {
        let origin = || json!({ "peer": "p" });
        let mut result = json!({ "content": [] });
        mark(&mut result, origin());
        assert_eq!(result["_meta"], json!({ ORIGIN: origin() }));
        let mut result = json!({ "_meta": { "x": 1, ORIGIN: { "peer": "q" } } });
        mark(&mut result, origin());
        let both = json!({ "x": 1, ORIGIN: { "peer": "p", "said": { "peer": "q" } } });
        assert_eq!(result["_meta"], both);
        let mut result = json!({ "_meta": { ORIGIN: "q".repeat(MAX_SAID) } });
        mark(&mut result, origin());
        assert_eq!(result["_meta"], json!({ ORIGIN: origin() }));
        let mut result = json!({ "_meta": 1 });
        mark(&mut result, origin());
        assert_eq!(result["_meta"], json!({ ORIGIN: origin() }));
        called_by(&mut result, &"o://acme/bob".parse().unwrap());
        assert_eq!(result["_meta"][ORIGIN]["name"], "o://acme/bob");
        let mut nothing = Value::Null;
        mark(&mut nothing, origin());
        assert_eq!(nothing, Value::Null);
    }
}
