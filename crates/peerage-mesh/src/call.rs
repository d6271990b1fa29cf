//! Calls: HTTP/1.1 over libp2p streams under `/http/1.1`, with a pool of warm streams for each peer.
//!
//! A stream carries one call at a time and is kept for the next, so that a warm call costs one round
//! trip and no negotiation. A call that was never sent is sent again on another stream; one that may
//! have been executed never is.

mod body;
mod serve;
mod stream;
mod waker;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use http::{HeaderValue, Request, Response, header::HOST};
use libp2p::StreamProtocol;
use peerage_core::PeerId;
use thiserror::Error;
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore, futures::Notified},
    time::timeout,
};

pub use body::{Body, BoxError, ResponseBody};
pub use serve::{Inbound, Origin};
use stream::CallStream;

use crate::{
    Tasks,
    streams::{OpenError, Streams},
};

/// The protocol of calls: <https://github.com/libp2p/specs/tree/master/http>.
pub(crate) const PROTOCOL: StreamProtocol = StreamProtocol::new("/http/1.1");
/// Calls to one peer that are under way at once; further ones wait for their turn.
pub const MAX_CALLS: usize = 128;
/// How long a warm stream is kept without a call. Less than the other side keeps it, so that a call
/// seldom meets a stream that is just being closed.
const KEEP_WARM: Duration = Duration::from_secs(20);
/// For how long no further stream is asked for after a peer took none, while calls are under way that will
/// leave theirs: whoever goes on asking is taken for hostile.
const FULL: Duration = Duration::from_secs(1);
/// How long a call waits for another one's stream; then it is told that the peer is busy.
const LONGEST_TURN: Duration = Duration::from_secs(10);
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
    #[error(
        "the connection to {peer} broke before the answer came; the call may have been executed"
    )]
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

impl CallError {
    /// Whether the peer takes no further stream now. Far beyond its limit it resets them without a word.
    fn is_no_room(&self) -> bool {
        let Self::Open { source, .. } = self else {
            return false;
        };
        matches!(source, OpenError::Busy(_) | OpenError::Broken(_))
    }
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
    /// How the peer is named as the host of a request.
    host: Option<HeaderValue>,
    warm: Mutex<Vec<Warm>>,
    /// When the peer last took no further stream.
    full: Mutex<Option<Instant>>,
    /// Told when a stream is free or gone: for calls to a peer that takes no further stream.
    freed: Notify,
    /// Calls that wait for that.
    waiting: AtomicUsize,
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

impl Place {
    /// Waits until another call has ended; `false` when all the others wait as well, or none ends for long.
    async fn wait_for_others(&self, freed: Notified<'_>) -> bool {
        let waiting = Waiting::begin(&self.pool.waiting);
        let calls = MAX_CALLS - self.pool.places.available_permits();
        calls > waiting.count && timeout(LONGEST_TURN, freed).await.is_ok()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.pool.freed.notify_one();
    }
}

/// A call that waits, counted until it does no longer.
struct Waiting<'a> {
    counter: &'a AtomicUsize,
    /// How many wait, this one included.
    count: usize,
}

impl<'a> Waiting<'a> {
    fn begin(counter: &'a AtomicUsize) -> Self {
        let count = counter.fetch_add(1, Ordering::Relaxed) + 1;
        Self { counter, count }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.counter.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Debug)]
struct Warm {
    stream: CallStream,
    since: Instant,
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
        prepare(place.pool.host.as_ref(), &mut request);
        let mut refused = false;
        loop {
            let pool = place.pool.clone();
            let freed = pool.freed.notified();
            while let Some(mut warm) = pool.take() {
                if !warm.ready().await {
                    continue;
                }
                match warm.send(request, &self.tasks).await {
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
            // Others of this node's calls have what the peer gives: one of their streams will do.
            if pool.is_full() && place.wait_for_others(freed).await {
                continue;
            }
            let mut fresh = match self.fresh(peer).await {
                Err(error) if error.is_no_room() && !refused => {
                    pool.lock_full().replace(Instant::now());
                    refused = true;
                    continue;
                }
                fresh => fresh?,
            };
            return match fresh.send(request, &self.tasks).await {
                Ok(response) => Ok(answered(response, fresh, place)),
                Err(error) => {
                    let source = error.into_error();
                    Err(CallError::Lost { peer, source })
                }
            };
        }
    }

    /// Forgets the warm streams of a peer whose connection has ended.
    pub(crate) fn forget(&self, peer: &PeerId) {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pool) = pools.get(peer) {
            pool.lock().clear();
            pool.freed.notify_waiters();
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
                    host: HeaderValue::from_str(&peer.to_base58()).ok(),
                    warm: Mutex::default(),
                    full: Mutex::default(),
                    freed: Notify::new(),
                    waiting: AtomicUsize::new(0),
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
        CallStream::new(stream)
            .await
            .map_err(|source| CallError::Lost { peer, source })
    }
}

impl Pool {
    /// Whether the peer took no further stream a moment ago.
    fn is_full(&self) -> bool {
        self.lock_full().is_some_and(|at| at.elapsed() < FULL)
    }

    fn lock_full(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.full.lock().unwrap_or_else(PoisonError::into_inner)
    }

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
fn prepare(host: Option<&HeaderValue>, request: &mut Request<Body>) {
    let target = request.uri().path_and_query().cloned();
    *request.uri_mut() = target.map_or_else(|| http::Uri::from_static("/"), http::Uri::from);
    *request.version_mut() = http::Version::HTTP_11;
    if let Some(host) = host {
        request.headers_mut().insert(HOST, host.clone());
    }
}

fn answered(
    response: Response<hyper::body::Incoming>,
    stream: CallStream,
    place: Place,
) -> Response<ResponseBody> {
    response.map(|body| ResponseBody::new(body, body::Lease::new(stream, place)))
}

#[cfg(test)]
mod tests;
