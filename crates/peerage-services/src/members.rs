//! Who is who to this node: the meshes it is in, the grants peers have shown, the peers trusted by hand.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::{Duration, Instant},
};

use peerage_core::{
    Identity, PeerId,
    address::Address,
    did::Did,
    grant::{Chain, Claims, Grant, GrantError, Rights},
    peer_book::{PeerEvent, Relation},
    policy::Caller,
    problem::Problem,
};
use peerage_mesh::{Book, book};
use serde::{Deserialize, Serialize};

use crate::store::{Store, StoreError, Table};

/// How long a node of the home that holds the root is a member before its grant is made anew, seconds.
const OWN_GRANT_S: u64 = 90 * 24 * 3600;
/// How often that is done while it runs.
const RENEW_EVERY: Duration = Duration::from_secs(24 * 3600);
/// How often it is looked for peers whose grants have expired.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// How long somebody who was invited is a member, seconds.
const MEMBER_GRANT_S: u64 = 365 * 24 * 3600;
/// Links below the root that a member's grant leaves room for.
const MEMBER_DEPTH: u8 = 6;
/// Chains that one peer may show at once. Verifying costs about 0.1 ms a link.
pub const MAX_SHOWN: usize = 8;
/// Meshes that a node may be in.
const MAX_MESHES: usize = 64;

/// The root of a mesh: who has it decides who is a member.
#[derive(Clone, Debug)]
pub struct Root {
    /// Its key.
    pub key: Identity,
    /// The name that all names of the mesh are below.
    pub path: Address,
}

/// One mesh that this node is in.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Membership {
    /// The name that all names of the mesh are below: a grant of this root for another name proves
    /// nothing.
    path: Address,
    /// The proof that is shown to others.
    chain: Chain,
}

/// See the module's page. Clones share what they know.
#[derive(Clone, Debug)]
pub struct Members(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    me: Identity,
    name: String,
    root: Option<Root>,
    store: Store,
    book: Book,
    known: RwLock<Known>,
    admission: Mutex<()>,
}

#[derive(Debug, Default)]
struct Known {
    meshes: BTreeMap<Did, Membership>,
    /// What connected peers have shown, also of meshes that this node is not in yet.
    chains: HashMap<PeerId, Vec<Chain>>,
    /// What of that holds here.
    shown: HashMap<PeerId, Vec<Grant>>,
    trusted: BTreeSet<PeerId>,
}

/// Why somebody could not be made a member.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MemberError {
    /// This node may not grant.
    #[error("this node may not make others members")]
    MayNotGrant,
    /// The grant would break a rule.
    #[error(transparent)]
    Grant(#[from] GrantError),
    /// A grant for another key, or for a name outside of its mesh.
    #[error("the grant is not for this node")]
    NotForMe,
    /// Already in as many meshes as may be.
    #[error("this node is in {MAX_MESHES} meshes, and no more are possible")]
    TooMany,
    /// It could not be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<MemberError> for Problem {
    fn from(error: MemberError) -> Self {
        let text = error.to_string();
        match error {
            MemberError::MayNotGrant => Self::new(403, "may_not_grant", text)
                .hint("run `peerage invite` where the mesh was made: its home holds the root key"),
            MemberError::Grant(_) | MemberError::NotForMe => Self::new(400, "bad_grant", text),
            MemberError::TooMany => Self::new(409, "too_many_meshes", text),
            MemberError::Store(error) => error.into(),
        }
    }
}

