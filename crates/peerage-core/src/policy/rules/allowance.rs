//! An allowance that fills with time, for the limits of rules: so many in a time, and some at once.

use std::time::Duration;

/// See the module's page. What may be had is given at each question, so that rules may change meanwhile; time is that since
/// any moment, the same for all questions.
///
/// It remembers one moment only: until when what was taken uses up the rate (the generic cell rate algorithm).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allowance {
    /// In nanoseconds.
    used_until: u128,
}

/// So many in a time, and so many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// How many; not 0.
    pub count: u64,
    /// In what time.
    pub per: Duration,
    /// How many may come at once after a silence; at least one comes.
    pub burst: u64,
}

impl Pace {
    fn lasts(&self, amount: u64) -> u128 {
        u128::from(amount) * self.per.as_nanos() / u128::from(self.count.max(1))
    }
}

impl Allowance {
    /// Takes one if there is one.
    ///
    /// # Errors
    /// How long to wait until there is.
    pub fn take(&mut self, pace: &Pace, now: Duration) -> Result<(), Duration> {
        let now = now.as_nanos();
        let until = self.used_until.max(now) + pace.lasts(1);
        let latest = now + pace.lasts(pace.burst.max(1));
        if until > latest {
            return Err(duration(until - latest));
        }
        self.used_until = until;
        Ok(())
    }

    /// Takes as much as is needed, whether it is there or not, and says how long to wait then before the next.
    pub fn spend(&mut self, amount: u64, pace: &Pace, now: Duration) -> Duration {
        let now = now.as_nanos();
        self.used_until = self.used_until.max(now) + pace.lasts(amount);
        let latest = now + pace.lasts(pace.burst);
        duration(self.used_until.saturating_sub(latest))
    }

    /// Whether all is there again.
    #[must_use]
    pub fn is_full(&self, now: Duration) -> bool {
        self.used_until <= now.as_nanos()
    }
}

fn duration(nanos: u128) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::prop_assert, proptest};

    use super::*;

    const fn pace(count: u64, burst: u64) -> Pace {
        Pace {
            count,
            per: Duration::from_secs(1),
            burst,
        }
    }

    #[test]
    fn a_burst_comes_at_once_and_then_the_rate() {
        let (mut allowance, pace) = (Allowance::default(), pace(10, 3));
        let at = Duration::from_millis;
        let taken = (0..10).filter(|_| allowance.take(&pace, at(0)).is_ok());
        assert_eq!(taken.count(), 3);
        assert_eq!(allowance.take(&pace, at(0)), Err(at(100)));
        assert_eq!(allowance.take(&pace, at(99)), Err(at(1)));
        assert_eq!(allowance.take(&pace, at(100)), Ok(()));
        assert!(!allowance.is_full(at(399)) && allowance.is_full(at(400)));
    }

    #[test]
    fn what_is_spent_is_waited_for() {
        let (mut allowance, pace) = (Allowance::default(), pace(1000, 1000));
        assert_eq!(allowance.spend(1000, &pace, Duration::ZERO), Duration::ZERO);
        let wait = allowance.spend(500, &pace, Duration::ZERO);
        assert_eq!(wait, Duration::from_millis(500));
        assert_eq!(allowance.spend(0, &pace, wait), Duration::ZERO);
    }

    proptest! {
        /// Whatever the times at which it is asked: never more than the burst and what came since.
        #[test]
        fn no_more_is_given_than_the_rate_and_the_burst(
            count in 1..1000_u64,
            burst in 1..100_u64,
            steps in vec(0..200_000_u64, 1..400),
        ) {
            let (mut allowance, pace) = (Allowance::default(), pace(count, burst));
            let (mut now, mut taken) = (Duration::ZERO, 0_u64);
            for step in steps {
                now += Duration::from_micros(step);
                match allowance.take(&pace, now) {
                    Ok(()) => taken += 1,
                    Err(wait) => prop_assert!(allowance.clone().take(&pace, now + wait).is_ok()),
                }
            }
            let most = burst + u64::try_from(now.as_micros()).unwrap() * count / 1_000_000 + 1;
            prop_assert!(taken <= most, "{taken} of {most}");
        }
    }
}
