//! Names: which peers a person or a program means by a text, found here or by asking others step by step.
//!
//! [`resolve`] is the one place where a text becomes peers. What this node knows comes first: the peer book, and the grants that
//! peers have shown. Then peers are asked (`GET /api/v1/names/…`), the bearer of the longest known beginning of the name first.
//! What they answer are chains of grants, so that nobody has to be believed. [`try_each`] calls the peers that were found in a
//! good order, and tries the next one where one fails before anything was sent to it.

mod answer;
mod ask;
mod cache;
mod call;
mod forward;
mod gateways;
mod near;
mod nonces;
mod order;
mod origin;
mod path;
mod search;
mod sessions;
mod try_each;

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use peerage_core::peer_book::PeerEvent;
use peerage_core::{PeerId, address::Address, problem::Problem};
use peerage_mesh::Change;
use tokio::sync::broadcast::error::RecvError;

pub use self::{
    answer::{NAMES_PATH, routes},
    call::call,
    forward::{FORWARD_PATH, forward_routes},
    gateways::{Forwards, Gateways, Via},
    order::Load,
    origin::mark,
    path::split,
    try_each::{Failed, try_each},
};
use self::{cache::Cache, nonces::Nonces, order::Loads, sessions::Sessions};
use crate::context::Context;

/// How long what this node calls itself is remembered: verifying takes longer than a whole call.
const OWN_FOR: Duration = Duration::from_secs(1);

/// What a node remembers of names.
#[derive(Debug, Default)]
pub struct Names {
    cache: Mutex<Cache>,
    sessions: Mutex<Sessions>,
    loads: Loads,
    nonces: Mutex<Nonces>,
    gateways: Gateways,
    /// Counts calls, so that peers that are equally good take turns.
    turn: AtomicUsize,
    own: Mutex<Option<(Instant, Vec<Address>)>>,
}

/// Whom a text means.
#[derive(Clone, Debug)]
pub struct Meant {
    /// The name, where the text is one.
    pub name: Option<Address>,
    /// The gateway that the name is behind, where there is one.
    pub via: Option<Address>,
    /// Those who bear it, or the name of the gateway: one at least, the best one to call first.
    pub peers: Vec<PeerId>,
    /// How they were found.
    pub steps: Vec<Step>,
}

/// One step of a search.
#[derive(Clone, Debug)]
pub struct Step {
    /// Who was asked, with the name by which it may know; nothing where this node looked into what it knows.
    pub asked: Option<(PeerId, Address)>,
    /// How long it took.
    pub took: Duration,
    /// What came of it, for people.
    pub said: String,
    /// Whether there was no answer.
    pub failed: bool,
}

impl Names {
    /// Nothing is remembered yet.
    #[must_use]
    pub fn new(gateways: Gateways) -> Self {
        Self {
            gateways,
            ..Self::default()
        }
    }

    fn nonces(&self) -> MutexGuard<'_, Nonces> {
        self.nonces.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a call to a peer as under way while the value lives.
    #[must_use]
    pub fn load(&self, peer: PeerId) -> Load {
        self.loads.begin(peer)
    }

    fn turn(&self) -> usize {
        self.turn.fetch_add(1, Ordering::Relaxed)
    }

    /// The names that this node bears: in the mesh of its own root first.
    fn own(&self, ctx: &Context) -> Vec<Address> {
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, names)) = &*own
            && at.elapsed() < OWN_FOR
        {
            return names.clone();
        }
        let names = ctx.members.own_names_at_home();
        *own = Some((Instant::now(), names.clone()));
        names
    }
}

/// Which peers are meant by `text`: a PeerId, a DID, `self`, an `o://` name, a name relative to this node's own (`assistant`,
/// `../billing`), the name on a card, or a part of a PeerId of at least six characters that only one has.
///
/// # Errors
///
/// `bad_name`; `no_such_peer`, `ambiguous_peer` with the candidates; `unknown_name` when those who were asked do not know it,
/// `name_not_resolved` with the step that failed when somebody did not answer.
pub async fn resolve(ctx: &Context, text: &str) -> Result<Meant, Problem> {
    if let Some(peer) = near::key(text) {
        return Ok(Meant::key(peer));
    }
    if text.starts_with(Address::SCHEME) {
        let name = text.parse().map_err(|error| near::bad_name(&error))?;
        return of(ctx, name).await;
    }
    if text == "self" || text == ctx.facts.name {
        return Ok(Meant::key(ctx.me()));
    }
    let relative = near::relative(ctx, text);
    for name in &relative {
        let direct = ctx.names.gateways.via(name).is_none();
        if let Some(meant) = search::here(ctx, name).filter(|_| direct) {
            return Ok(meant);
        }
    }
    let unknown = match near::find(ctx, text) {
        Ok(meant) => return Ok(meant),
        Err(problem) if problem.code != near::NO_SUCH_PEER => return Err(problem),
        Err(problem) => problem,
    };
    let mut failed = None;
    for name in relative {
        match of(ctx, name).await {
            Ok(meant) => return Ok(meant),
            Err(problem) if problem.code == search::UNKNOWN_NAME => {}
            Err(problem) => failed = Some(problem),
        }
    }
    Err(failed.unwrap_or(unknown))
}

