//! The file with the rules: read when it has changed, replaced whole.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::SystemTime,
};

use peerage_core::{
    policy::rules::{Document, DocumentError},
    problem::Problem,
};

/// By what it is seen that a file was changed or replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    modified: Option<SystemTime>,
    size: u64,
    inode: u64,
}

/// Why rules are not in force.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// The file cannot be read.
    #[error("the policy {} cannot be read: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file cannot be written.
    #[error("the policy {} cannot be written: {source}", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Something is wrong with the rules.
    #[error("the policy {}: {error}", path.display())]
    Invalid {
        /// The file they are in, or would be written to.
        path: PathBuf,
        /// What is wrong.
        error: DocumentError,
    },
}

impl PolicyError {
    pub(super) fn missing(path: &Path) -> Self {
        Self::Unreadable {
            path: path.to_owned(),
            source: ErrorKind::NotFound.into(),
        }
    }
}

impl From<PolicyError> for Problem {
    fn from(error: PolicyError) -> Self {
        let text = error.to_string();
        match error {
            PolicyError::Unreadable { .. } => Self::new(500, "policy_unreadable", text)
                .hint("an empty file is a policy without rules"),
            PolicyError::Unwritable { .. } => Self::new(500, "policy_unwritable", text),
            PolicyError::Invalid { .. } => {
                Self::new(400, "policy_invalid", text).hint("peerage policy check FILE")
            }
        }
    }
}

/// The text of the file, and its stamp; none when it is not there.
pub(super) fn read(path: &Path) -> Result<Option<(Stamp, String)>, PolicyError> {
    let unreadable = |source| PolicyError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let mut file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(unreadable)?,
    };
    // Before the text: what is written meanwhile is seen as a change.
    let stamp = stamp(&file).map_err(unreadable)?;
    let mut text = String::new();
    let most = Document::MAX_BYTES as u64 + 1;
    let mut bounded = Read::by_ref(&mut file).take(most);
    bounded.read_to_string(&mut text).map_err(unreadable)?;
    Ok(Some((stamp, text)))
}

/// What the file holds if it is another than it was. That it is gone is an error: rules end by being taken out of it.
pub(super) fn changed(
    path: &Path,
    before: Option<&Stamp>,
) -> Result<Option<(Stamp, String)>, PolicyError> {
    match fs::metadata(path) {
        Ok(now) if before == Some(&Stamp::of(&now)) => Ok(None),
        Err(error) if error.kind() == ErrorKind::NotFound && before.is_none() => Ok(None),
        _ => match read(path)? {
            None => Err(PolicyError::missing(path)),
            read => Ok(read),
        },
    }
}

/// The rules in a text that is in the file, or is to be.
pub(super) fn parse(path: &Path, text: &str) -> Result<Document, PolicyError> {
    text.parse().map_err(|error| PolicyError::Invalid {
        path: path.to_owned(),
        error,
    })
}

/// Replaces the file whole.
pub(super) fn write(path: &Path, text: &str) -> Result<Stamp, PolicyError> {
    let replace = || {
        let aside = path.with_extension(format!("{:016x}.tmp", rand::random::<u64>()));
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&aside)?;
        let written = file
            .write_all(text.as_bytes())
            .and_then(|()| file.sync_all())
            .and_then(|()| fs::rename(&aside, path));
        if written.is_err() {
            // It is of no use to anybody.
            let _ = fs::remove_file(&aside);
        }
        written?;
        if let Some(folder) = path.parent() {
            File::open(folder)?.sync_all()?;
        }
        stamp(&file)
    };
    replace().map_err(|source| PolicyError::Unwritable {
        path: path.to_owned(),
        source,
    })
}

impl Stamp {
    fn of(found: &fs::Metadata) -> Self {
        Self {
            modified: found.modified().ok(),
            size: found.len(),
            inode: found.ino(),
        }
    }
}

fn stamp(file: &File) -> io::Result<Stamp> {
    Ok(Stamp::of(&file.metadata()?))
}
