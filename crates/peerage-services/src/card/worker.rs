//! The card worker: introduces this node to each new peer, renews cards before they expire, and tells
//! connected peers when this node's card has changed.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use axum::body::Body;
use futures::{StreamExt, stream};
use http::{
    Request,
    header::{CONNECTION, CONTENT_TYPE},
};
use peerage_core::{PeerId, card::Card, peer_book::PeerEvent};
use peerage_mesh::Change;
use tokio::{sync::broadcast::error::RecvError, time::timeout};

use super::TELL_PATH;
use crate::{context::Context, members::unix_now};

/// Introductions that are tried again, and news that are told, at once.
const AT_ONCE: usize = 16;
/// How often it is looked after introductions that failed and cards that expire.
const TICK: Duration = Duration::from_secs(5);
/// The wait after an introduction that failed; it doubles up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_secs(5);
const LONGEST_WAIT: Duration = Duration::from_secs(600);
/// A peer's card is asked for again when less than this is left of it, seconds.
const RENEW: u64 = 3600;
/// How long after a change it is told: several at once are told once.
const SETTLE: Duration = Duration::from_millis(50);
/// How often it is looked after peers who have not heard of the latest card.
const TELL_AGAIN: Duration = Duration::from_secs(30);
/// How long telling one peer may take.
const TELL_DEADLINE: Duration = Duration::from_secs(10);

/// Runs the worker until the node stops.
pub async fn run(ctx: Context) {
    tokio::join!(introduce(&ctx), tell(&ctx));
}

/// When a failed introduction is tried again, and after how many failures.
type Failed = HashMap<PeerId, (u32, Instant)>;

/// The card that each peer has been told of. One for all that may see the same.
type Told = HashMap<PeerId, Arc<Card>>;

async fn introduce(ctx: &Context) {
    let mut changes = ctx.mesh.book().watch();
    let mut tick = tokio::time::interval(TICK);
    let mut failed = Failed::new();
    let mut connected = HashSet::new();
    loop {
        tokio::select! {
            change = changes.recv() => match change {
                Ok(Change { peer, event: PeerEvent::Disconnected { .. } }) => {
                    ctx.introductions.forget(&peer);
                    ctx.members.gone(&peer);
                    failed.remove(&peer);
                    connected.remove(&peer);
                }
                Ok(Change { peer, event: PeerEvent::Connected { .. } }) => {
                    // Another connection took the place of the one before: the peer may have been
                    // started again meanwhile, and then knows nothing of what it was shown.
                    let replaced = !connected.insert(peer);
                    let ctx = ctx.clone();
                    ctx.tasks.clone().spawn("introduce", async move {
                        if replaced {
                            ctx.introductions.again_by_and_by(&ctx, peer).await;
                        } else {
                            ctx.introductions.ensure_by_and_by(&ctx, peer).await;
                        }
                    });
                }
                Ok(_) => {}
                Err(RecvError::Lagged(_)) => tick.reset_immediately(),
                Err(RecvError::Closed) => return,
            },
            _ = tick.tick() => {
                connected.retain(|peer| ctx.mesh.is_connected(peer));
                retry(ctx, &mut failed).await;
            }
        }
    }
}

