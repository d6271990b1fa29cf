//! `[pins]`: the one key that a name or an address may have.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
};

use peerage_core::{PeerId, address::Address, did::Did};
use serde::{Deserialize, Deserializer, de};
use serde_json::Value;

/// Names and addresses that only one key may have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pins {
    /// Grants for such a name count for this key alone.
    pub names: BTreeMap<Address, PeerId>,
    /// Connections with such an address are with this key or not at all.
    pub addresses: HashMap<IpAddr, PeerId>,
}

impl Pins {
    pub(super) fn shown(&self) -> Value {
        let names = self.names.iter().map(|(name, key)| (name.to_string(), key));
        let addresses = self.addresses.iter().map(|(ip, key)| (ip.to_string(), key));
        let all: BTreeMap<_, _> = names
            .chain(addresses)
            .map(|(what, key)| (what, key.to_base58()))
            .collect();
        serde_json::json!(all)
    }
}

impl<'de> Deserialize<'de> for Pins {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut pins = Self::default();
        for (what, key) in BTreeMap::<String, String>::deserialize(deserializer)? {
            let key = match key.parse::<Did>() {
                Ok(did) => did.peer_id(),
                Err(_) => key.parse::<PeerId>().map_err(|_| {
                    de::Error::custom(format!("{key:?} is neither a PeerId nor a did:key"))
                })?,
            };
            if let Ok(ip) = what.parse::<IpAddr>() {
                pins.addresses.insert(ip.to_canonical(), key);
            } else {
                let name = what.parse::<Address>().map_err(|error| {
                    let text = format!("{what:?} is neither an IP address nor a name: {error}");
                    de::Error::custom(text)
                })?;
                pins.names.insert(name, key);
            }
        }
        Ok(pins)
    }
}
