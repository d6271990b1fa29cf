//! The policy of this node: the rules in force, whom they concern, and the file that they are read from.
//!
//! Rules stand above the audiences of shares: a rule that allows is its owner's will also where the audience would refuse.
//! What no rule decides is decided as if there were none.

mod account;
mod blocks;
mod connections;
mod file;
mod ruling;

use std::{
    collections::HashMap,
    net::IpAddr,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::{Duration, Instant},
};

use peerage_core::{
    PeerId,
    policy::{
        Blocks, Caller,
        rules::{Action, Document, Fits, Rule, Rules},
    },
    problem::Problem,
    reach,
};
use peerage_mesh::{Book, Mesh, Origin};
use tokio::sync::watch;

pub use self::{
    account::{Accounts, Over, Pass, Way},
    blocks::BlockError,
    file::PolicyError,
    ruling::{Asked, Refused, refused},
};
use crate::{
    context::Context,
    members::{Members, unix_now},
    store::{Store, StoreError},
};

/// How often it is looked whether the file has changed.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often the totals of the day are written: what a kill may lose.
const KEEP_EVERY: u32 = 5;
/// Peers of whom it is kept which rules concern them; beyond, all are looked up anew.
const MAX_KEPT: usize = 4096;

/// Where the rules are read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyFile {
    /// The file.
    pub path: PathBuf,
    /// Whether it must be there. The one that nobody named need not: then there are no rules.
    pub required: bool,
}

/// Rules in force.
#[derive(Clone, Debug, Default)]
pub struct InForce {
    /// The rules, and how they are written.
    pub document: Document,
    /// Their text; empty where there is no file.
    pub text: String,
    /// Since when they are in force, in unix seconds.
    pub since: u64,
    /// Counts up with each change.
    pub version: u64,
}

/// See the module's page. Clones share it.
#[derive(Clone, Debug)]
pub struct Policy(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    file: PolicyFile,
    members: Members,
    book: Book,
    in_force: RwLock<Arc<InForce>>,
    /// Counts up with each change of the rules.
    version: watch::Sender<u64>,
    read: Mutex<Read>,
    kept: Mutex<HashMap<PeerId, Kept>>,
    accounts: Accounts,
    store: Store,
    blocks: RwLock<Blocks>,
    /// Addresses of which only one key may come.
    pins: HashMap<IpAddr, PeerId>,
    /// Peers that were connected and showed no grants that help, and when that was.
    unproven: Mutex<HashMap<PeerId, Instant>>,
}

/// What a policy is opened with.
#[derive(Clone, Debug)]
pub struct PolicyParts<'a> {
    /// Where the rules are read from.
    pub file: PolicyFile,
    /// Addresses of which only one key may come.
    pub pins: HashMap<IpAddr, PeerId>,
    /// Who is who.
    pub members: &'a Members,
    /// Who is where.
    pub book: &'a Book,
    /// Where blocks, and what peers have used, is kept.
    pub store: &'a Store,
}

/// Why a policy cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The file cannot be read, or has something wrong in it.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The store fails.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<OpenError> for Problem {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Policy(error) => error.into(),
            OpenError::Store(error) => error.into(),
        }
    }
}

/// What was last read of the file.
#[derive(Debug, Default)]
struct Read {
    stamp: Option<file::Stamp>,
    /// Why what is there is not in force.
    trouble: Option<String>,
}

/// The rules that concern a peer, as long as nothing of this changes.
#[derive(Clone, Debug)]
struct Kept {
    rules: u64,
    grants: u64,
    from: Option<IpAddr>,
    fits: Arc<Fits>,
}

/// A peer before the rules in force.
#[derive(Clone, Debug)]
pub struct Subject {
    in_force: Arc<InForce>,
    fits: Arc<Fits>,
}

impl Subject {
    /// A caller before rules, which need not be in force.
    #[must_use]
    pub fn new(in_force: Arc<InForce>, caller: &Caller, from: Option<IpAddr>) -> Self {
        let fits = in_force.document.rules.fits(caller, from, unix_now());
        Self {
            in_force,
            fits: Arc::new(fits),
        }
    }

    /// The rules it stands before.
    #[must_use]
    pub fn rules(&self) -> &Rules {
        &self.in_force.document.rules
    }

    /// Which of them can concern it.
    #[must_use]
    pub fn fits(&self) -> &Fits {
        &self.fits
    }

    /// The rule that decides, if one does.
    #[must_use]
    pub fn decide(&self, action: Action, object: &str) -> Option<&Rule> {
        self.rules().decide(&self.fits, action, object)
    }

    /// Whether some rule of it depends on more than the object given.
    #[must_use]
    pub fn depends_below(&self, action: Action, object: &str) -> bool {
        self.rules().depends_below(&self.fits, action, object)
    }
}

impl Policy {
    /// Reads the file, and what was kept.
    ///
    /// # Errors
    ///
    /// [`OpenError`]. A node that was told who may do what does not start without knowing.
    pub fn open(parts: PolicyParts<'_>) -> Result<Self, OpenError> {
        let file = parts.file;
        let (read, in_force) = match file::read(&file.path)? {
            Some((stamp, text)) => {
                let document = file::parse(&file.path, &text)?;
                let in_force = InForce {
                    document,
                    text,
                    since: unix_now(),
                    version: 0,
                };
                let stamp = Some(stamp);
                (
                    Read {
                        stamp,
                        trouble: None,
                    },
                    in_force,
                )
            }
            None if file.required => return Err(PolicyError::missing(&file.path).into()),
            None => Default::default(),
        };
        Ok(Self(Arc::new(Inner {
            file,
            members: parts.members.clone(),
            book: parts.book.clone(),
            accounts: Accounts::open(parts.store)?,
            blocks: RwLock::new(blocks::read(parts.store)?),
            store: parts.store.clone(),
            pins: parts.pins,
            unproven: Mutex::default(),
            in_force: RwLock::new(Arc::new(in_force)),
            version: watch::Sender::new(0),
            read: Mutex::new(read),
            kept: Mutex::default(),
        })))
    }

