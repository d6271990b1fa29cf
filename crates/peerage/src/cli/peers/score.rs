//! What peers' deeds say of them, for people.

use peerage_services::api::{PeerView, ScoreView};

use crate::cli::output::Output;

/// All peers, those with the most points first.
pub(super) fn all(output: &Output, peers: &[PeerView]) -> String {
    if peers.is_empty() {
        return String::new();
    }
    let mut peers: Vec<&PeerView> = peers.iter().collect();
    peers.sort_by(|a, b| b.score.points.total_cmp(&a.score.points));
    let rows = peers.iter().map(|peer| {
        let score = &peer.score;
        let latest = score.reasons.first();
        vec![
            peer.name.clone(),
            peer.relation.as_str().to_owned(),
            format!("{}", score.points),
            percent(score),
            effect(score),
            latest.map_or_else(String::new, |reason| {
                format!("{} x{}: {}", reason.deed, reason.count, reason.detail)
            }),
        ]
    });
    let header = [
        "name",
        "relation",
        "points",
        "answers",
        "effect",
        "latest reason",
    ];
    output.table(&header, rows.collect())
}

/// One peer, with every reason.
pub(super) fn one(output: &Output, peer: &PeerView) -> String {
    let score = &peer.score;
    let reasons: Vec<String> = score
        .reasons
        .iter()
        .map(|reason| {
            let points = match reason.points {
                0.0 => String::new(),
                points => format!(" ({points} each)"),
            };
            format!(
                "{}  {} x{}{points}: {}",
                reason.at, reason.deed, reason.count, reason.detail
            )
        })
        .collect();
    output.fields(&[
        ("name", peer.name.clone()),
        ("peer id", peer.peer_id.clone()),
        (
            "points",
            format!(
                "{} (slowed from 20, refused from 60; halved every 10 minutes)",
                score.points
            ),
        ),
        ("answers", percent(score)),
        ("effect", effect(score)),
        ("reasons", reasons.join("\n")),
    ])
}

fn percent(score: &ScoreView) -> String {
    format!("{:.0} %", score.reliability * 100.0)
}

fn effect(score: &ScoreView) -> String {
    match &score.until {
        Some(until) => format!("{} until {until}", score.effect),
        None => score.effect.clone(),
    }
}
