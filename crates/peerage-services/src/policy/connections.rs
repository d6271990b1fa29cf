//! Who may have a connection with this node: blocks, pinned keys, and the rules about `connect` and `dial`.
//!
//! A peer shows its grants when it is connected already. Until then it is refused only if no grant would help, and looked
//! at again after [`GRACE`].

use std::{
    net::IpAddr,
    sync::PoisonError,
    time::{Duration, Instant},
};

use peerage_core::{
    PeerId,
    policy::rules::{Action, Effect},
    reach,
};
use peerage_mesh::{Forbidden, Gating, book};

use super::{Policy, Subject};
use crate::members::unix_now;

/// How long a new connection has to show grants.
const GRACE: Duration = Duration::from_secs(10);
/// For how long after that a peer that showed none that help is refused at once.
const REMEMBERED: Duration = Duration::from_secs(60);
/// Peers of which that is remembered.
const MAX_REMEMBERED: usize = 4096;

impl Gating for Policy {
    fn may_come(&self, from: IpAddr) -> Result<(), Forbidden> {
        self.unblocked(None, Some(from))
    }

    fn may_connect(
        &self,
        peer: &PeerId,
        at: Option<IpAddr>,
        dialled: bool,
    ) -> Result<(), Forbidden> {
        self.unblocked(Some(peer), at)?;
        if let Some(pinned) = at.and_then(|at| self.0.pins.get(&at.to_canonical()))
            && pinned != peer
        {
            let text = format!("its address is pinned to {pinned}");
            return Err(Forbidden(text));
        }
        if dialled {
            self.ruled(peer, at, Action::Dial)?;
        }
        self.ruled(peer, at, Action::Connect)
    }

    fn may_dial(&self, peer: &PeerId) -> Result<(), Forbidden> {
        self.unblocked(Some(peer), None)?;
        self.ruled(peer, None, Action::Dial)
    }
}

impl Policy {
    /// Connected peers that may not be, and why.
    #[must_use]
    pub fn forbidden(&self) -> Vec<(PeerId, String)> {
        let rules = self.in_force();
        let ruled = rules.document.rules.mention(Action::Connect);
        if !ruled && self.blocks().is_empty() {
            return Vec::new();
        }
        let now = book::now();
        let connected: Vec<_> = self.0.book.read(|book| {
            let linked = book.iter().filter_map(|(peer, record)| {
                let link = record.link.as_ref()?;
                Some((*peer, reach::ip(&link.address), link.since))
            });
            linked.collect()
        });
        let mut forbidden = Vec::new();
        for (peer, at, since) in connected {
            let known = now.saturating_sub(since) >= GRACE;
            let may = self.may_connect(&peer, at, false).and_then(|()| {
                if ruled && known {
                    self.decided(&peer, at, Action::Connect)
                } else {
                    Ok(())
                }
            });
            if let Err(Forbidden(why)) = may {
                if known {
                    self.remember(peer);
                }
                forbidden.push((peer, why));
            }
        }
        forbidden
    }

    /// Whether a peer, as far as it is known who it is, is not blocked.
    ///
    /// # Errors
    ///
    /// What is blocked.
    pub fn unblocked(&self, peer: Option<&PeerId>, at: Option<IpAddr>) -> Result<(), Forbidden> {
        match self.blocks().find(peer, at, unix_now()) {
            Some(blocked) => Err(Forbidden(format!("{blocked} is blocked"))),
            None => Ok(()),
        }
    }

    /// What the rules say of a peer that may still show grants.
    fn ruled(&self, peer: &PeerId, at: Option<IpAddr>, action: Action) -> Result<(), Forbidden> {
        let in_force = self.in_force();
        let rules = &in_force.document.rules;
        if !rules.mention(action) {
            return Ok(());
        }
        if self.is_remembered(peer) {
            return self.decided(peer, at, action);
        }
        let caller = self.0.members.caller(*peer);
        match rules.refuses_anyway(&caller, at, unix_now(), action) {
            Some(rule) => Err(by_rule(&rule.name)),
            None => Ok(()),
        }
    }

    /// What the rules say of a peer as it is known now.
    fn decided(&self, peer: &PeerId, at: Option<IpAddr>, action: Action) -> Result<(), Forbidden> {
        let caller = self.0.members.caller(*peer);
        let subject = Subject::new(self.in_force(), &caller, at);
        match subject.decide(action, "") {
            Some(rule) if rule.then == Effect::Refuse => Err(by_rule(&rule.name)),
            _ => Ok(()),
        }
    }

    fn remember(&self, peer: PeerId) {
        let remembered = self.0.unproven.lock();
        let mut remembered = remembered.unwrap_or_else(PoisonError::into_inner);
        remembered.retain(|_, at| at.elapsed() < REMEMBERED);
        if remembered.len() < MAX_REMEMBERED {
            remembered.insert(peer, Instant::now());
        }
    }

    fn is_remembered(&self, peer: &PeerId) -> bool {
        let remembered = self.0.unproven.lock();
        let remembered = remembered.unwrap_or_else(PoisonError::into_inner);
        remembered
            .get(peer)
            .is_some_and(|at| at.elapsed() < REMEMBERED)
    }
}

fn by_rule(rule: &str) -> Forbidden {
    Forbidden(format!("the rule `{rule}` refuses it"))
}