    /// Where the rules are read from.
    #[must_use]
    pub fn file(&self) -> &PolicyFile {
        &self.0.file
    }

    /// The rules in force.
    #[must_use]
    pub fn in_force(&self) -> Arc<InForce> {
        let in_force = self.0.in_force.read();
        in_force.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Counts up with each change of the rules.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.version.subscribe()
    }

    /// Why what is in the file is not in force.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.lock_read().trouble.clone()
    }

    /// A peer before the rules in force.
    #[must_use]
    pub fn subject(&self, peer: PeerId) -> Subject {
        let in_force = self.in_force();
        let rules = &in_force.document.rules;
        if rules.rules().is_empty() {
            let fits = Arc::default();
            return Subject { in_force, fits };
        }
        let from = rules.ask_where().then(|| self.comes_from(&peer)).flatten();
        let (grants, now) = (self.0.members.version(), unix_now());
        let mut kept = self.lock_kept();
        if let Some(known) = kept.get(&peer)
            && (known.rules, known.grants, known.from) == (in_force.version, grants, from)
            && known.fits.hold_at(now)
        {
            let fits = known.fits.clone();
            return Subject { in_force, fits };
        }
        if kept.len() >= MAX_KEPT {
            kept.clear();
        }
        let caller = self.0.members.caller(peer);
        let fits = Arc::new(rules.fits(&caller, from, now));
        let known = Kept {
            rules: in_force.version,
            grants,
            from,
            fits: fits.clone(),
        };
        kept.insert(peer, known);
        Subject { in_force, fits }
    }

    /// Where a connected peer comes from.
    #[must_use]
    pub fn comes_from(&self, peer: &PeerId) -> Option<IpAddr> {
        self.0.book.read(|book| {
            let link = book.get(peer)?.link.as_ref()?;
            reach::ip(&link.address)
        })
    }

    /// What peers have used of what rules allow them.
    #[must_use]
    pub fn accounts(&self) -> &Accounts {
        &self.0.accounts
    }

    /// Puts rules in force and into the file: all of them, or nothing happens.
    ///
    /// # Errors
    ///
    /// [`PolicyError`]: something is wrong with them, or the file cannot be written.
    pub fn set(&self, text: &str) -> Result<(), PolicyError> {
        let path = &self.0.file.path;
        let document = file::parse(path, text)?;
        let mut read = self.lock_read();
        let stamp = file::write(path, text)?;
        *read = Read {
            stamp: Some(stamp),
            trouble: None,
        };
        self.put(document, text.to_owned());
        Ok(())
    }

    /// Looks whether the file has changed, and puts what is in it in force if it is valid.
    /// `true` when that changed them.
    fn look(&self) -> bool {
        let path = &self.0.file.path;
        let mut read = self.lock_read();
        let trouble = match file::changed(path, read.stamp.as_ref()) {
            Ok(None) => return false,
            Ok(Some((stamp, text))) => {
                read.stamp = Some(stamp);
                match file::parse(path, &text) {
                    Ok(document) => {
                        self.put(document, text);
                        read.trouble = None;
                        return true;
                    }
                    Err(error) => Some(error.to_string()),
                }
            }
            Err(error) => Some(error.to_string()),
        };
        if trouble != read.trouble {
            if let Some(trouble) = &trouble {
                tracing::warn!(error = trouble, "the rules before stay in force");
            }
            read.trouble = trouble;
        }
        false
    }

    fn put(&self, document: Document, text: String) {
        for (hidden, before) in document.rules.hidden() {
            tracing::warn!(
                rule = hidden.name,
                before = before.name,
                "a rule never decides, for one before it always does"
            );
        }
        let in_force = self.0.in_force.write();
        let mut in_force = in_force.unwrap_or_else(PoisonError::into_inner);
        let version = in_force.version + 1;
        let rules = document.rules.rules().len();
        *in_force = Arc::new(InForce {
            document,
            text,
            since: unix_now(),
            version,
        });
        drop(in_force);
        tracing::info!(rules, version, "the policy is in force");
        self.0.version.send_replace(version);
    }

    fn lock_read(&self) -> MutexGuard<'_, Read> {
        self.0.read.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_kept(&self) -> MutexGuard<'_, HashMap<PeerId, Kept>> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Follows the file, lets go of peers that may not be connected, and writes what was used, until the node stops.
pub async fn run(ctx: Context) {
    let policy = &ctx.policy;
    let mut turn = 0_u32;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        if policy.look() {
            let path = policy.file().path.display().to_string();
            ctx.audit.changed(Origin::Local, "policy", path);
        }
        policy.expire_blocks();
        part(policy, &ctx.mesh).await;
        turn = (turn + 1) % KEEP_EVERY;
        if turn == 0 {
            keep(policy);
        }
    }
}

/// Lets go of peers that may not be connected.
pub async fn part(policy: &Policy, mesh: &Mesh) {
    for (peer, why) in policy.forbidden() {
        tracing::info!(%peer, why, "disconnected by policy");
        mesh.disconnect(peer, &why).await;
    }
}

/// Writes what peers have used this day.
pub fn keep(policy: &Policy) {
    if let Err(error) = policy.accounts().keep() {
        tracing::warn!(%error, "what peers have used cannot be kept");
    }
}

#[cfg(test)]
mod tests;
