//! Where a node's key comes from: its store, a file with a seed, or (for tests) a phrase.

use std::{
    fmt,
    io::Read as _,
    path::{Path, PathBuf},
};

use peerage_core::problem::Problem;

/// Length of a seed in bytes.
const SEED: usize = 32;
/// The most that is read of a seed file: the seed in hexadecimal, and line ends.
const MAX_FILE: u64 = 128;
/// The fewest different bytes that a random seed has; fewer means it was typed.
const MIN_DISTINCT: usize = 12;

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
pub enum SeedError {
    /// It cannot be read.
    #[error("cannot read the seed file {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is neither 32 bytes nor 64 hexadecimal digits.
    #[error("the seed file {} holds neither 32 bytes nor 64 hexadecimal digits", .0.display())]
    Form(PathBuf),
    /// It was typed, not drawn at random.
    #[error("the seed in {} looks like a phrase that others can guess", .0.display())]
    Guessable(PathBuf),
}

impl From<SeedError> for Problem {
    fn from(error: SeedError) -> Self {
        let detail = error.to_string();
        match error {
            SeedError::Read { .. } => Self::new(400, "seed_unreadable", detail),
            SeedError::Form(_) => Self::new(400, "seed_invalid", detail)
                .hint("make one: head -c 32 /dev/urandom > seed"),
            SeedError::Guessable(_) => Self::new(400, "seed_guessable", detail).hint(
                "make one: head -c 32 /dev/urandom > seed; for tests use --insecure-seed-phrase",
            ),
        }
    }
}

/// Reads a seed: 32 random bytes, raw or as 64 hexadecimal digits.
///
/// # Errors
/// When the file cannot be read, has another form, or holds what a person typed.
pub fn read_seed(path: &Path) -> Result<[u8; SEED], SeedError> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes))
        .map_err(|source| SeedError::Read {
            path: path.to_owned(),
            source,
        })?;
    let seed = match <[u8; SEED]>::try_from(bytes.as_slice()) {
        Ok(raw) => raw,
        Err(_) => from_hex(bytes.trim_ascii()).ok_or_else(|| {
            if bytes.is_ascii() && !bytes.is_empty() {
                SeedError::Guessable(path.to_owned())
            } else {
                SeedError::Form(path.to_owned())
            }
        })?,
    };
    if is_guessable(&seed) {
        return Err(SeedError::Guessable(path.to_owned()));
    }
    Ok(seed)
}

fn from_hex(text: &[u8]) -> Option<[u8; SEED]> {
    if text.len() != 2 * SEED {
        return None;
    }
    let mut seed = [0; SEED];
    for (byte, pair) in seed.iter_mut().zip(text.chunks(2)) {
        let digits = std::str::from_utf8(pair).ok()?;
        *byte = u8::from_str_radix(digits, 16).ok()?;
    }
    Some(seed)
}

/// 32 random bytes are all printable once in 10^14, and have fewer than 12 different values never.
fn is_guessable(seed: &[u8; SEED]) -> bool {
    let mut distinct = *seed;
    distinct.sort_unstable();
    let count = distinct.chunk_by(|a, b| a == b).count();
    count < MIN_DISTINCT || seed.iter().all(|b| b.is_ascii_graphic() || *b == b' ')
}
