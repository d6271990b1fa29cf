//! What a node keeps on disk: one embedded store, written so that a kill at any moment loses nothing
//! that was acknowledged, and looked through when it is opened, so that what was altered is noticed.

mod pages;
mod rescue;

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, ErrorKind},
    panic::catch_unwind,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use peerage_core::problem::Problem;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, TableError};
use serde::{Serialize, de::DeserializeOwned};
use thiserror::Error;
use tokio::time::{Instant, sleep};

pub use rescue::Damage;

/// Bytes of cache; redb's own default is a gigabyte.
const CACHE: usize = 8 * 1024 * 1024;

/// How long a store that is in use is waited for: a child that a killed node was just starting has the
/// node's files open until it runs.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often it is tried again meanwhile.
const AGAIN: Duration = Duration::from_millis(50);

/// What is kept, each kind apart. Values are JSON, keys are text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// Peer id → what is known of the peer.
    Peers,
    /// Peer id → its card, as received.
    Cards,
    /// Root of a mesh → the grants by which this node is a member.
    Grants,
    /// Id of a grant that this node has given → the grant.
    Issued,
    /// Id of a link that was revoked → the revocation.
    Revoked,
    /// Peer id → trusted by hand.
    Trusted,
    /// Hash of an invitation's secret → until when it is good, and who used it.
    Invites,
    /// Name in the own mesh → the key it was given to.
    Names,
    /// Name → what is shared under it.
    Shares,
    /// A key or a network → that it is blocked, and until when.
    Blocked,
    /// Peer id and rule → what the peer has used this day.
    Used,
    /// What this node must remember of itself, by name.
    Own,
    /// Where a damaged store was put → what was lost with it.
    Damages,
}

impl Table {
    fn definition(self) -> TableDefinition<'static, &'static str, &'static [u8]> {
        TableDefinition::new(self.name())
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Peers => "peers",
            Self::Cards => "cards",
            Self::Grants => "grants",
            Self::Issued => "issued",
            Self::Revoked => "revoked",
            Self::Trusted => "trusted",
            Self::Invites => "invites",
            Self::Names => "names",
            Self::Shares => "shares",
            Self::Blocked => "blocked",
            Self::Used => "used",
            Self::Own => "own",
            Self::Damages => "damages",
        }
    }
}

/// Why the store could not be opened, read or written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process has it open.
    #[error("another process has the store open")]
    InUse,
    /// A later version of the program wrote it.
    #[error("the store is of a later version of this program")]
    Newer,
    /// The file cannot be used.
    #[error("the store cannot be used")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl StoreError {
    fn of(error: impl Into<redb::Error>) -> Self {
        match error.into() {
            redb::Error::DatabaseAlreadyOpen => Self::InUse,
            error => Self::Failed(Box::new(error)),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let cause =
            std::error::Error::source(&error).map_or_else(String::new, |s| format!(": {s}"));
        Self::new(500, "store_failed", format!("{error}{cause}"))
            .hint("check the disk on which the node's home lies (`peerage config show`)")
    }
}

/// The store. Clones share it. Methods block for about as long as the disk takes to confirm.
#[derive(Clone, Debug)]
pub struct Store(Arc<Open>);

/// An open store.
#[derive(Debug)]
struct Open {
    database: Database,
    /// Held for as long as it is open: others must not look at what is just being written.
    _lock: File,
}

/// Writes that take effect together.
#[derive(Debug, Default)]
pub struct Batch(Vec<(Table, String, Option<Vec<u8>>)>);

impl Batch {
    /// Puts a value, over the one that is there.
    pub fn put(&mut self, table: Table, key: &str, value: &impl Serialize) {
        let value = serde_json::to_vec(value).expect("what is stored always serialises");
        self.0.push((table, key.to_owned(), Some(value)));
    }

    /// Removes a value, if it is there.
    pub fn remove(&mut self, table: Table, key: &str) {
        self.0.push((table, key.to_owned(), None));
    }

    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Store {
    /// Opens the store, or makes it. One that is damaged is kept beside a fresh one with all that is
    /// sound in it, and [`Store::damages`] tells of it.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: in use, or the disk fails.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let lock = hold(path)?;
        if !path.exists() {
            make(path)?;
        }
        let database = match sound_database(path)? {
            Some(database) => database,
            None => {
                let damage = rescue::rescue(path)?;
                tracing::error!("{damage}");
                database(path)?
            }
        };
        Ok(Self(Arc::new(Open {
            database,
            _lock: lock,
        })))
    }

    /// What happened to the store, and is not forgotten as long as the damaged file is there.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the disk fails.
    pub fn damages(&self) -> Result<Vec<Damage>, StoreError> {
        let all = self.all::<Damage>(Table::Damages)?.into_iter();
        Ok(all
            .map(|(_, damage)| damage)
            .filter(|damage| damage.file.exists())
            .collect())
    }

    /// As [`Store::open`], but waits for a moment when it is in use.
    ///
    /// # Errors
    ///
    /// As [`Store::open`].
    pub async fn open_soon(path: &Path) -> Result<Self, StoreError> {
        let end = Instant::now() + PATIENCE;
        loop {
            match Self::open(path) {
                Err(StoreError::InUse) if Instant::now() < end => sleep(AGAIN).await,
                opened => return opened,
            }
        }
    }

