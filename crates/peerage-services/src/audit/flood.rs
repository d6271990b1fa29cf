//! What happens again and again, as one line a second: pure accounting, time is an argument.

use std::{collections::HashMap, time::Duration};

use peerage_core::PeerId;
use peerage_mesh::Origin;
use tokio::time::Instant;

use super::Event;
use crate::api::AuditVerdict;

/// How often the same is told, at the most.
const EVERY: Duration = Duration::from_secs(1);
/// Kinds of events that are told apart within that time; beyond, those of all peers are one kind.
const MAX_KINDS: usize = 256;

/// What is the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Kind {
    /// Nobody for this machine; all peers together where there are too many.
    who: Option<Option<PeerId>>,
    verdict: AuditVerdict,
    action: &'static str,
    rule: Option<String>,
    /// Refusals are one kind whatever was asked for; of each change the object matters.
    object: Option<String>,
}

#[derive(Debug)]
struct Window {
    began: Instant,
    /// The latest that was held back, and how many were.
    held: Option<(Event, u64)>,
}

/// See the module's page.
#[derive(Debug, Default)]
pub(super) struct Flood {
    windows: HashMap<Kind, Window>,
}

impl Flood {
    /// The event, if it is to be told now. One that is held back is counted.
    pub(super) fn admit(&mut self, mut event: Event, now: Instant) -> Option<Event> {
        // Whoever asks for calls gets each of them; a full queue is what bounds those.
        if event.verdict == AuditVerdict::Allowed {
            return Some(event);
        }
        let mut kind = Kind::of(&event);
        if self.windows.len() >= MAX_KINDS && !self.windows.contains_key(&kind) {
            event.who = None;
            kind.who = Some(None);
            kind.object = None;
        }
        // Those few kinds of all peers together always find a place.
        if let Some(window) = self.windows.get_mut(&kind) {
            let count = window.held.take().map_or(0, |(_, count)| count);
            window.held = Some((event, count + 1));
            return None;
        }
        let window = Window {
            began: now,
            held: None,
        };
        self.windows.insert(kind, window);
        Some(event)
    }

    /// What was held back long enough, with how many there were.
    pub(super) fn due(&mut self, now: Instant) -> Vec<(Event, u64)> {
        let mut due = Vec::new();
        self.windows.retain(|_, window| {
            if now.saturating_duration_since(window.began) < EVERY {
                return true;
            }
            window.began = now;
            let held = window.held.take();
            let goes_on = held.is_some();
            due.extend(held);
            goes_on
        });
        due
    }

    /// All that is held back.
    pub(super) fn rest(&mut self) -> Vec<(Event, u64)> {
        let windows = self.windows.drain();
        windows.filter_map(|(_, window)| window.held).collect()
    }
}

impl Kind {
    fn of(event: &Event) -> Self {
        let who = match event.who {
            Some(Origin::Peer(peer)) => Some(Some(peer)),
            Some(Origin::Local) => None,
            None => Some(None),
        };
        let changed = event.verdict == AuditVerdict::Changed;
        Self {
            who,
            verdict: event.verdict,
            action: event.action,
            rule: event.rule.clone(),
            object: changed.then(|| event.object.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(peer: Option<PeerId>) -> Event {
        let who = peer.map(Origin::Peer);
        Event::new(who, AuditVerdict::Refused, "call", "GET /x").by("not_a_member")
    }

    #[test]
    fn a_flood_of_one_peer_is_a_line_a_second_and_all_are_counted() {
        let (mut flood, start) = (Flood::default(), Instant::now());
        let (loud, other) = (PeerId::random(), PeerId::random());
        let (mut lines, mut told) = (0, 0);
        for n in 0..10_000_u32 {
            let now = start + Duration::from_millis(u64::from(n));
            if flood.admit(refusal(Some(loud)), now).is_some() {
                (lines, told) = (lines + 1, told + 1);
            }
            for (_, count) in flood.due(now) {
                (lines, told) = (lines + 1, told + count);
            }
        }
        assert!(flood.admit(refusal(Some(other)), start).is_some());
        told += flood.rest().iter().map(|(_, count)| count).sum::<u64>();
        assert_eq!(told, 10_000);
        assert!((9..=12).contains(&lines), "{lines}");
    }

    #[test]
    fn many_peers_are_told_as_many_when_they_are_too_many() {
        let (mut flood, now) = (Flood::default(), Instant::now());
        let peers = (0..10_000).map(|_| PeerId::random());
        let lines = peers.filter_map(|peer| flood.admit(refusal(Some(peer)), now));
        assert_eq!(lines.count(), MAX_KINDS + 1);
        let held = flood.due(now + EVERY);
        assert_eq!(held.len(), 1);
        assert!(held[0].0.who.is_none() && held[0].1 == 10_000 - 257);
    }

    #[test]
    fn each_change_is_told_and_each_call() {
        let (mut flood, now) = (Flood::default(), Instant::now());
        let peer = Some(Origin::Peer(PeerId::random()));
        for object in ["o://acme/a", "o://acme/b"] {
            let change = Event::new(peer, AuditVerdict::Changed, "grant", object);
            assert!(flood.admit(change, now).is_some());
        }
        for _ in 0..3 {
            let call = Event::new(peer, AuditVerdict::Allowed, "call", "GET /x");
            assert!(flood.admit(call, now).is_some());
        }
    }
}