/// Introduces this node where that has failed, and where a card is about to expire.
async fn retry(ctx: &Context, failed: &mut Failed) {
    let now = unix_now();
    let connected: Vec<(PeerId, bool)> = ctx.mesh.book().read(|book| {
        book.iter()
            .filter(|(_, record)| record.link.is_some())
            .map(|(peer, record)| {
                let card = record.card.as_ref();
                (
                    *peer,
                    card.is_some_and(|card| card.expires() < now + renew_before(card)),
                )
            })
            .collect()
    });
    let up: HashSet<PeerId> = connected.iter().map(|(peer, _)| *peer).collect();
    ctx.introductions.keep(|peer| up.contains(peer));
    ctx.members.keep(|peer| up.contains(peer));
    failed.retain(|peer, _| up.contains(peer));
    let mut due = Vec::new();
    for (peer, expiring) in connected {
        let waits = failed
            .get(&peer)
            .is_some_and(|(_, at)| *at > Instant::now());
        if !waits && (expiring || !ctx.introductions.is_done(peer).await) {
            due.push(peer);
        }
    }
    let results: Vec<(PeerId, bool)> = stream::iter(due)
        .map(|peer| async move {
            ctx.introductions.again_by_and_by(ctx, peer).await;
            (peer, ctx.introductions.is_done(peer).await)
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    for (peer, done) in results {
        if done {
            failed.remove(&peer);
        } else {
            let count = failed.get(&peer).map_or(0, |(count, _)| *count) + 1;
            let wait = (FIRST_WAIT * 2_u32.saturating_pow(count.min(10) - 1)).min(LONGEST_WAIT);
            failed.insert(peer, (count, Instant::now() + wait));
        }
    }
}

/// How long before a card expires it is asked for again, seconds: [`RENEW`], or a third of a short life.
fn renew_before(card: &Card) -> u64 {
    RENEW.min((card.expires() - card.issued()) / 3)
}

/// Tells every introduced peer whose view of this node's card has changed.
async fn tell(ctx: &Context) {
    let mut shares = ctx.shares.changes();
    let mut listening = ctx.mesh.listening();
    let mut revoked = ctx.members.revoked_watch();
    let mut policy = ctx.policy.changes();
    let mut changes = ctx.mesh.book().watch();
    let mut told: Told = HashMap::new();
    let mut tick = tokio::time::interval(TELL_AGAIN);
    loop {
        tokio::select! {
            // For those who could not be told, and for cards that were renewed.
            _ = tick.tick() => {}
            changed = shares.changed() => if changed.is_err() { return },
            changed = listening.changed() => if changed.is_err() { return },
            changed = revoked.changed() => if changed.is_err() { return },
            changed = policy.changed() => if changed.is_err() { return },
            change = changes.recv() => match change {
                // What a peer may call depends on what it is to this node.
                Ok(Change { event: PeerEvent::Related(_), .. }) | Err(RecvError::Lagged(_)) => {}
                Ok(Change { peer, event: PeerEvent::Disconnected { .. } }) => {
                    told.remove(&peer);
                    continue;
                }
                Ok(_) => continue,
                Err(RecvError::Closed) => return,
            },
        }
        tokio::time::sleep(SETTLE).await;
        tell_all(ctx, &mut told).await;
    }
}

async fn tell_all(ctx: &Context, told: &mut Told) {
    let connected: Vec<PeerId> = ctx.mesh.book().read(|book| {
        book.iter()
            .filter(|(_, record)| record.link.is_some() && record.card.is_some())
            .map(|(peer, _)| *peer)
            .collect()
    });
    let news: Vec<(PeerId, Arc<Card>)> = connected
        .into_iter()
        .filter_map(|peer| {
            let card = ctx.introductions.own.for_peer(ctx, Some(peer));
            let card = card
                .inspect_err(|problem| tracing::error!(%problem, "this node has no card"))
                .ok()?;
            (told.get(&peer) != Some(&card)).then_some((peer, card))
        })
        .collect();
    let results: Vec<_> = stream::iter(news)
        .map(|(peer, card)| async move {
            let told = timeout(TELL_DEADLINE, tell_one(ctx, peer, &card)).await;
            matches!(told, Ok(true)).then_some((peer, card))
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    told.extend(results.into_iter().flatten());
}

async fn tell_one(ctx: &Context, peer: PeerId, card: &Card) -> bool {
    let request = Request::post(TELL_PATH)
        .header(CONTENT_TYPE, "application/json")
        .header(CONNECTION, "close")
        .body(Body::from(card.bytes().to_vec()))
        .expect("the parts are valid");
    match ctx.call_unintroduced(peer, request).await {
        Ok(response) if response.status().is_success() => true,
        // It was told; it may be no Peerage node at all. A later card is told again.
        Ok(response) if response.status().is_client_error() => {
            tracing::debug!(%peer, status = %response.status(), "a peer refused this node's card");
            true
        }
        Ok(_) => false,
        Err(problem) => {
            tracing::debug!(%peer, %problem, "a peer could not be told of this node's card");
            false
        }
    }
}
