//! A socket that lets others have their turn: one connection is one task, and a sender that is never waited
//! for would keep a thread for as long as a thousand small calls of others take.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use futures::{AsyncRead, AsyncWrite};

/// Bytes in one direction until it is the turn of others. Ciphers take some 0.1 ms for so many.
const TURN: usize = 128 * 1024;

/// See the module's page.
#[derive(Debug)]
pub(super) struct Paced<S> {
    socket: S,
    read: Turn,
    written: Turn,
}

impl<S> Paced<S> {
    pub(super) fn new(socket: S) -> Self {
        Self {
            socket,
            read: Turn(TURN),
            written: Turn(TURN),
        }
    }
}

/// What is left of a turn, in bytes.
#[derive(Debug)]
struct Turn(usize);

impl Turn {
    /// Whether it is over; then the task is woken for the next, behind those that are ready.
    fn is_over(&mut self, cx: &Context<'_>) -> bool {
        let over = self.0 == 0;
        if over {
            self.0 = TURN;
            cx.waker().wake_by_ref();
        }
        over
    }

    /// Takes what was moved from it. Who has waited for the other side begins anew.
    fn take(&mut self, moved: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.0 = match &moved {
            Poll::Ready(Ok(bytes)) => self.0.saturating_sub(*bytes),
            Poll::Ready(Err(_)) | Poll::Pending => TURN,
        };
        moved
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if self.read.is_over(cx) {
            return Poll::Pending;
        }
        let moved = Pin::new(&mut self.socket).poll_read(cx, into);
        self.read.take(moved)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.written.is_over(cx) {
            return Poll::Pending;
        }
        let moved = Pin::new(&mut self.socket).poll_write(cx, bytes);
        self.written.take(moved)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_close(cx)
    }
}

#[cfg(test)]
mod tests {
    use futures::{AsyncReadExt, AsyncWriteExt, io::Cursor};

    use super::*;

    /// Runs a future to its end and counts how often it let others have their turn.
    fn turns(future: impl Future<Output = ()>) -> usize {
        let mut future = std::pin::pin!(future);
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let mut turns = 1;
        while future.as_mut().poll(&mut cx).is_pending() {
            turns += 1;
        }
        turns
    }

    #[test]
    fn who_sends_and_who_receives_without_end_lets_others_have_their_turn() {
        let mut socket = Paced::new(Cursor::new(vec![7; 10 * TURN]));
        let reading = turns(async {
            for _ in 0..100 {
                socket.read_exact(&mut [0; TURN / 10]).await.unwrap();
            }
        });
        assert!((9..=11).contains(&reading), "{reading}");

        let mut socket = Paced::new(Cursor::new(Vec::new()));
        let writing = turns(async {
            for _ in 0..100 {
                socket.write_all(&[7; TURN / 10]).await.unwrap();
            }
        });
        assert_eq!(socket.socket.into_inner().len(), TURN / 10 * 100);
        assert!((9..=11).contains(&writing), "{writing}");
    }

    #[test]
    fn who_sends_little_is_not_held_up() {
        let mut socket = Paced::new(Cursor::new(vec![7; TURN / 2]));
        let mut half = vec![0; TURN / 2];
        assert_eq!(
            turns(async { socket.read_exact(&mut half).await.unwrap() }),
            1
        );
    }
}
