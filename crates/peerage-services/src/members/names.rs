//! Who bears which name, as far as this node has proof of it.

use std::collections::BTreeSet;

use peerage_core::{
    PeerId,
    address::Address,
    did::Did,
    grant::{Chain, Grant},
};
use tokio::sync::watch;

use super::{MemberError, Members, issued::Issued, unix_now};
use crate::store::Table;

impl Members {
    /// The peers that have shown that they bear a name, and whose grants hold now.
    #[must_use]
    pub fn bearers(&self, name: &Address) -> Vec<PeerId> {
        self.bearing(|own| own == name)
            .into_iter()
            .map(|(peer, _)| peer)
            .collect()
    }

    /// The peers that have shown names of which `meant` is true, with those names.
    #[must_use]
    pub fn bearing(&self, meant: impl Fn(&Address) -> bool) -> Vec<(PeerId, Address)> {
        let now = unix_now();
        let known = self.read();
        let mut bearing = Vec::new();
        for peer in known.shown.keys() {
            let names = known
                .holding(peer)
                .filter(|grant| grant.is_valid_at(now))
                .filter_map(Grant::name);
            bearing.extend(names.filter(|name| meant(name)).map(|n| (*peer, n.clone())));
        }
        bearing
    }

    /// Who has given this node its names, each with the name.
    #[must_use]
    pub fn givers(&self) -> Vec<(PeerId, Address)> {
        let known = self.read();
        let held = known.meshes.values().flat_map(|mesh| &mesh.held);
        held.filter_map(|held| Some((held.from?.peer_id(), held.chain.path().ok()?)))
            .collect()
    }

    /// What a chain proves that somebody has told of: to whom it was given, and which name.
    ///
    /// # Errors
    ///
    /// [`MemberError::UnknownMesh`], [`MemberError::Grant`], [`MemberError::NotForMe`] when it gives a name outside of its
    /// mesh, [`MemberError::Pinned`],
    /// [`MemberError::Revoked`].
    pub fn prove(&self, chain: &Chain) -> Result<Grant, MemberError> {
        let root = chain.root()?;
        let path = self.read().meshes.get(&root).map(|mesh| mesh.path.clone());
        let path = path.ok_or(MemberError::UnknownMesh(root))?;
        let grant = chain.verify(&root, unix_now())?;
        if !path.covers(&grant.path) {
            return Err(MemberError::NotForMe);
        }
        let pinned = self.pinned(&grant.path);
        if pinned.is_some_and(|pinned| pinned != grant.subject.peer_id()) {
            return Err(MemberError::Pinned(grant.path));
        }
        if self.is_revoked(&grant) {
            return Err(MemberError::Revoked);
        }
        Ok(grant)
    }

    /// Whether what was proved once still holds.
    #[must_use]
    pub fn still_holds(&self, grant: &Grant) -> bool {
        grant.is_valid_at(unix_now()) && !self.is_revoked(grant)
    }

    /// The proofs that this node has of who bears a name or a beginning of it, in the meshes of these roots: what it holds, what
    /// connected peers have shown and what it has given. Those of the longest name come first, one for each peer and name.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn proofs(
        &self,
        name: &Address,
        roots: &BTreeSet<Did>,
    ) -> Result<Vec<(Grant, Chain)>, MemberError> {
        let issued = self.0.store.all::<Issued>(Table::Issued)?;
        let mut chains: Vec<Chain> = issued.into_iter().map(|(_, given)| given.chain).collect();
        {
            let known = self.read();
            let held = known.meshes.values().flat_map(|mesh| &mesh.held);
            chains.extend(held.map(|held| held.chain.clone()));
            chains.extend(known.chains.values().flatten().cloned());
        }
        // Read before they are verified: there may be many, of which few are meant.
        let meant = |chain: &Chain| {
            let path = chain.path();
            let root = chain.root();
            path.is_ok_and(|path| path.covers(name)) && root.is_ok_and(|root| roots.contains(&root))
        };
        let proofs = chains.into_iter().filter(meant);
        let mut proofs: Vec<(Grant, Chain)> = proofs
            .filter_map(|chain| Some((self.prove(&chain).ok()?, chain)))
            .filter(|(grant, _)| grant.name().is_some())
            .collect();
        proofs.sort_by_key(|(grant, _)| {
            let (depth, expires) = (grant.path.depth(), grant.expires);
            (std::cmp::Reverse(depth), std::cmp::Reverse(expires))
        });
        let mut told = BTreeSet::new();
        proofs.retain(|(grant, _)| told.insert((grant.path.clone(), grant.subject.peer_id())));
        Ok(proofs)
    }

    /// Counts up when this node or a peer may bear another name than before.
    #[must_use]
    pub fn renamed_watch(&self) -> watch::Receiver<u64> {
        self.0.renamed.subscribe()
    }

    pub(super) fn renamed(&self) {
        self.0.renamed.send_modify(|count| *count += 1);
    }
}
