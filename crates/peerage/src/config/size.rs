//! Amounts of bytes as people write them: `4096`, `64KiB`, `8MiB`, `2GiB`.

/// Why a text is not an amount of bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an amount of bytes such as 64KiB, 8MiB or 2GiB")]
pub struct SizeError(String);

const UNITS: [(u64, &str); 4] = [
    (1 << 30, "GiB"),
    (1 << 20, "MiB"),
    (1 << 10, "KiB"),
    (1, ""),
];

/// Reads an amount of bytes: a whole number with `KiB`, `MiB` or `GiB`, or alone.
///
/// # Errors
/// When it is something else, zero, or more than 64 bits hold.
pub fn parse_size(text: &str) -> Result<u64, SizeError> {
    let error = || SizeError(text.escape_default().to_string());
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let named = UNITS
        .iter()
        .find(|(_, name)| *name == &text[digits.len()..]);
    let (unit, _) = named.ok_or_else(error)?;
    let number = digits.parse::<u64>().ok().filter(|number| *number > 0);
    let number = number.filter(|_| digits.bytes().all(|b| b.is_ascii_digit()));
    number
        .and_then(|number| number.checked_mul(*unit))
        .ok_or_else(error)
}

/// Writes an amount of bytes so that [`parse_size`] reads it back, in the largest unit that fits evenly.
#[must_use]
pub fn format_size(bytes: u64) -> String {
    let (unit, name) = UNITS
        .iter()
        .find(|(unit, _)| bytes >= *unit && bytes.is_multiple_of(*unit))
        .unwrap_or(&(1, ""));
    format!("{}{name}", bytes / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_written() {
        for (text, bytes) in [
            ("1", 1),
            ("1023", 1023),
            ("64KiB", 65_536),
            ("8MiB", 8_388_608),
            ("3GiB", 3_221_225_472),
        ] {
            assert_eq!(parse_size(text), Ok(bytes));
            assert_eq!(format_size(bytes), text);
        }
        for text in [
            "",
            "0",
            "KiB",
            "-1",
            "+1",
            "1.5MiB",
            "1MB",
            "1 MiB",
            "99999999999GiB",
        ] {
            parse_size(text).unwrap_err();
        }
    }
}
