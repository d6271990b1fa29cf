//! A waker for what a task polls within itself: when that wakes itself, the task looks again at once.
//!
//! A call does so at both ends, where a body is handed from its stream to its reader. Without this,
//! each time sends the running task to the back of the runtime's queue and wakes a thread to fetch it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
};

use futures::task::AtomicWaker;

/// How often a task looks again before others have their turn.
const MAX_LOOKS: usize = 8;

/// See the module's page.
#[derive(Debug)]
pub(super) struct InnerWaker {
    state: Arc<State>,
    waker: Waker,
}

#[derive(Debug, Default)]
struct State {
    polling: AtomicBool,
    woken: AtomicBool,
    task: AtomicWaker,
}

impl Wake for State {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // In this order, and the other way round in `poll`, so that one of the two sees the other.
        self.woken.store(true, SeqCst);
        if !self.polling.load(SeqCst) {
            self.task.wake();
        }
    }
}

impl InnerWaker {
    pub(super) fn new() -> Self {
        let state = Arc::new(State::default());
        let waker = Waker::from(state.clone());
        Self { state, waker }
    }

    /// Does what may wake what [`InnerWaker::poll`] is about to poll anyway.
    pub(super) fn quietly<T>(&self, act: impl FnOnce() -> T) -> T {
        self.state.polling.store(true, SeqCst);
        act()
    }

    /// Polls with this waker on behalf of the task of `cx`.
    pub(super) fn poll<T>(
        &self,
        cx: &Context<'_>,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        self.state.task.register(cx.waker());
        for _ in 0..MAX_LOOKS {
            self.state.polling.store(true, SeqCst);
            self.state.woken.store(false, SeqCst);
            let polled = poll(&mut Context::from_waker(&self.waker));
            self.state.polling.store(false, SeqCst);
            if polled.is_ready() {
                return polled;
            }
            if !self.state.woken.load(SeqCst) {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// The task has what it wanted and is not woken any more.
    pub(super) fn rest(&self) {
        self.state.task.take();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::{Arc, Context, InnerWaker, MAX_LOOKS, Poll, SeqCst, Wake, Waker};

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    #[test]
    fn who_wakes_itself_is_polled_again_and_its_task_is_not_woken() {
        let count = Arc::new(Count::default());
        let waker = Waker::from(count.clone());
        let inner = InnerWaker::new();
        let mut looks = 0;
        let polled = inner.poll(&Context::from_waker(&waker), |cx| {
            looks += 1;
            if looks == 3 {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        });
        assert!(polled.is_ready());
        assert_eq!((looks, count.0.load(SeqCst)), (3, 0));
    }

    #[test]
    fn who_is_woken_from_outside_wakes_its_task_until_it_rests() {
        let count = Arc::new(Count::default());
        let waker = Waker::from(count.clone());
        let inner = InnerWaker::new();
        let mut given = None;
        let polled = inner.poll(&Context::from_waker(&waker), |cx| {
            given = Some(cx.waker().clone());
            Poll::<()>::Pending
        });
        assert!(polled.is_pending());
        let given = given.expect("it was polled");
        given.wake_by_ref();
        assert_eq!(count.0.load(SeqCst), 1);
        let _ = inner.poll(&Context::from_waker(&waker), |_| Poll::<()>::Pending);
        inner.rest();
        given.wake_by_ref();
        assert_eq!(count.0.load(SeqCst), 1);
    }

    #[test]
    fn who_never_stops_waking_itself_lets_others_have_their_turn() {
        let count = Arc::new(Count::default());
        let waker = Waker::from(count.clone());
        let mut looks = 0;
        let polled = InnerWaker::new().poll(&Context::from_waker(&waker), |cx| {
            looks += 1;
            cx.waker().wake_by_ref();
            Poll::<()>::Pending
        });
        assert!(polled.is_pending());
        assert_eq!((looks, count.0.load(SeqCst)), (MAX_LOOKS, 1));
    }
}
