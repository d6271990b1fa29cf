//! The folder that holds everything of a user: config, the mesh's root key, and each node's own folder.
//!
//! ```text
//! HOME/peerage.toml             configuration
//! HOME/policy.toml              who may do what
//! HOME/mesh/root.json           the mesh's root key and name (0600)
//! HOME/mesh/root.json.sum       its SHA-256, so that a changed key is noticed
//! HOME/nodes/NAME/identity.key  the node's key, 32 bytes (0600)
//! HOME/nodes/NAME/identity.key.sum  its SHA-256
//! HOME/nodes/NAME/store.redb    peers, grants, shares, invitations
//! HOME/nodes/NAME/store.redb.damaged-DATE  one that was altered, kept for its owner
//! HOME/nodes/NAME/api.token     what the local API asks of TCP clients (0600)
//! HOME/nodes/NAME/node.sock     the local API
//! HOME/nodes/NAME/node.json     where a running node is reached (0600)
//! ```

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use data_encoding::HEXLOWER;
use peerage_core::{Identity, address::Address, problem::Problem};
use peerage_services::{api::NodeFile, members::Root};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::config::{IdentitySource, read_seed};

/// The longest path of a Unix socket that all systems take.
const MAX_SOCKET_PATH: usize = 100;

/// A node's place under its home.
#[derive(Clone, Debug)]
pub(crate) struct Home {
    home: PathBuf,
    node: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct StoredRoot {
    name: Address,
    secret: String,
}

impl Home {
    /// Makes the folders, readable by their owner alone.
    ///
    /// # Errors
    ///
    /// `home_unusable` when they cannot be made.
    pub(crate) fn open(home: &Path, name: &str) -> Result<Self, Problem> {
        let node = home.join("nodes").join(name);
        for folder in [home, &home.join("mesh"), &home.join("nodes"), &node] {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)
                .map_err(|error| unusable(folder, &error))?;
        }
        Ok(Self {
            home: home.to_owned(),
            node,
        })
    }

    /// The node's key: the stored one, made at the first start, or the one that a seed gives.
    ///
    /// # Errors
    ///
    /// `home_unusable`; `home_damaged` when the key was altered or is gone; or what is wrong with the seed.
    pub(crate) fn identity(&self, source: &IdentitySource) -> Result<Identity, Problem> {
        match source {
            IdentitySource::Stored => self.stored_identity(),
            IdentitySource::SeedFile(path) => {
                let seed = read_seed(path)?;
                Ok(Identity::from_root(&seed))
            }
            IdentitySource::InsecurePhrase(phrase) => {
                Ok(Identity::from_insecure_phrase(phrase.expose()))
            }
        }
    }

    /// The root of the home's mesh, made by the first node that needs it.
    ///
    /// # Errors
    ///
    /// `home_unusable`; `home_damaged` when it was altered or is gone.
    pub(crate) fn root(&self) -> Result<Root, Problem> {
        let path = self.home.join("mesh").join("root.json");
        let made = || {
            let key = Identity::generate();
            let stored = StoredRoot {
                name: mesh_name(&key),
                secret: BASE64_URL_SAFE_NO_PAD.encode(*key.secret()),
            };
            serde_json::to_vec(&stored).expect("two texts always serialise")
        };
        let bytes = unaltered(&path, made)?;
        let damaged = || damaged(&path);
        let stored: StoredRoot = serde_json::from_slice(&bytes).map_err(|_| damaged())?;
        let secret = BASE64_URL_SAFE_NO_PAD.decode(stored.secret);
        let secret = <[u8; 32]>::try_from(secret.map_err(|_| damaged())?).map_err(|_| damaged())?;
        Ok(Root {
            key: Identity::from_secret(secret),
            path: stored.name,
        })
    }

    /// What the local API asks of TCP clients. It stays, so that the configurations of clients do.
    ///
    /// # Errors
    ///
    /// `home_unusable`.
    pub(crate) fn token(&self) -> Result<String, Problem> {
        let path = self.token_file();
        let made = || {
            BASE64_URL_SAFE_NO_PAD
                .encode(rand::random::<[u8; 32]>())
                .into_bytes()
        };
        let bytes = create_or_read(&path, made).map_err(|error| unusable(&path, &error))?;
        let text = String::from_utf8(bytes).map_err(|_| damaged(&path))?;
        let token = text.trim();
        if token.len() < 32 {
            return Err(damaged(&path));
        }
        Ok(token.to_owned())
    }

    /// Where that is written.
    #[must_use]
    pub(crate) fn token_file(&self) -> PathBuf {
        self.node.join("api.token")
    }

    /// Where the node's store is.
    #[must_use]
    pub(crate) fn store(&self) -> PathBuf {
        self.node.join("store.redb")
    }

