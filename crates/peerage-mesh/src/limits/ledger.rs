//! The accounts: what each peer holds, what all hold together, and whether there is room for more.
//!
//! Pure accounting. Time comes in as an argument, and what is taken is given back by whoever took it.

mod judged;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use libp2p::{Multiaddr, swarm::ConnectionId};
use peerage_core::PeerId;
use tokio::time::Instant;

use super::{Bucket, Cause, Limits, Refusal, RefusedPeer, refused::Refused, sources::Sources};

/// Connections of one peer: two while both dial at once, and one that replaces a dead one.
const MAX_CONNECTIONS: u64 = 4;
/// Streams beyond its budget that a peer is still told of that they do not fit; further ones are reset.
const TOLD: u64 = 16;
/// Peers of which it is kept what they use, connected ones and those that lately were.
const MAX_ACCOUNTS: usize = 8192;
/// For how many seconds a peer may save up calls.
const BURST: u32 = 2;
/// Refusals a second that a peer may cause by streams beyond its own budget, and for how many seconds
/// it may save them up. Whoever goes on is shut out.
const STRIKES: u32 = 100;
const STRIKES_BURST: u32 = 10;
/// Streams a second on which a peer may send what is no request, and for how many seconds it may save them
/// up. Whoever goes on is shut out: each costs as much work as a call, and no honest program sends any.
const GARBAGE: u32 = 1;
const GARBAGE_BURST: u32 = 20;
/// For how long.
const SHUT_OUT: Duration = Duration::from_secs(60);
/// When it is worth trying again where something else has to end before.
const SOON: Duration = Duration::from_secs(1);

/// What is held until it is given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resource {
    Connections,
    Streams,
    Bytes,
}

/// What is in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// Connections.
    pub connections: u64,
    /// Streams that peers have open towards this node.
    pub streams: u64,
    /// Bytes of peers' calls that this node holds.
    pub bytes_in_flight: u64,
}

impl Used {
    fn slot(&mut self, resource: Resource) -> &mut u64 {
        match resource {
            Resource::Connections => &mut self.connections,
            Resource::Streams => &mut self.streams,
            Resource::Bytes => &mut self.bytes_in_flight,
        }
    }

    fn plus(&mut self, other: &Self) {
        self.connections += other.connections;
        self.streams += other.streams;
        self.bytes_in_flight += other.bytes_in_flight;
    }

    fn minus(&mut self, other: &Self) {
        self.connections -= other.connections;
        self.streams -= other.streams;
        self.bytes_in_flight -= other.bytes_in_flight;
    }
}

/// What is in use and what was refused, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// What may be used.
    pub limits: Limits,
    /// By all peers together.
    pub all: Used,
    /// By strangers among them.
    pub strangers: Used,
    /// Connections that are just being made to this node.
    pub half_open: usize,
    /// How often something was refused since the start, by cause; only what happened.
    pub refused: Vec<(Cause, u64)>,
    /// The peers that were refused something, the last first; at most 64.
    pub refused_peers: Vec<RefusedPeer>,
    /// Peers that are shut out now.
    pub shut_out: Vec<PeerId>,
}

/// Whether a peer has more streams open than fit: read by its connections whenever they are polled.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    full: AtomicBool,
}

impl Standing {
    /// Whether further streams of the peer are to be refused.
    pub(crate) fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }
}

#[derive(Debug)]
struct Account {
    stranger: bool,
    held: Used,
    calls: Bucket,
    opens: Bucket,
    strikes: Bucket,
    garbage: Bucket,
    shut_out: Option<Instant>,
    /// Until when it may make fewer calls.
    slowed: Option<Instant>,
    standing: Arc<Standing>,
}

