//! What a node shares: MCP servers by name, each with who may call it and what it offers.

mod inspect;
mod spec;

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

use axum::Router;
use peerage_core::{policy::Audience, problem::Problem};
use peerage_mesh::Tasks;
use serde_json::Value;
use tokio::sync::watch;

pub use spec::{Kind, ShareSpec};

use crate::{
    mcp::{Backend, Limits},
    store::{Store, StoreError, Table},
};

/// Servers that a node may share: as many as a card has room for.
pub const MAX_SHARES: usize = peerage_core::card::MAX_SERVERS;

/// How a shared server is doing.
#[derive(Clone, Debug, Default)]
pub enum State {
    /// Its tools are being asked for.
    #[default]
    Starting,
    /// It answered with these tools.
    Ready(Vec<Value>),
    /// It did not answer; it is asked again.
    Failed(String),
}

/// One server that is shared.
#[derive(Debug)]
pub struct Share {
    /// Its name.
    pub name: String,
    /// Where it comes from.
    pub kind: Kind,
    /// What it is, for people, without secrets.
    pub target: String,
    /// Who may call it.
    pub audience: Audience,
    /// What answers for it.
    pub backend: Backend,
    state: RwLock<State>,
    tasks: Tasks,
}

impl Share {
    /// How it is doing.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// What it is, for people, on the card.
    #[must_use]
    pub fn description(&self) -> String {
        match self.kind {
            Kind::Function => "Functions of the program that runs this node".to_owned(),
            Kind::Stdio | Kind::Http => format!("MCP server {}", self.name),
        }
    }

    /// Its tools, as far as they are known.
    #[must_use]
    pub fn tools(&self) -> Vec<Value> {
        match self.state() {
            State::Ready(tools) => tools,
            State::Starting | State::Failed(_) => Vec::new(),
        }
    }

    fn set(&self, state: State) {
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = state;
    }
}

/// All that is shared. Clones share the list.
#[derive(Clone, Debug)]
pub struct Shares(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    shares: RwLock<BTreeMap<String, Arc<Share>>>,
    changed: watch::Sender<u64>,
    store: Store,
    tasks: Tasks,
    limits: Limits,
}

impl Shares {
    /// Shares again what was shared when the node last ran.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the store fails. A stored share that cannot be set up is reported and left.
    pub fn open(store: &Store, tasks: &Tasks, limits: Limits) -> Result<Self, StoreError> {
        let shares = Self(Arc::new(Inner {
            shares: RwLock::default(),
            changed: watch::Sender::new(0),
            store: store.clone(),
            tasks: tasks.clone(),
            limits,
        }));
        for (name, spec) in store.all::<ShareSpec>(Table::Shares)? {
            if let Err(problem) = shares.start(spec) {
                tracing::warn!(name, %problem, "a stored share cannot be set up");
            }
        }
        Ok(shares)
    }

    /// Shares a server from now on, also after a restart. One of the same name is replaced.
    ///
    /// # Errors
    ///
    /// A problem when the specification makes no sense or cannot be kept.
    pub fn add(&self, spec: ShareSpec) -> Result<Arc<Share>, Problem> {
        spec.check()?;
        self.0.store.put(Table::Shares, &spec.name, &spec)?;
        self.start(spec)
    }

    /// Shares a server for this run: what the configuration names, which is its own record.
    ///
    /// # Errors
    ///
    /// A problem when the specification makes no sense.
    pub fn start(&self, spec: ShareSpec) -> Result<Arc<Share>, Problem> {
        spec.check()?;
        let tasks = self.0.tasks.child();
        let backend = spec.backend(&self.0.limits, &tasks)?;
        let share = Share {
            kind: spec.kind(),
            target: spec.target(),
            name: spec.name,
            audience: spec.audience,
            backend,
            state: RwLock::default(),
            tasks,
        };
        self.insert(share)
    }

    /// Shares functions of this program for this run.
    ///
    /// # Errors
    ///
    /// A problem when the name is no name, or as much is shared as may be.
    pub fn add_service(
        &self,
        name: &str,
        audience: Audience,
        service: Router,
    ) -> Result<Arc<Share>, Problem> {
        spec::check_name(name)?;
        self.insert(Share {
            name: name.to_owned(),
            kind: Kind::Function,
            target: "functions of this program".to_owned(),
            audience,
            backend: Backend::Service(service),
            state: RwLock::default(),
            tasks: self.0.tasks.child(),
        })
    }

    /// Stops sharing, now and after a restart. `false` when nothing of that name was shared.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when that could not be kept; it is then still shared.
    pub async fn remove(&self, name: &str) -> Result<bool, StoreError> {
        self.0.store.remove(Table::Shares, name)?;
        let removed = self.write().remove(name);
        let Some(share) = removed else {
            return Ok(false);
        };
        self.announce();
        end(&share).await;
        Ok(true)
    }

    /// Ends every shared server's children. What is stored stays.
    pub async fn stop(&self) {
        let shares: Vec<_> = self.all();
        for share in shares {
            end(&share).await;
        }
    }

    /// One share.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Arc<Share>> {
        self.read().get(name).cloned()
    }

    /// All shares, by name.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Share>> {
        self.read().values().cloned().collect()
    }

    /// Counts up whenever what is shared, or what that offers, has changed.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.changed.subscribe()
    }

    fn insert(&self, share: Share) -> Result<Arc<Share>, Problem> {
        let share = Arc::new(share);
        let mut shares = self.write();
        if shares.len() >= MAX_SHARES && !shares.contains_key(&share.name) {
            let text = format!("{MAX_SHARES} servers are shared, and no more are possible");
            return Err(Problem::new(409, "too_many_shares", text).hint("peerage unshare NAME"));
        }
        let replaced = shares.insert(share.name.clone(), share.clone());
        drop(shares);
        if let Some(replaced) = replaced {
            self.0
                .tasks
                .spawn("replaced share", async move { end(&replaced).await });
        }
        self.announce();
        let inspect = inspect::keep_inspected(share.clone(), self.clone());
        share.tasks.spawn("inspect", inspect);
        Ok(share)
    }

    fn announce(&self) {
        self.0.changed.send_modify(|version| *version += 1);
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<String, Arc<Share>>> {
        self.0.shares.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, BTreeMap<String, Arc<Share>>> {
        self.0
            .shares
            .write()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

async fn end(share: &Share) {
    share.backend.stop().await;
    share.tasks.cancel();
}
