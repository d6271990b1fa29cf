//! Durations as people write them: `90`, `60s`, `15m`, `2h`, `1d`.

use std::time::Duration;

/// The longest duration that can be written: a year.
const MAX: Duration = Duration::from_secs(366 * 86_400);

/// Why a text is not a duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DurationError {
    /// It is not a number with a unit.
    #[error("`{0}` is not a duration such as 30s, 15m, 2h or 1d")]
    Form(String),
    /// It is zero or more than a year.
    #[error("`{0}` is not between 1s and 366d")]
    Range(String),
}

/// Reads a duration: a whole number with `s`, `m`, `h` or `d`, or alone for seconds.
///
/// # Errors
/// When it is something else, zero, or more than a year.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let form = || DurationError::Form(text.escape_default().to_string());
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(form()),
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(form());
    }
    let range = || DurationError::Range(text.to_owned());
    let number: u64 = digits.parse().map_err(|_| range())?;
    let duration = Duration::from_secs(number.checked_mul(unit).ok_or_else(range)?);
    if duration.is_zero() || duration > MAX {
        return Err(range());
    }
    Ok(duration)
}

/// Writes a duration so that [`parse_duration`] reads it back, in the largest unit that fits evenly.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    [(86_400, "d"), (3_600, "h"), (60, "m")]
        .iter()
        .find(|(unit, _)| seconds >= *unit && seconds.is_multiple_of(*unit))
        .map_or_else(
            || format!("{seconds}s"),
            |(unit, letter)| format!("{}{letter}", seconds / unit),
        )
}
