//! Who bears a name: looked up here, then asked of others until it is found or nobody is left.

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use peerage_core::{
    PeerId,
    address::Address,
    grant::Grant,
    lookup::{Answer, Knows, Lookup, Next},
    peer_book::{PeerEvent, Source},
    problem::Problem,
};

use super::{Meant, Step, ask, order::order};
use crate::context::Context;

/// How long a whole search may take.
const DEADLINE: Duration = Duration::from_secs(15);
/// The code of the problem that nobody knows a name.
pub(super) const UNKNOWN_NAME: &str = "unknown_name";
const HINT: &str = "`peerage resolve NAME` shows each step; a PeerId always works";

/// Who bears a name by what is known here.
pub(super) fn here(ctx: &Context, name: &Address) -> Option<Meant> {
    let began = Instant::now();
    let meant = |peers: Vec<PeerId>, said: &str| Meant {
        name: Some(name.clone()),
        via: None,
        peers: order(ctx, peers),
        steps: vec![Step {
            asked: None,
            took: began.elapsed(),
            said: said.to_owned(),
            failed: false,
        }],
    };
    if ctx.names.own(ctx).contains(name) {
        return Some(meant(vec![ctx.me()], "this node bears the name"));
    }
    if let Some(pinned) = ctx.members.pinned(name) {
        return Some(meant(vec![pinned], "the name is pinned to this key"));
    }
    let holds = |grant: &Grant| ctx.members.still_holds(grant);
    let cached = ctx.names.cache().bearers(name, holds);
    let mut peers = ctx.members.bearers(name);
    let shown = !peers.is_empty();
    peers.extend(cached.iter().map(|grant| grant.subject.peer_id()));
    peers.sort();
    peers.dedup();
    let said = if shown {
        "peers have shown that they bear the name"
    } else {
        "found before"
    };
    (!peers.is_empty()).then(|| meant(peers, said))
}

/// Who bears a name, asked of peers; those `except` did not answer and are not meant.
pub(super) async fn elsewhere(
    ctx: &Context,
    name: Address,
    except: &[PeerId],
) -> Result<Meant, Problem> {
    if let Some(problem) = ctx.names.cache().is_unknown(&name) {
        return Err(problem);
    }
    let mut search = Search::begin(ctx, name, except);
    let peers = search.run().await;
    let Search {
        name,
        steps,
        proofs,
        ..
    } = search;
    let Some(peers) = peers else {
        let problem = unresolved(&name, &steps);
        ctx.names.cache().unknown(&name, problem.clone());
        return Err(problem);
    };
    ctx.names.cache().found(&name, proofs);
    meet(ctx, &peers);
    Ok(Meant {
        name: Some(name),
        via: None,
        peers: order(ctx, peers),
        steps,
    })
}

/// Is introduced to those of several who bear a name that are not connected, while one of them is called: then calls spread.
fn meet(ctx: &Context, peers: &[PeerId]) {
    let away = |peer: &&PeerId| !ctx.mesh.is_connected(peer);
    if peers.len() < 2 {
        return;
    }
    for peer in peers.iter().filter(away).copied() {
        let all = ctx.clone();
        ctx.tasks.spawn("meet", async move {
            if let Err(problem) = all.introductions.ensure(&all, peer).await {
                tracing::debug!(%peer, %problem, "one who bears a name cannot be reached");
            }
        });
    }
}

struct Search<'a> {
    ctx: &'a Context,
    name: Address,
    except: &'a [PeerId],
    lookup: Lookup,
    steps: Vec<Step>,
    /// Of those who were found.
    proofs: Vec<Grant>,
    until: Instant,
}

impl<'a> Search<'a> {
    fn begin(ctx: &'a Context, name: Address, except: &'a [PeerId]) -> Self {
        let began = Instant::now();
        let other = |peer: &PeerId| *peer != ctx.me() && !except.contains(peer);
        let above = ctx.members.bearing(|known| known.covers(&name));
        let above = above.into_iter().filter(|(peer, _)| other(peer));
        let mut lookup = Lookup::new(name.clone(), above);
        for (peer, own) in ctx.members.givers() {
            if other(&peer) {
                lookup.near(peer, &own, Knows::Giver);
            }
        }
        // Those of the same mesh who are there: one that is away is not worth waiting for.
        for (peer, own) in ctx.members.bearing(|_| true) {
            if other(&peer) && ctx.mesh.is_connected(&peer) {
                lookup.near(peer, &own, Knows::Member);
            }
        }
        let step = Step {
            asked: None,
            took: began.elapsed(),
            said: "nobody is known here who bears the name".to_owned(),
            failed: false,
        };
        Self {
            ctx,
            name,
            except,
            lookup,
            steps: vec![step],
            proofs: Vec::new(),
            until: began + DEADLINE,
        }
    }

