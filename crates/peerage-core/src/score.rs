//! What a peer's deeds say of it: points for what it did wrong, which decay, and how reliably it answers.
//!
//! | deed | points | reliability |
//! |---|---|---|
//! | answered a call | | better |
//! | could not be reached, was lost, was late | | worse |
//! | did not have what its card promises | | worse |
//! | asked for what it may not have | 0.02 | |
//! | wanted more than its limits | 0.05 | |
//! | sent what cannot be read | 2 | |
//! | showed what is forged: a signature that does not hold, another's grant | 15 | |
//!
//! Points halve every [`HALF_LIFE`]. From [`SLOWED_FROM`] on a peer is slowed to a tenth of its calls, from [`REFUSED_FROM`] on it is
//! not let in. Only what the peer itself did wrong gives points: a bad link costs reliability, never admission.

use std::{collections::VecDeque, time::Duration};

use serde::{Deserialize, Serialize};

use crate::peer_book::Now;

/// In which time points become half as many.
pub const HALF_LIFE: Duration = Duration::from_secs(600);
/// Points from which on a peer is slowed.
pub const SLOWED_FROM: f64 = 20.0;
/// Points from which on a peer is refused.
pub const REFUSED_FROM: f64 = 60.0;
/// More points nobody gets, so that each is let in again after two half-lives without a further deed.
const MOST: f64 = 4.0 * REFUSED_FROM;
/// Reasons that are kept, the latest.
pub const MAX_REASONS: usize = 16;
/// Deeds of one kind within this are one reason.
const TOGETHER: Duration = Duration::from_secs(60);
/// Bytes of a detail.
const MAX_DETAIL: usize = 160;

/// What a peer did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Deed {
    /// It answered a call.
    Answered,
    /// It could not be reached, was lost, or was late.
    Failed,
    /// It did not have what its card promises.
    BrokenPromise,
    /// It asked for what it may not have.
    NotAllowed,
    /// It wanted more than its limits.
    OverLimit,
    /// It sent what cannot be read.
    Garbage,
    /// It showed a signature that does not hold, or what was given to another.
    Forged,
}

impl Deed {
    /// The points for it.
    #[must_use]
    pub const fn points(self) -> f64 {
        match self {
            Self::Answered | Self::Failed | Self::BrokenPromise => 0.0,
            Self::NotAllowed => 0.02,
            Self::OverLimit => 0.05,
            Self::Garbage => 2.0,
            Self::Forged => 15.0,
        }
    }

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Failed => "failed",
            Self::BrokenPromise => "broken_promise",
            Self::NotAllowed => "not_allowed",
            Self::OverLimit => "over_limit",
            Self::Garbage => "garbage",
            Self::Forged => "forged",
        }
    }
}

/// What follows from a score.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// Nothing.
    #[default]
    None,
    /// The peer may make a tenth of the calls.
    Slowed,
    /// The peer is not let in.
    Refused,
}

impl Effect {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Slowed => "slowed",
            Self::Refused => "refused",
        }
    }
}

/// Why a score is what it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// When it last happened.
    pub at: Now,
    /// What.
    pub deed: Deed,
    /// How often.
    pub count: u64,
    /// More of it, for people.
    pub detail: String,
}

/// See the module's page.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Points, answers and failures as of `at`.
    points: f64,
    answered: f64,
    failed: f64,
    at: Now,
    reasons: VecDeque<Reason>,
}

impl Score {
    /// Takes in what a peer did `count` times. `true` when what follows from the score has changed, or lasts longer.
    pub fn note(&mut self, deed: Deed, count: u64, detail: &str, now: Now) -> bool {
        let before = self.effect(now);
        self.decay(now);
        // Lossless for all counts that are possible in an age.
        let times = count as f64;
        match deed {
            Deed::Answered => self.answered += times,
            Deed::Failed | Deed::BrokenPromise => self.failed += times,
            _ => self.points = (self.points + deed.points() * times).min(MOST),
        }
        if deed != Deed::Answered {
            self.remember(deed, count, detail, now);
        }
        let after = self.effect(now);
        before != after || (deed.points() > 0.0 && after != Effect::None)
    }

    /// Points now.
    #[must_use]
    pub fn points(&self, now: Now) -> f64 {
        self.points * self.left(now)
    }

    /// Which share of calls it answered lately, from 0 to 1; 1 of a peer of which nothing is known.
    #[must_use]
    pub fn reliability(&self) -> f64 {
        (self.answered + 1.0) / (self.answered + self.failed + 1.0)
    }

    /// What follows now.
    #[must_use]
    pub fn effect(&self, now: Now) -> Effect {
        match self.points(now) {
            points if points >= REFUSED_FROM => Effect::Refused,
            points if points >= SLOWED_FROM => Effect::Slowed,
            _ => Effect::None,
        }
    }

