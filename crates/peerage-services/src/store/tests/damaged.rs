//! Stores that are altered in any way: it is told, what is sound is there, and what was never written
//! is not.

use std::collections::{BTreeMap, BTreeSet};

use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};

use super::super::{Batch, Damage, Store, Table, fs, pages::Pages, rescue::is_sound};

/// Alterations of each kind, of each of the two files.
const ALTERATIONS: usize = 60;
const ALL: [Table; 7] = [
    Table::Peers,
    Table::Cards,
    Table::Grants,
    Table::Trusted,
    Table::Invites,
    Table::Names,
    Table::Shares,
];

/// What a store holds, by table and key.
type Content = BTreeMap<(String, String), String>;

/// A store with what a node keeps, as its file was after each change.
struct Kept {
    /// The file as a node leaves it that stops, and one that is killed.
    files: [Vec<u8>; 2],
    /// What it held, the last state at the end.
    states: Vec<Content>,
}

impl Kept {
    fn last(&self) -> &Content {
        self.states.last().unwrap()
    }

    /// Some changes, as they come.
    fn new(random: &mut StdRng) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.redb");
        let store = Store::open(&path).unwrap();
        let mut states = vec![Content::new()];
        for _ in 0..12 {
            let mut state = states.last().unwrap().clone();
            let mut batch = Batch::default();
            for _ in 0..random.random_range(1..60) {
                change(&mut state, &mut batch, random);
            }
            store.write(batch).unwrap();
            states.push(state);
        }
        let killed = fs::read(&path).unwrap();
        drop(store);
        Self {
            files: [fs::read(&path).unwrap(), killed],
            states,
        }
    }
}

fn change(state: &mut Content, batch: &mut Batch, random: &mut StdRng) {
    let table = ALL[random.random_range(0..ALL.len())];
    let key = format!("12D3KooW{:02}", random.random_range(0..60));
    let at = (table.name().to_owned(), key.clone());
    if random.random_ratio(1, 6) {
        batch.remove(table, &key);
        state.remove(&at);
    } else {
        let longest = if table == Table::Cards { 9_000 } else { 400 };
        let length = random.random_range(1..longest);
        let value: String = (0..length)
            .map(|_| char::from(random.random_range(b'a'..=b'z')))
            .collect();
        batch.put(table, &key, &value);
        state.insert(at, value);
    }
}

fn content(store: &Store) -> Content {
    let mut content = Content::new();
    for table in ALL {
        for (key, value) in store.all::<String>(table).unwrap() {
            content.insert((table.name().to_owned(), key), value);
        }
    }
    content
}

/// Opens an altered file, and holds what it gives against what there was.
fn check(kept: &Kept, altered: &[u8], what: &str) -> Option<Damage> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    fs::write(&path, altered).unwrap();
    let store = Store::open(&path).unwrap_or_else(|error| panic!("{what}: {error:?}"));
    let found = content(&store);
    let mut damages = store.damages().unwrap();
    let Some(damage) = damages.pop() else {
        assert!(found == *kept.last(), "{what}: altered, and not told");
        return None;
    };
    assert!(damages.is_empty());
    assert!(fs::read(&damage.file).unwrap() == altered, "{what}: kept");
    assert!(
        damage
            .to_string()
            .contains(&damage.file.display().to_string())
    );
    assert_eq!(damage.kept, found.len() as u64, "{what}: {damage}");
    for (at, value) in &found {
        if kept.last().get(at) == Some(value) {
            continue;
        }
        let before = kept.states.iter().any(|state| state.get(at) == Some(value));
        assert!(before, "{what}: {at:?} never was so");
        assert!(damage.as_before.contains(&at.0), "{what}: {at:?}: {damage}");
        assert_ne!(at.0, Table::Invites.name(), "{what}: {at:?}: {damage}");
    }
    for at in kept.last().keys().filter(|at| !found.contains_key(*at)) {
        let told =
            damage.unknown || damage.lost.contains_key(&at.0) || damage.as_before.contains(&at.0);
        assert!(told, "{what}: {at:?} is lost: {damage}");
    }
    // It is told again as long as the file is there, and can be used.
    store.put(Table::Trusted, "new", &"value").unwrap();
    drop(store);
    let again = Store::open(&path).unwrap();
    assert_eq!(again.damages().unwrap().len(), 1, "{what}");
    assert_eq!(content(&again).len(), found.len() + 1, "{what}");
    fs::remove_file(&damage.file).unwrap();
    assert!(again.damages().unwrap().is_empty(), "{what}");
    Some(damage)
}

