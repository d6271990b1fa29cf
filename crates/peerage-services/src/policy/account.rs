//! What each peer has used of what rules allow it: calls, bytes, and the totals of the day, which outlive a restart.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use peerage_core::{
    PeerId,
    policy::rules::{Allowance, Limit, Pace, Rule},
    problem::Problem,
};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::{
    members::unix_now,
    store::{Batch, Store, StoreError, Table},
};

/// Accounts that are kept; for further ones those that have used least are forgotten.
const MAX_ACCOUNTS: usize = 8192;
/// Seconds of a day.
const DAY: u64 = 24 * 3600;
/// When it is worth trying again where a call has to end before.
const SOON: Duration = Duration::from_secs(1);
const SECOND: Duration = Duration::from_secs(1);

/// The accounts of a node. Clones share them.
#[derive(Clone, Debug)]
pub struct Accounts(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    accounts: Mutex<HashMap<Key, Arc<Account>>>,
    store: Store,
    /// The moment from which times are counted.
    start: Instant,
}

/// A rule by its name, and a peer.
type Key = (String, PeerId);

#[derive(Debug)]
struct Account {
    used: Mutex<Used>,
    start: Instant,
}

#[derive(Debug, Default)]
struct Used {
    calls: Allowance,
    bytes_in: Allowance,
    bytes_out: Allowance,
    at_once: u32,
    day: Day,
    /// The totals have changed since they were written.
    changed: bool,
}

/// The totals of one day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Day {
    /// Since 1970.
    number: u64,
    calls: u64,
    bytes: u64,
}

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the peer.
    In,
    /// To the peer.
    Out,
}

/// What is over its limit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the rule `{rule}` of this node allows you no more now: its limit `{limit}` is used up")]
pub struct Over {
    /// The rule that sets the limit.
    pub rule: String,
    /// The limit, as it is called in rules.
    pub limit: &'static str,
    /// When to come again.
    pub retry_after: Duration,
}

impl From<Over> for Problem {
    fn from(over: Over) -> Self {
        Self::new(429, "limited_by_policy", over.to_string())
            .hint("wait as long as Retry-After says")
    }
}

/// One call under way, which counts until it is dropped.
#[derive(Debug)]
pub struct Pass {
    account: Arc<Account>,
    rule: String,
    limit: Limit,
    /// It counts among those at once.
    counted: bool,
}

impl Accounts {
    /// Reads the totals of the day.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the store fails.
    pub fn open(store: &Store) -> Result<Self, StoreError> {
        let (start, today) = (Instant::now(), today());
        let mut accounts = HashMap::new();
        let mut old = Batch::default();
        for (name, day) in store.all::<Day>(Table::Used)? {
            let key = name.split_once(' ').and_then(|(peer, rule)| {
                let peer = peer.parse::<PeerId>().ok()?;
                Some((rule.to_owned(), peer))
            });
            match key {
                Some(key) if day.number == today && accounts.len() < MAX_ACCOUNTS => {
                    let used = Mutex::new(Used {
                        day,
                        ..Used::default()
                    });
                    accounts.insert(key, Arc::new(Account { used, start }));
                }
                _ => old.remove(Table::Used, &name),
            }
        }
        if !old.is_empty() {
            store.write(old)?;
        }
        Ok(Self(Arc::new(Inner {
            accounts: Mutex::new(accounts),
            store: store.clone(),
            start,
        })))
    }

    /// Begins a call that a rule allows. One that is not `counted` only counts its bytes.
    ///
    /// # Errors
    ///
    /// [`Over`]: what is used up, and when to come again.
    pub fn begin(&self, peer: PeerId, rule: &Rule, counted: bool) -> Result<Pass, Over> {
        let over = |limit, retry_after| Over {
            rule: rule.name.clone(),
            limit,
            retry_after,
        };
        let account = self
            .account(peer, &rule.name)
            .ok_or_else(|| over("at_once", SOON))?;
        let mut pass = Pass {
            account: account.clone(),
            rule: rule.name.clone(),
            limit: rule.limit.clone(),
            counted: false,
        };
        let now = account.start.elapsed();
        let mut used = account.lock();
        let limit = &rule.limit;
        let day = if limit.daily.is_some() || limit.daily_bytes.is_some() {
            used.today()
        } else {
            Day::default()
        };
        let tomorrow = Duration::from_secs(DAY - unix_now() % DAY);
        let began = if limit.daily_bytes.is_some_and(|most| day.bytes >= most) {
            Err(over("daily_bytes", tomorrow))
        } else if !counted {
            Ok(())
        } else if limit.daily.is_some_and(|most| day.calls >= most) {
            Err(over("daily", tomorrow))
        } else if limit.at_once.is_some_and(|most| used.at_once >= most) {
            Err(over("at_once", SOON))
        } else {
            let pace = limit.rate.map(|rate| rate.pace(limit.burst));
            let taken = pace.map_or(Ok(()), |pace| used.calls.take(&pace, now));
            taken.map_err(|wait| over("rate", wait))
        };
        began?;
        if counted {
            used.at_once += 1;
            pass.counted = true;
        }
        if counted && limit.daily.is_some() {
            used.day.calls += 1;
            used.changed = true;
        }
        Ok(pass)
    }

