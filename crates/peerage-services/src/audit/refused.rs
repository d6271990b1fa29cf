//! What the budget has refused since it was last looked at.

use std::collections::HashMap;

use peerage_core::PeerId;
use peerage_mesh::{Budget, Cause, Origin};

use super::Event;
use crate::api::AuditVerdict;

/// How often what was refused, as of the last look.
#[derive(Debug, Default)]
pub(super) struct Seen {
    all: HashMap<Cause, u64>,
    peers: HashMap<(PeerId, Cause), u64>,
}

impl Seen {
    /// What is new, with how often. Calls are left out: their answers are noted.
    pub(super) fn news(&mut self, budget: &Budget) -> Vec<(Event, u64)> {
        let usage = budget.usage();
        let mut fresh: HashMap<Cause, u64> = HashMap::new();
        for (cause, count) in &usage.refused {
            let before = self.all.insert(*cause, *count).unwrap_or_default();
            if action(*cause).is_some() && *count > before {
                fresh.insert(*cause, count - before);
            }
        }
        if fresh.is_empty() {
            return Vec::new();
        }
        let mut news = Vec::new();
        let mut peers = HashMap::new();
        for refused in &usage.refused_peers {
            for (cause, count) in &refused.causes {
                let key = (refused.peer, *cause);
                let before = self.peers.get(&key).copied().unwrap_or_default();
                peers.insert(key, *count);
                // One that was forgotten meanwhile is counted from nothing again.
                let more = if *count < before {
                    *count
                } else {
                    count - before
                };
                if let (Some(action), Some(all)) = (action(*cause), fresh.get_mut(cause))
                    && more > 0
                {
                    *all = all.saturating_sub(more);
                    let who = Some(Origin::Peer(refused.peer));
                    news.push((event(who, action, *cause), more));
                }
            }
        }
        self.peers = peers;
        for (cause, count) in fresh.into_iter().filter(|(_, count)| *count > 0) {
            if let Some(action) = action(cause) {
                news.push((event(None, action, cause), count));
            }
        }
        news
    }
}

fn event(who: Option<Origin>, action: &'static str, cause: Cause) -> Event {
    Event::new(who, AuditVerdict::Refused, action, "").by(cause.as_str())
}

fn action(cause: Cause) -> Option<&'static str> {
    Some(match cause {
        Cause::Bytes | Cause::Calls => return None,
        Cause::Streams | Cause::StreamRate | Cause::Queue | Cause::Garbage => "stream",
        Cause::MdnsPackets | Cause::MdnsPeers => "discover",
        _ => "connect",
    })
}