    /// Where the audit is.
    #[must_use]
    pub(crate) fn audit(&self) -> PathBuf {
        self.node.join("audit.jsonl")
    }

    /// Where the Unix socket goes: the node's folder, or a short path for a long one.
    ///
    /// # Errors
    ///
    /// `home_unusable` when the short folder cannot be made.
    pub(crate) fn socket(&self) -> Result<PathBuf, Problem> {
        let path = self.node.join("node.sock");
        if path.as_os_str().len() <= MAX_SOCKET_PATH {
            return Ok(path);
        }
        // Random, so that nobody else can have made the folder before.
        let folder = std::env::temp_dir().join(format!("peerage-{:016x}", rand::random::<u64>()));
        DirBuilder::new()
            .mode(0o700)
            .create(&folder)
            .map_err(|error| unusable(&folder, &error))?;
        Ok(folder.join("node.sock"))
    }

    /// Says where the running node is reached.
    ///
    /// # Errors
    ///
    /// `home_unusable`.
    pub(crate) fn announce(&self, node: &NodeFile) -> Result<(), Problem> {
        let path = self.node_file();
        let json = serde_json::to_vec_pretty(node).expect("texts and a number always serialise");
        replace(&path, &json).map_err(|error| unusable(&path, &error))
    }

    /// The node has stopped.
    pub(crate) fn withdraw(&self, socket: &Path) {
        for path in [&self.node_file(), socket] {
            if let Err(error) = fs::remove_file(path)
                && error.kind() != ErrorKind::NotFound
            {
                tracing::warn!(path = %path.display(), %error, "cannot be removed");
            }
        }
        // A short socket has a folder of its own; the node's folder is not empty and stays.
        if let Some(folder) = socket.parent() {
            let _ = fs::remove_dir(folder);
        }
    }

    fn node_file(&self) -> PathBuf {
        self.node.join("node.json")
    }

    fn stored_identity(&self) -> Result<Identity, Problem> {
        let path = self.node.join("identity.key");
        let made = || Identity::generate().secret().to_vec();
        let bytes = unaltered(&path, made)?;
        let secret = <[u8; 32]>::try_from(bytes).map_err(|_| damaged(&path))?;
        Ok(Identity::from_secret(secret))
    }
}

/// The name of a new mesh: the user's name and four letters of its key, so that two meshes of users
/// called alike are told apart.
fn mesh_name(key: &Identity) -> Address {
    let user = std::env::var("USER").unwrap_or_default();
    let user: String = Address::segment_from(&user).chars().take(32).collect();
    let did = key.did().to_string().to_ascii_lowercase();
    let tail: String = did.chars().rev().take(4).collect();
    Address::top(&format!("{}-{tail}", user.trim_end_matches('-')))
        .expect("a sanitised segment with letters and digits behind it is a segment")
}

/// Reads a key, or makes it. Another key is as good a key, so its sum is kept beside it: one that was
/// altered, or is gone, is never taken for a new one.
fn unaltered(path: &Path, made: impl FnOnce() -> Vec<u8>) -> Result<Vec<u8>, Problem> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".sum");
    let beside = PathBuf::from(beside);
    if beside.exists() && !path.exists() {
        return Err(damaged_key(path, "is gone", &beside));
    }
    let bytes = create_or_read(path, made).map_err(|error| unusable(path, &error))?;
    let sum = HEXLOWER.encode(&Sha256::digest(&bytes)).into_bytes();
    let noted =
        create_or_read(&beside, || sum.clone()).map_err(|error| unusable(&beside, &error))?;
    if noted.trim_ascii() != sum {
        return Err(damaged_key(path, "is damaged", &beside));
    }
    Ok(bytes)
}

fn damaged_key(path: &Path, what: &str, sum: &Path) -> Problem {
    let text = format!(
        "{} {what}: it is not what {} tells",
        path.display(),
        sum.display()
    );
    Problem::new(500, "home_damaged", text).hint(
        "put back a copy of it; remove the .sum file if the key is the right one; \
         or move both away to start with a new one",
    )
}

/// Reads a file, or makes it whole with mode 0600 if it is not there; of several that make it at once
/// one wins, and all read what that one wrote.
fn create_or_read(path: &Path, made: impl FnOnce() -> Vec<u8>) -> io::Result<Vec<u8>> {
    match fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        read => return read,
    }
    let temporary = write_aside(path, &made())?;
    let linked = fs::hard_link(&temporary, path);
    fs::remove_file(&temporary)?;
    match linked {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
        _ => sync_folder(path)?,
    }
    fs::read(path)
}

