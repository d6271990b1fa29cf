//! The policy of this node: the rules in force, whom they concern, and the file that they are read from.
//!
//! Rules stand above the audiences of shares: a rule that allows is its owner's will also where the audience would refuse.
//! What no rule decides is decided as if there were none.

mod file;
mod ruling;

use std::{
    collections::HashMap,
    net::IpAddr,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::Duration,
};

use peerage_core::{
    PeerId,
    policy::{
        Caller,
        rules::{Action, Document, Fits, Rule, Rules},
    },
    reach,
};
use peerage_mesh::Book;
use tokio::sync::watch;

pub use self::{
    file::PolicyError,
    ruling::{Asked, refused},
};
use crate::members::{Members, unix_now};

/// How often it is looked whether the file has changed.
const LOOK_EVERY: Duration = Duration::from_secs(1);
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
    /// Reads the file. Whoever is asked about is known to `members`, and comes from where `book` says.
    ///
    /// # Errors
    ///
    /// [`PolicyError`]: the file cannot be read, or has something wrong in it. A node that was told who may do what does
    /// not start without knowing.
    pub fn open(file: PolicyFile, members: &Members, book: &Book) -> Result<Self, PolicyError> {
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
            None if file.required => return Err(PolicyError::missing(&file.path)),
            None => Default::default(),
        };
        Ok(Self(Arc::new(Inner {
            file,
            members: members.clone(),
            book: book.clone(),
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
    fn look(&self) {
        let path = &self.0.file.path;
        let mut read = self.lock_read();
        let trouble = match file::changed(path, read.stamp.as_ref()) {
            Ok(None) => return,
            Ok(Some((stamp, text))) => {
                read.stamp = Some(stamp);
                match file::parse(path, &text) {
                    Ok(document) => {
                        self.put(document, text);
                        None
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

/// Follows the file until the node stops.
pub async fn run(policy: Policy) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        policy.look();
    }
}
