//! The body of an answer whose call is noted when it ends.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Instant,
};

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::{Audit, Event};

/// See the module's page.
pub(super) struct Counted {
    body: Body,
    bytes: u64,
    begun: Instant,
    noted: Option<(Audit, Event)>,
}

impl Counted {
    pub(super) fn new(body: Body, audit: Audit, event: Event, begun: Instant) -> Self {
        Self {
            body,
            bytes: 0,
            begun,
            noted: Some((audit, event)),
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if let Some((audit, mut event)) = self.noted.take() {
            event.bytes_out = Some(self.bytes).filter(|bytes| *bytes > 0);
            event.took = Some(self.begun.elapsed());
            audit.note(event);
        }
    }
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &frame
            && let Some(data) = frame.data_ref()
        {
            self.bytes += data.len() as u64;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
