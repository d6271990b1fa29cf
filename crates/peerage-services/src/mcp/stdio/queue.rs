//! A queue bounded by items and by bytes, filled without waiting and emptied by one reader.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use tokio::sync::Notify;

/// How many bytes an item holds in memory.
pub(super) trait Weight {
    /// Its bytes.
    fn weight(&self) -> usize;
}

impl Weight for Bytes {
    fn weight(&self) -> usize {
        self.len()
    }
}

/// The queue had no room.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

/// Items on their way to one reader.
#[derive(Debug)]
pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    changed: Notify,
    max_items: usize,
    max_bytes: usize,
}

#[derive(Debug)]
struct State<T> {
    items: VecDeque<T>,
    bytes: usize,
    closed: bool,
}

impl<T: Weight> Queue<T> {
    /// An empty queue. One item alone may exceed `max_bytes`, so that nothing is too big to pass.
    pub(super) fn new(max_items: usize, max_bytes: usize) -> Self {
        Self {
            state: Mutex::new(State {
                items: VecDeque::new(),
                bytes: 0,
                closed: false,
            }),
            changed: Notify::new(),
            max_items,
            max_bytes,
        }
    }

    /// Adds an item. What comes after [`Queue::close`] is dropped.
    pub(super) fn push(&self, item: T) -> Result<(), Full> {
        let mut state = self.state();
        let weight = item.weight();
        let fits = state.items.is_empty()
            || (state.items.len() < self.max_items && state.bytes + weight <= self.max_bytes);
        if !fits && !state.closed {
            return Err(Full);
        }
        self.add(&mut state, item);
        Ok(())
    }

    /// Adds the last item, even when there is no room left for others, and closes.
    pub(super) fn finish(&self, item: T) {
        let mut state = self.state();
        self.add(&mut state, item);
        state.closed = true;
    }

    /// Lets nothing more in; what is there can still be taken.
    pub(super) fn close(&self) {
        self.state().closed = true;
        self.changed.notify_one();
    }

    /// Takes the oldest item, waiting for one; `None` when closed and empty. Cancel-safe.
    pub(super) async fn pop(&self) -> Option<T> {
        while self.wait().await {
            if let Some(item) = self.try_pop() {
                return Some(item);
            }
        }
        None
    }

    /// Waits until something can be taken; false when closed and empty. Cancel-safe.
    pub(super) async fn wait(&self) -> bool {
        loop {
            let changed = self.changed.notified();
            {
                let state = self.state();
                if !state.items.is_empty() || state.closed {
                    return !state.items.is_empty();
                }
            }
            changed.await;
        }
    }

    /// Takes the oldest item if there is one.
    pub(super) fn try_pop(&self) -> Option<T> {
        self.try_pop_if(|_| true)
    }

    /// Takes the oldest item if it is `wanted`.
    pub(super) fn try_pop_if(&self, wanted: impl FnOnce(&T) -> bool) -> Option<T> {
        let mut state = self.state();
        state.items.front().filter(|item| wanted(item))?;
        let item = state.items.pop_front()?;
        state.bytes -= item.weight();
        Some(item)
    }

    /// The bytes that wait.
    pub(super) fn weight(&self) -> usize {
        self.state().bytes
    }

    fn add(&self, state: &mut State<T>, item: T) {
        if !state.closed {
            state.bytes += item.weight();
            state.items.push_back(item);
            self.changed.notify_one();
        }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn is_bounded_by_items_and_bytes_but_never_stuck() {
        let queue = Queue::new(2, 10);
        assert_eq!(queue.push(Bytes::from_static(b"longer than ten")), Ok(()));
        assert_eq!(queue.push(Bytes::from_static(b"x")), Err(Full));
        assert_eq!(queue.pop().await.unwrap(), "longer than ten");
        assert_eq!(queue.push(Bytes::from_static(b"a")), Ok(()));
        assert_eq!(queue.push(Bytes::from_static(b"b")), Ok(()));
        assert_eq!(queue.push(Bytes::from_static(b"c")), Err(Full));
        queue.finish(Bytes::from_static(b"last"));
        assert_eq!(queue.push(Bytes::from_static(b"late")), Ok(()));
        assert_eq!(queue.pop().await.unwrap(), "a");
        assert_eq!(queue.pop().await.unwrap(), "b");
        assert_eq!(queue.pop().await.unwrap(), "last");
        assert_eq!(queue.pop().await, None);
    }
}