/// A store, and the numbers by which it is altered; the seed is told when something fails.
fn some() -> (Kept, StdRng) {
    let seed = rand::rng().next_u64();
    eprintln!("seed: {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    (Kept::new(&mut random), random)
}

#[test]
fn what_redb_wrote_is_sound_and_read_as_redb_reads_it() {
    let (kept, _) = some();
    let folder = tempfile::tempdir().unwrap();
    for (n, file) in kept.files.iter().enumerate() {
        let path = folder.path().join(format!("{n}.redb"));
        fs::write(&path, file).unwrap();
        assert!(is_sound(&path).unwrap(), "file {n}");
        let pages = Pages::open(&path).unwrap();
        let mut read = Content::new();
        let current = pages.slots().current.unwrap();
        let (tables, whole) = pages.read(current, &mut |table, key, value| {
            let key = String::from_utf8(key.to_vec()).unwrap();
            read.insert(
                (table.to_owned(), key),
                serde_json::from_slice(value).unwrap(),
            );
        });
        assert!(whole);
        let entries: u64 = tables.iter().map(|table| table.entries).sum();
        assert_eq!(entries, read.len() as u64);
        assert!(read == *kept.last());
        assert_eq!(check(&kept, file, "whole"), None);
    }
}

#[test]
fn a_node_that_is_killed_at_any_change_leaves_a_sound_store() {
    let mut random = StdRng::seed_from_u64(7);
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("store.redb"), folder.path().join("copy"));
    let mut state = Content::new();
    for round in 0..40 {
        let store = Store::open(&path).unwrap();
        assert!(content(&store) == state, "round {round}");
        for _ in 0..random.random_range(0..4) {
            let mut batch = Batch::default();
            change(&mut state, &mut batch, &mut random);
            store.write(batch).unwrap();
            fs::copy(&path, &copy).unwrap();
            assert!(is_sound(&copy).unwrap(), "round {round}");
        }
        drop(store);
        if round % 2 == 0 && copy.exists() {
            fs::rename(&copy, &path).unwrap();
        }
        assert!(is_sound(&path).unwrap(), "round {round}");
    }
}

#[test]
fn a_flipped_bit_is_told_and_costs_a_page_at_the_most() {
    let (kept, mut random) = some();
    let mut told = 0;
    for file in &kept.files {
        for _ in 0..ALTERATIONS {
            let mut altered = file.clone();
            let bit = random.random_range(0..file.len() * 8);
            altered[bit / 8] ^= 1 << (bit % 8);
            let Some(damage) = check(&kept, &altered, &format!("bit {bit}")) else {
                continue;
            };
            told += 1;
            let lost: u64 = damage.lost.values().sum();
            assert!(lost < 60, "{damage}");
        }
    }
    eprintln!("{told} of {} were in what counts", 2 * ALTERATIONS);
}

#[test]
fn any_bit_of_the_header_may_be_flipped() {
    let (kept, mut random) = some();
    for file in &kept.files {
        // All of what is not in a slot, and some of the rest.
        let some = (0..ALTERATIONS).map(|_| random.random_range(24 * 8..320 * 8));
        let bits: BTreeSet<usize> = (0..32 * 8).step_by(3).chain(some).collect();
        for bit in bits {
            let mut altered = file.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            if let Some(damage) = check(&kept, &altered, &format!("bit {bit} of the header")) {
                assert!(!damage.unknown, "bit {bit} of the header: {damage}");
            }
        }
    }
}

#[test]
fn a_file_may_be_cut_anywhere() {
    let (kept, mut random) = some();
    for file in &kept.files {
        let some = (0..ALTERATIONS / 2).map(|_| random.random_range(0..file.len()));
        let ends: Vec<usize> = [0, 1, 63, 64, 320, 4095, 4096, 8192, file.len() - 1]
            .into_iter()
            .chain((0..file.len()).step_by(file.len() / 20 / 4096 * 4096))
            .chain(some)
            .collect();
        for end in ends {
            let damage = check(&kept, &file[..end], &format!("cut at {end}"));
            let clean = file == &kept.files[0];
            assert!(damage.is_some() || !clean, "cut at {end} of {}", file.len());
        }
    }
}

#[test]
fn pages_may_be_lost_or_full_of_anything() {
    let (kept, mut random) = some();
    for file in &kept.files {
        for _ in 0..ALTERATIONS {
            let mut altered = file.clone();
            for _ in 0..random.random_range(1..4) {
                let length = [512, 4096, 40_000][random.random_range(0..3)];
                let at = random.random_range(0..file.len()) / length * length;
                let end = (at + length).min(file.len());
                let noise = random.random_ratio(1, 2);
                altered[at..end].fill_with(|| if noise { random.random() } else { 0 });
            }
            check(&kept, &altered, "pages");
        }
    }
}

#[test]
fn a_file_that_is_no_store_is_kept_aside() {
    let (kept, _) = some();
    for other in [vec![7; 10_000], b"hello".to_vec(), vec![0; 1 << 20]] {
        let damage = check(&kept, &other, "another file").unwrap();
        assert!(damage.unknown && damage.kept == 0, "{damage}");
        assert!(damage.to_string().contains("nothing in it could be read"));
    }
}
