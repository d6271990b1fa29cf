//! One request and what came back for it, seen in the bytes before the SDK's types drop anything.

use std::{
    borrow::Cow,
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use peerage_core::problem::Problem;
use rmcp::model::{
    ClientJsonRpcMessage, GetExtensions as _, GetMeta as _, ProgressToken, RequestId,
};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use tokio::sync::Notify;

use super::progress::{Progress, ProgressSink};

/// One request: travels with it through the SDK (in its extensions) and collects what comes back.
#[derive(Debug, Default)]
pub(super) struct Exchange {
    seen: Mutex<Seen>,
    sink: Option<ProgressSink>,
    progressed: Notify,
}

#[derive(Debug, Default)]
struct Seen {
    sent: bool,
    result: Option<Value>,
    problem: Option<Problem>,
}

impl Exchange {
    pub(super) fn new(sink: Option<ProgressSink>) -> Arc<Self> {
        Arc::new(Self {
            sink,
            ..Self::default()
        })
    }

    /// The exchange a message belongs to.
    pub(super) fn of(message: &ClientJsonRpcMessage) -> Option<Arc<Self>> {
        let ClientJsonRpcMessage::Request(request) = message else {
            return None;
        };
        request.request.extensions().get::<Arc<Self>>().cloned()
    }

    /// Whether the request left this node.
    pub(super) fn sent(&self) -> bool {
        self.seen().sent
    }

    pub(super) fn mark_sent(&self, sent: bool) {
        self.seen().sent = sent;
    }

    pub(super) fn fail(&self, problem: Problem) {
        self.seen().problem = Some(problem);
    }

    pub(super) fn take_problem(&self) -> Option<Problem> {
        self.seen().problem.take()
    }

    /// The result as it was sent.
    pub(super) fn take_result(&self) -> Option<Value> {
        self.seen().result.take()
    }

    /// Resolves when there was progress since the last time.
    pub(super) async fn progressed(&self) {
        self.progressed.notified().await;
    }

    fn progress(&self, progress: Progress) {
        if let Some(sink) = &self.sink {
            sink.send(progress);
        }
        self.progressed.notify_one();
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The open exchanges of one session.
#[derive(Debug, Default)]
pub(super) struct Exchanges(Mutex<Open>);

/// Weak, so that an exchange is over when nobody waits for it.
#[derive(Debug, Default)]
struct Open {
    requests: HashMap<RequestId, Weak<Exchange>>,
    tokens: HashMap<ProgressToken, Weak<Exchange>>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(default)]
    id: Option<RequestId>,
    #[serde(default, borrow)]
    method: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    params: Option<&'a RawValue>,
    #[serde(default, borrow)]
    result: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProgressParams {
    progress_token: ProgressToken,
    progress: f64,
    #[serde(default)]
    total: Option<f64>,
    #[serde(default)]
    message: Option<String>,
}

impl Exchanges {
    /// Begins to listen for what comes back for `message`.
    pub(super) fn begin(&self, message: &ClientJsonRpcMessage, exchange: &Arc<Exchange>) {
        let ClientJsonRpcMessage::Request(request) = message else {
            return;
        };
        let mut open = self.open();
        open.requests.retain(|_, held| held.strong_count() > 0);
        open.tokens.retain(|_, held| held.strong_count() > 0);
        open.requests
            .insert(request.id.clone(), Arc::downgrade(exchange));
        if let Some(token) = request.request.get_meta().get_progress_token() {
            open.tokens.insert(token, Arc::downgrade(exchange));
        }
    }

    /// Looks at one message from the server.
    pub(super) fn observe(&self, message: &[u8]) {
        let Ok(message) = serde_json::from_slice::<Message<'_>>(message) else {
            return;
        };
        if message.method.as_deref() == Some("notifications/progress") {
            self.observe_progress(message.params);
        } else if let (Some(id), Some(result)) = (message.id, message.result) {
            let exchange = self.open().requests.get(&id).and_then(Weak::upgrade);
            if let (Some(exchange), Ok(result)) = (exchange, serde_json::from_str(result.get())) {
                exchange.seen().result = Some(result);
            }
        }
    }

    fn observe_progress(&self, params: Option<&RawValue>) {
        let Some(Ok(params)) =
            params.map(|params| serde_json::from_str::<ProgressParams>(params.get()))
        else {
            return;
        };
        let exchange = self
            .open()
            .tokens
            .get(&params.progress_token)
            .and_then(Weak::upgrade);
        if let Some(exchange) = exchange {
            exchange.progress(Progress {
                progress: params.progress,
                total: params.total,
                message: params.message,
            });
        }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
