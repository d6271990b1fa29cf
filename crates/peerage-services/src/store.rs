//! What a node keeps on disk: one embedded store, written so that a kill at any moment loses nothing
//! that was acknowledged.

use std::{
    fs::{self, File},
    io::{self, ErrorKind},
    path::Path,
    sync::Arc,
    time::Duration,
};

use peerage_core::problem::Problem;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, TableError};
use serde::{Serialize, de::DeserializeOwned};
use thiserror::Error;
use tokio::time::{Instant, sleep};

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
}

impl Table {
    fn definition(self) -> TableDefinition<'static, &'static str, &'static [u8]> {
        TableDefinition::new(match self {
            Self::Peers => "peers",
            Self::Cards => "cards",
            Self::Grants => "grants",
            Self::Issued => "issued",
            Self::Revoked => "revoked",
            Self::Trusted => "trusted",
            Self::Invites => "invites",
            Self::Names => "names",
            Self::Shares => "shares",
        })
    }
}

/// Why the store could not be opened, read or written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process has it open.
    #[error("another process has the store open")]
    InUse,
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
pub struct Store(Arc<Database>);

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
    /// Opens the store, or makes it.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: in use, or not a store.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        if !path.exists() {
            make(path)?;
        }
        Ok(Self(Arc::new(database(path)?)))
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
        let read = self.0.begin_read().map_err(StoreError::of)?;
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
        let read = self.0.begin_read().map_err(StoreError::of)?;
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
        let write = self.0.begin_write().map_err(StoreError::of)?;
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

/// Makes an empty store aside and puts it in its place whole: one that was half made when the node was
/// killed could never be opened again. Of several that make it at once one wins.
fn make(path: &Path) -> Result<(), StoreError> {
    let aside = path.with_extension(format!("{:016x}.tmp", rand::random::<u64>()));
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
    path.parent()
        .map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

fn decode<T: DeserializeOwned>(table: Table, key: &str, value: &[u8]) -> Option<T> {
    serde_json::from_slice(value)
        .inspect_err(|error| tracing::warn!(?table, key, %error, "a stored value cannot be read"))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_there_after_opening_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.redb");
        let store = Store::open(&path).unwrap();
        store.put(Table::Trusted, "a", &1).unwrap();
        store.put(Table::Trusted, "b", &2).unwrap();
        store.remove(Table::Trusted, "a").unwrap();
        drop(store);
        let store = Store::open(&path).unwrap();
        assert_eq!(store.all::<u32>(Table::Trusted).unwrap(), [("b".into(), 2)]);
        assert_eq!(store.get::<u32>(Table::Trusted, "a").unwrap(), None);
        assert_eq!(store.get::<u32>(Table::Shares, "a").unwrap(), None);
    }

    #[test]
    fn a_store_is_made_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.redb");
        // What a kill leaves of the making.
        fs::write(folder.path().join("store.0000000000000000.tmp"), [0; 4096]).unwrap();
        drop(Store::open(&path).unwrap());
        let files = fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(files, 2, "nothing of the making is left");
    }

    #[tokio::test]
    async fn a_store_that_is_in_use_for_a_moment_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.redb");
        let held = Store::open(&path).unwrap();
        let opening = Store::open_soon(&path);
        tokio::pin!(opening);
        assert!(futures::poll!(&mut opening).is_pending());
        drop(held);
        opening.await.unwrap();
    }

    #[test]
    fn a_value_that_cannot_be_read_costs_only_itself() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store.redb")).unwrap();
        store.put(Table::Trusted, "good", &1).unwrap();
        store.put(Table::Trusted, "odd", &"text").unwrap();
        assert_eq!(
            store.all::<u32>(Table::Trusted).unwrap(),
            [("good".into(), 1)]
        );
    }

    #[test]
    fn a_store_in_use_and_a_file_that_is_none_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.redb");
        let _held = Store::open(&path).unwrap();
        assert!(matches!(Store::open(&path), Err(StoreError::InUse)));
        let other = folder.path().join("other");
        fs::write(&other, vec![7; 10_000]).unwrap();
        assert!(matches!(Store::open(&other), Err(StoreError::Failed(_))));
    }
}