impl Account {
    fn new(limits: &Limits, stranger: bool, now: Instant) -> Self {
        let rate = limits.of(stranger).calls_per_second;
        Self {
            stranger,
            held: Used::default(),
            calls: Bucket::new(rate, BURST, now),
            opens: Bucket::new(rate, BURST, now),
            strikes: Bucket::new(STRIKES, STRIKES_BURST, now),
            garbage: Bucket::new(GARBAGE, GARBAGE_BURST, now),
            shut_out: None,
            slowed: None,
            standing: Arc::default(),
        }
    }

    fn is_shut_out(&self, now: Instant) -> bool {
        self.shut_out.is_some_and(|until| now < until)
    }

    /// Whether it is as if the peer had never been here.
    fn is_blank(&self, now: Instant) -> bool {
        self.held == Used::default()
            && !self.is_shut_out(now)
            && self.slowed.is_none_or(|until| until <= now)
            && [&self.calls, &self.opens, &self.strikes, &self.garbage]
                .iter()
                .all(|bucket| bucket.is_full(now))
    }
}

/// See the module's page.
#[derive(Debug)]
pub(super) struct Ledger {
    limits: Limits,
    all: Used,
    strangers: Used,
    accounts: HashMap<PeerId, Account>,
    sources: Sources,
    refused: Refused,
    /// Whose connections are to be closed.
    closing: Vec<PeerId>,
}

impl Ledger {
    pub(super) fn new(limits: Limits, now: Instant) -> Self {
        Self {
            limits,
            all: Used::default(),
            strangers: Used::default(),
            accounts: HashMap::new(),
            sources: Sources::new(limits.connections_per_second, now),
            refused: Refused::default(),
            closing: Vec::new(),
        }
    }

    /// A connection is being made from an address.
    pub(super) fn begin(
        &mut self,
        id: ConnectionId,
        from: &Multiaddr,
        now: Instant,
    ) -> Result<(), Refusal> {
        let begun = self.sources.begin(id, from, now);
        begun.map_err(|cause| self.refuse(None, cause, SOON, now))
    }

    /// A peer has connected from an address. Of strangers only so many may of one network; members are not asked.
    pub(super) fn admit(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        from: &Multiaddr,
        now: Instant,
    ) -> Result<(), Refusal> {
        let stranger = self.account(peer, now).stranger;
        let most = self.limits.connections / 2;
        if !stranger || self.sources.admit(id, from, most) {
            return Ok(());
        }
        let refusal = self.refuse(Some(peer), Cause::Network, SOON, now);
        Err(Refusal {
            own: false,
            ..refusal
        })
    }

    /// A connection has ended.
    pub(super) fn release(&mut self, id: ConnectionId) {
        self.sources.release(id);
    }

    /// It is made, or has failed.
    pub(super) fn end(&mut self, id: ConnectionId) {
        self.sources.end(id);
    }

    /// The connections that were being made are gone with their swarm.
    pub(super) fn restart(&mut self) {
        self.sources.clear();
    }

    /// A peer has proved who it is.
    pub(super) fn connect(&mut self, peer: PeerId, now: Instant) -> Result<(), Refusal> {
        if self.accounts.len() >= MAX_ACCOUNTS && !self.accounts.contains_key(&peer) {
            return Err(self.refuse(Some(peer), Cause::Connections, SOON, now));
        }
        self.may_connect(&peer, now)?;
        let room = self.room(peer, Resource::Connections, 1, now);
        if !(room.own && room.shared) {
            return Err(self.refuse(Some(peer), Cause::Connections, SOON, now));
        }
        self.add(peer, Resource::Connections, 1, now);
        Ok(())
    }

    /// Whether the peer is not shut out.
    pub(super) fn may_connect(&mut self, peer: &PeerId, now: Instant) -> Result<(), Refusal> {
        let until = self.accounts.get(peer).and_then(|account| account.shut_out);
        match until.filter(|until| now < *until) {
            Some(until) => Err(self.refuse(Some(*peer), Cause::ShutOut, until - now, now)),
            None => Ok(()),
        }
    }

