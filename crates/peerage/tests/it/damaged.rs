//! Files of a node that were altered while it was down: the node says so, and never takes what it finds
//! for something else.

use std::{fs, path::Path};

use serde_json::Value;

use super::{
    program::peerage,
    running::{Place, toolbox},
};

/// Flips one bit of a file.
fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

/// A place whose node has run, shared something and trusts somebody.
async fn used(folder: &Path) -> (Place, String) {
    const SOMEBODY: &str = "12D3KooWDvP6FWsRygrC8hN1cAQ5x92FQLsTXXXZYekN9eGTsZUU";
    let mut place = Place::new(folder, "ann");
    let node = place.start(&["--share", &toolbox("box")]).await;
    place.json(&["trust", SOMEBODY]).await;
    let id = node.peer_id().to_owned();
    node.kill().await;
    place.none_left().await;
    (place, id)
}

#[tokio::test]
async fn a_damaged_store_is_told_and_what_is_sound_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let (mut place, id) = used(folder.path()).await;
    let store = place.folder().join("store.redb");
    let whole = fs::read(&store).unwrap();
    // In the name of what is trusted, wherever that lies; the rest of the file is sound.
    let name = b"12D3KooWDvP6";
    for at in (0..whole.len() - name.len()).filter(|at| whole[*at..].starts_with(name)) {
        flip(&store, at + 4);
    }
    let node = place.start(&[]).await;
    assert_eq!(node.peer_id(), id);
    assert_eq!(node.status["shares"][0]["name"], "box");
    let warning = node.status["warnings"][0].as_str().unwrap().to_owned();
    assert!(warning.contains("1 of trusted"), "{warning}");
    node.kill().await;

    // It is said again, to people too, until they have removed what was set aside.
    let node = place.start(&[]).await;
    assert_eq!(node.status["warnings"][0], warning);
    let shown = place.run(&["status"]).await;
    assert!(shown.out.contains("store.redb.damaged-"), "{shown:?}");
    let aside = fs::read_dir(place.folder()).unwrap().flatten();
    let aside: Vec<_> = aside
        .filter(|entry| entry.file_name().to_string_lossy().contains("damaged"))
        .collect();
    assert_eq!(aside.len(), 1);
    fs::remove_file(aside[0].path()).unwrap();
    let status = place.json(&["status"]).await;
    assert_eq!(status["warnings"], Value::Array(Vec::new()));
    node.kill().await;
}

#[tokio::test]
async fn a_store_without_its_end_is_no_end() {
    let folder = tempfile::tempdir().unwrap();
    let (mut place, id) = used(folder.path()).await;
    let store = place.folder().join("store.redb");
    let whole = fs::read(&store).unwrap();
    for end in [0, 4096, whole.len() / 2 + 100] {
        fs::write(&store, &whole[..end]).unwrap();
        let node = place.start(&[]).await;
        assert_eq!(node.peer_id(), id);
        let warnings = node.status["warnings"].as_array().unwrap();
        assert!(!warnings.is_empty(), "cut at {end}");
        node.kill().await;
    }
}

#[tokio::test]
async fn an_altered_key_is_an_error_and_never_another_node() {
    let folder = tempfile::tempdir().unwrap();
    let (mut place, id) = used(folder.path()).await;
    for file in [
        place.folder().join("identity.key"),
        place.home().join("mesh/root.json"),
    ] {
        let whole = fs::read(&file).unwrap();
        flip(&file, 20);
        let refused = place.up(&[]).output().await.unwrap();
        assert_eq!(refused.status.code(), Some(2));
        let problem: Value = serde_json::from_slice(&refused.stdout).unwrap();
        assert_eq!(problem["code"], "home_damaged");
        let name = file.file_name().unwrap().to_str().unwrap();
        assert!(
            problem["detail"].as_str().unwrap().contains(name),
            "{problem}"
        );
        fs::remove_file(&file).unwrap();
        let told = peerage(place.home(), &["--name", "ann", "up", "--no-mdns"]).await;
        assert_eq!(told.code, 2, "{told:?}");
        assert!(
            told.err.contains("is gone") && told.err.contains("hint"),
            "{told:?}"
        );
        assert!(!file.exists(), "no new one was made");
        fs::write(&file, whole).unwrap();
    }
    let node = place.start(&[]).await;
    assert_eq!(node.peer_id(), id);
    node.kill().await;
}
