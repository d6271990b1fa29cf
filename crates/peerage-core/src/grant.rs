//! Grants: signed, expiring, offline-verifiable statements "this key may be `o://acme/sales/bot`, with these rights".
//!
//! A [`Chain`] is the proof: links from the root of a mesh down to one key, each signed by the holder of the link above and
//! never giving more than that holder has. A [`Grant`] is what a chain that was verified says.
//!
//! # Format
//! A link is a JWS in compact form with the one header `{"alg":"EdDSA","typ":"o-grant+jwt"}`, compared byte for byte, and
//! the payload `{iss, sub, path, rights, nbf, exp, jti, depth, prf}`. What was received is what is verified: nothing is
//! canonicalised. Unknown and doubled fields are refused.
//!
//! # Rules
//! The first link is issued by the root and has no `prf`. For every further link: `iss` is the `sub` above; `prf` is the id
//! of the link above; the link above has the right `grant`; rights are a subset; the path is equal or below, by segment;
//! `nbf` is not earlier, `exp` not later, `depth` smaller. There are at most [`MAX_LINKS`] links of [`MAX_LINK_BYTES`].
//!
//! A grant is bound to its subject's key: it proves something only of the peer whose key that is, on whose connection it is
//! shown. [`Chain::verify`] cannot know that connection, so compare [`Grant::subject`].

use crate::{address::Address, did::Did};

mod chain;
mod claims;
mod error;
mod id;
mod link;
mod revocation;
mod rights;
#[cfg(test)]
mod tests;

/// What the signed texts of grants and revocations begin with.
pub(crate) const HEADERS: [&str; 2] = [link::HEADER, revocation::HEADER];

pub use chain::Chain;
pub use claims::Claims;
pub use error::GrantError;
pub use id::GrantId;
pub use revocation::{Revocation, RevocationError, Revoked};
pub use rights::{Rights, RightsError};

/// The most links of a chain.
pub const MAX_LINKS: usize = 8;

/// The most bytes of one link.
pub const MAX_LINK_BYTES: usize = 2048;

/// The most bytes of a chain in its text form.
pub const MAX_CHAIN_BYTES: usize = MAX_LINKS * (MAX_LINK_BYTES + 1) - 1;

/// How many seconds a clock may be behind the issuer's before a new grant looks not yet valid.
pub const CLOCK_SKEW: u64 = 60;

/// What a verified chain says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Grant {
    /// The root of the mesh that vouches for it.
    pub root: Did,
    /// The key it was given to. It is proof only for the peer that has this key.
    pub subject: Did,
    /// The name, and for all rights but `be` everything below it.
    pub path: Address,
    /// What the subject may do.
    pub rights: Rights,
    /// From when it holds, in unix seconds.
    pub not_before: u64,
    /// Until when it holds, in unix seconds, exclusive.
    pub expires: u64,
    /// How many further links may follow.
    pub depth: u8,
    /// The ids of the chain's links, root first: revoking one of them revokes this grant.
    pub ids: Vec<GrantId>,
}

impl Grant {
    /// Whether the subject has the right at the path.
    ///
    /// A right reaches its path and all below it, except [`Rights::BE`], which reaches the path alone: who is
    /// `o://acme/sales` is not thereby `o://acme/sales/bot`.
    #[must_use]
    pub fn allows(&self, path: &Address, right: &str) -> bool {
        let reaches = if right == Rights::BE {
            self.path == *path
        } else {
            self.path.covers(path)
        };
        reaches && self.rights.contains(right)
    }

    /// The name that the subject bears: the path, if it has the right to be it.
    #[must_use]
    pub fn name(&self) -> Option<&Address> {
        self.rights.contains(Rights::BE).then_some(&self.path)
    }

    /// Whether the grant holds at the time given in unix seconds; it may begin [`CLOCK_SKEW`] early.
    #[must_use]
    pub fn is_valid_at(&self, now: u64) -> bool {
        !self.is_early_at(now) && now < self.expires
    }

    /// Whether it rests on one of these links, so that revoking those has revoked it.
    pub fn rests_on(&self, revoked: impl FnMut(&GrantId) -> bool) -> bool {
        self.ids.iter().any(revoked)
    }

    /// From when it counts, in unix seconds: [`CLOCK_SKEW`] before it holds.
    #[must_use]
    pub fn begins(&self) -> u64 {
        self.not_before.saturating_sub(CLOCK_SKEW)
    }

    /// Whether the grant does not hold yet at the time given in unix seconds.
    #[must_use]
    pub fn is_early_at(&self, now: u64) -> bool {
        now.saturating_add(CLOCK_SKEW) < self.not_before
    }
}
