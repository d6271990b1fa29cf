//! Agent cards: what a node says about itself, signed with the key that is its identity.
//!
//! A card is an A2A 1.0 agent card with a detached JWS (`alg` EdDSA, `kid` the `did:key` URL, `typ` JOSE) in `signatures`,
//! and with one extension of ours, [`EXTENSION_URI`], in `capabilities.extensions`, whose `params` are:
//!
//! | field | meaning |
//! |---|---|
//! | `peerId`, `did` | the key, in both spellings; it must be the one that signed |
//! | `issuedAt`, `expiresAt` | unix seconds |
//! | `addresses` | multiaddrs, the most promising first |
//! | `metadata` | a free JSON object |
//! | `mcpServers` | the shared MCP servers: `name`, `description`, and `tools` as MCP describes them |
//!
//! What is signed is the RFC 8785 form of the card without `signatures` and without empty values (`null`, `""`, `[]`, `{}`),
//! as the official A2A SDKs sign it: so **whether an empty value is there is not covered by the signature**. Fields that
//! this version does not know are covered and kept. Nothing is fetched to verify a card: the trusted key is the one of the
//! connection that it came over, whatever the card says.

use std::{fmt, sync::Arc};

use libp2p_identity::PeerId;
use multiaddr::Multiaddr;
use serde_json::{Map, Value};

use crate::{did::Did, identity::Identity};

mod content;
mod error;
mod extension;
mod json;
mod signature;
#[cfg(test)]
mod tests;

pub use content::{CardContent, Interface, SharedServer};
pub use error::CardError;
use extension::Params;

/// The largest card, in bytes.
pub const MAX_CARD_BYTES: usize = 1024 * 1024;

/// How many seconds in the future a card may be issued, for clocks that differ.
pub const CLOCK_SKEW: u64 = 60;

/// The most characters of a card's name.
pub const MAX_NAME: usize = 128;

/// The most addresses of a card.
pub const MAX_ADDRESSES: usize = 64;

/// The most shared servers of a card.
pub const MAX_SERVERS: usize = 64;

/// The most tools of a shared server.
pub const MAX_TOOLS: usize = 2_000;

/// Names our extension in `capabilities.extensions`.
pub const EXTENSION_URI: &str = "https://peerage.dev/extensions/node/v1";

/// A card whose signature was verified.
///
/// It keeps the bytes as they were received, to be stored and served unchanged. Cheap to clone.
///
/// ```
/// use peerage_core::{card::{Card, CardContent}, identity::Identity};
///
/// let identity = Identity::generate();
/// let content = CardContent { name: "workstation".into(), version: "1.0".into(), ..CardContent::default() };
/// let card = Card::issue(&identity, content, 1_000, 2_000)?;
///
/// let received = Card::verify(card.bytes(), &identity.peer_id(), 1_500)?;
/// assert_eq!(received.name(), "workstation");
/// assert!(Card::verify(card.bytes(), &identity.peer_id(), 2_000).is_err(), "expired");
/// # Ok::<(), peerage_core::card::CardError>(())
/// ```
#[derive(Clone)]
pub struct Card(Arc<Parts>);

struct Parts {
    bytes: Box<[u8]>,
    name: String,
    description: String,
    did: Did,
    params: Params,
    addresses: Vec<Multiaddr>,
}

impl Card {
    /// Makes and signs a card that holds from `issued` until `expires` (unix seconds, exclusive).
    ///
    /// # Errors
    /// What would make the card be refused by others: [`CardError::TooLarge`], [`CardError::Content`].
    pub fn issue(
        identity: &Identity,
        content: CardContent,
        issued: u64,
        expires: u64,
    ) -> Result<Self, CardError> {
        let card = content.into_json(identity.did(), issued, expires);
        // Read back, so that what is signed is what others will read.
        let mut card = json::read(&json::write(&card), MAX_CARD_BYTES)?;
        let signatures = signature::sign(identity, &card)?;
        if let Some(fields) = card.as_object_mut() {
            fields.insert("signatures".to_owned(), signatures);
        }
        Self::verify(&json::write(&card), &identity.peer_id(), issued)
    }

