//! What no longer counts although it has not expired.

use std::collections::BTreeMap;

use peerage_core::{
    PeerId,
    grant::{Grant, GrantId, Revocation},
};

use tokio::sync::watch;

use super::{Known, MemberError, Members, issued::leaf, unix_now};
use crate::store::{Batch, Store, StoreError, Table};

/// Revocations that are kept, at the most: those of a mesh whose members make more must wait until some expire.
const MAX_REVOKED: usize = 10_000;

/// Reads what is stored, and forgets what would have expired.
pub(super) fn read(store: &Store, revoked: &mut BTreeMap<GrantId, u64>) -> Result<(), StoreError> {
    let now = unix_now();
    let mut expired = Batch::default();
    for (id, revocation) in store.all::<Revocation>(Table::Revoked)? {
        let said = revocation
            .root()
            .ok()
            .and_then(|root| revocation.verify(&root).ok());
        match said.filter(|said| said.until > now) {
            Some(said) => {
                revoked.insert(said.id, said.until);
            }
            None => expired.remove(Table::Revoked, &id),
        }
    }
    if expired.is_empty() {
        Ok(())
    } else {
        store.write(expired)
    }
}

impl Members {
    /// Takes back a grant that this node has given, and all for the same name that its holder got by renewal. It is on the
    /// disk and counts here before this returns; the revocations are for telling others.
    ///
    /// # Errors
    ///
    /// [`MemberError::NotGiven`], or the store failed.
    pub fn revoke(&self, id: GrantId) -> Result<Vec<Revocation>, MemberError> {
        let given = self.given()?;
        let wanted = given.iter().find(|(grant, _)| leaf(grant) == id);
        let (wanted, _) = wanted.ok_or(MemberError::NotGiven)?;
        let same = given
            .iter()
            .filter(|(grant, _)| grant.subject == wanted.subject && grant.path == wanted.path);
        let mut revocations = Vec::new();
        for (grant, issued) in same {
            let root = self
                .0
                .root
                .as_ref()
                .filter(|root| root.key.did() == grant.root);
            let direct = grant.ids.len() == 1;
            let issuer = match root {
                Some(root) if direct => &root.key,
                _ => &self.0.me,
            };
            let revocation = Revocation::issue(issuer, &issued.chain, leaf(grant), unix_now())?;
            self.take_in(&revocation)?;
            revocations.push(revocation);
        }
        Ok(revocations)
    }

    /// Takes in a revocation, whoever brings it. `true` when it was news.
    ///
    /// # Errors
    ///
    /// [`MemberError::UnknownMesh`], [`MemberError::Revocation`], or the store failed.
    pub fn take_in(&self, revocation: &Revocation) -> Result<bool, MemberError> {
        let root = revocation.root()?;
        {
            let known = self.read();
            if !known.meshes.contains_key(&root) {
                return Err(MemberError::UnknownMesh(root));
            }
            if known.revoked.len() >= MAX_REVOKED {
                return Err(MemberError::TooMany);
            }
        }
        let said = revocation.verify(&root)?;
        if said.until <= unix_now() || self.read().revoked.contains_key(&said.id) {
            return Ok(false);
        }
        self.0
            .store
            .put(Table::Revoked, &said.id.to_string(), revocation)?;
        self.write().revoked.insert(said.id, said.until);
        self.drop_revoked()?;
        for peer in self.holders_of(said.id) {
            self.relate(peer);
        }
        self.renamed();
        self.0.revoked.send_modify(|count| *count += 1);
        Ok(true)
    }

    /// Counts up when a grant was revoked: what its holder may call, and so sees, may be less.
    #[must_use]
    pub fn revoked_watch(&self) -> watch::Receiver<u64> {
        self.0.revoked.subscribe()
    }

    /// What is revoked and has not expired, for telling a peer that has just come.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn revocations(&self) -> Result<Vec<Revocation>, StoreError> {
        let all = self.0.store.all::<Revocation>(Table::Revoked)?;
        Ok(all.into_iter().map(|(_, revocation)| revocation).collect())
    }

    /// The peers that have shown a grant that rests on a link.
    #[must_use]
    pub fn holders_of(&self, id: GrantId) -> Vec<PeerId> {
        let known = self.read();
        let shown = known.shown.iter();
        shown
            .filter(|(_, grants)| {
                grants
                    .iter()
                    .any(|grant| grant.rests_on(|link| *link == id))
            })
            .map(|(peer, _)| *peer)
            .collect()
    }

    /// Whether a grant rests on a link that was revoked.
    pub(super) fn is_revoked(&self, grant: &Grant) -> bool {
        let known: &Known = &self.read();
        grant.rests_on(|id| known.revoked.contains_key(id))
    }
}