    /// Writes the totals that have changed, and forgets accounts that are as new.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the store fails.
    pub fn keep(&self) -> Result<(), StoreError> {
        let (now, today) = (self.0.start.elapsed(), today());
        let mut batch = Batch::default();
        self.lock().retain(|(rule, peer), account| {
            let mut used = account.lock();
            let name = format!("{peer} {rule}");
            if used.day.number != today && used.day != Day::default() {
                batch.remove(Table::Used, &name);
                used.day = Day::default();
            } else if used.changed {
                batch.put(Table::Used, &name, &used.day);
            }
            used.changed = false;
            let idle = [used.calls, used.bytes_in, used.bytes_out]
                .iter()
                .all(|allowance| allowance.is_full(now));
            !idle || used.at_once > 0 || used.day != Day::default()
        });
        if batch.is_empty() {
            return Ok(());
        }
        self.0.store.write(batch)
    }

    fn account(&self, peer: PeerId, rule: &str) -> Option<Arc<Account>> {
        let mut accounts = self.lock();
        let key = (rule.to_owned(), peer);
        if let Some(account) = accounts.get(&key) {
            return Some(account.clone());
        }
        if accounts.len() >= MAX_ACCOUNTS {
            self.make_room(&mut accounts)?;
        }
        let account = Arc::new(Account {
            used: Mutex::default(),
            start: self.0.start,
        });
        accounts.insert(key, account.clone());
        Some(account)
    }

