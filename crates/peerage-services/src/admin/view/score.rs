//! How the local API shows scores.

use peerage_core::score::{Effect, Score};

use crate::api::{ReasonView, ScoreView};

pub(super) fn score(score: &Score) -> ScoreView {
    let now = peerage_mesh::book::now();
    let effect = score.effect(now);
    let until = (effect != Effect::None).then(|| now + score.lasts(effect, now));
    let rounded = |number: f64| (number * 100.0).round() / 100.0;
    ScoreView {
        points: rounded(score.points(now)),
        reliability: rounded(score.reliability()),
        effect: effect.as_str().to_owned(),
        until: until.map(|until| super::rfc3339(until.as_secs())),
        reasons: score
            .reasons()
            .rev()
            .map(|reason| ReasonView {
                at: super::rfc3339(reason.at.as_secs()),
                deed: reason.deed.as_str().to_owned(),
                count: reason.count,
                points: reason.deed.points(),
                detail: reason.detail.clone(),
            })
            .collect(),
    }
}