    /// How long an effect lasts if nothing more happens; nothing when it does not hold now.
    #[must_use]
    pub fn lasts(&self, effect: Effect, now: Now) -> Duration {
        let from = match effect {
            Effect::None => return Duration::ZERO,
            Effect::Slowed => SLOWED_FROM,
            Effect::Refused => REFUSED_FROM,
        };
        let half_lives = (self.points(now) / from).log2();
        if half_lives > 0.0 {
            HALF_LIFE.mul_f64(half_lives)
        } else {
            Duration::ZERO
        }
    }

    /// Why it is what it is, the latest last.
    pub fn reasons(&self) -> impl DoubleEndedIterator<Item = &Reason> {
        self.reasons.iter()
    }

    fn decay(&mut self, now: Now) {
        let left = self.left(now);
        self.points *= left;
        self.answered *= left;
        self.failed *= left;
        self.at = self.at.max(now);
    }

    fn left(&self, now: Now) -> f64 {
        let passed = now.saturating_sub(self.at);
        0.5_f64.powf(passed.as_secs_f64() / HALF_LIFE.as_secs_f64())
    }

    fn remember(&mut self, deed: Deed, count: u64, detail: &str, now: Now) {
        let same = self
            .reasons
            .iter()
            .position(|reason| reason.deed == deed && now.saturating_sub(reason.at) < TOGETHER);
        let mut reason = Reason {
            at: now,
            deed,
            count,
            detail: detail.to_owned(),
        };
        let end = (0..=MAX_DETAIL).rev();
        let end = end
            .into_iter()
            .find(|at| reason.detail.is_char_boundary(*at));
        if let Some(end) = end.filter(|end| *end < reason.detail.len()) {
            reason.detail.truncate(end);
        }
        if let Some(same) = same.and_then(|at| self.reasons.remove(at)) {
            reason.count = reason.count.saturating_add(same.count);
        } else if self.reasons.len() == MAX_REASONS {
            self.reasons.pop_front();
        }
        self.reasons.push_back(reason);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, proptest};

    use super::*;

    const NOW: Now = Duration::from_secs(1_000_000);

    fn after(seconds: u64) -> Now {
        NOW + Duration::from_secs(seconds)
    }

    #[test]
    fn misdeeds_slow_then_refuse_and_time_heals() {
        let mut score = Score::default();
        assert!(!score.note(Deed::Forged, 1, "a card", NOW));
        assert!(score.note(Deed::Forged, 1, "a card", NOW));
        assert_eq!(score.effect(NOW), Effect::Slowed);
        score.note(Deed::Forged, 2, "a grant", NOW);
        assert_eq!(score.effect(NOW), Effect::Refused);
        let lasts = score.lasts(Effect::Refused, NOW);
        assert_eq!(
            score.effect(NOW + lasts + Duration::from_secs(1)),
            Effect::Slowed
        );
        let slowed = score.lasts(Effect::Slowed, NOW);
        assert_eq!(
            score.effect(NOW + slowed + Duration::from_secs(1)),
            Effect::None
        );
        score.note(Deed::Forged, 1_000_000, "", NOW);
        assert!(score.lasts(Effect::Refused, NOW) <= HALF_LIFE * 2);
    }

    #[test]
    fn deeds_of_one_kind_are_one_reason_and_reasons_are_few() {
        let mut score = Score::default();
        for second in 0..10 {
            score.note(Deed::OverLimit, 3, "calls", after(second));
        }
        let reasons: Vec<_> = score.reasons().cloned().collect();
        assert_eq!(
            (reasons.len(), reasons[0].count, reasons[0].at),
            (1, 30, after(9))
        );
        for n in 0..100 {
            score.note(Deed::Garbage, 1, &"ä".repeat(500), after(n * 100));
        }
        assert_eq!(score.reasons().count(), MAX_REASONS);
        assert!(
            score
                .reasons()
                .all(|reason| reason.detail.len() <= MAX_DETAIL)
        );
    }

    proptest! {
        /// However bad a link is, and for however long.
        #[test]
        fn a_bad_link_is_never_a_misdeed(failures: Vec<(u16, bool, u16)>) {
            let (mut score, mut now) = (Score::default(), NOW);
            for (count, promise, wait) in failures {
                now += Duration::from_millis(u64::from(wait));
                let deed = if promise { Deed::BrokenPromise } else { Deed::Failed };
                prop_assert!(!score.note(deed, u64::from(count), "", now));
                prop_assert!(score.effect(now) == Effect::None);
                prop_assert!((0.0..=1.0).contains(&score.reliability()));
            }
        }

        #[test]
        fn a_clock_that_jumps_breaks_nothing(steps: Vec<(u32, u8)>, last in any::<u32>()) {
            let mut score = Score::default();
            for (at, count) in steps {
                score.note(Deed::Garbage, u64::from(count), "", Duration::from_secs(at.into()));
            }
            let points = score.points(Duration::from_secs(last.into()));
            prop_assert!((0.0..=MOST).contains(&points));
        }
    }
}