/// The one peer that is meant by a text as far as it is known here: nobody is asked.
///
/// # Errors
///
/// `no_such_peer`, `ambiguous_peer`.
pub fn known(ctx: &Context, text: &str) -> Result<PeerId, Problem> {
    let named = text.parse().ok().and_then(|name| search::here(ctx, &name));
    let meant = match (near::key(text), named) {
        (Some(peer), _) => return Ok(peer),
        (None, Some(meant)) => meant,
        (None, None) if text == "self" || text == ctx.facts.name => return Ok(ctx.me()),
        (None, None) => near::find(ctx, text)?,
    };
    match meant.peers.as_slice() {
        [peer] => Ok(*peer),
        several => Err(near::ambiguous(text, several)),
    }
}

/// The one peer that is meant by a text, for what is done to a key.
///
/// # Errors
///
/// As [`resolve`], `ambiguous_peer` when several bear the name, and `behind_gateway`.
pub async fn only(ctx: &Context, text: &str) -> Result<PeerId, Problem> {
    let meant = direct(resolve(ctx, text).await?)?;
    match meant.peers.as_slice() {
        [peer] => Ok(*peer),
        several => Err(near::ambiguous(text, several)),
    }
}

/// The best one of those who are meant by a text.
///
/// # Errors
///
/// As [`resolve`], and `behind_gateway`.
pub async fn best(ctx: &Context, text: &str) -> Result<PeerId, Problem> {
    let meant = direct(resolve(ctx, text).await?)?;
    Ok(*meant.peers.first().expect("somebody is meant"))
}

fn direct(meant: Meant) -> Result<Meant, Problem> {
    let (Some(name), Some(via)) = (&meant.name, &meant.via) else {
        return Ok(meant);
    };
    let text = format!("{name} is reached through {via} alone");
    Err(Problem::new(409, "behind_gateway", text)
        .hint("calls go through: peerage call, or /o/NAME/-/… of the local API"))
}

/// Who bears a name, or the gateway that it is behind.
///
/// # Errors
///
/// `unknown_name` and `name_not_resolved`, see [`resolve`].
pub async fn of(ctx: &Context, name: Address) -> Result<Meant, Problem> {
    let own = ctx.names.own(ctx);
    let via = ctx.names.gateways.via(&name);
    let Some(via) = via.filter(|via| !own.contains(&name) && !own.contains(via)) else {
        return bearers(ctx, name).await;
    };
    let gateway = bearers(ctx, via.clone()).await?;
    Ok(Meant {
        name: Some(name),
        via: Some(via.clone()),
        ..gateway
    })
}

async fn bearers(ctx: &Context, name: Address) -> Result<Meant, Problem> {
    match search::here(ctx, &name) {
        Some(meant) => Ok(meant),
        None => search::elsewhere(ctx, name, &[]).await,
    }
}

/// Forgets that nobody knew a name as soon as somebody may, until the node stops.
pub async fn run(ctx: Context) {
    let mut book = ctx.mesh.book().watch();
    let mut renamed = ctx.members.renamed_watch();
    loop {
        tokio::select! {
            changed = renamed.changed() => {
                if changed.is_err() {
                    return;
                }
                *ctx.names.own.lock().unwrap_or_else(PoisonError::into_inner) = None;
            }
            change = book.recv() => match change {
                Ok(Change { event: PeerEvent::Connected { .. } | PeerEvent::Related(_), .. })
                | Err(RecvError::Lagged(_)) => {}
                Ok(_) => continue,
                Err(RecvError::Closed) => return,
            },
        }
        ctx.names.cache().forget_unknown();
    }
}

impl Meant {
    fn key(peer: PeerId) -> Self {
        Self {
            name: None,
            via: None,
            peers: vec![peer],
            steps: Vec::new(),
        }
    }
}
