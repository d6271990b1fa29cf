//! The memory transport, whose addresses are free again when it is gone, and whose nodes can vanish.
//!
//! The one of libp2p gives an address back only when its listener is removed by hand, so a node that was
//! started anew in the same process could not listen where it did before.

use std::{
    collections::BTreeMap,
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use futures::{AsyncRead, AsyncWrite, FutureExt, TryFutureExt, future::BoxFuture};
use libp2p::{
    Multiaddr, Transport,
    core::transport::{DialOpts, ListenerId, MemoryTransport, TransportError, TransportEvent},
    multiaddr::Protocol,
};

/// The nodes of this process that listen in memory, by their ports: whether they have vanished.
static NODES: Mutex<BTreeMap<u64, Arc<AtomicBool>>> = Mutex::new(BTreeMap::new());

/// The node that listens at this address in memory vanishes, as if its machine had lost its power:
/// nothing comes from it any more and nothing that is sent to it is taken, but no connection ends. For
/// tests. `false` when there is none.
pub fn vanish(address: &Multiaddr) -> bool {
    let node = port(address).and_then(|port| nodes().get(&port).cloned());
    let Some(node) = node else { return false };
    node.store(true, Ordering::SeqCst);
    true
}

fn nodes() -> MutexGuard<'static, BTreeMap<u64, Arc<AtomicBool>>> {
    NODES.lock().unwrap_or_else(PoisonError::into_inner)
}

fn port(address: &Multiaddr) -> Option<u64> {
    match address.iter().next() {
        Some(Protocol::Memory(port)) => Some(port),
        _ => None,
    }
}

/// See the module's page.
#[derive(Default)]
pub(super) struct Memory {
    inner: MemoryTransport,
    listeners: Vec<ListenerId>,
    ports: Vec<u64>,
    vanished: Arc<AtomicBool>,
}

type Inner = <MemoryTransport as Transport>::Output;
type Error = <MemoryTransport as Transport>::Error;

/// A connection of a node that may vanish.
pub(super) struct Line {
    /// There until it is dropped.
    inner: Option<Inner>,
    vanished: Arc<AtomicBool>,
}

impl Line {
    /// The connection, as long as the node is there.
    fn here(&mut self) -> Option<Pin<&mut Inner>> {
        let vanished = self.vanished.load(Ordering::SeqCst);
        self.inner.as_mut().filter(|_| !vanished).map(Pin::new)
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if self.vanished.load(Ordering::SeqCst) {
            // The other end must not hear of it.
            std::mem::forget(self.inner.take());
        }
    }
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let here = self.here();
        here.map_or(Poll::Pending, |inner| inner.poll_read(cx, buf))
    }
}

impl AsyncWrite for Line {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let here = self.here();
        here.map_or(Poll::Pending, |inner| inner.poll_write(cx, buf))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let here = self.here();
        here.map_or(Poll::Pending, |inner| inner.poll_flush(cx))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let here = self.here();
        here.map_or(Poll::Pending, |inner| inner.poll_close(cx))
    }
}

fn line(
    made: impl Future<Output = Result<Inner, Error>> + Send + 'static,
    vanished: Arc<AtomicBool>,
) -> BoxFuture<'static, Result<Line, Error>> {
    made.map_ok(|inner| Line {
        inner: Some(inner),
        vanished,
    })
    .boxed()
}

impl Transport for Memory {
    type Output = Line;
    type Error = Error;
    type ListenerUpgrade = BoxFuture<'static, Result<Line, Error>>;
    type Dial = BoxFuture<'static, Result<Line, Error>>;

    fn listen_on(
        &mut self,
        id: ListenerId,
        address: Multiaddr,
    ) -> Result<(), TransportError<Self::Error>> {
        self.inner.listen_on(id, address)?;
        self.listeners.push(id);
        Ok(())
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.listeners.retain(|listener| *listener != id);
        self.inner.remove_listener(id)
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        options: DialOpts,
    ) -> Result<Self::Dial, TransportError<Self::Error>> {
        let dial = self.inner.dial(address, options)?;
        Ok(line(dial, self.vanished.clone()))
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, Self::Error>> {
        let event = std::task::ready!(Pin::new(&mut self.inner).poll(cx));
        if let TransportEvent::NewAddress { listen_addr, .. } = &event
            && let Some(port) = port(listen_addr)
        {
            nodes().insert(port, self.vanished.clone());
            self.ports.push(port);
        }
        let vanished = self.vanished.clone();
        Poll::Ready(event.map_upgrade(|made| line(made, vanished)))
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        for listener in std::mem::take(&mut self.listeners) {
            self.inner.remove_listener(listener);
        }
        let mut nodes = nodes();
        for port in &self.ports {
            // Another node may be there by now.
            if nodes
                .get(port)
                .is_some_and(|node| Arc::ptr_eq(node, &self.vanished))
            {
                nodes.remove(port);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_free_again_when_its_transport_is_gone() {
        let address: Multiaddr = "/memory/4711".parse().unwrap();
        for _ in 0..3 {
            let mut one = Memory::default();
            one.listen_on(ListenerId::next(), address.clone()).unwrap();
            let mut other = Memory::default();
            assert!(
                other
                    .listen_on(ListenerId::next(), address.clone())
                    .is_err()
            );
        }
    }
}
