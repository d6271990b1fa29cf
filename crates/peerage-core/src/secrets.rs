//! Credentials in bytes that are about to leave: where they are and of which kind, never what they are.
//!
//! Two ways find them. Tokens that announce themselves by a prefix (`ghp_`, `AKIA`, `-----BEGIN … PRIVATE KEY-----`) are
//! found by it and then checked: alphabet, length, randomness. Values that are only named (`API_KEY=…` as in `.env` files)
//! are found by the name and checked the same way. Prefixes are searched for all at once, so that bytes without any cost
//! one pass; what a hit costs is bounded.
//!
//! A text that only speaks of credentials, such as `ghp_your_token_here` or `PASSWORD=changeme`, is none: it is not random
//! enough.
//!
//! Sources: the prefixes are those that the issuers document; the list is [`kinds`].

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, MatchKind};

mod shape;
#[cfg(test)]
mod tests;

pub use shape::kinds;
use shape::{SHAPES, Shape};

/// The most places that one search tells.
pub const MAX_FOUND: usize = 64;

/// A credential that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Of which kind, such as `github-token`.
    pub kind: &'static str,
    /// Where it begins, in bytes.
    pub at: usize,
    /// How many bytes it has.
    pub len: usize,
}

static PREFIXES: LazyLock<AhoCorasick> = LazyLock::new(|| {
    AhoCorasick::builder()
        .match_kind(MatchKind::LeftmostLongest)
        .build(SHAPES.iter().map(|shape| shape.prefix))
        .expect("the table is small")
});

/// Looks for credentials. At most [`MAX_FOUND`] are told, in the order in which they stand, none overlapping.
#[must_use]
pub fn find(bytes: &[u8]) -> Vec<Found> {
    let mut found: Vec<Found> = Vec::new();
    for hit in PREFIXES.find_iter(bytes) {
        if found.len() == MAX_FOUND {
            break;
        }
        let shape = &SHAPES[hit.pattern().as_usize()];
        let behind = found.last().map_or(0, |last| last.at + last.len);
        if hit.start() >= behind
            && let Some((at, len)) = shape.check(bytes, hit.start())
        {
            found.push(Found {
                kind: shape.kind,
                at,
                len,
            });
        }
    }
    found
}

/// Writes `*` over what was found in these bytes. What surrounds it, also the length, stays.
pub fn redact(bytes: &mut [u8], found: &[Found]) {
    for place in found {
        if let Some(part) = bytes.get_mut(place.at..place.at.saturating_add(place.len)) {
            part.fill(b'*');
        }
    }
}

impl Shape {
    /// Where the credential is whose prefix begins at `start`, if it is one.
    fn check(&self, bytes: &[u8], start: usize) -> Option<(usize, usize)> {
        let before = start.checked_sub(1).map(|at| bytes[at]);
        // In the middle of a word it is no prefix: `task-` holds `sk-`.
        if self.whole_word && before.is_some_and(|byte| byte.is_ascii_alphanumeric()) {
            return None;
        }
        let value = start + self.prefix.len();
        let value = value + self.opening(&bytes[value..]);
        let text = &bytes[value..bytes.len().min(value + self.most)];
        let len = text
            .iter()
            .take_while(|byte| self.alphabet.has(**byte))
            .count();
        if len < self.least || randomness(&text[..len]) < self.randomness {
            return None;
        }
        let at = if self.named { value } else { start };
        let end = value + len;
        (self.holds)(&bytes[at..end]).then_some((at, end - at))
    }

    /// How many bytes stand between a name and its value: blanks and quotes, also escaped ones.
    fn opening(&self, bytes: &[u8]) -> usize {
        const MOST: usize = 4;
        if !self.named {
            return 0;
        }
        let stands_between = |byte: &&u8| matches!(**byte, b' ' | b'"' | b'\'' | b'\\');
        bytes.iter().take(MOST).take_while(stands_between).count()
    }
}

/// Shannon entropy in bits for each byte: 0 for one byte repeated, about 4 for random hexadecimal digits, above 4.5 for forty
/// random letters and digits.
fn randomness(text: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in text {
        counts[usize::from(*byte)] += 1;
    }
    let total = f64::from(counts.iter().sum::<u32>());
    let bits = |count: u32| {
        let share = f64::from(count) / total;
        -share * share.log2()
    };
    counts
        .into_iter()
        .filter(|count| *count > 0)
        .map(bits)
        .sum()
}
