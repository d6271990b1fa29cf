//! One stream that carries one call after the other.

use std::{
    fmt,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    time::Duration,
};

use http::{Request, Response};
use hyper::{
    body::Incoming,
    client::conn::{
        TrySendError,
        http1::{self, SendRequest},
    },
};
use hyper_util::rt::TokioIo;
use tokio::time::timeout;
use tokio_util::compat::FuturesAsyncReadCompatExt;

use super::{Body, waker::InnerWaker};
use crate::{
    Tasks,
    streams::{Line, PeerStream},
};

/// How long a stream may take to be ready again after its answer was read.
const SETTLE: Duration = Duration::from_secs(1);
/// Bytes of a response's head, at the most.
const MAX_HEAD: usize = 64 * 1024;

/// What drives a stream: hyper's connection, which lets go of the stream when a call takes it over (HTTP upgrade).
type Driver = Pin<Box<dyn Future<Output = Result<(), hyper::Error>> + Send>>;

/// A stream of calls.
pub(super) struct CallStream {
    sender: SendRequest<Body>,
    /// Driven by whoever makes a call, which saves handing each call to a task and back; `None` once a
    /// task drives it. Boxed, for it is moved with every call.
    connection: Option<Driver>,
    waker: InnerWaker,
    line: Line,
}

impl fmt::Debug for CallStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallStream")
            .field("line", &self.line)
            .finish_non_exhaustive()
    }
}

impl CallStream {
    /// Speaks HTTP on a fresh stream.
    pub(super) async fn new(stream: PeerStream) -> Result<Self, hyper::Error> {
        let line = stream.line().clone();
        let (sender, connection) = http1::Builder::new()
            .max_header_size(MAX_HEAD)
            .handshake(TokioIo::new(stream.compat()))
            .await?;
        Ok(Self {
            sender,
            connection: Some(Box::pin(connection.with_upgrades())),
            waker: InnerWaker::new(),
            line,
        })
    }

    /// Whether another call may go over it.
    pub(super) fn is_usable(&self) -> bool {
        !self.sender.is_closed() && !self.line.is_retired()
    }

    /// Waits until it is free; `false` when it will not be.
    pub(super) async fn ready(&mut self) -> bool {
        // The stream of an answer that was just read is marked free by its own task a moment later.
        self.sender.is_ready() || matches!(timeout(SETTLE, self.sender.ready()).await, Ok(Ok(())))
    }

    /// Sends a request; the head of the answer is there when this returns. Dropping the future resets
    /// the stream. What is still under way then (a long body, in either direction) goes on in a task,
    /// whether or not the answer's body is being read.
    pub(super) async fn send(
        &mut self,
        request: Request<Body>,
        tasks: &Tasks,
    ) -> Result<Response<Incoming>, TrySendError<Request<Body>>> {
        let (sender, connection, waker) = (&mut self.sender, &mut self.connection, &self.waker);
        let mut answer = pin!(waker.quietly(|| sender.try_send_request(request)));
        let answer = poll_fn(|cx| {
            waker.poll(cx, |cx| {
                let driven = connection.as_mut().map(|driven| driven.as_mut().poll(cx));
                if driven.is_some_and(|driven| driven.is_ready()) {
                    *connection = None;
                }
                answer.as_mut().poll(cx)
            })
        })
        .await;
        waker.rest();
        let answer = answer?;
        if !self.sender.is_ready()
            && let Some(connection) = self.connection.take()
        {
            tasks.spawn("call", async move {
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "a stream of calls ended");
                }
            });
        }
        Ok(answer)
    }
}