    /// A peer has opened a stream. Some that do not fit are taken in all the same, with the peer's
    /// [`Standing`] full, so that it can be told.
    pub(super) fn stream(&mut self, peer: PeerId, now: Instant) -> Result<(), Refusal> {
        if !self.account(peer, now).opens.take(now) {
            self.strike(peer, now);
            let wait = self.account(peer, now).opens.wait();
            return Err(self.refuse(Some(peer), Cause::StreamRate, wait, now));
        }
        let room = self.room(peer, Resource::Streams, 1, now);
        let fits = room.own && room.shared;
        self.account(peer, now)
            .standing
            .full
            .store(!fits, Ordering::Relaxed);
        if !fits {
            let refusal = self.refuse(Some(peer), Cause::Streams, SOON, now).of(&room);
            if !room.own {
                self.strike(peer, now);
            }
            let limits = self.limits;
            let account = self.account(peer, now);
            let far = account.held.streams >= limits.of(account.stranger).streams + TOLD;
            if far || self.all.streams >= self.limits.streams + self.limits.streams / 8 {
                return Err(refusal);
            }
        }
        self.add(peer, Resource::Streams, 1, now);
        Ok(())
    }

    /// A peer has sent what is no request.
    pub(super) fn garbage(&mut self, peer: PeerId, now: Instant) {
        self.refuse(Some(peer), Cause::Garbage, SOON, now);
        if !self.account(peer, now).garbage.take(now) {
            self.shut_out(peer, now);
        }
    }

    /// A peer makes a call.
    pub(super) fn call(&mut self, peer: PeerId, now: Instant) -> Result<(), Refusal> {
        let room = self.room(peer, Resource::Bytes, 1, now);
        if !(room.own && room.shared) {
            return Err(self.refuse(Some(peer), Cause::Bytes, SOON, now).of(&room));
        }
        self.quicken(&peer, now);
        let account = self.account(peer, now);
        if !account.calls.take(now) {
            let wait = account.calls.wait();
            return Err(self.refuse(Some(peer), Cause::Calls, wait, now));
        }
        Ok(())
    }

    /// A call of a peer needs this node to hold so many bytes more.
    pub(super) fn hold(&mut self, peer: PeerId, bytes: u64, now: Instant) -> Result<(), Refusal> {
        let room = self.room(peer, Resource::Bytes, bytes, now);
        if !(room.own && room.shared) {
            return Err(self.refuse(Some(peer), Cause::Bytes, SOON, now).of(&room));
        }
        self.add(peer, Resource::Bytes, bytes, now);
        Ok(())
    }

    /// This node holds so much for a peer, whether it fits or not: refusing would be no use any more.
    pub(super) fn add(&mut self, peer: PeerId, resource: Resource, amount: u64, now: Instant) {
        let account = self.account(peer, now);
        *account.held.slot(resource) += amount;
        let stranger = account.stranger;
        *self.all.slot(resource) += amount;
        if stranger {
            *self.strangers.slot(resource) += amount;
        }
    }

    /// It is over.
    pub(super) fn give(&mut self, peer: &PeerId, resource: Resource, amount: u64) {
        let Some(account) = self.accounts.get_mut(peer) else {
            return;
        };
        *account.held.slot(resource) -= amount;
        if account.held.streams < self.limits.of(account.stranger).streams {
            account.standing.full.store(false, Ordering::Relaxed);
        }
        *self.all.slot(resource) -= amount;
        if account.stranger {
            *self.strangers.slot(resource) -= amount;
        }
    }

    /// What a peer is to this node was decided anew.
    pub(super) fn relate(&mut self, peer: &PeerId, stranger: bool) {
        let Some(account) = self.accounts.get_mut(peer) else {
            return;
        };
        if account.stranger == stranger {
            return;
        }
        account.stranger = stranger;
        let rate = self.limits.of(stranger).calls_per_second;
        account.calls.set_rate(if account.slowed.is_some() {
            judged::slow(rate)
        } else {
            rate
        });
        account.opens.set_rate(rate);
        if stranger {
            self.strangers.plus(&account.held);
        } else {
            self.strangers.minus(&account.held);
        }
    }

