//! Calls: HTTP/1.1 over libp2p streams under `/http/1.1`, with a pool of warm streams for each peer.
//!
//! A stream carries one call at a time and is kept for the next, so that a warm call costs one round
//! trip and no negotiation. A call that was never sent is sent again on another stream; one that may
//! have been executed never is.

mod body;
mod serve;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use http::{HeaderValue, Request, Response, header::HOST};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use libp2p::StreamProtocol;
use peerage_core::PeerId;
use thiserror::Error;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_util::compat::FuturesAsyncReadCompatExt;

pub use body::{Body, BoxError, ResponseBody};
pub use serve::{Inbound, Origin};

use crate::{
    Tasks,
    streams::{Line, OpenError, Streams},
};

/// The protocol of calls: <https://github.com/libp2p/specs/tree/master/http>.
pub(crate) const PROTOCOL: StreamProtocol = StreamProtocol::new("/http/1.1");
/// Calls to one peer that are under way at once; further ones wait for their turn.
pub const MAX_CALLS: usize = 128;
/// How long a warm stream is kept without a call. Less than the other side keeps it, so that a call
/// seldom meets a stream that is just being closed.
const KEEP_WARM: Duration = Duration::from_secs(20);
/// How long a stream may take to be ready again after its answer was read.
const SETTLE: Duration = Duration::from_secs(1);
/// Bytes of a response's head, at the most.
const MAX_HEAD: usize = 64 * 1024;

/// Why a call got no answer.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CallError {
    /// No connection could be made.
    #[error("{peer} cannot be reached: {cause}")]
    Unreachable {
        /// Who was called.
        peer: PeerId,
        /// Why, for people.
        cause: String,
    },
    /// A connection is there, but no stream could be opened on it. Nothing was sent.
    #[error("no stream to {peer}")]
    Open {
        /// Who was called.
        peer: PeerId,
        /// Why.
        #[source]
        source: OpenError,
    },
    /// The stream broke after the request was sent: it may have been executed.
    #[error("the connection to {peer} broke before the answer came; the call may have been executed")]
    Lost {
        /// Who was called.
        peer: PeerId,
        /// Why.
        #[source]
        source: hyper::Error,
    },
    /// The node is stopping.
    #[error("the node is stopping")]
    Stopping,
}

/// Makes calls. Clones share their pools.
#[derive(Clone, Debug)]
pub(crate) struct Calls {
    streams: Streams,
    pools: Arc<Mutex<HashMap<PeerId, Arc<Pool>>>>,
    tasks: Tasks,
}

/// The warm streams of one peer, and the places of its calls.
#[derive(Debug)]
struct Pool {
    warm: Mutex<Vec<Warm>>,
    places: Arc<Semaphore>,
}

/// A place among the calls to a peer; held until the answer has been read.
#[derive(Debug)]
pub(crate) struct Place {
    peer: PeerId,
    pool: Arc<Pool>,
    #[expect(dead_code, reason = "held for its drop")]
    permit: OwnedSemaphorePermit,
}

#[derive(Debug)]
struct Warm {
    stream: CallStream,
    since: Instant,
}

/// A stream that carries one call after the other.
#[derive(Debug)]
struct CallStream {
    sender: SendRequest<Body>,
    line: Line,
}

impl CallStream {
    /// Whether another call may go over it.
    fn is_usable(&self) -> bool {
        !self.sender.is_closed() && !self.line.is_retired()
    }
}

impl Calls {
    pub(crate) fn new(streams: Streams, tasks: Tasks) -> Self {
        Self {
            streams,
            pools: Arc::default(),
            tasks,
        }
    }

    /// A place among the calls to a peer, waited for when all are taken.
    pub(crate) async fn place(&self, peer: PeerId) -> Result<Place, CallError> {
        let pool = self.pool(peer);
        let permit = pool.places.clone().acquire_owned().await;
        let permit = permit.map_err(|_| CallError::Stopping)?;
        Ok(Place { peer, pool, permit })
    }

