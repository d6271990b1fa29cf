//! A multiplexed connection whose inbound streams count from their first byte to their end, so that
//! those that are never negotiated count as well.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures::{AsyncRead, AsyncWrite};
use libp2p::{
    PeerId,
    core::muxing::{StreamMuxer, StreamMuxerBox, StreamMuxerEvent, SubstreamBox},
};
use tokio::time::{Sleep, sleep};

use crate::limits::{Budget, Held};

/// Streams that are refused without giving others their turn.
const REFUSED_AT_ONCE: usize = 64;
/// How long a connection that this side closes may take to say so: the other side may be gone.
const CLOSING: Duration = Duration::from_secs(1);

/// See the module's page.
#[derive(Debug)]
pub(super) struct Counted {
    inner: StreamMuxerBox,
    peer: PeerId,
    budget: Budget,
    closing: Option<Pin<Box<Sleep>>>,
}

/// A stream that counts until it is dropped.
#[derive(Debug)]
pub(super) struct Stream {
    inner: SubstreamBox,
    #[expect(dead_code, reason = "held for its drop")]
    held: Option<Held>,
}

impl Counted {
    pub(super) fn new(inner: StreamMuxerBox, peer: PeerId, budget: Budget) -> Self {
        Self {
            inner,
            peer,
            budget,
            closing: None,
        }
    }
}

impl StreamMuxer for Counted {
    type Substream = Stream;
    type Error = io::Error;

    fn poll_inbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Self::Substream>> {
        for _ in 0..REFUSED_AT_ONCE {
            let Poll::Ready(inner) = Pin::new(&mut self.inner).poll_inbound(cx)? else {
                return Poll::Pending;
            };
            match self.budget.stream(self.peer) {
                Ok(held) => {
                    let held = Some(held);
                    return Poll::Ready(Ok(Stream { inner, held }));
                }
                // Dropping it resets it.
                Err(refusal) => {
                    tracing::trace!(peer = %self.peer, %refusal, "reset a stream");
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_outbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Self::Substream>> {
        let opened = Pin::new(&mut self.inner).poll_outbound(cx);
        opened.map_ok(|inner| Stream { inner, held: None })
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let closed = Pin::new(&mut self.inner).poll_close(cx);
        if closed.is_ready() {
            return closed;
        }
        let limit = self.closing.get_or_insert_with(|| Box::pin(sleep(CLOSING)));
        limit.as_mut().poll(cx).map(Ok)
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<StreamMuxerEvent>> {
        Pin::new(&mut self.inner).poll(cx)
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }

    fn poll_read_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &mut [io::IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_read_vectored(cx, bufs)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_close(cx)
    }
}
