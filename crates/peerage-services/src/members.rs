//! Who is who to this node: the meshes it is in, the grants that it holds, has given and was shown, the peers trusted by
//! hand.

mod held;
mod issued;
mod names;
mod revoked;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use peerage_core::{
    Identity, PeerId,
    address::Address,
    did::Did,
    grant::{Chain, Grant, GrantError, GrantId, RevocationError},
    peer_book::{PeerEvent, Relation},
    policy::Caller,
    problem::Problem,
};
use peerage_mesh::{Book, book};
use tokio::sync::{Notify, watch};

use self::held::Membership;
pub use self::{
    held::{Due, Held},
    issued::{Gift, Issued},
};
use crate::store::{Store, StoreError, Table};

/// How often it is looked for grants that have expired.
const LOOK_EVERY: Duration = Duration::from_secs(60);
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
    /// Told when this node holds a grant more.
    more: Notify,
    /// Counts up when a grant of a peer was revoked.
    revoked: watch::Sender<u64>,
    /// Counts up whenever something of what is known may have changed.
    version: AtomicU64,
    /// Counts up when this node or a peer may bear another name than before.
    renamed: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Known {
    meshes: BTreeMap<Did, Membership>,
    /// What connected peers have shown, also of meshes that this node is not in yet.
    chains: HashMap<PeerId, Vec<Chain>>,
    /// What of that holds here.
    shown: HashMap<PeerId, Vec<Grant>>,
    trusted: BTreeSet<PeerId>,
    /// Links that were revoked, and when they would have expired.
    revoked: BTreeMap<GrantId, u64>,
    /// Names that only one key may bear.
    pins: BTreeMap<Address, PeerId>,
}

