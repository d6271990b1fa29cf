//! The memory transport, whose addresses are free again when it is gone.
//!
//! The one of libp2p gives an address back only when its listener is removed by hand, so a node that was
//! started anew in the same process could not listen where it did before.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use libp2p::{
    Multiaddr, Transport,
    core::transport::{DialOpts, ListenerId, MemoryTransport, TransportError, TransportEvent},
};

/// See the module's page.
#[derive(Default)]
pub(super) struct Memory {
    inner: MemoryTransport,
    listeners: Vec<ListenerId>,
}

impl Transport for Memory {
    type Output = <MemoryTransport as Transport>::Output;
    type Error = <MemoryTransport as Transport>::Error;
    type ListenerUpgrade = <MemoryTransport as Transport>::ListenerUpgrade;
    type Dial = <MemoryTransport as Transport>::Dial;

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
        self.inner.dial(address, options)
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, Self::Error>> {
        Pin::new(&mut self.inner).poll(cx)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        for listener in std::mem::take(&mut self.listeners) {
            self.inner.remove_listener(listener);
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
