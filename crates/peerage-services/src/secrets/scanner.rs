//! Bytes as they pass: what is decided goes on, what may be the beginning of a credential waits for what follows.

use bytes::{Bytes, BytesMut};
use peerage_core::secrets::{CONTEXT, Found, redact, search};

/// See the module's page.
#[derive(Debug, Default)]
pub(super) struct Scanner {
    /// What is not decided yet.
    held: BytesMut,
    /// The last bytes that went on.
    before: Vec<u8>,
    /// How many went on.
    passed: u64,
}

/// What goes on.
#[derive(Debug)]
pub(super) struct Passed {
    /// The bytes as they came.
    pub(super) bytes: Bytes,
    /// Where they begin in the whole.
    pub(super) from: u64,
    /// What was found in them.
    pub(super) found: Vec<Found>,
}

impl Passed {
    /// The bytes with `*` for what was found.
    pub(super) fn redacted(&self) -> Bytes {
        let mut bytes = BytesMut::from(self.bytes.clone());
        redact(&mut bytes, &self.found);
        bytes.freeze()
    }
}

impl Scanner {
    /// Takes bytes in; `last` when nothing follows.
    pub(super) fn push(&mut self, piece: Bytes, last: bool) -> Passed {
        let mut bytes = if self.held.is_empty() {
            piece
        } else {
            self.held.extend_from_slice(&piece);
            self.held.split().freeze()
        };
        let searched = search(&self.before, &bytes, last);
        self.held = BytesMut::from(&bytes[searched.decided..]);
        bytes.truncate(searched.decided);
        let from = self.passed;
        self.passed += bytes.len() as u64;
        let fresh = &bytes[bytes.len().saturating_sub(CONTEXT)..];
        self.before.extend_from_slice(fresh);
        let old = self.before.len().saturating_sub(CONTEXT);
        self.before.drain(..old);
        Passed {
            bytes,
            from,
            found: searched.found,
        }
    }

    /// How many bytes wait.
    pub(super) fn held(&self) -> usize {
        self.held.len()
    }
}
