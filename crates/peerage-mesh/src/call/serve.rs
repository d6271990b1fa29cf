//! The other end of a call: inbound streams are answered by one tower service.

use std::{
    convert::Infallible,
    future::{Future, poll_fn},
    pin::Pin,
    time::Duration,
};

use http::{Request, Response};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use peerage_core::PeerId;
use tokio_util::compat::FuturesAsyncReadCompatExt;
use tower::{Service, ServiceExt};

use super::{BoxError, waker::InnerWaker};
use crate::{
    Tasks,
    limits::Budget,
    streams::{Accept, Raw},
};

/// How long a stream may take for the head of its next request: bounds both a slow sender and an
/// idle stream. More than a caller keeps a warm stream.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes of a request's head, at the most.
const MAX_HEAD: usize = 64 * 1024;

/// Who makes a request; an extension of each request that a service gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// A peer, whose key was proved by the connection.
    Peer(PeerId),
    /// A program on this machine, admitted by the local listener.
    Local,
}

/// The calls that arrive. Returned by [`Mesh::spawn`](crate::Mesh::spawn) beside the handle, so that
/// the service which answers them can be built with the handle in its hands.
#[derive(Debug)]
pub struct Inbound {
    pub(crate) accept: Accept,
    pub(crate) raw: Raw,
    pub(crate) budget: Budget,
    pub(crate) tasks: Tasks,
}

impl Inbound {
    /// Takes the streams of a protocol that [`MeshConfig::protocols`](crate::MeshConfig::protocols)
    /// names; `None` when it does not, or they were taken before. What nobody has taken when
    /// [`Inbound::serve`] begins is no longer offered.
    pub fn streams(&mut self, protocol: &str) -> Option<Accept> {
        self.raw.remove(protocol)
    }

    /// Answers every call with `service` until the mesh stops. Each request carries its
    /// [`Origin::Peer`] as an extension.
    pub async fn serve<S, B>(mut self, service: S)
    where
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
        S: Clone + Send + 'static,
        S::Future: Send,
        B: http_body::Body<Error: Into<BoxError>, Data: Send> + Send + 'static,
    {
        self.raw.clear();
        while let Some((peer, stream)) = self.accept.next().await {
            let service = service.clone();
            let answer = service_fn(move |mut request: Request<Incoming>| {
                request.extensions_mut().insert(Origin::Peer(peer));
                service.clone().oneshot(request)
            });
            let budget = self.budget.clone();
            self.tasks.spawn("answer", async move {
                let mut connection = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEAD_TIMEOUT)
                    .max_header_size(MAX_HEAD)
                    .serve_connection(TokioIo::new(stream.compat()), answer)
                    .with_upgrades();
                let waker = InnerWaker::new();
                let served = poll_fn(|cx| waker.poll(cx, |cx| Pin::new(&mut connection).poll(cx)));
                if let Err(error) = served.await {
                    if error.is_parse() {
                        budget.garbage(peer);
                    }
                    tracing::debug!(%peer, %error, "a stream of calls from a peer ended");
                }
            });
        }
    }
}
