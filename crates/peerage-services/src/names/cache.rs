//! What was found by asking, and what nobody knew.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use peerage_core::{address::Address, grant::Grant, problem::Problem};

/// Names whose bearers are remembered, at the most; past it those that were found first go.
const MAX_FOUND: usize = 4096;
/// Names that nobody knew, at the most.
const MAX_UNKNOWN: usize = 1024;
/// How long it is remembered that nobody knew a name.
pub(super) const UNKNOWN_FOR: Duration = Duration::from_secs(10);

/// See the module's page.
#[derive(Debug, Default)]
pub(super) struct Cache {
    found: HashMap<Address, Found>,
    unknown: HashMap<Address, (Instant, Problem)>,
    count: u64,
}

#[derive(Debug)]
struct Found {
    grants: Vec<Grant>,
    number: u64,
}

impl Cache {
    /// Remembers what proves who bears a name, for as long as those grants hold.
    pub(super) fn found(&mut self, name: &Address, grants: Vec<Grant>) {
        self.unknown.remove(name);
        if self.found.len() >= MAX_FOUND {
            let first = self.found.iter().min_by_key(|(_, found)| found.number);
            let first = first.map(|(name, _)| name.clone());
            first.map(|first| self.found.remove(&first));
        }
        self.count += 1;
        let number = self.count;
        self.found.insert(name.clone(), Found { grants, number });
    }

    /// The grants that prove who bears a name, without those that do not hold any more.
    pub(super) fn bearers(&mut self, name: &Address, holds: impl Fn(&Grant) -> bool) -> Vec<Grant> {
        let Some(found) = self.found.get_mut(name) else {
            return Vec::new();
        };
        found.grants.retain(holds);
        let grants = found.grants.clone();
        if grants.is_empty() {
            self.found.remove(name);
        }
        grants
    }

    /// Remembers for a moment that nobody knew a name.
    pub(super) fn unknown(&mut self, name: &Address, problem: Problem) {
        self.unknown.retain(|_, (at, _)| at.elapsed() < UNKNOWN_FOR);
        if self.unknown.len() < MAX_UNKNOWN {
            self.unknown.insert(name.clone(), (Instant::now(), problem));
        }
    }

    /// What was said of a name that nobody knew a moment ago.
    pub(super) fn is_unknown(&self, name: &Address) -> Option<Problem> {
        let (at, problem) = self.unknown.get(name)?;
        (at.elapsed() < UNKNOWN_FOR).then(|| problem.clone())
    }

    /// Something may be known now that was not.
    pub(super) fn forget_unknown(&mut self) {
        self.unknown.clear();
    }
}

#[cfg(test)]
mod tests {
    use peerage_core::{
        Identity,
        grant::{Chain, Claims, Rights},
    };

    use super::*;

    fn grant(name: &Address) -> Grant {
        let root = Identity::from_secret([1; 32]);
        let claims = Claims {
            sub: Identity::from_secret([2; 32]).did(),
            path: name.clone(),
            rights: Rights::member(),
            nbf: 1,
            exp: 100,
            depth: 0,
        };
        let chain = Chain::issue_root(&root, claims).unwrap();
        chain.verify(&root.did(), 50).unwrap()
    }

    fn name(number: usize) -> Address {
        format!("o://acme/n{number}").parse().unwrap()
    }

    #[test]
    fn what_was_found_is_remembered_while_it_holds() {
        let mut cache = Cache::default();
        cache.found(&name(1), vec![grant(&name(1))]);
        assert_eq!(cache.bearers(&name(1), |_| true).len(), 1);
        assert!(cache.bearers(&name(2), |_| true).is_empty());
        assert!(
            cache
                .bearers(&name(1), |grant| grant.expires > 200)
                .is_empty()
        );
        assert!(
            cache.bearers(&name(1), |_| true).is_empty(),
            "it is forgotten"
        );
    }

    #[test]
    fn it_is_bounded_and_the_first_goes_first() {
        let mut cache = Cache::default();
        let proof = grant(&name(0));
        for number in 0..=MAX_FOUND {
            cache.found(&name(number), vec![proof.clone()]);
        }
        assert_eq!(cache.found.len(), MAX_FOUND);
        assert!(cache.bearers(&name(0), |_| true).is_empty());
        assert_eq!(cache.bearers(&name(1), |_| true).len(), 1);
        for number in 0..2 * MAX_UNKNOWN {
            cache.unknown(&name(number), Problem::new(404, "unknown_name", ""));
        }
        assert_eq!(cache.unknown.len(), MAX_UNKNOWN);
    }

    #[test]
    fn what_nobody_knew_is_asked_again_when_something_has_changed() {
        let mut cache = Cache::default();
        cache.unknown(&name(1), Problem::new(404, "unknown_name", ""));
        assert!(cache.is_unknown(&name(1)).is_some());
        cache.forget_unknown();
        assert!(cache.is_unknown(&name(1)).is_none());
        cache.unknown(&name(1), Problem::new(404, "unknown_name", ""));
        cache.found(&name(1), vec![grant(&name(1))]);
        assert!(cache.is_unknown(&name(1)).is_none());
    }
}
