//! The contents of a seed file: 32 random bytes, written down in one of three ways.

use std::collections::HashSet;

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use zeroize::Zeroizing;

/// The longest seed file that is looked at, in bytes.
pub const MAX_SEED_FILE: usize = 256;
/// 32 random bytes have fewer different values than this once in 10^24 files.
const MIN_DISTINCT: usize = 12;

/// Why the contents of a seed file are not a seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SeedError {
    /// The file holds something else than a key, most likely words.
    #[error(
        "a guessable phrase is not a key: a seed is 32 random bytes, raw, as 64 hex characters or as base64"
    )]
    NotAKey,
    /// The bytes repeat as random ones never do.
    #[error("it can be guessed, for it has fewer than {MIN_DISTINCT} different bytes")]
    Regular,
    /// The file is longer than [`MAX_SEED_FILE`].
    #[error("it is too long: a seed is 32 random bytes, raw, as 64 hex characters or as base64")]
    TooLong,
}

/// Reads a seed: 32 raw bytes, 64 hex characters, or base64 of 32 bytes (either alphabet); the texts may end in a newline.
///
/// # Errors
/// [`SeedError::NotAKey`] for anything else, also for 32 bytes that read as text: those are words, not randomness.
pub fn parse_seed_file(bytes: &[u8]) -> Result<Zeroizing<[u8; 32]>, SeedError> {
    if bytes.len() > MAX_SEED_FILE {
        return Err(SeedError::TooLong);
    }
    let seed = raw(bytes)
        .or_else(|| text(bytes))
        .ok_or(SeedError::NotAKey)?;
    if seed.iter().collect::<HashSet<_>>().len() < MIN_DISTINCT {
        return Err(SeedError::Regular);
    }
    Ok(seed)
}

fn raw(bytes: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
    let seed: [u8; 32] = bytes.try_into().ok()?;
    // Random bytes read as text about once in 10^11 files; a phrase of 32 bytes always does.
    let reads_as_text = str::from_utf8(&seed)
        .is_ok_and(|text| text.chars().all(|c| !c.is_control() || c.is_whitespace()));
    (!reads_as_text).then(|| Zeroizing::new(seed))
}

fn text(bytes: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
    let text = str::from_utf8(bytes).ok()?.trim_end_matches(['\r', '\n']);
    let mut seed = Zeroizing::new([0; 32]);
    if text.len() == 64 {
        data_encoding::HEXLOWER_PERMISSIVE
            .decode_mut(text.as_bytes(), seed.as_mut_slice())
            .ok()?;
        return Some(seed);
    }
    let config =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    [alphabet::STANDARD, alphabet::URL_SAFE]
        .iter()
        .find_map(|alphabet| {
            let decoded = Zeroizing::new(GeneralPurpose::new(alphabet, config).decode(text).ok()?);
            seed.copy_from_slice(<&[u8; 32]>::try_from(decoded.as_slice()).ok()?);
            Some(seed.clone())
        })
}
