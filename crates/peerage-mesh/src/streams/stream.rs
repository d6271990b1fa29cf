//! A stream as those who read and write it hold it.

use std::{
    io::ErrorKind,
    pin::Pin,
    sync::atomic::Ordering,
    task::{Context, Poll},
};

use futures::{AsyncRead, AsyncWrite};
use libp2p::Stream;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::Line;

const READING: usize = 0;
const WRITING: usize = 1;

/// A stream to or from a peer. Counts its bytes, and gives its place back when it is dropped.
#[derive(Debug)]
pub struct PeerStream {
    stream: Stream,
    line: Line,
    /// Yamux does not wake the readers of a connection that this side closes (0.14, `closing.rs`), so
    /// the end of the connection is heard of here.
    /// Once for each direction, for those may be polled by two tasks.
    ended: [Pin<Box<WaitForCancellationFutureOwned>>; 2],
    /// Of a stream that this side opened. Those of the other side are counted below, by the transport.
    _place: Option<OwnedSemaphorePermit>,
}

impl PeerStream {
    pub(super) fn new(stream: Stream, line: &Line, place: Option<OwnedSemaphorePermit>) -> Self {
        Self {
            stream,
            line: line.clone(),
            ended: [(); 2].map(|()| Box::pin(line.ended.clone().cancelled_owned())),
            _place: place,
        }
    }

    /// Lets the connection be idle although this stream is open.
    pub(crate) fn ignore_for_keep_alive(&mut self) {
        self.stream.ignore_for_keep_alive();
    }

    /// The connection it runs on.
    pub(crate) fn line(&self) -> &Line {
        &self.line
    }

    /// What would wait is over when the connection is.
    fn or_ended<T>(
        &mut self,
        direction: usize,
        cx: &mut Context<'_>,
        io: Poll<std::io::Result<T>>,
    ) -> Poll<std::io::Result<T>> {
        if io.is_pending() && self.ended[direction].as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(ErrorKind::ConnectionAborted.into()));
        }
        io
    }
}

impl AsyncRead for PeerStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<std::io::Result<usize>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if let Poll::Ready(Ok(n)) = &read {
            self.line
                .traffic
                .bytes_in
                .fetch_add(*n as u64, Ordering::Relaxed);
        }
        self.or_ended(READING, cx, read)
    }
}

impl AsyncWrite for PeerStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        if let Poll::Ready(Ok(n)) = &written {
            self.line
                .traffic
                .bytes_out
                .fetch_add(*n as u64, Ordering::Relaxed);
        }
        self.or_ended(WRITING, cx, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.or_ended(WRITING, cx, flushed)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let closed = Pin::new(&mut self.stream).poll_close(cx);
        self.or_ended(WRITING, cx, closed)
    }
}