    /// One value. One that cannot be read is reported and treated as missing.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the disk fails.
    pub fn get<T: DeserializeOwned>(
        &self,
        table: Table,
        key: &str,
    ) -> Result<Option<T>, StoreError> {
        let read = self.0.database.begin_read().map_err(StoreError::of)?;
        let open = match read.open_table(table.definition()) {
            Ok(open) => open,
            Err(TableError::TableDoesNotExist(_)) => return Ok(None),
            Err(error) => return Err(StoreError::of(error)),
        };
        let value = open.get(key).map_err(StoreError::of)?;
        Ok(value.and_then(|value| decode(table, key, value.value())))
    }

    /// All values of a kind, by key. Those that cannot be read are reported and left out.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the disk fails.
    pub fn all<T: DeserializeOwned>(&self, table: Table) -> Result<Vec<(String, T)>, StoreError> {
        let read = self.0.database.begin_read().map_err(StoreError::of)?;
        let open = match read.open_table(table.definition()) {
            Ok(open) => open,
            Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
            Err(error) => return Err(StoreError::of(error)),
        };
        let mut found = Vec::new();
        for entry in open.iter().map_err(StoreError::of)? {
            let (key, value) = entry.map_err(StoreError::of)?;
            if let Some(value) = decode(table, key.value(), value.value()) {
                found.push((key.value().to_owned(), value));
            }
        }
        Ok(found)
    }

    /// Writes a batch: all of it or nothing, and on the disk when this returns.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the disk fails; nothing of the batch is then there.
    pub fn write(&self, batch: Batch) -> Result<(), StoreError> {
        let mut write = self.0.database.begin_write().map_err(StoreError::of)?;
        // Otherwise a state that a kill left half written could not be told from a damaged one.
        write.set_two_phase_commit(true);
        for (table, key, value) in batch.0 {
            let mut open = write
                .open_table(table.definition())
                .map_err(StoreError::of)?;
            match value {
                Some(value) => open.insert(key.as_str(), value.as_slice()),
                None => open.remove(key.as_str()),
            }
            .map_err(StoreError::of)?;
        }
        write.commit().map_err(StoreError::of)
    }

    /// Writes one value.
    ///
    /// # Errors
    ///
    /// As [`Store::write`].
    pub fn put(&self, table: Table, key: &str, value: &impl Serialize) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        batch.put(table, key, value);
        self.write(batch)
    }

    /// Removes one value, if it is there.
    ///
    /// # Errors
    ///
    /// As [`Store::write`].
    pub fn remove(&self, table: Table, key: &str) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        batch.remove(table, key);
        self.write(batch)
    }
}

fn database(path: &Path) -> Result<Database, StoreError> {
    let mut builder = Database::builder();
    builder
        .set_cache_size(CACHE)
        .create(path)
        .map_err(StoreError::of)
}

/// Opens a store that is as it was left; none when it is damaged.
fn sound_database(path: &Path) -> Result<Option<Database>, StoreError> {
    if !rescue::is_sound(path)? {
        return Ok(None);
    }
    // It was looked through, but redb has been seen to panic on what it did not expect.
    match catch_unwind(|| database(path)) {
        Ok(Err(StoreError::Failed(error))) if is_damage(error.as_ref()) => Ok(None),
        Ok(opened) => opened.map(Some),
        Err(_) => Ok(None),
    }
}

fn is_damage(error: &(dyn std::error::Error + 'static)) -> bool {
    matches!(
        error.downcast_ref::<redb::Error>(),
        Some(redb::Error::Corrupted(_) | redb::Error::RepairAborted)
    )
}

/// Takes the lock beside the store, which this process gives back when it ends, however it does.
fn hold(path: &Path) -> Result<File, StoreError> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path.with_extension("lock"))
        .map_err(StoreError::of)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse),
        Err(TryLockError::Error(error)) => Err(StoreError::of(error)),
    }
}

/// A name for a store that is not in its place yet.
fn aside(path: &Path) -> PathBuf {
    path.with_extension(format!("{:016x}.tmp", rand::random::<u64>()))
}

/// Makes an empty store aside and puts it in its place whole: one that was half made when the node was
/// killed could never be opened again. Of several that make it at once one wins.
fn make(path: &Path) -> Result<(), StoreError> {
    let aside = aside(path);
    let made = database(&aside).map(drop);
    let placed = made.and_then(|()| place(&aside, path).map_err(StoreError::of));
    // Where it could not be made there may be nothing to remove.
    let _ = fs::remove_file(&aside);
    placed
}

fn place(aside: &Path, path: &Path) -> io::Result<()> {
    match fs::hard_link(aside, path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    sync_folder(path)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    path.parent()
        .map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

fn decode<T: DeserializeOwned>(table: Table, key: &str, value: &[u8]) -> Option<T> {
    serde_json::from_slice(value)
        .inspect_err(|error| tracing::warn!(?table, key, %error, "a stored value cannot be read"))
        .ok()
}

#[cfg(test)]
mod tests;
