//! Small differences between waits, so that many do not come back in step.

/// A small generator (xorshift, Marsaglia 2003) that is part of the book's state, so that a run of
/// the lab repeats from its seed; nothing secret depends on it.
#[derive(Clone, Debug)]
pub(super) struct Jitter(u64);

impl Jitter {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// The next number in `0.0..1.0`.
    pub(super) fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        #[expect(clippy::cast_precision_loss, reason = "53 bits are what a float holds")]
        let high = (self.0 >> 11) as f64;
        high / 9_007_199_254_740_992.0
    }
}