    /// Something was refused elsewhere.
    pub(super) fn refuse(
        &mut self,
        peer: Option<PeerId>,
        cause: Cause,
        retry_after: Duration,
        now: Instant,
    ) -> Refusal {
        self.refused.note(peer, cause, now);
        Refusal {
            cause,
            retry_after,
            own: true,
        }
    }

    /// Something of nobody known was refused elsewhere, so many times.
    pub(super) fn count(&mut self, cause: Cause, times: u64) {
        self.refused.count(cause, times);
    }

    pub(super) fn standing(&mut self, peer: PeerId, now: Instant) -> Arc<Standing> {
        self.account(peer, now).standing.clone()
    }

    /// Peers that have been shut out since this was last asked.
    pub(super) fn closing(&mut self) -> Option<PeerId> {
        self.closing.pop()
    }

    pub(super) fn is_closing(&self) -> bool {
        !self.closing.is_empty()
    }

    /// Who has an account.
    pub(super) fn peers(&self) -> Vec<PeerId> {
        self.accounts.keys().copied().collect()
    }

    /// Forgets whoever is gone and could begin anew anyway.
    pub(super) fn tidy(&mut self, now: Instant) {
        self.accounts.retain(|_, account| !account.is_blank(now));
        self.sources.tidy(now);
    }

    pub(super) fn usage(&self, now: Instant) -> Usage {
        let shut_out = self.accounts.iter().filter(|(_, a)| a.is_shut_out(now));
        Usage {
            limits: self.limits,
            all: self.all,
            strangers: self.strangers,
            half_open: self.sources.half_open(),
            refused: self.refused.by_cause(),
            refused_peers: self.refused.by_peer(now),
            shut_out: shut_out.map(|(peer, _)| *peer).collect(),
        }
    }

    fn account(&mut self, peer: PeerId, now: Instant) -> &mut Account {
        let limits = &self.limits;
        let account = self.accounts.entry(peer);
        account.or_insert_with(|| Account::new(limits, true, now))
    }

    /// Whether so much more fits.
    fn room(&mut self, peer: PeerId, resource: Resource, amount: u64, now: Instant) -> Room {
        let limits = self.limits;
        let account = self.account(peer, now);
        let own = limits.of(account.stranger);
        let (own, ceiling) = match resource {
            Resource::Connections => (MAX_CONNECTIONS, limits.connections),
            Resource::Streams => (own.streams, limits.streams),
            Resource::Bytes => (own.bytes_in_flight, limits.bytes_in_flight),
        };
        let stranger = account.stranger;
        let fits = |held: u64, most: u64| held.saturating_add(amount) <= most;
        Room {
            own: fits(*account.held.slot(resource), own),
            shared: fits(*self.all.slot(resource), ceiling)
                && (!stranger || fits(*self.strangers.slot(resource), ceiling / 2)),
        }
    }

    /// A peer goes on although it was refused.
    fn strike(&mut self, peer: PeerId, now: Instant) {
        if !self.account(peer, now).strikes.take(now) {
            self.shut_out(peer, now);
        }
    }

    fn shut_out(&mut self, peer: PeerId, now: Instant) {
        let account = self.account(peer, now);
        if !account.is_shut_out(now) {
            account.shut_out = Some(now + SHUT_OUT);
            self.closing.push(peer);
            tracing::warn!(%peer, "a peer goes on although it is refused, and is shut out for a while");
        }
    }
}

impl Refusal {
    fn of(self, room: &Room) -> Self {
        Self {
            own: !room.own,
            ..self
        }
    }
}

/// Where there is room.
struct Room {
    /// In the peer's own budget.
    own: bool,
    /// In what is for all, and in what strangers have of it.
    shared: bool,
}

#[cfg(test)]
mod tests;