/// Replaces a file whole.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = write_aside(path, bytes)?;
    fs::rename(&temporary, path)?;
    sync_folder(path)
}

fn write_aside(path: &Path, bytes: &[u8]) -> io::Result<PathBuf> {
    let temporary = path.with_extension(format!("{:016x}.tmp", rand::random::<u64>()));
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    Ok(temporary)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

fn unusable(path: &Path, error: &io::Error) -> Problem {
    let text = format!("{} cannot be used: {error}", path.display());
    Problem::new(500, "home_unusable", text).hint("another folder: --home DIR")
}

fn damaged(path: &Path) -> Problem {
    let text = format!("{} is damaged", path.display());
    Problem::new(500, "home_damaged", text)
        .hint("put back a copy, or move the file away to start with a new one")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn keys_are_made_once_and_for_the_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::open(folder.path(), "a").unwrap();
        let first = home.identity(&IdentitySource::Stored).unwrap().peer_id();
        let again = Home::open(folder.path(), "a").unwrap();
        assert_eq!(
            again.identity(&IdentitySource::Stored).unwrap().peer_id(),
            first
        );
        let root = home.root().unwrap();
        let other = Home::open(folder.path(), "b").unwrap();
        assert_eq!(other.root().unwrap().key.peer_id(), root.key.peer_id());
        assert_ne!(
            other.identity(&IdentitySource::Stored).unwrap().peer_id(),
            first
        );
        assert_eq!(home.token().unwrap(), home.token().unwrap());
        for file in [
            "nodes/a/identity.key",
            "nodes/a/api.token",
            "mesh/root.json",
        ] {
            let mode = fs::metadata(folder.path().join(file))
                .unwrap()
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o600, "{file}");
        }
    }

    #[test]
    fn of_many_that_make_the_root_at_once_one_wins() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::open(folder.path(), "a").unwrap();
        let roots: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| home.root().unwrap()))
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap().key.peer_id())
                .collect()
        });
        assert!(roots.iter().all(|root| *root == roots[0]));
    }

    #[test]
    fn a_damaged_key_is_told_and_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::open(folder.path(), "a").unwrap();
        fs::write(folder.path().join("nodes/a/identity.key"), b"short").unwrap();
        let problem = home.identity(&IdentitySource::Stored).unwrap_err();
        assert_eq!(problem.code, "home_damaged");
        assert_eq!(
            fs::read(folder.path().join("nodes/a/identity.key")).unwrap(),
            b"short"
        );
    }

    /// What a file becomes when a bit of any byte is flipped, a tail is cut, or it is gone.
    fn alterations(whole: &[u8]) -> Vec<Option<Vec<u8>>> {
        let flips = (0..whole.len()).map(|at| {
            let mut bytes = whole.to_vec();
            bytes[at] ^= 1 << (at * 5 % 8);
            Some(bytes)
        });
        let cuts = (0..whole.len()).step_by(7);
        let cuts = cuts.map(|end| Some(whole[..end].to_vec()));
        flips.chain(cuts).chain([None]).collect()
    }

    #[test]
    fn a_key_that_is_altered_anywhere_is_told_and_never_another_key() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::open(folder.path(), "a").unwrap();
        let id = home.identity(&IdentitySource::Stored).unwrap().peer_id();
        let root = home.root().unwrap().key.peer_id();
        for file in [
            "nodes/a/identity.key",
            "nodes/a/identity.key.sum",
            "mesh/root.json",
            "mesh/root.json.sum",
        ] {
            let path = folder.path().join(file);
            let whole = fs::read(&path).unwrap();
            let sum = file.ends_with(".sum");
            for altered in alterations(&whole) {
                match &altered {
                    Some(bytes) => fs::write(&path, bytes).unwrap(),
                    None => fs::remove_file(&path).unwrap(),
                }
                let read = if file.starts_with("mesh") {
                    home.root().map(|root| root.key.peer_id())
                } else {
                    let key = home.identity(&IdentitySource::Stored);
                    key.map(|key| key.peer_id())
                };
                match read {
                    // Without its sum a key is what it is.
                    Ok(key) if sum && altered.is_none() => assert!(key == id || key == root),
                    Ok(_) => panic!("{file}: {altered:?} was taken"),
                    Err(problem) => {
                        assert_eq!(problem.code, "home_damaged", "{file}: {problem:?}");
                        assert!(problem.hint.is_some());
                        assert_eq!(fs::read(&path).ok(), altered, "it is left as it was");
                    }
                }
                fs::write(&path, &whole).unwrap();
            }
            assert_eq!(home.root().unwrap().key.peer_id(), root);
            let key = home.identity(&IdentitySource::Stored).unwrap();
            assert_eq!(key.peer_id(), id);
        }
    }
}
