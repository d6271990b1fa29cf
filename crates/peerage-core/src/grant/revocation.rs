//! Taking a grant back before it expires.

use serde::{Deserialize, Serialize};

use super::{Chain, GrantError, GrantId, link::Link};
use crate::{did::Did, identity::Identity, jws};

#[cfg(test)]
mod tests;

/// Base64url of `{"alg":"EdDSA","typ":"o-revoke+jwt"}`, the only header there is.
pub(super) const HEADER: &str = "eyJhbGciOiJFZERTQSIsInR5cCI6Im8tcmV2b2tlK2p3dCJ9";

/// The most bytes of a statement.
const MAX_STATEMENT: usize = 1_024;

/// The signed statement that one link of a chain no longer counts, nor anything below it.
///
/// It is valid from whoever issued that link or a link above it: the root can revoke everything, the holder of a name what it
/// has given. It carries the chain, so that whoever knows the root can check it alone; the time is not part of that, for what
/// was granted can be revoked before it begins. After the link would have expired it means nothing and can be forgotten.
///
/// The statement is a JWS in compact form with the header `{"alg":"EdDSA","typ":"o-revoke+jwt"}`, compared byte for byte,
/// and the payload `{iss, id, at}`: by whom, the id of the link, and when in unix seconds. As JSON
/// `{"chain": […], "statement": "…"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revocation {
    chain: Chain,
    statement: String,
}

/// What a verified revocation says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Revoked {
    /// The link that no longer counts.
    pub id: GrantId,
    /// Who says so.
    pub by: Did,
    /// Since when, in unix seconds, as its issuer says.
    pub at: u64,
    /// When it can be forgotten, in unix seconds: the link has expired by then.
    pub until: u64,
}

/// Why a revocation does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RevocationError {
    /// The chain breaks a rule other than its time.
    #[error(transparent)]
    Grant(#[from] GrantError),
    /// The statement is no compact JWS with the one header, or too long.
    #[error("the revocation is no statement of the right form")]
    Form,
    /// What the statement says cannot be read.
    #[error("the revocation: {0}")]
    Payload(String),
    /// The chain has no such link.
    #[error("the revocation is for another grant than the one it carries")]
    OtherGrant,
    /// Somebody else may revoke it.
    #[error("{by} may not revoke this grant: only its issuer may, and those above")]
    NotTheIssuer {
        /// Who tried.
        by: Did,
    },
    /// The signature is wrong.
    #[error("the signature of the revocation is wrong")]
    Signature,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Payload {
    iss: Did,
    id: GrantId,
    at: u64,
}

impl Revocation {
    /// Revokes a link of a chain, at the time given in unix seconds.
    ///
    /// # Errors
    /// [`RevocationError::OtherGrant`], [`RevocationError::NotTheIssuer`], or a chain that cannot be read.
    pub fn issue(
        issuer: &Identity,
        chain: &Chain,
        id: GrantId,
        at: u64,
    ) -> Result<Self, RevocationError> {
        let iss = issuer.did();
        may_revoke(&chain.peek()?, id, iss)?;
        let payload = Payload { iss, id, at };
        let json = serde_json::to_vec(&payload).expect("texts and a number always serialise");
        let input = format!("{HEADER}.{}", jws::encode(json));
        let signature = jws::encode(issuer.sign(input.as_bytes()));
        Ok(Self {
            chain: chain.clone(),
            statement: format!("{input}.{signature}"),
        })
    }

    /// Checks everything but the time, and gives what it says.
    ///
    /// # Errors
    /// The first rule that is broken; see [`RevocationError`].
    pub fn verify(&self, root: &Did) -> Result<Revoked, RevocationError> {
        if self.statement.len() > MAX_STATEMENT {
            return Err(RevocationError::Form);
        }
        let (input, signature) = self
            .statement
            .rsplit_once('.')
            .ok_or(RevocationError::Form)?;
        let payload = input
            .strip_prefix(HEADER)
            .and_then(|rest| rest.strip_prefix('.'));
        let json = payload.and_then(jws::decode).ok_or(RevocationError::Form)?;
        // Serde would also take an array with the fields in order.
        if json.first() != Some(&b'{') {
            return Err(RevocationError::Form);
        }
        let payload: Payload = serde_json::from_slice(&json)
            .map_err(|error| RevocationError::Payload(error.to_string()))?;
        let signature = jws::decode_signature(signature).ok_or(RevocationError::Form)?;
        let links = self.chain.verify_links(root)?;
        let until = may_revoke(&links, payload.id, payload.iss)?;
        if !payload.iss.verify(input.as_bytes(), &signature) {
            return Err(RevocationError::Signature);
        }
        Ok(Revoked {
            id: payload.id,
            by: payload.iss,
            at: payload.at,
            until,
        })
    }

    /// The link that it is about, **unverified**; `None` when it cannot be read.
    #[must_use]
    pub fn id(&self) -> Option<GrantId> {
        let payload = self.statement.split('.').nth(1).and_then(jws::decode)?;
        let payload: Payload = serde_json::from_slice(&payload).ok()?;
        Some(payload.id)
    }

    /// The root that its chain names, **unverified**.
    ///
    /// # Errors
    /// When the first link cannot be read.
    pub fn root(&self) -> Result<Did, GrantError> {
        self.chain.root()
    }
}

/// Whether a key has issued the link or one above it; and until when the link would hold.
fn may_revoke(links: &[Link], id: GrantId, by: Did) -> Result<u64, RevocationError> {
    let place = links.iter().position(|link| link.id == id);
    let place = place.ok_or(RevocationError::OtherGrant)?;
    if links[..=place].iter().any(|link| link.payload.iss == by) {
        Ok(links[place].payload.exp)
    } else {
        Err(RevocationError::NotTheIssuer { by })
    }
}
