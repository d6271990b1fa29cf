//! What this node has given: grants to members that it admitted, and for names below those it holds.

use peerage_core::{
    PeerId,
    address::Address,
    did::Did,
    grant::{Chain, Claims, Grant, GrantId, Rights},
};
use serde::{Deserialize, Serialize};

use super::{MemberError, Members, unix_now};
use crate::store::{Batch, Table};

/// How long somebody who was invited is a member, seconds.
const MEMBER_GRANT_S: u64 = 365 * 24 * 3600;
/// Links below the root that a member's grant leaves room for.
pub(super) const MEMBER_DEPTH: u8 = 6;

/// What is to be granted.
#[derive(Clone, Debug)]
pub struct Gift {
    /// The key it is for.
    pub subject: Did,
    /// The name.
    pub path: Address,
    /// What its subject may do.
    pub rights: Rights,
    /// For how long, in seconds; cut to the life of the grant it rests on.
    pub seconds: u64,
}

/// A grant that this node has given, as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Issued {
    /// The proof.
    pub chain: Chain,
    /// For how long it is renewed, in seconds.
    pub seconds: u64,
    /// Until when it holds, in unix seconds.
    pub expires: u64,
}

impl Members {
    /// Makes the key `subject` a member of the mesh whose root this home holds, under the name `wish`
    /// or, when another key bears it, under `wish-2` and so on. Returns the proof and the mesh's name.
    ///
    /// # Errors
    ///
    /// [`MemberError`]: this node may not grant, or the store failed.
    pub fn admit(&self, subject: Did, wish: &str) -> Result<(Chain, Address), MemberError> {
        let root = self.0.root.as_ref().ok_or(MemberError::MayNotGrant)?;
        let gift = Gift {
            subject,
            path: self.free_name(&root.path, subject, wish)?,
            rights: Rights::member(),
            seconds: MEMBER_GRANT_S,
        };
        Ok((self.give(&gift)?.0, root.path.clone()))
    }

    /// Grants a name that this node holds with the right to grant, or one below it. Never more than it has itself, and never
    /// for longer.
    ///
    /// # Errors
    ///
    /// [`MemberError::MayNotGrantThis`], or the store failed.
    pub fn give(&self, gift: &Gift) -> Result<(Chain, Grant), MemberError> {
        let chain = self.issue(gift)?;
        let now = unix_now();
        let grant = chain.verify(&chain.root()?, now)?;
        let issued = Issued {
            chain: chain.clone(),
            seconds: gift.seconds,
            expires: grant.expires,
        };
        self.0
            .store
            .put(Table::Issued, &leaf(&grant).to_string(), &issued)?;
        Ok((chain, grant))
    }

    fn issue(&self, gift: &Gift) -> Result<Chain, MemberError> {
        let now = unix_now();
        let may_grant = gift.rights.contains(Rights::GRANT);
        let claims = |from: u64, until: u64, room: u8| Claims {
            sub: gift.subject,
            path: gift.path.clone(),
            rights: gift.rights.clone(),
            nbf: from.max(now),
            exp: until.min(now.saturating_add(gift.seconds)),
            depth: if may_grant { room } else { 0 },
        };
        if let Some(root) = self
            .0
            .root
            .as_ref()
            .filter(|root| root.path.covers(&gift.path))
        {
            let claims = claims(now, u64::MAX, MEMBER_DEPTH);
            return Ok(Chain::issue_root(&root.key, claims)?);
        }
        let held = self.holds().into_iter().filter(|(own, _)| {
            let all = gift.rights.iter().all(|right| own.rights.contains(right));
            all && own.depth > 0 && own.allows(&gift.path, Rights::GRANT)
        });
        let best = held.max_by_key(|(own, _)| own.expires);
        let (own, held) = best.ok_or_else(|| MemberError::MayNotGrantThis(gift.path.clone()))?;
        let claims = claims(own.not_before, own.expires, own.depth - 1);
        Ok(held.chain.delegate(&self.0.me, claims)?)
    }

    /// What this node has given and what has not expired, with what each says.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn given(&self) -> Result<Vec<(Grant, Issued)>, MemberError> {
        let now = unix_now();
        let mut expired = Batch::default();
        let mut given = Vec::new();
        for (id, issued) in self.0.store.all::<Issued>(Table::Issued)? {
            let root = issued.chain.root()?;
            match issued.chain.verify(&root, now) {
                Ok(grant) => given.push((grant, issued)),
                Err(_) if issued.expires <= now => expired.remove(Table::Issued, &id),
                Err(error) => tracing::warn!(id, %error, "a grant that was given does not hold"),
            }
        }
        if !expired.is_empty() {
            self.0.store.write(expired)?;
        }
        Ok(given)
    }

    /// Gives again what `peer` holds by this node's grant, from now on, as it was given.
    ///
    /// # Errors
    ///
    /// [`MemberError::NotGiven`], [`MemberError::Revoked`], [`MemberError::NotForMe`] when it is another's, or as
    /// [`Members::give`].
    pub fn renew(&self, peer: &PeerId, chain: &Chain) -> Result<Chain, MemberError> {
        let root = chain.root()?;
        let grant = chain.verify(&root, unix_now())?;
        if grant.subject.peer_id() != *peer {
            return Err(MemberError::NotForMe);
        }
        if self.is_revoked(&grant) {
            return Err(MemberError::Revoked);
        }
        let issued: Option<Issued> = self.0.store.get(Table::Issued, &leaf(&grant).to_string())?;
        let issued = issued.ok_or(MemberError::NotGiven)?;
        let gift = Gift {
            subject: grant.subject,
            path: grant.path,
            rights: grant.rights,
            seconds: issued.seconds,
        };
        Ok(self.give(&gift)?.0)
    }

    fn free_name(&self, below: &Address, subject: Did, wish: &str) -> Result<Address, MemberError> {
        let wish = Address::segment_from(wish);
        // A name is found at the latest after as many tries as names were given.
        let mut number = 1_u32;
        loop {
            let segment = if number == 1 {
                wish.clone()
            } else {
                let suffix = format!("-{number}");
                let keep = wish.len().min(Address::MAX_SEGMENT - suffix.len());
                format!("{}{suffix}", &wish[..keep].trim_end_matches('-'))
            };
            let name = below.child(&segment).map_err(|_| MemberError::NotForMe)?;
            let holder: Option<Did> = self.0.store.get(Table::Names, name.as_str())?;
            let mine = segment == Address::segment_from(&self.0.name);
            if holder == Some(subject) {
                return Ok(name);
            }
            if holder.is_none() && !mine {
                self.0.store.put(Table::Names, name.as_str(), &subject)?;
                return Ok(name);
            }
            number += 1;
        }
    }
}

/// The id of a grant itself: that of its last link.
pub(super) fn leaf(grant: &Grant) -> GrantId {
    *grant.ids.last().expect("a verified grant has a link")
}
