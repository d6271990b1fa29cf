//! What becomes of a store that was altered from outside: the file is set aside, what is sound in it is
//! copied to a fresh one, and what is lost is told.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use redb::TableDefinition;
use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, macros::format_description};

use super::{
    StoreError, Table, aside, database,
    pages::{Pages, Slot, TableState},
    sync_folder,
};

/// What happened to a store, for as long as its damaged file is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Damage {
    /// Where the damaged file is now.
    pub file: PathBuf,
    /// Entries that were sound.
    pub kept: u64,
    /// How many entries of a kind were lost, as far as that can be told.
    pub lost: BTreeMap<String, u64>,
    /// Kinds of which some entries may be as they were before the last change.
    pub as_before: BTreeSet<String>,
    /// Not even how much there was can be told.
    pub unknown: bool,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |words: &mut dyn Iterator<Item = String>| words.collect::<Vec<_>>().join(", ");
        write!(f, "the store was damaged: ")?;
        match (self.lost.is_empty(), self.unknown) {
            (true, false) => write!(f, "all {} entries were kept", self.kept)?,
            (_, true) if self.kept == 0 => write!(f, "nothing in it could be read")?,
            (_, true) => write!(f, "{} entries were kept, others may be lost", self.kept)?,
            (false, false) => {
                let mut lost = self.lost.iter().map(|(name, n)| format!("{n} of {name}"));
                write!(
                    f,
                    "{} entries were kept, lost: {}",
                    self.kept,
                    list(&mut lost)
                )?;
            }
        }
        if !self.as_before.is_empty() {
            let names = list(&mut self.as_before.iter().cloned());
            write!(f, "; {names} may be as they were before the last change")?;
        }
        let file = self.file.display();
        write!(
            f,
            "; the damaged file is {file}, remove it when it is of no use"
        )
    }
}

/// Whether a store is as redb left it.
pub(super) fn is_sound(path: &Path) -> Result<bool, StoreError> {
    let pages = Pages::open(path).map_err(StoreError::of)?;
    if pages.is_newer() {
        return Err(StoreError::Newer);
    }
    let slots = pages.slots();
    let Some(current) = slots.current.filter(|_| slots.sound) else {
        return Ok(false);
    };
    let other = slots.other.filter(|other| pages.is_sound(*other));
    if !pages.is_sound(current) {
        // A node of an earlier version was killed while it wrote: redb goes back to what was before.
        return Ok(slots.one_phase && other.is_some());
    }
    if let Some(other) = other
        && other.is_after(current)
    {
        // All of a change was written when the node was killed; what was left is to say so.
        pages.switch(path).map_err(StoreError::of)?;
    }
    Ok(true)
}

/// What is sound in a damaged store.
#[derive(Debug, Default)]
struct Rescued {
    rows: BTreeMap<(String, String), Vec<u8>>,
    damage: Damage,
}

/// Puts a fresh store with all that is sound in the place of a damaged one, which is kept beside it.
pub(super) fn rescue(path: &Path) -> Result<Damage, StoreError> {
    let pages = Pages::open(path).map_err(StoreError::of)?;
    let Rescued { rows, mut damage } = sound_of(&pages);
    damage.file = set_aside(path)?;
    let fresh = aside(path);
    let placed = write(&fresh, &rows, &damage)
        .and_then(|()| fs::rename(&fresh, path).map_err(StoreError::of))
        .and_then(|()| sync_folder(path).map_err(StoreError::of));
    if placed.is_err() {
        // Where it could not be made there may be nothing to remove.
        let _ = fs::remove_file(&fresh);
    }
    placed.map(|()| damage)
}