impl Members {
    /// Reads what is stored, and makes this node a member of the mesh of its own root.
    ///
    /// # Errors
    ///
    /// [`MemberError`] when the store fails or the name does not fit below the root's.
    pub fn open(
        me: &Identity,
        name: &str,
        root: Option<Root>,
        store: &Store,
        book: &Book,
    ) -> Result<Self, MemberError> {
        let mut known = Known::default();
        for (_, membership) in store.all::<Membership>(Table::Grants)? {
            if let Ok(root) = membership.chain.root() {
                known.meshes.insert(root, membership);
            }
        }
        for (peer, _) in store.all::<u64>(Table::Trusted)? {
            known.trusted.extend(peer.parse::<PeerId>());
        }
        for peer in &known.trusted {
            book.apply(*peer, PeerEvent::Related(Relation::Trusted));
        }
        let members = Self(Arc::new(Inner {
            me: me.clone(),
            name: name.to_owned(),
            root,
            store: store.clone(),
            book: book.clone(),
            known: RwLock::new(known),
            admission: Mutex::default(),
        }));
        members.renew_own()?;
        Ok(members)
    }

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
        let claims = Claims {
            sub: self.0.me.did(),
            path: name_below(&root.path, &self.0.name)?,
            rights: Rights::all(),
            nbf: now,
            exp: now + OWN_GRANT_S,
            depth: MEMBER_DEPTH + 1,
        };
        let membership = Membership {
            path: root.path.clone(),
            chain: Chain::issue_root(&root.key, claims)?,
        };
        self.write().meshes.insert(root.key.did(), membership);
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
        self.verified_own()
            .into_iter()
            .filter_map(|grant| grant.name().cloned())
            .collect()
    }

    /// The proofs that this node shows to peers.
    #[must_use]
    pub fn chains(&self) -> Vec<Chain> {
        let known = self.read();
        let chains = known.meshes.values().map(|m| m.chain.clone());
        chains.take(MAX_SHOWN).collect()
    }

    /// A peer shows its grants, in place of those it showed before. Those of a mesh that this node is in
    /// count if they verify; broken ones are reported.
    pub fn shown(&self, peer: PeerId, mut chains: Vec<Chain>) {
        chains.truncate(MAX_SHOWN);
        self.consider(peer, &chains);
        self.write().chains.insert(peer, chains);
    }

    /// The connection to a peer has ended: what it showed is shown again on the next one. What was
    /// verified still holds for as long as it is valid.
    pub fn gone(&self, peer: &PeerId) {
        self.write().chains.remove(peer);
    }

    /// Forgets what peers have shown that are no longer connected: whoever falls behind with the book does
    /// not hear of each that went.
    pub fn keep(&self, connected: impl Fn(&PeerId) -> bool) {
        self.write().chains.retain(|peer, _| connected(peer));
    }

    fn consider(&self, peer: PeerId, chains: &[Chain]) {
        let now = unix_now();
        let grants: Vec<Grant> = chains
            .iter()
            .filter_map(|chain| self.verify(&peer, chain, now))
            .collect();
        let mut known = self.write();
        if grants.is_empty() {
            known.shown.remove(&peer);
        } else {
            known.shown.insert(peer, grants);
        }
        drop(known);
        self.relate(peer);
    }

    /// What a decision needs to know of a peer.
    #[must_use]
    pub fn caller(&self, peer: PeerId) -> Caller {
        let known = self.read();
        Caller {
            peer,
            grants: known.shown.get(&peer).cloned().unwrap_or_default(),
            trusted: known.trusted.contains(&peer),
        }
    }

    /// The names that a peer has proved to bear, as of its latest introduction.
    #[must_use]
    pub fn names_of(&self, peer: &PeerId) -> Vec<Address> {
        let now = unix_now();
        let known = self.read();
        let grants = known.shown.get(peer).into_iter().flatten();
        grants
            .filter(|grant| grant.is_valid_at(now))
            .filter_map(|grant| grant.name().cloned())
            .collect()
    }

    /// What a peer is to this node now.
    #[must_use]
    pub fn relation(&self, peer: &PeerId) -> Relation {
        let now = unix_now();
        let known = self.read();
        let member = known
            .shown
            .get(peer)
            .is_some_and(|grants| grants.iter().any(|grant| grant.is_valid_at(now)));
        if member {
            Relation::Member
        } else if known.trusted.contains(peer) {
            Relation::Trusted
        } else {
            Relation::Stranger
        }
    }

    /// Trusts a peer by hand, or no longer. `true` when that changed something.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it could not be kept; nothing has changed then.
    pub fn trust(&self, peer: PeerId, trusted: bool) -> Result<bool, StoreError> {
        let key = peer.to_base58();
        if trusted {
            self.0.store.put(Table::Trusted, &key, &unix_now())?;
        } else {
            self.0.store.remove(Table::Trusted, &key)?;
        }
        let mut known = self.write();
        let changed = if trusted {
            known.trusted.insert(peer)
        } else {
            known.trusted.remove(&peer)
        };
        drop(known);
        self.relate(peer);
        Ok(changed)
    }

    /// Makes the key `subject` a member of the mesh whose root this home holds, under the name `wish`
    /// or, when another key bears it, under `wish-2` and so on. Returns the proof and the mesh's name.
    ///
    /// # Errors
    ///
    /// [`MemberError`]: this node may not grant, or the store failed.
    pub fn admit(&self, subject: Did, wish: &str) -> Result<(Chain, Address), MemberError> {
        let root = self.0.root.as_ref().ok_or(MemberError::MayNotGrant)?;
        let name = self.free_name(&root.path, subject, wish)?;
        let now = unix_now();
        let claims = Claims {
            sub: subject,
            path: name,
            rights: Rights::member(),
            nbf: now,
            exp: now + MEMBER_GRANT_S,
            depth: MEMBER_DEPTH,
        };
        Ok((Chain::issue_root(&root.key, claims)?, root.path.clone()))
    }

    /// Held by whoever decides on an admission, so that one decision follows the other.
    pub fn admission(&self) -> MutexGuard<'_, ()> {
        self.0
            .admission
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a proof of membership in the mesh named `path`, for this node.
    ///
    /// # Errors
    ///
    /// [`MemberError`]: the proof is broken or for somebody else, or it could not be kept.
    pub fn join(&self, path: Address, chain: Chain) -> Result<Grant, MemberError> {
        let root = chain.root()?;
        let grant = chain.verify(&root, unix_now())?;
        if grant.subject != self.0.me.did() || !path.covers(&grant.path) || path.depth() != 1 {
            return Err(MemberError::NotForMe);
        }
        if self.read().meshes.len() >= MAX_MESHES {
            return Err(MemberError::TooMany);
        }
        let membership = Membership { path, chain };
        self.0
            .store
            .put(Table::Grants, &root.to_string(), &membership)?;
        self.write().meshes.insert(root, membership);
        // Peers have shown grants of this mesh before, when they meant nothing here.
        let chains = self.read().chains.clone();
        for (peer, chains) in chains {
            self.consider(peer, &chains);
        }
        Ok(grant)
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
                let keep = wish.len().min(63 - suffix.len());
                format!("{}{suffix}", &wish[..keep].trim_end_matches('-'))
            };
            let name = name_below(below, &segment)?;
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

    fn verify(&self, peer: &PeerId, chain: &Chain, now: u64) -> Option<Grant> {
        let root = chain.root().ok()?;
        let path = self.read().meshes.get(&root)?.path.clone();
        let grant = chain
            .verify(&root, now)
            .inspect_err(|error| tracing::warn!(%peer, %error, "a grant was refused"))
            .ok()?;
        if grant.subject.peer_id() != *peer || !path.covers(&grant.path) {
            tracing::warn!(%peer, path = %grant.path, "a grant was refused: it is not for this peer");
            return None;
        }
        Some(grant)
    }

    fn verified_own(&self) -> Vec<Grant> {
        let now = unix_now();
        let known = self.read();
        let chains = known.meshes.iter();
        chains
            .filter_map(|(root, membership)| membership.chain.verify(root, now).ok())
            .collect()
    }

    /// Relates connected peers anew that count as members and are none any more.
    fn expire(&self) {
        let members: Vec<PeerId> = self.0.book.read(|book| {
            book.iter()
                .filter(|(_, record)| record.link.is_some() && record.relation == Relation::Member)
                .map(|(peer, _)| *peer)
                .collect()
        });
        for peer in members {
            if self.relation(&peer) != Relation::Member {
                self.relate(peer);
            }
        }
    }

    fn relate(&self, peer: PeerId) {
        let relation = self.relation(&peer);
        self.0.book.apply(peer, PeerEvent::Related(relation));
    }

    fn read(&self) -> RwLockReadGuard<'_, Known> {
        self.0.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Known> {
        self.0.known.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps this node a member of the mesh of its own root, however long it runs, and notices when what
/// its peers have shown has expired.
pub async fn run(members: Members) {
    let mut renewed = Instant::now();
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        members.expire();
        if renewed.elapsed() < RENEW_EVERY {
            continue;
        }
        match members.renew_own() {
            Ok(()) => renewed = Instant::now(),
            Err(error) => tracing::error!(%error, "this node's own grant cannot be renewed"),
        }
    }
}

/// Seconds since the Unix epoch.
#[must_use]
pub fn unix_now() -> u64 {
    book::now().as_secs()
}

fn name_below(path: &Address, segment: &str) -> Result<Address, MemberError> {
    path.child(&Address::segment_from(segment))
        .map_err(|_| MemberError::NotForMe)
}
