//! What this node holds: its grants in the mesh of its own root and in those it has joined.

use std::time::Duration;

use peerage_core::{
    PeerId,
    address::Address,
    did::Did,
    grant::{Chain, Claims, Grant, Rights},
};
use serde::{Deserialize, Serialize};

use super::{MAX_MESHES, MAX_SHOWN, MemberError, Members, issued::MEMBER_DEPTH, unix_now};
use crate::store::{StoreError, Table};

/// How long a node of the home that holds the root is a member before its grant is made anew, seconds.
const OWN_GRANT_S: u64 = 90 * 24 * 3600;
/// Grants of one mesh that a node holds, at the most.
const MAX_HELD: usize = MAX_SHOWN;

/// One mesh that this node is in.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Membership {
    /// The name that all names of the mesh are below: a grant of this root for another name proves
    /// nothing.
    pub(super) path: Address,
    /// The proofs that are shown to others.
    pub(super) held: Vec<Held>,
}

/// A grant that this node holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Held {
    /// The proof.
    pub chain: Chain,
    /// The peer that gave it and renews it; absent where this node renews it by itself.
    pub from: Option<Did>,
}

/// A grant that is to be renewed.
#[derive(Clone, Debug)]
pub struct Due {
    /// What is to be renewed.
    pub chain: Chain,
    /// Who renews it.
    pub from: PeerId,
}

impl Members {
    /// Issues this node's own grant anew where the home holds the root. Called at start, and again long
    /// before the grant expires.
    ///
    /// # Errors
    ///
    /// [`MemberError::Grant`] when the name does not fit below the root's.
    pub fn renew_own(&self) -> Result<(), MemberError> {
        let Some(root) = &self.0.root else {
            return Ok(());
        };
        let now = unix_now();
        let segment = Address::segment_from(&self.0.name);
        let claims = Claims {
            sub: self.0.me.did(),
            path: root
                .path
                .child(&segment)
                .map_err(|_| MemberError::NotForMe)?,
            rights: Rights::all(),
            nbf: now,
            exp: now + OWN_GRANT_S,
            depth: MEMBER_DEPTH + 1,
        };
        let own = Held {
            chain: Chain::issue_root(&root.key, claims)?,
            from: None,
        };
        let mut known = self.write();
        let membership = known
            .meshes
            .entry(root.key.did())
            .or_insert_with(|| Membership {
                path: root.path.clone(),
                held: Vec::new(),
            });
        membership.held.retain(|held| held.from.is_some());
        membership.held.insert(0, own);
        Ok(())
    }

    /// The mesh whose root this home holds: its name and its root.
    #[must_use]
    pub fn own_mesh(&self) -> Option<(Address, Did)> {
        let root = self.0.root.as_ref()?;
        Some((root.path.clone(), root.key.did()))
    }

    /// The names that this node bears, in its own mesh and in those it joined.
    #[must_use]
    pub fn own_names(&self) -> Vec<Address> {
        let own = self.holds();
        let mut names: Vec<Address> = own
            .into_iter()
            .filter_map(|(grant, _)| grant.name().cloned())
            .collect();
        names.sort();
        names.dedup();
        names
    }

    /// The names that this node bears, those in the mesh of its own root first: what a relative name is relative to.
    #[must_use]
    pub fn own_names_at_home(&self) -> Vec<Address> {
        let mesh = self.own_mesh();
        let mut names = self.own_names();
        names.sort_by_key(|name| !mesh.as_ref().is_some_and(|(mesh, _)| mesh.covers(name)));
        names
    }

    /// The proofs that this node shows to peers.
    #[must_use]
    pub fn chains(&self) -> Vec<Chain> {
        let known = self.read();
        let held = known.meshes.values().flat_map(|mesh| &mesh.held);
        held.map(|held| held.chain.clone())
            .take(MAX_SHOWN)
            .collect()
    }

    /// The grants that this node holds and that hold now.
    #[must_use]
    pub fn holds(&self) -> Vec<(Grant, Held)> {
        let now = unix_now();
        let known = self.read();
        let held = known
            .meshes
            .iter()
            .flat_map(|(root, mesh)| mesh.held.iter().map(move |held| (root, held)));
        held.filter_map(|(root, held)| Some((held.chain.verify(root, now).ok()?, held.clone())))
            .filter(|(grant, _)| !grant.rests_on(|id| known.revoked.contains_key(id)))
            .collect()
    }