fn sound_of(pages: &Pages) -> Rescued {
    let slots = pages.slots();
    let mut rescued = Rescued::default();
    let mut expected: BTreeMap<String, u64> = BTreeMap::new();
    // Of which tables the state before the last change is asked; all, when it is not known which.
    let mut incomplete = None;
    if let Some(current) = slots.current {
        let (tables, whole) = rescued.take(pages, current, &|_| true);
        expected.extend(
            tables
                .iter()
                .map(|table| (table.name.clone(), table.entries)),
        );
        if whole {
            let damaged = tables.into_iter().filter(|table| table.damaged > 0);
            incomplete = Some(damaged.map(|table| table.name).collect::<BTreeSet<_>>());
        }
    }
    if slots.stepped_back {
        // All there is was before the last change.
        let names = expected.keys().cloned();
        rescued.damage.as_before = names.collect();
        rescued.forget_invitations();
    }
    if incomplete.as_ref().is_none_or(|tables| !tables.is_empty())
        && let Some(other) = slots.other
    {
        let wanted = |name: &str| {
            name != Table::Invites.name() && incomplete.as_ref().is_none_or(|i| i.contains(name))
        };
        let (tables, _) = rescued.take(pages, other, &wanted);
        for TableState { name, entries, .. } in tables {
            if wanted(&name) {
                expected.entry(name.clone()).or_insert(entries);
                rescued.damage.as_before.insert(name);
            }
        }
    }
    rescued.damage.unknown = slots.current.is_none() || incomplete.is_none();
    rescued.count(&expected);
    rescued
}

impl Rescued {
    /// Takes the sound entries of a state that are not there yet.
    fn take(
        &mut self,
        pages: &Pages,
        slot: Slot,
        wanted: &dyn Fn(&str) -> bool,
    ) -> (Vec<TableState>, bool) {
        pages.read(slot, &mut |table, key, value| {
            if wanted(table)
                && let Ok(key) = str::from_utf8(key)
            {
                let at = (table.to_owned(), key.to_owned());
                self.rows.entry(at).or_insert_with(|| value.to_vec());
            }
        })
    }

    /// One that was used by the last change would be open again.
    fn forget_invitations(&mut self) {
        let invites = Table::Invites.name();
        self.rows.retain(|(table, _), _| table != invites);
    }

    fn count(&mut self, expected: &BTreeMap<String, u64>) {
        self.damage.kept = self.rows.len() as u64;
        for (name, entries) in expected {
            let kept = self.rows.keys().filter(|(table, _)| table == name).count() as u64;
            if kept < *entries {
                self.damage.lost.insert(name.clone(), entries - kept);
            }
        }
    }
}

/// Gives a damaged file a second name, which stays.
fn set_aside(path: &Path) -> Result<PathBuf, StoreError> {
    let format = format_description!("[year]-[month]-[day]T[hour]-[minute]-[second]Z");
    let date = OffsetDateTime::now_utc()
        .format(&format)
        .unwrap_or_default();
    let named = |more: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".damaged-{date}{more}"));
        PathBuf::from(name)
    };
    let mut kept = named("");
    if kept.exists() {
        kept = named(&format!("-{:08x}", rand::random::<u32>()));
    }
    match fs::hard_link(path, &kept) {
        // Where there are no links a copy does.
        Err(error) if error.kind() == ErrorKind::Unsupported => {
            fs::copy(path, &kept).map(drop).map_err(StoreError::of)?;
        }
        linked => linked.map_err(StoreError::of)?,
    }
    Ok(kept)
}

fn write(
    path: &Path,
    rows: &BTreeMap<(String, String), Vec<u8>>,
    damage: &Damage,
) -> Result<(), StoreError> {
    let fresh = database(path)?;
    let write = fresh.begin_write().map_err(StoreError::of)?;
    for ((table, key), value) in rows {
        let definition: TableDefinition<'_, &str, &[u8]> = TableDefinition::new(table);
        let mut table = write.open_table(definition).map_err(StoreError::of)?;
        table
            .insert(key.as_str(), value.as_slice())
            .map_err(StoreError::of)?;
    }
    let mut table = write
        .open_table(Table::Damages.definition())
        .map_err(StoreError::of)?;
    let value = serde_json::to_vec(damage).expect("what is stored always serialises");
    table
        .insert(damage.file.display().to_string().as_str(), value.as_slice())
        .map_err(StoreError::of)?;
    drop(table);
    write.commit().map_err(StoreError::of)
}
