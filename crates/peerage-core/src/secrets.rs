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
//! Bytes that come in pieces are searched by [`search`], which says up to where it has decided: what is behind that has to be
//! looked at again together with what follows.
//!
//! Sources: the prefixes are those that the issuers document; the list is [`kinds`].

use std::{ops::Range, sync::LazyLock};

use aho_corasick::{AhoCorasick, Input, MatchKind};

mod pointer;
mod shape;
#[cfg(test)]
mod tests;

pub use pointer::pointer;
pub use shape::kinds;
use shape::{SHAPES, Shape};

/// Bytes before a piece that matter for what the piece begins with.
pub const CONTEXT: usize = 6;
/// The most bytes of a piece that can be left undecided: the longest credential with its prefix.
pub const MAX_OPEN: usize = 16_384 + 64;

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

/// What a search of one piece came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Searched {
    /// What was found in what is decided, in the order in which it stands, none overlapping.
    pub found: Vec<Found>,
    /// How many bytes from the beginning are decided. All of them in the last piece.
    pub decided: usize,
}

/// Looks for credentials in all of the bytes there are.
#[must_use]
pub fn find(bytes: &[u8]) -> Vec<Found> {
    search(&[], bytes, true).found
}

/// Looks for credentials in a piece; `before` are the [`CONTEXT`] bytes before it, or fewer at the beginning.
#[must_use]
pub fn search(before: &[u8], bytes: &[u8], last: bool) -> Searched {
    let mut found: Vec<Found> = Vec::new();
    let mut decided = if last {
        bytes.len()
    } else {
        bytes.len() - unfinished_prefix(bytes)
    };
    let (mut next, mut behind) = (0, 0);
    while let Some(hit) = PREFIXES.find(Input::new(bytes).range(next..)) {
        // What is none may hold the beginning of one.
        next = hit.start() + 1;
        let shape = &SHAPES[hit.pattern().as_usize()];
        if shape.whole_word && in_a_word(before, bytes, hit.start()) {
            continue;
        }
        let rest = shape.rest(bytes, hit.start());
        if !last && rest.end == bytes.len() && rest.len() < shape.most {
            decided = decided.min(hit.start());
            break;
        }
        if let Some((at, len)) = shape.check(bytes, hit.start(), rest) {
            behind = at + len;
            next = behind;
            let kind = shape.kind;
            found.push(Found { kind, at, len });
        }
    }
    // What was found is not looked at again, even if it ends like the beginning of a prefix.
    let decided = decided.max(behind);
    Searched { found, decided }
}

/// How many bytes at the end may be the beginning of a prefix.
fn unfinished_prefix(bytes: &[u8]) -> usize {
    let longest = bytes.len().min(shape::LONGEST_PREFIX - 1);
    let tails = (1..=longest).rev();
    let mut open = tails.filter(|length| {
        let tail = &bytes[bytes.len() - length..];
        let begins = |shape: &Shape| {
            let prefix = shape.prefix.as_bytes();
            prefix.len() > tail.len() && prefix.starts_with(tail)
        };
        shape::BEGINS[usize::from(tail[0])] && SHAPES.iter().any(begins)
    });
    open.next().unwrap_or(0)
}

/// Whether a letter or digit stands before `at`, as in `task-` before `sk-`. That of an escape in JSON (`\n`, `\u003d`) is none.
fn in_a_word(before: &[u8], bytes: &[u8], at: usize) -> bool {
    let byte = |back: usize| match at.checked_sub(back) {
        Some(at) => Some(bytes[at]),
        None => before.iter().rev().nth(back - at - 1).copied(),
    };
    if !byte(1).is_some_and(|byte| byte.is_ascii_alphanumeric()) {
        return false;
    }
    let escape = byte(2) == Some(b'\\') && byte(1).is_some_and(|byte| b"nrtbf".contains(&byte));
    let hex = (1..=4).all(|back| byte(back).is_some_and(|byte| byte.is_ascii_hexdigit()));
    let unicode = hex && byte(5) == Some(b'u') && byte(6) == Some(b'\\');
    !(escape || unicode)
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
    /// What follows the prefix that begins at `start`, as far as it may be the credential.
    fn rest(&self, bytes: &[u8], start: usize) -> Range<usize> {
        let value = start + self.prefix.len();
        let value = value + self.opening(&bytes[value..]);
        let text = &bytes[value..bytes.len().min(value + self.most)];
        let fits = text.iter().take_while(|byte| self.alphabet.has(**byte));
        value..value + fits.count()
    }

    /// Where the credential is whose prefix begins at `start`, if it is one.
    fn check(&self, bytes: &[u8], start: usize, rest: Range<usize>) -> Option<(usize, usize)> {
        // A backslash at the end belongs to what follows: written over alone, it would break the JSON around it.
        let slashes = bytes[rest.clone()]
            .iter()
            .rev()
            .take_while(|byte| **byte == b'\\');
        let text = &bytes[rest.start..rest.end - slashes.count()];
        if text.len() < self.least || randomness(text) < self.randomness {
            return None;
        }
        let at = if self.named { rest.start } else { start };
        let end = rest.start + text.len();
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