    /// Reads a card that came from the peer with the key `key`, and checks everything: size, form, that `key` signed it,
    /// that it says so itself, and the time (unix seconds).
    ///
    /// # Errors
    /// See [`CardError`].
    pub fn verify(bytes: &[u8], key: &PeerId, now: u64) -> Result<Self, CardError> {
        let card = Self::verify_at_any_time(bytes, key)?;
        if card.issued() > now.saturating_add(CLOCK_SKEW) {
            return Err(CardError::FromTheFuture {
                issued: card.issued(),
                now,
            });
        }
        if card.is_expired_at(now) {
            return Err(CardError::Expired {
                expires: card.expires(),
                now,
            });
        }
        Ok(card)
    }

    /// Like [`Card::verify`] without the time: for cards that were stored, which may have expired since.
    ///
    /// # Errors
    /// See [`CardError`].
    pub fn verify_at_any_time(bytes: &[u8], key: &PeerId) -> Result<Self, CardError> {
        let did = Did::from_peer_id(key)?;
        let json = json::read(bytes, MAX_CARD_BYTES)?;
        signature::verify(&json, &did)?;
        let name = content::checked_name(json.get("name"))?;
        let description = json.get("description").and_then(Value::as_str);
        let description = description.unwrap_or_default().to_owned();
        let params = Params::find(&json)?;
        params.check(&did)?;
        let addresses = params.parsed_addresses();
        Ok(Self(Arc::new(Parts {
            bytes: bytes.into(),
            name,
            description,
            did,
            params,
            addresses,
        })))
    }

    /// Refuses a card that is older than the one held of the same peer. Of two cards of the same second either may
    /// replace the other.
    ///
    /// # Errors
    /// [`CardError::Older`].
    pub fn check_newer_than(&self, held: &Self) -> Result<(), CardError> {
        if self.issued() < held.issued() {
            return Err(CardError::Older {
                issued: self.issued(),
                held: held.issued(),
            });
        }
        Ok(())
    }

    /// The name, for people: 1 to [`MAX_NAME`] characters, none of them a control character. Not unique.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// What the node is, for people; may be empty.
    #[must_use]
    pub fn description(&self) -> &str {
        &self.0.description
    }

    /// Whose card it is.
    #[must_use]
    pub fn peer_id(&self) -> PeerId {
        self.0.did.peer_id()
    }

    /// Whose card it is, as a `did:key`.
    #[must_use]
    pub fn did(&self) -> Did {
        self.0.did
    }

    /// Where the node says it can be reached; addresses of unknown kinds are left out.
    #[must_use]
    pub fn addresses(&self) -> &[Multiaddr] {
        &self.0.addresses
    }

    /// When it was issued, in unix seconds.
    #[must_use]
    pub fn issued(&self) -> u64 {
        self.0.params.issued_at
    }

    /// Until when it holds, in unix seconds, exclusive.
    #[must_use]
    pub fn expires(&self) -> u64 {
        self.0.params.expires_at
    }

    /// Whether it is too old at the time given in unix seconds.
    #[must_use]
    pub fn is_expired_at(&self, now: u64) -> bool {
        now >= self.expires()
    }

    /// What the node's owner added.
    #[must_use]
    pub fn metadata(&self) -> &Map<String, Value> {
        &self.0.params.metadata
    }

    /// The shared MCP servers.
    #[must_use]
    pub fn servers(&self) -> &[SharedServer] {
        &self.0.params.mcp_servers
    }

    /// The whole card as JSON, with its signatures. Read from the bytes each time: a node knows many
    /// cards, and what was read takes several times as much memory.
    #[must_use]
    pub fn json(&self) -> Value {
        json::read(&self.0.bytes, MAX_CARD_BYTES).expect("it was read when it was verified")
    }

    /// The card as it was received, to be stored and served unchanged.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0.bytes
    }
}

impl AsRef<[u8]> for Card {
    fn as_ref(&self) -> &[u8] {
        self.bytes()
    }
}

impl PartialEq for Card {
    fn eq(&self, other: &Self) -> bool {
        self.0.did == other.0.did && self.0.bytes == other.0.bytes
    }
}

impl Eq for Card {}

impl fmt::Debug for Card {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Card")
            .field("name", &self.name())
            .field("peer_id", &self.peer_id())
            .field("issued", &self.issued())
            .field("expires", &self.expires())
            .field("servers", &self.servers().len())
            .finish_non_exhaustive()
    }
}
