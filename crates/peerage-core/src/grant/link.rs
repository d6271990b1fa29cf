//! One link of a chain: its form, its signature, and the rules between it and the link above.

use super::{
    CLOCK_SKEW, GrantError, GrantId, MAX_LINK_BYTES, Rights,
    claims::{Claims, Payload},
};
use crate::{did::Did, identity::Identity, jws};

/// Base64url of `{"alg":"EdDSA","typ":"o-grant+jwt"}`, the only header there is.
pub(super) const HEADER: &str = "eyJhbGciOiJFZERTQSIsInR5cCI6Im8tZ3JhbnQrand0In0";

/// A link that was read. `number` is its place in the chain, the root's being 0.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) number: usize,
    pub(super) payload: Payload,
    pub(super) id: GrantId,
}

impl Link {
    /// Makes and signs a link below `above`, or at the root without one, if the rules allow it.
    pub(super) fn sign(
        issuer: &Identity,
        claims: Claims,
        above: Option<&Self>,
    ) -> Result<String, GrantError> {
        let payload = Payload::new(issuer.did(), claims, above.map(|above| above.id));
        let link = above.map_or(0, |above| above.number + 1);
        payload
            .check()
            .map_err(|reason| GrantError::Payload { link, reason })?;
        let json = serde_json::to_vec(&payload)
            .expect("a payload is made of texts and numbers, which always serialise");
        let input = format!("{HEADER}.{}", jws::encode(json));
        if let Some(above) = above {
            Self {
                number: link,
                payload,
                id: GrantId::of(&input),
            }
            .check_below(above)?;
        }
        let signature = jws::encode(issuer.sign(input.as_bytes()));
        let text = format!("{input}.{signature}");
        check_form(link, &text)?;
        Ok(text)
    }

    /// Reads a link without checking its signature.
    pub(super) fn peek(number: usize, text: &str) -> Result<Self, GrantError> {
        let (input, _) = split(number, text)?;
        let payload = input
            .strip_prefix(HEADER)
            .and_then(|rest| rest.strip_prefix('.'));
        let payload = payload.ok_or(GrantError::Header { link: number })?;
        let json = jws::decode(payload).ok_or(GrantError::Base64 { link: number })?;
        let payload = Payload::parse(&json).map_err(|reason| GrantError::Payload {
            link: number,
            reason,
        })?;
        Ok(Self {
            number,
            payload,
            id: GrantId::of(input),
        })
    }

    /// Reads a link and checks that it was issued and signed by `issuer`, the root or the subject above.
    pub(super) fn read(number: usize, text: &str, issuer: &Did) -> Result<Self, GrantError> {
        let link = Self::peek(number, text)?;
        let iss = link.payload.iss;
        if iss != *issuer {
            return Err(match number {
                0 => GrantError::ForeignRoot {
                    found: iss,
                    expected: *issuer,
                },
                _ => GrantError::Issuer {
                    link: number,
                    found: iss,
                    expected: *issuer,
                },
            });
        }
        let (input, signature) = split(number, text)?;
        let signature =
            jws::decode_signature(signature).ok_or(GrantError::Base64 { link: number })?;
        if !issuer.verify(input.as_bytes(), &signature) {
            return Err(GrantError::Signature { link: number });
        }
        Ok(link)
    }

    /// The rule for the first link.
    pub(super) fn check_first(&self) -> Result<(), GrantError> {
        match self.payload.prf {
            Some(_) => Err(GrantError::ProofAtRoot),
            None => Ok(()),
        }
    }

    /// The rules between a link and the one above: never more, never longer, never elsewhere.
    pub(super) fn check_below(&self, above: &Self) -> Result<(), GrantError> {
        let (link, this, parent) = (self.number, &self.payload, &above.payload);
        if this.prf != Some(above.id) {
            return Err(GrantError::Proof { link });
        }
        if !parent.rights.contains(Rights::GRANT) {
            return Err(GrantError::MayNotGrant { link });
        }
        if let Some(right) = this.rights.first_beyond(&parent.rights) {
            return Err(GrantError::Widened {
                link,
                right: right.to_owned(),
            });
        }
        if !parent.path.covers(&this.path) {
            return Err(GrantError::Outside {
                link,
                path: this.path.clone(),
                above: parent.path.clone(),
            });
        }
        if this.nbf < parent.nbf {
            return Err(GrantError::Earlier { link });
        }
        if this.exp > parent.exp {
            return Err(GrantError::Longer { link });
        }
        if this.depth >= parent.depth {
            return Err(GrantError::Deeper {
                link,
                above: parent.depth,
            });
        }
        Ok(())
    }

    /// Whether the link holds at the time.
    pub(super) fn check_time(&self, now: u64) -> Result<(), GrantError> {
        let (link, nbf, exp) = (self.number, self.payload.nbf, self.payload.exp);
        if now >= exp {
            return Err(GrantError::Expired { link, exp });
        }
        if now.saturating_add(CLOCK_SKEW) < nbf {
            return Err(GrantError::NotYetValid { link, nbf });
        }
        Ok(())
    }
}

/// What can be said of a link without reading it: its length, its alphabet and its three parts.
pub(super) fn check_form(link: usize, text: &str) -> Result<(), GrantError> {
    if text.len() > MAX_LINK_BYTES {
        return Err(GrantError::LinkTooLong {
            link,
            bytes: text.len(),
        });
    }
    let in_alphabet = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let parts = text.split('.');
    if !text.bytes().all(in_alphabet)
        || parts.clone().count() != 3
        || parts.clone().any(str::is_empty)
    {
        return Err(GrantError::Form { link });
    }
    Ok(())
}

/// Splits a link into what is signed and the signature.
fn split(link: usize, text: &str) -> Result<(&str, &str), GrantError> {
    text.rsplit_once('.').ok_or(GrantError::Form { link })
}
