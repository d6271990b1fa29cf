//! The bodies of calls. A response's body holds its stream and gives it back when it has ended.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;

use super::{CallStream, Place};

/// An error of a body, whatever its source.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of a request that is sent.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

/// The body of an answer. Dropped before its end, it resets the stream, which cancels the call.
#[derive(Debug)]
pub struct ResponseBody {
    body: Incoming,
    lease: Option<Lease>,
}

/// The stream of a call under way, and its place among the peer's calls.
#[derive(Debug)]
pub(super) struct Lease {
    stream: CallStream,
    place: Place,
}

impl Lease {
    pub(super) fn new(stream: CallStream, place: Place) -> Self {
        Self { stream, place }
    }

    /// The answer has been read to its end: the stream is free for the next call.
    fn finish(self) {
        self.place.pool.give_back(self.stream);
    }
}

impl ResponseBody {
    pub(super) fn new(body: Incoming, lease: Lease) -> Self {
        let mut response = Self {
            body,
            lease: Some(lease),
        };
        if http_body::Body::is_end_stream(&response.body) {
            response.finish();
        }
        response
    }

    fn finish(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.finish();
        }
    }
}

impl http_body::Body for ResponseBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        match &frame {
            Poll::Ready(None) => self.finish(),
            Poll::Ready(Some(Ok(_))) if http_body::Body::is_end_stream(&self.body) => self.finish(),
            _ => {}
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        http_body::Body::is_end_stream(&self.body)
    }

    fn size_hint(&self) -> SizeHint {
        http_body::Body::size_hint(&self.body)
    }
}
