//! Keys and networks that the owner has blocked, kept in the store.

use std::sync::PoisonError;

use peerage_core::{
    policy::{Block, Blocked, Blocks, BlocksError},
    problem::Problem,
};

use super::Policy;
use crate::{
    members::unix_now,
    store::{Batch, Store, StoreError, Table},
};

/// Why something could not be blocked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BlockError {
    /// There are too many already.
    #[error(transparent)]
    Blocks(#[from] BlocksError),
    /// It could not be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<BlockError> for Problem {
    fn from(error: BlockError) -> Self {
        match error {
            BlockError::Blocks(error) => Self::new(409, "too_many_blocks", error.to_string()),
            BlockError::Store(error) => error.into(),
        }
    }
}

/// What was blocked when the node last ran, and still is.
pub(super) fn read(store: &Store) -> Result<Blocks, StoreError> {
    let (mut blocks, mut old, now) = (Blocks::default(), Batch::default(), unix_now());
    for (name, block) in store.all::<Block>(Table::Blocked)? {
        let Ok(blocked) = name.parse::<Blocked>() else {
            tracing::warn!(name, "a stored block cannot be read");
            continue;
        };
        if !block.holds_at(now) {
            old.remove(Table::Blocked, &name);
        } else if let Err(error) = blocks.add(blocked, block) {
            tracing::warn!(name, %error, "a stored block does not fit");
        }
    }
    if !old.is_empty() {
        store.write(old)?;
    }
    Ok(blocks)
}

impl Policy {
    /// Blocks a key or a network from now on, also after a restart. Connections that it has are for the caller to close, see
    /// [`Policy::forbidden`].
    ///
    /// # Errors
    ///
    /// [`BlockError`]; nothing has changed then.
    pub fn block(&self, blocked: Blocked, block: Block) -> Result<(), BlockError> {
        let blocks = self.0.blocks.write();
        let mut blocks = blocks.unwrap_or_else(PoisonError::into_inner);
        let mut changed = blocks.clone();
        changed.add(blocked, block.clone())?;
        self.0
            .store
            .put(Table::Blocked, &blocked.to_string(), &block)?;
        *blocks = changed;
        tracing::info!(%blocked, until = block.until, "blocked");
        Ok(())
    }

    /// Blocks no longer. `false` when it was not blocked.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; it is still blocked then.
    pub fn unblock(&self, blocked: &Blocked) -> Result<bool, StoreError> {
        let blocks = self.0.blocks.write();
        let mut blocks = blocks.unwrap_or_else(PoisonError::into_inner);
        self.0.store.remove(Table::Blocked, &blocked.to_string())?;
        Ok(blocks.remove(blocked))
    }

    /// What is blocked now, in the order of its text.
    #[must_use]
    pub fn blocked(&self) -> Vec<(Blocked, Block)> {
        let (blocks, now) = (self.blocks(), unix_now());
        let all = blocks.all().filter(|(_, block)| block.holds_at(now));
        let mut all: Vec<_> = all
            .map(|(blocked, block)| (blocked, block.clone()))
            .collect();
        all.sort_by_key(|(blocked, _)| blocked.to_string());
        all
    }

    /// Takes out blocks whose time is over.
    pub(super) fn expire_blocks(&self) {
        let blocks = self.0.blocks.write();
        let old = blocks
            .unwrap_or_else(PoisonError::into_inner)
            .expire(unix_now());
        for blocked in old {
            tracing::info!(%blocked, "no longer blocked");
            if let Err(error) = self.0.store.remove(Table::Blocked, &blocked.to_string()) {
                tracing::warn!(%error, "that a block is over cannot be kept");
            }
        }
    }

    pub(super) fn blocks(&self) -> std::sync::RwLockReadGuard<'_, Blocks> {
        self.0.blocks.read().unwrap_or_else(PoisonError::into_inner)
    }
}
