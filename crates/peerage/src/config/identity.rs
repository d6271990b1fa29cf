//! Where a node's key comes from: its store, a file with a seed, or (for tests) a phrase.

use std::{
    fmt,
    io::Read as _,
    path::{Path, PathBuf},
};

use peerage_core::{
    identity::{MAX_SEED_FILE, SeedError, parse_seed_file},
    problem::Problem,
};
use zeroize::Zeroizing;

/// Where a node's key comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum IdentitySource {
    /// The key stored under the home, made at the first start.
    #[default]
    Stored,
    /// Derived from the seed in a file, see [`read_seed`].
    SeedFile(PathBuf),
    /// Derived from a phrase that others can guess.
    InsecurePhrase(Phrase),
}

impl fmt::Display for IdentitySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stored => f.write_str("stored"),
            Self::SeedFile(path) => write!(f, "seed file {}", path.display()),
            Self::InsecurePhrase(_) => f.write_str("insecure phrase"),
        }
    }
}

/// A seed phrase. It does not show in debug output.
#[derive(Clone, PartialEq, Eq)]
pub struct Phrase(String);

impl Phrase {
    /// Takes a phrase as it is.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The phrase.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Phrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Phrase(..)")
    }
}

/// Why a seed file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SeedFileError {
    /// It cannot be read.
    #[error("cannot read the seed file {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It holds no seed.
    #[error("the seed file {} cannot be used: {source}", path.display())]
    Seed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: SeedError,
    },
}

impl From<SeedFileError> for Problem {
    fn from(error: SeedFileError) -> Self {
        let detail = error.to_string();
        match error {
            SeedFileError::Read { .. } => Self::new(400, "seed_unreadable", detail),
            SeedFileError::Seed { .. } => Self::new(400, "seed_guessable", detail).hint(
                "make one: head -c 32 /dev/urandom > seed; for tests use --insecure-seed-phrase",
            ),
        }
    }
}

/// Reads a seed, see [`parse_seed_file`] for its forms.
///
/// # Errors
/// When the file cannot be read, has another form, or holds what a person typed.
pub fn read_seed(path: &Path) -> Result<Zeroizing<[u8; 32]>, SeedFileError> {
    let mut bytes = Zeroizing::new(Vec::new());
    std::fs::File::open(path)
        .and_then(|file| file.take(MAX_SEED_FILE as u64 + 1).read_to_end(&mut bytes))
        .map_err(|source| SeedFileError::Read {
            path: path.to_owned(),
            source,
        })?;
    parse_seed_file(&bytes).map_err(|source| SeedFileError::Seed {
        path: path.to_owned(),
        source,
    })
}
