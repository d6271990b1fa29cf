//! A body that is searched while it passes.

use std::{
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use peerage_core::{problem::Problem, secrets::pointer};

use super::{
    MAX_TOLD, Message, Mode, Place, Secrets, event,
    scanner::{Passed, Scanner},
};

/// Why the message was not sent to its end, once that is so.
pub(super) type Refused = Arc<OnceLock<Problem>>;

/// See the module's page.
pub(super) struct Searched {
    body: Body,
    scanner: Scanner,
    guard: Secrets,
    message: Message,
    refused: Refused,
    told: usize,
    /// What comes behind the last bytes: trailers.
    behind: Option<Frame<Bytes>>,
    over: bool,
}

impl Searched {
    pub(super) fn new(body: Body, guard: &Secrets, message: Message, refused: Refused) -> Self {
        Self {
            body,
            scanner: Scanner::default(),
            guard: guard.clone(),
            message,
            refused,
            told: 0,
            behind: None,
            over: false,
        }
    }

    /// What may go on of what was decided.
    fn pass(&mut self, passed: Passed) -> Result<Bytes, axum::Error> {
        for place in places(&passed) {
            if self.told < MAX_TOLD {
                self.told += 1;
                self.guard.tell(&self.message, &place);
            }
            if self.message.mode == Mode::Refuse {
                let problem = self.message.problem(&place);
                let at = passed.found[0].at;
                if self.message.events
                    && let [_] = passed.found[..]
                    && let Some(events) = event::refused(&passed.bytes, at, &problem)
                {
                    return Ok(events);
                }
                self.over = true;
                let _ = self.refused.set(problem.clone());
                return Err(axum::Error::new(problem));
            }
        }
        let redact = self.message.mode == Mode::Redact && !passed.found.is_empty();
        Ok(if redact {
            passed.redacted()
        } else {
            passed.bytes
        })
    }
}

/// Where something was found, the first few places.
pub(super) fn places(passed: &Passed) -> impl Iterator<Item = Place> {
    let found = passed.found.iter().take(MAX_TOLD);
    found.map(|found| {
        let at = passed.from + found.at as u64;
        let whole = passed.from == 0;
        let inside = whole.then(|| pointer(&passed.bytes, found.at)).flatten();
        let inside = inside.map_or_else(String::new, |inside| format!(" ({inside})"));
        Place {
            kind: found.kind,
            at: format!("byte {at}{inside}"),
        }
    })
}

impl HttpBody for Searched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Some(behind) = self.behind.take() {
            return Poll::Ready(Some(Ok(behind)));
        }
        while !self.over {
            let frame = match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
                Poll::Ready(Some(Ok(frame))) => Some(frame),
                Poll::Ready(None) => None,
            };
            let (piece, last) = match frame.map(Frame::into_data) {
                Some(Ok(data)) => (data, self.body.is_end_stream()),
                Some(Err(trailers)) => {
                    self.behind = Some(trailers);
                    (Bytes::new(), true)
                }
                None => (Bytes::new(), true),
            };
            self.over = last;
            let passed = self.scanner.push(piece, last);
            match self.pass(passed) {
                Err(error) => return Poll::Ready(Some(Err(error))),
                Ok(bytes) if !bytes.is_empty() => {
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
                // All of it waits for what follows.
                Ok(_) => {}
            }
        }
        Poll::Ready(self.behind.take().map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        let ended = self.over || self.body.is_end_stream();
        ended && self.scanner.held() == 0 && self.behind.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        // Writing over changes no length.
        let (inner, held) = (self.body.size_hint(), self.scanner.held() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower() + held);
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper + held);
        }
        hint
    }
}