    /// Forgets the account that has used least, of those that nothing uses now: whoever makes many keys only forgets its
    /// own.
    fn make_room(&self, accounts: &mut HashMap<Key, Arc<Account>>) -> Option<()> {
        let idle = accounts
            .iter()
            .filter(|(_, account)| account.lock().at_once == 0);
        let least = idle.min_by_key(|(_, account)| {
            let day = account.lock().day;
            (day.calls, day.bytes)
        });
        let key = least.map(|(key, _)| key.clone())?;
        accounts.remove(&key);
        Some(())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Arc<Account>>> {
        self.0
            .accounts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Account {
    fn lock(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Used {
    /// The totals of this day.
    fn today(&mut self) -> Day {
        let number = today();
        if self.day.number != number {
            self.day = Day {
                number,
                ..Day::default()
            };
            self.changed = true;
        }
        self.day
    }
}

impl Pass {
    /// How much the rule allows.
    #[must_use]
    pub fn limit(&self) -> &Limit {
        &self.limit
    }

    /// The rule that allows it.
    #[must_use]
    pub fn rule(&self) -> &str {
        &self.rule
    }

    /// Bytes of a body have come or gone: how long to wait before the next.
    ///
    /// # Errors
    ///
    /// [`Over`]: those of the day are used up.
    pub fn carry(&self, way: Way, bytes: u64) -> Result<Duration, Over> {
        let now = self.account.start.elapsed();
        let (limit, mut used) = (&self.limit, self.account.lock());
        if limit.daily_bytes.is_some() {
            used.today();
            used.day.bytes = used.day.bytes.saturating_add(bytes);
            used.changed = true;
        }
        if limit.daily_bytes.is_some_and(|most| used.day.bytes > most) {
            return Err(Over {
                rule: self.rule.clone(),
                limit: "daily_bytes",
                retry_after: Duration::from_secs(DAY - unix_now() % DAY),
            });
        }
        let (rate, allowance) = match way {
            Way::In => (limit.bytes_in, &mut used.bytes_in),
            Way::Out => (limit.bytes_out, &mut used.bytes_out),
        };
        let Some(count) = rate else {
            return Ok(Duration::ZERO);
        };
        let pace = Pace {
            count,
            per: SECOND,
            burst: count,
        };
        Ok(allowance.spend(bytes, &pace, now))
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if self.counted {
            let mut used = self.account.lock();
            used.at_once = used.at_once.saturating_sub(1);
        }
    }
}

fn today() -> u64 {
    unix_now() / DAY
}

#[cfg(test)]
mod tests {
    use peerage_core::policy::rules::Document;

    use super::*;

    fn rule(limit: &str) -> Rule {
        let text = format!(
            "[[rule]]\nname = 'a rule'\nwho = ['everyone']\ncan = ['call']\nthen = 'allow'\nlimit = {{ {limit} }}"
        );
        text.parse::<Document>().unwrap().rules.rules()[0].clone()
    }

    fn store(folder: &tempfile::TempDir) -> Store {
        Store::open(&folder.path().join("store.redb")).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn each_peer_has_its_own_account() {
        let folder = tempfile::tempdir().unwrap();
        let accounts = Accounts::open(&store(&folder)).unwrap();
        let (a, b) = (PeerId::random(), PeerId::random());
        let rule = rule("rate = '2/s', burst = 2");
        for _ in 0..2 {
            accounts.begin(a, &rule, true).unwrap();
        }
        let over = accounts.begin(a, &rule, true).unwrap_err();
        assert_eq!((over.limit, over.retry_after), ("rate", SECOND / 2));
        accounts.begin(b, &rule, true).unwrap();
        tokio::time::advance(SECOND / 2).await;
        accounts.begin(a, &rule, true).unwrap();
        tokio::time::advance(SECOND * 10).await;
        accounts.keep().unwrap();
        assert!(accounts.lock().is_empty(), "nothing is left to count");
    }

    #[tokio::test(start_paused = true)]
    async fn many_keys_take_no_more_memory_than_is_set() {
        let folder = tempfile::tempdir().unwrap();
        let accounts = Accounts::open(&store(&folder)).unwrap();
        let (a, rule) = (PeerId::random(), rule("daily = 2, at_once = 2"));
        for _ in 0..2 {
            accounts.begin(a, &rule, true).unwrap();
        }
        for _ in 0..MAX_ACCOUNTS + 100 {
            accounts.begin(PeerId::random(), &rule, true).unwrap();
        }
        assert_eq!(accounts.lock().len(), MAX_ACCOUNTS);
        assert_eq!(accounts.begin(a, &rule, true).unwrap_err().limit, "daily");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_under_way_is_given_back() {
        let folder = tempfile::tempdir().unwrap();
        let accounts = Accounts::open(&store(&folder)).unwrap();
        let (a, rule) = (PeerId::random(), rule("at_once = 1"));
        let pass = accounts.begin(a, &rule, true).unwrap();
        assert_eq!(accounts.begin(a, &rule, true).unwrap_err().limit, "at_once");
        accounts.begin(a, &rule, false).unwrap();
        drop(pass);
        accounts.begin(a, &rule, true).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_are_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let accounts = Accounts::open(&store(&folder)).unwrap();
        let rule = rule("bytes_in = 1000, bytes_out = 10");
        let pass = accounts.begin(PeerId::random(), &rule, true).unwrap();
        assert_eq!(pass.carry(Way::In, 1000), Ok(Duration::ZERO));
        assert_eq!(pass.carry(Way::In, 2000), Ok(SECOND * 2));
        assert_eq!(pass.carry(Way::Out, 10), Ok(Duration::ZERO));
        assert_eq!(pass.carry(Way::Out, 1), Ok(SECOND / 10));
    }

    #[tokio::test(start_paused = true)]
    async fn the_totals_of_the_day_outlive_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let (a, rule) = (PeerId::random(), rule("daily = 2, daily_bytes = 100"));
        let first = store(&folder);
        let accounts = Accounts::open(&first).unwrap();
        let pass = accounts.begin(a, &rule, true).unwrap();
        assert_eq!(pass.carry(Way::Out, 60), Ok(Duration::ZERO));
        accounts.keep().unwrap();
        drop((pass, accounts, first));

        let accounts = Accounts::open(&store(&folder)).unwrap();
        let pass = accounts.begin(a, &rule, true).unwrap();
        let over = accounts.begin(a, &rule, true).unwrap_err();
        assert_eq!(over.limit, "daily");
        assert!(over.retry_after <= Duration::from_secs(DAY));
        assert_eq!(pass.carry(Way::In, 40), Ok(Duration::ZERO));
        assert_eq!(pass.carry(Way::In, 1).unwrap_err().limit, "daily_bytes");
        let over = accounts.begin(a, &rule, false).unwrap_err();
        assert_eq!(over.limit, "daily_bytes");
    }
}
