//! Listeners that take in connections no faster than the node's other work can spare: what comes faster waits
//! in the system's queue, where it costs nearly nothing, and is dropped there when that is full.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use libp2p::{
    Multiaddr,
    core::transport::{DialOpts, ListenerId, Transport, TransportError, TransportEvent},
};
use tokio::time::{Instant, Sleep, sleep_until};

/// Connections that are taken in within one [`SPAN`]: 1,600 a second.
const AT_ONCE: u32 = 16;
/// See [`AT_ONCE`].
const SPAN: Duration = Duration::from_millis(10);

/// See the module's page.
#[derive(Debug)]
pub(super) struct Steady<T> {
    inner: T,
    pace: Pace,
    resting: Option<Pin<Box<Sleep>>>,
}

impl<T> Steady<T> {
    pub(super) fn new(inner: T) -> Self {
        Self {
            inner,
            pace: Pace::default(),
            resting: None,
        }
    }
}

/// How many came in the span that runs.
#[derive(Debug, Default)]
struct Pace {
    began: Option<Instant>,
    came: u32,
}

impl Pace {
    /// One has come in; until when no further one is taken in, if that was the last for now.
    fn came(&mut self, now: Instant) -> Option<Instant> {
        let runs = self.began.filter(|began| now < *began + SPAN);
        let began = runs.unwrap_or_else(|| {
            self.came = 0;
            now
        });
        self.began = Some(began);
        self.came += 1;
        (self.came >= AT_ONCE).then_some(began + SPAN)
    }
}

impl<T: Transport + Unpin> Transport for Steady<T> {
    type Output = T::Output;
    type Error = T::Error;
    type ListenerUpgrade = T::ListenerUpgrade;
    type Dial = T::Dial;

    fn listen_on(
        &mut self,
        id: ListenerId,
        address: Multiaddr,
    ) -> Result<(), TransportError<Self::Error>> {
        self.inner.listen_on(id, address)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.inner.remove_listener(id)
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        options: DialOpts,
    ) -> Result<Self::Dial, TransportError<Self::Error>> {
        self.inner.dial(address, options)
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, Self::Error>> {
        if let Some(resting) = &mut self.resting {
            if resting.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.resting = None;
        }
        let event = Pin::new(&mut self.inner).poll(cx);
        if let Poll::Ready(TransportEvent::Incoming { .. }) = &event
            && let Some(until) = self.pace.came(Instant::now())
        {
            self.resting = Some(Box::pin(sleep_until(until)));
        }
        event
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_taken_in_evenly_and_a_few_at_once() {
        let (start, mut now) = (Instant::now(), Instant::now());
        let mut pace = Pace::default();
        for _ in 0..5 {
            for _ in 1..AT_ONCE {
                assert_eq!(pace.came(now), None);
            }
            let until = pace.came(now).expect("it is enough for now");
            assert!(until > now && until - now <= SPAN);
            now = until;
        }
        assert!(now - start >= SPAN * 5);
        // Those that come seldom never wait.
        for _ in 0..100 {
            now += SPAN / 4;
            assert_eq!(pace.came(now), None);
        }
    }
}
