//! Tests of the store.

mod damaged;

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
    assert_eq!(files, 3, "the store, its lock, and what the kill left");
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
fn a_store_in_use_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let held = Store::open(&path).unwrap();
    assert!(matches!(Store::open(&path), Err(StoreError::InUse)));
    drop(held);
    // One that redb itself holds, as a node of an earlier version does.
    let held = database(&path).unwrap();
    assert!(matches!(Store::open(&path), Err(StoreError::InUse)));
    drop(held);
    assert!(Store::open(&path).unwrap().damages().unwrap().is_empty());
}

#[test]
fn a_store_of_a_later_format_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    drop(Store::open(&path).unwrap());
    let mut bytes = fs::read(&path).unwrap();
    (bytes[64], bytes[192]) = (4, 4);
    fs::write(&path, &bytes).unwrap();
    assert!(matches!(Store::open(&path), Err(StoreError::Newer)));
    assert_eq!(fs::read(&path).unwrap(), bytes);
}
