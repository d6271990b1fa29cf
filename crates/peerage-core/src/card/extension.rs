//! The extension of ours in a card: what A2A has no field for.

use multiaddr::Multiaddr;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{CardError, EXTENSION_URI, MAX_ADDRESSES, MAX_SERVERS, SharedServer};
use crate::did::Did;

/// The most characters of an address that is looked at.
const MAX_ADDRESS_TEXT: usize = 512;

/// The parameters of the extension.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Params {
    peer_id: String,
    did: String,
    pub(super) issued_at: u64,
    pub(super) expires_at: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    addresses: Vec<String>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(super) metadata: Map<String, Value>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) mcp_servers: Vec<SharedServer>,
}

impl Params {
    pub(super) fn new(did: Did, issued_at: u64, expires_at: u64) -> Self {
        Self {
            peer_id: did.peer_id().to_string(),
            did: did.to_string(),
            issued_at,
            expires_at,
            addresses: Vec::new(),
            metadata: Map::new(),
            mcp_servers: Vec::new(),
        }
    }

    pub(super) fn with(
        mut self,
        addresses: &[Multiaddr],
        metadata: Map<String, Value>,
        servers: Vec<SharedServer>,
    ) -> Self {
        self.addresses = addresses.iter().map(Multiaddr::to_string).collect();
        self.metadata = metadata;
        self.mcp_servers = servers;
        self
    }

    /// Finds and reads the extension in a card.
    pub(super) fn find(card: &Value) -> Result<Self, CardError> {
        let extensions = card
            .pointer("/capabilities/extensions")
            .and_then(Value::as_array);
        let is_ours = |extension: &&Value| {
            extension.get("uri").and_then(Value::as_str) == Some(EXTENSION_URI)
        };
        let mut ours = extensions.into_iter().flatten().filter(is_ours);
        let extension = ours.next().ok_or(CardError::NoExtension)?;
        if ours.next().is_some() {
            return Err(CardError::Content("it has our extension twice".to_owned()));
        }
        let params = extension.get("params").filter(|params| params.is_object());
        let params = params
            .ok_or_else(|| CardError::Content("its extension has no \"params\"".to_owned()))?;
        Self::deserialize(params).map_err(|error| CardError::Content(error.to_string()))
    }

    /// Checks that the parameters are of the key and within the limits.
    pub(super) fn check(&self, key: &Did) -> Result<(), CardError> {
        let expected = key.peer_id();
        for (found, expected_text) in [
            (&self.peer_id, expected.to_string()),
            (&self.did, key.to_string()),
        ] {
            if *found != expected_text {
                return Err(CardError::OtherPeer {
                    found: found.chars().take(100).collect(),
                    expected,
                });
            }
        }
        let invalid = |reason: String| Err(CardError::Content(reason));
        if self.expires_at <= self.issued_at {
            return invalid("it expires before it is issued".to_owned());
        }
        if self.addresses.len() > MAX_ADDRESSES {
            return invalid(format!("it has more than {MAX_ADDRESSES} addresses"));
        }
        if self.mcp_servers.len() > MAX_SERVERS {
            return invalid(format!("it has more than {MAX_SERVERS} servers"));
        }
        for (index, server) in self.mcp_servers.iter().enumerate() {
            server.check().map_err(CardError::Content)?;
            if self.mcp_servers[..index]
                .iter()
                .any(|other| other.name == server.name)
            {
                return invalid(format!("it has two servers called {:?}", server.name));
            }
        }
        Ok(())
    }

    /// The addresses of kinds that this version knows.
    pub(super) fn parsed_addresses(&self) -> Vec<Multiaddr> {
        let short = self
            .addresses
            .iter()
            .filter(|text| text.len() <= MAX_ADDRESS_TEXT);
        short.filter_map(|text| text.parse().ok()).collect()
    }
}
