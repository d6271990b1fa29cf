//! An allowance that fills with time: so many a second, and those of some seconds at once.

use std::time::Duration;

use tokio::time::Instant;

/// See the module's page.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    /// In millionths.
    left: u64,
    at: Instant,
    rate: u32,
    /// For how many seconds the rate may be saved up.
    burst: u32,
}

const ONE: u64 = 1_000_000;

impl Bucket {
    /// A full one.
    pub(crate) fn new(rate: u32, burst: u32, now: Instant) -> Self {
        Self {
            left: u64::from(rate) * u64::from(burst) * ONE,
            at: now,
            rate,
            burst,
        }
    }

    /// Takes one, if there is one.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.at).min(self.fills_in());
        let gained = u64::try_from(passed.as_micros()).unwrap_or(u64::MAX);
        let full = u64::from(self.rate) * u64::from(self.burst) * ONE;
        self.at = self.at.max(now);
        self.left = self
            .left
            .saturating_add(gained.saturating_mul(self.rate.into()))
            .min(full);
        let allowed = self.left >= ONE;
        self.left -= if allowed { ONE } else { 0 };
        allowed
    }

    /// How long after a [`Bucket::take`] in vain there is one.
    pub(crate) fn wait(&self) -> Duration {
        let missing = ONE.saturating_sub(self.left);
        Duration::from_micros(missing.div_ceil(self.rate.max(1).into()))
    }

    /// Another rate from now on; what was saved up is kept as far as it fits.
    pub(crate) fn set_rate(&mut self, rate: u32) {
        self.rate = rate;
    }

    /// Whether nothing was taken for so long that it is full.
    pub(crate) fn is_full(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.at) >= self.fills_in()
    }

    fn fills_in(&self) -> Duration {
        Duration::from_secs(self.burst.into())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever the times at which it is asked: never more than what was saved up and came since.
        #[test]
        fn no_more_is_given_than_the_rate_and_what_was_saved(
            rate in 1..1000_u32,
            burst in 1..5_u32,
            steps in prop::collection::vec(0..200_000_u64, 1..400),
        ) {
            let start = Instant::now();
            let mut bucket = Bucket::new(rate, burst, start);
            let (mut now, mut taken) = (start, 0_u64);
            for step in steps {
                now += Duration::from_micros(step);
                taken += u64::from(bucket.take(now));
            }
            let passed = u64::try_from((now - start).as_micros()).unwrap();
            let most = u64::from(rate * burst) + passed * u64::from(rate) / ONE + 1;
            prop_assert!(taken <= most, "{taken} of {most}");
        }

        /// Whoever waits as long as it was told gets one.
        #[test]
        fn the_wait_that_is_told_is_enough(rate in 1..10_000_u32, asked in 1..50_000_u32) {
            let now = Instant::now();
            let mut bucket = Bucket::new(rate, 2, now);
            for _ in 0..asked {
                bucket.take(now);
            }
            if !bucket.take(now) {
                prop_assert!(bucket.take(now + bucket.wait()));
            }
        }
    }

    #[test]
    fn a_rate_of_zero_gives_nothing() {
        let now = Instant::now();
        let mut bucket = Bucket::new(0, 2, now);
        assert!(!bucket.take(now + Duration::from_secs(100)));
    }
}
