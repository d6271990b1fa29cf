//! A call within the limits of the rule that allows it: the size of its body, its deadline, and the pace of its bytes.
//!
//! Bytes beyond the pace wait, and with them the one who sends them; nobody else does.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, HttpBody},
    extract::Request,
    middleware::Next,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use peerage_core::problem::Problem;
use tokio::time::{Instant, Sleep, sleep_until, timeout_at};

use crate::{
    failure::Failure,
    limit::hold_back,
    policy::{Over, Pass, Way},
};

/// Answers a call within the limits of a rule. One that is not `counted`, such as a stream of events, has no deadline.
pub(super) async fn run(pass: Pass, counted: bool, request: Request, next: Next) -> Response {
    let limit = pass.limit().clone();
    if let Some(most) = limit.body
        && request.body().size_hint().lower() > most
    {
        return Failure(too_large(pass.rule(), most)).into_response();
    }
    let seconds = limit.seconds.filter(|_| counted);
    let deadline = seconds.map(|s| Instant::now() + Duration::from_secs(s.into()));
    let pass = Arc::new(pass);
    let ended = Arc::new(Mutex::new(None));
    let request = request.map(|body| {
        let mut paced = Paced::new(body, &pass, Way::In, None);
        paced.ended = Some(ended.clone());
        Body::new(paced)
    });
    let answer = next.run(request);
    let response = match deadline {
        None => answer.await,
        Some(deadline) => match timeout_at(deadline, answer).await {
            Ok(response) => response,
            Err(_) => return Failure(late(&pass)).into_response(),
        },
    };
    let why = ended.lock().unwrap_or_else(PoisonError::into_inner).take();
    match why {
        Some(End::Over(over)) => {
            let wait = over.retry_after;
            hold_back(over.into(), wait).await
        }
        Some(End::TooLarge) => {
            let most = limit.body.unwrap_or_default();
            Failure(too_large(pass.rule(), most)).into_response()
        }
        Some(End::Late) | None => {
            response.map(|body| Body::new(Paced::new(body, &pass, Way::Out, deadline)))
        }
    }
}

fn too_large(rule: &str, most: u64) -> Problem {
    let text = format!("the rule `{rule}` of this node allows bodies of {most} bytes");
    Problem::new(413, "too_large_for_policy", text).hint("send less at once")
}

fn late(pass: &Pass) -> Problem {
    let seconds = pass.limit().seconds.unwrap_or_default();
    let rule = pass.rule();
    let text = format!("the rule `{rule}` of this node allows a call {seconds} s, which are over");
    Problem::new(504, "deadline_of_policy", text)
}

/// Why a body ended early.
#[derive(Clone, Debug, thiserror::Error)]
enum End {
    #[error("the body is larger than the rule allows")]
    TooLarge,
    #[error("the time that the rule allows is over")]
    Late,
    #[error(transparent)]
    Over(#[from] Over),
}

/// A body whose bytes come as fast as a rule allows. The call counts until it is dropped.
struct Paced {
    body: Body,
    pass: Arc<Pass>,
    way: Way,
    carried: u64,
    /// What came, until its time.
    held: Option<(Bytes, Pin<Box<Sleep>>)>,
    deadline: Option<Pin<Box<Sleep>>>,
    /// Told why it ended early.
    ended: Option<Arc<Mutex<Option<End>>>>,
}

impl Paced {
    fn new(body: Body, pass: &Arc<Pass>, way: Way, deadline: Option<Instant>) -> Self {
        Self {
            body,
            pass: pass.clone(),
            way,
            carried: 0,
            held: None,
            deadline: deadline.map(|deadline| Box::pin(sleep_until(deadline))),
            ended: None,
        }
    }

    fn end(&self, end: End) -> axum::Error {
        if let Some(ended) = &self.ended {
            *ended.lock().unwrap_or_else(PoisonError::into_inner) = Some(end.clone());
        }
        axum::Error::new(end)
    }

    /// How long bytes that came have to wait.
    fn carry(&mut self, bytes: u64) -> Result<Duration, End> {
        self.carried += bytes;
        let most = self.pass.limit().body.filter(|_| self.way == Way::In);
        if most.is_some_and(|most| self.carried > most) {
            return Err(End::TooLarge);
        }
        Ok(self.pass.carry(self.way, bytes)?)
    }

    /// What is held, when its time has come.
    fn poll_held(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Some((_, wait)) = &mut self.held {
            std::task::ready!(wait.as_mut().poll(cx));
        }
        Poll::Ready(self.held.take().map(|(bytes, _)| bytes))
    }
}

impl HttpBody for Paced {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Some(deadline) = &mut self.deadline
            && deadline.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Some(Err(self.end(End::Late))));
        }
        if self.held.is_none() {
            let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(cx));
            let data = match frame {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                other => return Poll::Ready(other),
            };
            match self.carry(data.len() as u64) {
                Err(end) => return Poll::Ready(Some(Err(self.end(end)))),
                Ok(Duration::ZERO) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Ok(wait) => {
                    let until = sleep_until(Instant::now() + wait);
                    self.held = Some((data, Box::pin(until)));
                }
            }
        }
        let data = std::task::ready!(self.poll_held(cx));
        Poll::Ready(data.map(|data| Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.held.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.held.is_some() {
            return SizeHint::default();
        }
        self.body.size_hint()
    }
}