    async fn run(&mut self) -> Option<Vec<PeerId>> {
        loop {
            let (peer, bears) = match self.lookup.step() {
                Next::Ask(peer, bears) => (peer, bears),
                Next::Found(peers) => return Some(peers),
                Next::Unknown => return None,
                Next::TooFar => {
                    self.note("as many were asked as may be", true);
                    return None;
                }
            };
            let left = self.until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                self.note("the time is up", true);
                return None;
            }
            let began = Instant::now();
            let within = ask::DEADLINE.min(left);
            let answer = ask::ask(self.ctx, peer, &self.name, within).await;
            let (said, failed) = match answer {
                Ok(answer) => (self.take(&bears, answer), false),
                Err(why) => (why, true),
            };
            self.steps.push(Step {
                asked: Some((peer, bears)),
                took: began.elapsed(),
                said,
                failed,
            });
        }
    }

    /// Takes in what a peer has answered, as far as it is proved; says what that is.
    fn take(&mut self, asked: &Address, answer: Answer) -> String {
        let (mut hints, mut refused) = (Vec::new(), None);
        for bearer in answer.bearers {
            let grant = match self.ctx.members.prove(&bearer.chain) {
                Ok(grant) => grant,
                Err(error) => {
                    refused = Some(error.to_string());
                    continue;
                }
            };
            let peer = grant.subject.peer_id();
            let Some(bears) = grant.name().cloned() else {
                continue;
            };
            if peer == self.ctx.me() || self.except.contains(&peer) || !bears.covers(&self.name) {
                continue;
            }
            if !bearer.addresses.is_empty() {
                let told = PeerEvent::Discovered {
                    addresses: bearer.addresses,
                    source: Source::Name,
                    holds: None,
                };
                self.ctx.mesh.book().apply(peer, told);
            }
            if bears == self.name {
                self.proofs.push(grant);
            }
            hints.push((peer, bears));
        }
        let said = match (hints.iter().max_by_key(|(_, bears)| bears.depth()), refused) {
            (Some((_, bears)), _) if *bears == self.name => "knows who bears the name".to_owned(),
            (Some((peer, bears)), _) if bears.depth() > asked.depth() => {
                format!("names {bears} ({peer})")
            }
            (Some(_), _) => "knows nobody nearer".to_owned(),
            (None, Some(why)) => format!("its answer proves nothing: {why}"),
            (None, None) => "knows nobody nearer".to_owned(),
        };
        self.lookup.answered(asked, hints);
        said
    }

    fn note(&mut self, said: &str, failed: bool) {
        self.steps.push(Step {
            asked: None,
            took: Duration::ZERO,
            said: said.to_owned(),
            failed,
        });
    }
}

/// Why nobody was found: the steps that failed if there are such, else who was asked.
fn unresolved(name: &Address, steps: &[Step]) -> Problem {
    let told = |step: &Step| match &step.asked {
        Some((peer, bears)) => format!("{bears} ({peer}): {}", step.said),
        None => step.said.clone(),
    };
    let failed: Vec<String> = steps.iter().filter(|s| s.failed).map(told).collect();
    if !failed.is_empty() {
        let text = format!("{name} cannot be resolved: {}", failed.join("; "));
        return Problem::new(504, "name_not_resolved", text).hint(HINT);
    }
    let mut text = format!("{name} is not known");
    let asked: Vec<String> = steps
        .iter()
        .filter(|s| s.asked.is_some())
        .map(told)
        .collect();
    if asked.is_empty() {
        text.push_str(", and there is no member of its mesh to be asked");
    } else {
        let _ = write!(text, ": {}", asked.join("; "));
    }
    Problem::new(404, UNKNOWN_NAME, text).hint(HINT)
}