    /// Takes a proof of membership in the mesh named `path`, for this node, from the peer that renews it.
    ///
    /// # Errors
    ///
    /// [`MemberError`]: the proof is broken or for somebody else, or it could not be kept.
    pub fn join(&self, path: Address, chain: Chain, from: PeerId) -> Result<Grant, MemberError> {
        let root = chain.root()?;
        let grant = chain.verify(&root, unix_now())?;
        if grant.subject != self.0.me.did() || !path.covers(&grant.path) || path.depth() != 1 {
            return Err(MemberError::NotForMe);
        }
        if grant.rests_on(|id| self.read().revoked.contains_key(id)) {
            return Err(MemberError::Revoked);
        }
        let mut known = self.write();
        let others = known.meshes.iter().filter(|(other, _)| **other != root);
        if others.clone().any(|(_, mesh)| mesh.path == path) {
            return Err(MemberError::SameName(path));
        }
        if others.count() >= MAX_MESHES {
            return Err(MemberError::TooMany);
        }
        let mut membership = known.meshes.get(&root).cloned().unwrap_or(Membership {
            path,
            held: Vec::new(),
        });
        membership.take(
            &root,
            &grant,
            Held {
                chain,
                from: Did::from_peer_id(&from).ok(),
            },
        );
        self.0
            .store
            .put(Table::Grants, &root.to_string(), &membership)?;
        known.meshes.insert(root, membership);
        drop(known);
        self.renamed();
        self.0.more.notify_one();
        // Peers have shown grants of this mesh before, when they meant nothing here.
        let chains = self.read().chains.clone();
        for (peer, chains) in chains {
            let _ = self.consider(peer, &chains);
        }
        Ok(grant)
    }

    /// Takes a grant of a mesh that this node is in already, from the peer that gave it.
    ///
    /// # Errors
    ///
    /// [`MemberError::UnknownMesh`], and as [`Members::join`].
    pub fn accept(&self, chain: Chain, from: PeerId) -> Result<Grant, MemberError> {
        let root = chain.root()?;
        let path = self.read().meshes.get(&root).map(|mesh| mesh.path.clone());
        self.join(path.ok_or(MemberError::UnknownMesh(root))?, chain, from)
    }

    /// The grants of which less than a third of their life is left, with those who renew them; and how long until the next one
    /// is.
    #[must_use]
    pub fn due(&self) -> (Vec<Due>, Option<Duration>) {
        let now = unix_now();
        let mut due = Vec::new();
        let mut next: Option<u64> = None;
        for (grant, held) in self.holds() {
            let at = grant.expires - (grant.expires - grant.not_before) / 3;
            if at > now {
                next = Some(next.map_or(at - now, |next| next.min(at - now)));
            } else if let Some(from) = held.from {
                let (chain, from) = (held.chain, from.peer_id());
                due.push(Due { chain, from });
            } else if let Err(error) = self.renew_own() {
                tracing::error!(%error, "this node's own grant cannot be renewed");
            }
        }
        (due, next.map(Duration::from_secs))
    }

    /// Returns when this node holds a grant more than when it was last asked.
    pub async fn holds_more(&self) {
        self.0.more.notified().await;
    }

    /// Forgets what this node holds that rests on a link that was revoked.
    pub(super) fn drop_revoked(&self) -> Result<(), StoreError> {
        let mut known = self.write();
        let revoked = known.revoked.clone();
        for (root, mesh) in &mut known.meshes {
            let before = mesh.held.len();
            // What has expired proves nothing, and cannot be read by its ids.
            mesh.held.retain(|held| {
                let grant = held.chain.verify(root, unix_now());
                !grant.is_ok_and(|grant| grant.rests_on(|id| revoked.contains_key(id)))
            });
            if mesh.held.len() < before {
                tracing::warn!(mesh = %mesh.path, "a grant of this node was revoked");
                self.0.store.put(Table::Grants, &root.to_string(), mesh)?;
            }
        }
        Ok(())
    }
}

impl Membership {
    /// Takes a grant in, in place of one for the same name that gives nothing more, and of what has expired.
    fn take(&mut self, root: &Did, grant: &Grant, new: Held) {
        let now = unix_now();
        self.held.retain(|held| match held.chain.verify(root, now) {
            Ok(old) => {
                let more = old.rights.iter().any(|right| !grant.rights.contains(right));
                old.path != grant.path || more || held.from.is_none()
            }
            Err(_) => false,
        });
        self.held.push(new);
        if self.held.len() > MAX_HELD {
            // The oldest that this node cannot make itself.
            let oldest = self.held.iter().position(|held| held.from.is_some());
            self.held.remove(oldest.unwrap_or_default());
        }
    }
}
