//! Which children run for whom.

use std::{collections::HashMap, sync::Arc};

use tokio::time::Instant;

use super::{
    fault::Fault,
    limits::Limits,
    link::{Era, Link},
};

/// The children of one shared server.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    /// By session id: whose it is, and its own child.
    by_id: HashMap<String, (String, Arc<Link>)>,
    /// By caller: the child for its requests without a session.
    shared: HashMap<String, Arc<Link>>,
    /// Nothing starts any more.
    stopped: bool,
}

impl Sessions {
    /// The child of a session, if it lives and belongs to `caller`.
    pub(super) fn find(&mut self, caller: &str, id: &str) -> Option<Arc<Link>> {
        self.forget_the_dead();
        let (owner, link) = self.by_id.get(id)?;
        (owner == caller).then(|| link.clone())
    }

    /// The child for the requests of `caller` without a session, if one runs.
    pub(super) fn find_shared(&mut self, caller: &str) -> Option<Arc<Link>> {
        self.forget_the_dead();
        self.shared.get(caller).cloned()
    }

    /// Takes the child that `caller` found to be legacy, for a session of its own.
    pub(super) fn take_spare(&mut self, caller: &str) -> Option<Arc<Link>> {
        let link = self.find_shared(caller)?;
        if link.era() != Era::Legacy || !link.claim_for_session() {
            return None;
        }
        self.shared.remove(caller)
    }

    /// Remembers the child of a new session under a new random id, which it returns.
    pub(super) fn add(&mut self, caller: &str, link: Arc<Link>) -> String {
        let id = format!("{:032x}", rand::random::<u128>());
        self.by_id.insert(id.clone(), (caller.to_owned(), link));
        id
    }

    /// Remembers the child for the requests of `caller` without a session.
    pub(super) fn add_shared(&mut self, caller: &str, link: Arc<Link>) {
        self.shared.insert(caller.to_owned(), link);
    }

    /// Makes sure that one more child may start for `caller`; ends the one that it has not used for
    /// longest if it has too many.
    pub(super) fn make_room(&mut self, caller: &str, limits: &Limits) -> Result<(), Fault> {
        if self.stopped {
            return Err(Fault::ended("the node stopped it"));
        }
        self.forget_the_dead();
        let own = self
            .by_id
            .values()
            .filter(|(owner, _)| owner == caller)
            .count()
            + usize::from(self.shared.contains_key(caller));
        if own >= limits.max_sessions_per_caller && !self.end_the_oldest_unused(caller) {
            return Err(Fault::busy(
                "too_many_sessions",
                "too many sessions of this caller",
            ));
        }
        if self.by_id.len() + self.shared.len() >= limits.max_sessions {
            return Err(Fault::busy(
                "too_many_sessions",
                "too many sessions of this server",
            ));
        }
        Ok(())
    }

    /// Ends everything, for good.
    pub(super) fn stop(&mut self) -> Vec<Arc<Link>> {
        self.stopped = true;
        let sessions = self.by_id.drain().map(|(_, (_, link))| link);
        let links: Vec<_> = sessions
            .chain(self.shared.drain().map(|(_, link)| link))
            .collect();
        links.iter().for_each(|link| link.end());
        links
    }

    fn end_the_oldest_unused(&mut self, caller: &str) -> bool {
        let sessions = self.by_id.iter();
        let unused = sessions
            .filter(|(_, (owner, _))| owner == caller)
            .filter_map(|(id, (_, link))| Some((link.unused_since()?, id)));
        let oldest: Option<(Instant, &String)> = unused.min();
        let Some(id) = oldest.map(|(_, id)| id.clone()) else {
            return false;
        };
        if let Some((_, link)) = self.by_id.remove(&id) {
            link.end();
        }
        true
    }

    fn forget_the_dead(&mut self) {
        self.by_id.retain(|_, (_, link)| link.alive());
        self.shared.retain(|_, link| link.alive());
    }
}
