//! One request on its way: what is remembered of it until its answer comes.

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use super::{
    fault::Fault,
    message::Key,
    queue::{Queue, Weight},
};

/// What a caller receives for its request.
#[derive(Clone, Debug)]
pub(super) enum Event {
    /// A notification or a question that belongs to the request.
    Related(Bytes),
    /// The answer; nothing follows.
    Final {
        /// The message.
        body: Bytes,
        /// Its error code, when it is an error.
        error: Option<i64>,
    },
}

impl Weight for Event {
    fn weight(&self) -> usize {
        match self {
            Self::Related(body) | Self::Final { body, .. } => body.len(),
        }
    }
}

/// What a request is for, as far as it makes a difference on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Anything else.
    Ordinary,
    /// `initialize`: if it fails, so does the session.
    Opening,
    /// The first `server/discover`: shows whether the server knows sessionless MCP.
    Probe,
    /// `tools/list`: the answer says which headers calls must have.
    ToolList,
    /// `subscriptions/listen`: has no deadline.
    Listen,
}

/// One request in flight.
#[derive(Debug)]
pub(super) struct Flight {
    /// Counts up with each request on the link.
    pub(super) number: u64,
    /// The id as the caller wrote it.
    pub(super) id: String,
    /// The id as the server was given it.
    pub(super) wire_id: String,
    /// The progress token: on the wire, and as the caller wrote it.
    pub(super) token: Option<(Key, String)>,
    /// What it is for.
    pub(super) purpose: Purpose,
    /// Whether the caller asked for log messages.
    pub(super) wants_log: bool,
    /// Whether the caller still reads.
    pub(super) attached: bool,
    /// The client took it back: nothing but the server's own answer is of interest.
    pub(super) cancelled: bool,
    /// Questions of the server to the caller that wait for an answer: no deadline runs meanwhile.
    pub(super) questions: usize,
    /// When it fails unless something happens before.
    pub(super) deadline: Option<Instant>,
    /// When it fails whatever happens.
    pub(super) limit: Option<Instant>,
    /// To the caller.
    pub(super) out: Arc<Queue<Event>>,
}

impl Flight {
    /// Ends it with what the adapter itself has to say.
    pub(super) fn fail(self, fault: &Fault) {
        self.out.finish(Event::Final {
            body: fault.body(Some(&self.id)),
            error: Some(fault.rpc()),
        });
    }

    /// Whether its time is over.
    pub(super) fn expired(&self, now: Instant) -> bool {
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        due(self.limit) || (self.questions == 0 && due(self.deadline))
    }

    /// Tells the server that nobody waits for it any more.
    pub(super) fn cancellation(&self, reason: &str) -> Bytes {
        format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{},"reason":"{reason}"}}}}"#,
            self.wire_id
        )
        .into()
    }
}