    /// Sends `request` to a connected peer. The answer's head is there when this returns; its body
    /// follows. Dropping the future or the body resets the stream, which cancels the call over there.
    pub(crate) async fn send(
        &self,
        place: Place,
        mut request: Request<Body>,
    ) -> Result<Response<ResponseBody>, CallError> {
        let peer = place.peer;
        prepare(&peer, &mut request);
        while let Some(mut warm) = place.pool.take() {
            // The stream of an answer that was just read is marked free by its own task a moment later.
            if !matches!(timeout(SETTLE, warm.sender.ready()).await, Ok(Ok(()))) {
                continue;
            }
            match warm.sender.try_send_request(request).await {
                Ok(response) => return Ok(answered(response, warm, place)),
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => {
                        let source = error.into_error();
                        return Err(CallError::Lost { peer, source });
                    }
                },
            }
        }
        let mut fresh = self.fresh(peer).await?;
        match fresh.sender.send_request(request).await {
            Ok(response) => Ok(answered(response, fresh, place)),
            Err(source) => Err(CallError::Lost { peer, source }),
        }
    }

    /// Forgets the warm streams of a peer whose connection has ended.
    pub(crate) fn forget(&self, peer: &PeerId) {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pool) = pools.get(peer) {
            pool.lock().clear();
            if Arc::strong_count(pool) == 1 {
                pools.remove(peer);
            }
        }
    }

    /// Closes warm streams that nobody has used for a while. Called now and then.
    pub(crate) fn sweep(&self) {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        pools.retain(|_, pool| {
            let mut warm = pool.lock();
            warm.retain(|w| w.since.elapsed() < KEEP_WARM && w.stream.is_usable());
            !warm.is_empty() || Arc::strong_count(pool) > 1
        });
    }

    fn pool(&self, peer: PeerId) -> Arc<Pool> {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        pools
            .entry(peer)
            .or_insert_with(|| {
                Arc::new(Pool {
                    warm: Mutex::default(),
                    places: Arc::new(Semaphore::new(MAX_CALLS)),
                })
            })
            .clone()
    }

    async fn fresh(&self, peer: PeerId) -> Result<CallStream, CallError> {
        let stream = self
            .streams
            .open(&peer, &PROTOCOL)
            .await
            .map_err(|source| CallError::Open { peer, source })?;
        let line = stream.line().clone();
        let (sender, connection) = http1::Builder::new()
            .max_header_size(MAX_HEAD)
            .handshake(TokioIo::new(stream.compat()))
            .await
            .map_err(|source| CallError::Lost { peer, source })?;
        self.tasks.spawn("call", async move {
            if let Err(error) = connection.await {
                tracing::debug!(%peer, %error, "a stream of calls ended");
            }
        });
        Ok(CallStream { sender, line })
    }
}

impl Pool {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Warm>> {
        self.warm.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The stream that was used last, for it is the most likely to be alive.
    fn take(&self) -> Option<CallStream> {
        let mut warm = self.lock();
        while let Some(candidate) = warm.pop() {
            if candidate.stream.is_usable() && candidate.since.elapsed() < KEEP_WARM {
                return Some(candidate.stream);
            }
        }
        None
    }

    fn give_back(&self, stream: CallStream) {
        if stream.is_usable() {
            self.lock().push(Warm {
                stream,
                since: Instant::now(),
            });
        }
    }
}

/// What a request between peers looks like: the target in origin form, and the callee as its host.
fn prepare(peer: &PeerId, request: &mut Request<Body>) {
    let target = request.uri().path_and_query().cloned();
    *request.uri_mut() = target.map_or_else(|| http::Uri::from_static("/"), http::Uri::from);
    *request.version_mut() = http::Version::HTTP_11;
    if let Ok(host) = HeaderValue::from_str(&peer.to_base58()) {
        request.headers_mut().insert(HOST, host);
    }
}

fn answered(
    response: Response<hyper::body::Incoming>,
    stream: CallStream,
    place: Place,
) -> Response<ResponseBody> {
    response.map(|body| ResponseBody::new(body, body::Lease::new(stream, place)))
}