/// Why somebody could not be made a member, or a grant not be given, taken or revoked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MemberError {
    /// This node may not grant at all.
    #[error("this node may not make others members")]
    MayNotGrant,
    /// This node may not grant this name with these rights.
    #[error(
        "this node may not grant {0} with these rights: it needs `grant` and all of them for it, or for a name above"
    )]
    MayNotGrantThis(Address),
    /// The grant would break a rule.
    #[error(transparent)]
    Grant(#[from] GrantError),
    /// A grant for another key, or for a name outside of its mesh.
    #[error("the grant is not for this node")]
    NotForMe,
    /// A peer showed a grant for another key, or for a name outside of its mesh.
    #[error("the grant is not for the peer that showed it")]
    NotForPeer,
    /// A peer showed a grant for a name that is pinned to another key.
    #[error("the name {0} is pinned to another key")]
    Pinned(Address),
    /// A grant of a mesh that this node is not in.
    #[error("the grant is of the mesh {0}, which this node is not in")]
    UnknownMesh(Did),
    /// A grant of a mesh that bears the name of another one.
    #[error("this node is in another mesh called {0}")]
    SameName(Address),
    /// The grant was revoked.
    #[error("the grant was revoked")]
    Revoked,
    /// The grant is not one that this node has given.
    #[error("this node has given no such grant")]
    NotGiven,
    /// A revocation does not count.
    #[error(transparent)]
    Revocation(#[from] RevocationError),
    /// Already in as many meshes as may be.
    #[error("this node is in {MAX_MESHES} meshes, and no more are possible")]
    TooMany,
    /// It could not be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl MemberError {
    /// Whether whoever showed a grant did wrong with that, see [`GrantError::is_forgery`].
    #[must_use]
    pub fn is_forgery(&self) -> bool {
        match self {
            Self::Grant(error) => error.is_forgery(),
            Self::NotForPeer => true,
            _ => false,
        }
    }
}

impl From<MemberError> for Problem {
    fn from(error: MemberError) -> Self {
        let text = error.to_string();
        match error {
            MemberError::MayNotGrant => Self::new(403, "may_not_grant", text)
                .hint("run `peerage invite` where the mesh was made: its home holds the root key"),
            MemberError::MayNotGrantThis(_) => Self::new(403, "may_not_grant", text)
                .hint("`peerage grants` lists what this node holds"),
            MemberError::Grant(_)
            | MemberError::NotForMe
            | MemberError::NotForPeer
            | MemberError::Pinned(_) => Self::new(400, "bad_grant", text),
            MemberError::UnknownMesh(_) => Self::new(409, "unknown_mesh", text)
                .hint("its holder takes it by hand: peerage join GRANT"),
            MemberError::SameName(_) => Self::new(409, "same_mesh_name", text),
            MemberError::Revoked => Self::new(403, "grant_revoked", text),
            MemberError::NotGiven => Self::new(404, "no_such_grant", text)
                .hint("`peerage grants` lists what this node has given"),
            MemberError::Revocation(_) => Self::new(400, "bad_revocation", text),
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
        for (root, membership) in store.all::<Membership>(Table::Grants)? {
            known
                .meshes
                .extend(root.parse().map(|root: Did| (root, membership)));
        }
        for (peer, _) in store.all::<u64>(Table::Trusted)? {
            known.trusted.extend(peer.parse::<PeerId>());
        }
        for peer in &known.trusted {
            book.apply(*peer, PeerEvent::Related(Relation::Trusted));
        }
        revoked::read(store, &mut known.revoked)?;
        let members = Self(Arc::new(Inner {
            me: me.clone(),
            name: name.to_owned(),
            root,
            store: store.clone(),
            book: book.clone(),
            known: RwLock::new(known),
            admission: Mutex::default(),
            more: Notify::new(),
            revoked: watch::Sender::new(0),
            version: AtomicU64::new(0),
            renamed: watch::Sender::new(0),
        }));
        members.renew_own()?;
        Ok(members)
    }

    /// The same with names that only one key may bear: grants of them for others do not count.
    #[must_use]
    pub fn pinning(self, pins: BTreeMap<Address, PeerId>) -> Self {
        self.write().pins = pins;
        self
    }

    /// The one key that may bear a name.
    #[must_use]
    pub fn pinned(&self, name: &Address) -> Option<PeerId> {
        self.read().pins.get(name).copied()
    }

    /// A peer shows its grants, in place of those it showed before. Those of a mesh that this node is in
    /// count if they verify; returned is why the broken ones do not.
    pub fn shown(&self, peer: PeerId, mut chains: Vec<Chain>) -> Vec<MemberError> {
        chains.truncate(MAX_SHOWN);
        let refused = self.consider(peer, &chains);
        self.write().chains.insert(peer, chains);
        refused
    }

    /// All that is known of peers.
    #[must_use]
    pub fn book(&self) -> &Book {
        &self.0.book
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

    fn consider(&self, peer: PeerId, chains: &[Chain]) -> Vec<MemberError> {
        let now = unix_now();
        let (mut grants, mut refused) = (Vec::new(), Vec::new());
        for chain in chains {
            match self.verify(&peer, chain, now) {
                Ok(grant) => grants.extend(grant),
                Err(error) => {
                    tracing::warn!(%peer, %error, "a grant was refused");
                    refused.push(error);
                }
            }
        }
        let mut known = self.write();
        if grants.is_empty() {
            known.shown.remove(&peer);
        } else {
            known.shown.insert(peer, grants);
        }
        drop(known);
        self.renamed();
        self.relate(peer);
        refused
    }

    /// What a decision needs to know of a peer.
    #[must_use]
    pub fn caller(&self, peer: PeerId) -> Caller {
        let known = self.read();
        Caller {
            peer,
            grants: known.holding(&peer).cloned().collect(),
            trusted: known.trusted.contains(&peer),
        }
    }

    /// Another one than before whenever [`Members::caller`] may say something else than before.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.0.version.load(Ordering::Acquire)
    }

    /// Whether a name is of a mesh that this node is in, so that grants for it count here.
    #[must_use]
    pub fn knows_mesh_of(&self, name: &Address) -> bool {
        let known = self.read();
        known.meshes.values().any(|mesh| mesh.path.covers(name))
    }

    /// The names that a peer has proved to bear, as of its latest introduction.
    #[must_use]
    pub fn names_of(&self, peer: &PeerId) -> Vec<Address> {
        let now = unix_now();
        let known = self.read();
        known
            .holding(peer)
            .filter(|grant| grant.is_valid_at(now))
            .filter_map(|grant| grant.name().cloned())
            .collect()
    }

    /// What a peer is to this node now.
    #[must_use]
    pub fn relation(&self, peer: &PeerId) -> Relation {
        let now = unix_now();
        let known = self.read();
        if known.holding(peer).any(|grant| grant.is_valid_at(now)) {
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

    /// Held by whoever decides on an admission, so that one decision follows the other.
    pub fn admission(&self) -> MutexGuard<'_, ()> {
        self.0
            .admission
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// What a chain proves; nothing when it is of a mesh that this node is not in.
    fn verify(&self, peer: &PeerId, chain: &Chain, now: u64) -> Result<Option<Grant>, MemberError> {
        let root = chain.root()?;
        let path = self.read().meshes.get(&root).map(|mesh| mesh.path.clone());
        let Some(path) = path else {
            // Of another mesh, which is fine, unless it takes the name of one of this node's.
            let grant = chain.verify(&root, now)?;
            let known = self.read();
            let taken = known.meshes.values().find(|m| m.path.covers(&grant.path));
            return match taken {
                Some(mesh) => Err(MemberError::SameName(mesh.path.clone())),
                None => Ok(None),
            };
        };
        let grant = chain.verify(&root, now)?;
        if grant.subject.peer_id() != *peer || !path.covers(&grant.path) {
            return Err(MemberError::NotForPeer);
        }
        let pinned = self.pinned(&grant.path);
        if pinned.is_some_and(|pinned| pinned != *peer) {
            return Err(MemberError::Pinned(grant.path));
        }
        Ok(Some(grant))
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
        let known = self.0.known.write();
        let known = known.unwrap_or_else(PoisonError::into_inner);
        // Under the lock: who sees the new version also gets what is new.
        self.0.version.fetch_add(1, Ordering::Release);
        known
    }
}

impl Known {
    /// The grants that a peer has shown and that were not revoked.
    fn holding(&self, peer: &PeerId) -> impl Iterator<Item = &Grant> {
        let grants = self.shown.get(peer).into_iter().flatten();
        grants.filter(|grant| !grant.rests_on(|id| self.revoked.contains_key(id)))
    }
}

/// Notices when what peers have shown has expired, until the node stops.
pub async fn run(members: Members) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        members.expire();
    }
}

/// Seconds since the Unix epoch.
#[must_use]
pub fn unix_now() -> u64 {
    book::now().as_secs()
}
