//! Calls one of several peers, and the next one where one fails before anything was sent.

use peerage_core::{PeerId, problem::Problem};

use super::{Meant, search};
use crate::context::Context;

/// A call that failed.
#[derive(Debug)]
pub struct Failed<E> {
    /// Why.
    pub error: E,
    /// Nothing was sent to the peer, and it has not answered: another one may be tried.
    pub unsent: bool,
}

/// Makes a call to one of those who are meant: the first one that can be reached. When none can, and they bear a name, peers
/// are asked who else does.
///
/// # Errors
///
/// What the call failed with that was sent, else the last one.
pub async fn try_each<T, E, F>(
    ctx: &Context,
    meant: Meant,
    attempt: impl Fn(PeerId) -> F,
) -> Result<(PeerId, T), E>
where
    E: From<Problem>,
    F: Future<Output = Result<T, Failed<E>>>,
{
    let mut last = None;
    for peer in &meant.peers {
        match one(ctx, *peer, &attempt).await {
            Err(Failed {
                error,
                unsent: true,
            }) => last = Some(error),
            ended => return ended.map_err(|failed| failed.error),
        }
    }
    let last = last.expect("somebody was meant, and failed");
    let Some(name) = meant.via.or(meant.name) else {
        return Err(last);
    };
    let Ok(others) = search::elsewhere(ctx, name, &meant.peers).await else {
        return Err(last);
    };
    let mut last = last;
    for peer in others.peers {
        match one(ctx, peer, &attempt).await {
            Err(Failed {
                error,
                unsent: true,
            }) => last = error,
            ended => return ended.map_err(|failed| failed.error),
        }
    }
    Err(last)
}

async fn one<T, E, F>(
    ctx: &Context,
    peer: PeerId,
    attempt: &impl Fn(PeerId) -> F,
) -> Result<(PeerId, T), Failed<E>>
where
    F: Future<Output = Result<T, Failed<E>>>,
{
    let _load = ctx.names.load(peer);
    attempt(peer).await.map(|done| (peer, done))
}
