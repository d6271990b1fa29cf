//! Which stream a message of the server belongs to, and which id its caller knows it by.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use tokio::time::Instant;

use super::{Era, Link, State};
use crate::mcp::stdio::{
    fault::{Fault, HEADER_MISMATCH, METHOD_NOT_FOUND, MISSING_CAPABILITY, UNSUPPORTED_VERSION},
    flight::{Event, Purpose},
    headers::{FIRST_MODERN, META_SUBSCRIPTION},
    message::{Key, Kind, Message},
};

/// How long a server may still answer a request that its client cancelled.
const AFTER_CANCEL: Duration = Duration::from_secs(5);
/// Questions of one server that may wait for its client's answer.
const MAX_QUESTIONS: usize = 256;

impl Link {
    /// Takes one line of the server.
    pub(super) fn receive(&self, line: Bytes) {
        if line.trim_ascii().is_empty() {
            return;
        }
        let message = match Message::parse(line) {
            Ok(message) => message,
            Err(e) => {
                tracing::debug!(error = %e, "an MCP server wrote a line that is not a message");
                return;
            }
        };
        match message.kind() {
            Kind::Response { id, error } => self.answer(&message, id.is_some(), *error),
            Kind::Notification { method } => match method.as_str() {
                "notifications/progress" => self.progress(&message),
                _ if self.state().shared => self.shared_notification(&message),
                _ => self.session_message(&message),
            },
            Kind::Request { .. } if self.state().shared => self.refuse(&message, StatusCode::OK),
            Kind::Request { .. } => self.session_message(&message),
        }
    }

    /// A line over the limit: whose answer it was cannot be known, so all that wait are told.
    pub(super) fn receive_too_long(&self) {
        let limit = self.limits.max_message;
        tracing::warn!(
            limit,
            "an MCP server wrote a line over the limit; it was thrown away"
        );
        let fault = Fault::failed(
            "message_too_large",
            format!("the MCP server wrote a message of more than {limit} bytes"),
            "ask for less at once",
        );
        let mut state = self.state();
        let waiting: Vec<_> = state.flights.keys().cloned().collect();
        for flight in waiting.iter().filter_map(|wire| state.take(wire)) {
            flight.fail(&fault);
        }
    }

    /// What to send for a message of the client; `None` if there is nothing to send.
    pub(super) fn outgoing(&self, message: &Message) -> Option<Bytes> {
        let mut state = self.state();
        state.last_used = Instant::now();
        if let Kind::Response { .. } = message.kind() {
            let asked = Key::of(message.id()?)?;
            let Some(flight) = state.asked.remove(&asked) else {
                tracing::debug!("an answer to a question that the MCP server did not ask");
                return None;
            };
            let deadline = Instant::now() + self.limits.request_timeout;
            if let Some(flight) = flight.and_then(|wire| state.flights.get_mut(&wire)) {
                flight.questions = flight.questions.saturating_sub(1);
                flight.deadline = flight.deadline.map(|_| deadline);
            }
            return Some(message.bytes().clone());
        }
        if message.method() != Some("notifications/cancelled") {
            return Some(message.bytes().clone());
        }
        let raw = message.param(&["requestId"])?;
        let meant = Key::of(raw);
        let mut flights = state.flights.values_mut();
        let flight = flights.find(|flight| Key::of(&flight.id) == meant)?;
        let soon = Instant::now() + AFTER_CANCEL;
        flight.cancelled = true;
        flight.deadline = flight.deadline.map(|at| at.min(soon));
        flight.questions = 0;
        Some(message.with(&[(raw, &flight.wire_id)]))
    }

    fn answer(&self, message: &Message, has_id: bool, error: Option<i64>) {
        let mut state = self.state();
        let wire = match message.id().filter(|_| has_id) {
            Some(raw) => Key::of(raw),
            // It could not read a request; if there is only one, that is the one.
            None => state.only_flight(),
        };
        let Some(flight) = wire.and_then(|wire| state.take(&wire)) else {
            tracing::debug!("an MCP server answered a request that nobody waits for");
            return;
        };
        let body = match (message.id(), message.error()) {
            (Some(raw), _) => {
                let tag = message
                    .outcome(&["_meta", META_SUBSCRIPTION])
                    .filter(|_| flight.purpose == Purpose::Listen);
                let mut edits = vec![(raw, flight.id.as_str())];
                edits.extend(tag.map(|raw| (raw, flight.id.as_str())));
                message.with(&edits)
            }
            (None, error) => {
                let (id, error) = (&flight.id, error.unwrap_or("{}"));
                format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#).into()
            }
        };
        match flight.purpose {
            Purpose::Opening if error.is_some() => self.end(),
            Purpose::Opening => {
                let version = message.outcome(&["protocolVersion"]);
                state.version = version.and_then(|raw| serde_json::from_str(raw).ok());
            }
            Purpose::Probe => {
                self.era.send_replace(era_of(message, error));
            }
            Purpose::ToolList => self.tools().learn(message),
            Purpose::Ordinary | Purpose::Listen => {}
        }
        flight.out.finish(Event::Final { body, error });
    }

    fn progress(&self, message: &Message) {
        let mut state = self.state();
        let raw = message.param(&["progressToken"]);
        let wire = raw
            .and_then(Key::of)
            .and_then(|token| state.tokens.get(&token).cloned());
        let token = wire
            .as_ref()
            .and_then(|wire| state.flights.get(wire)?.token.as_ref())
            .map(|(_, caller)| caller.clone());
        match (wire, raw, token) {
            (Some(wire), Some(raw), Some(token)) => {
                self.related(&mut state, &wire, message.with(&[(raw, &token)]));
            }
            _ if state.shared => tracing::debug!("progress of a request that nobody waits for"),
            // A task may go on after its request was answered.
            _ => {
                drop(state);
                self.session_message(message);
            }
        }
    }

    /// A notification on a server that several clients share.
    fn shared_notification(&self, message: &Message) {
        let mut state = self.state();
        let cancels = message.method() == Some("notifications/cancelled");
        let place = match message.param(&["_meta", META_SUBSCRIPTION]) {
            None if cancels => message.param(&["requestId"]),
            tag => tag,
        };
        let Some(raw) = place else {
            match state.who_is_meant(message.method() == Some("notifications/message")) {
                Some(wire) => self.related(&mut state, &wire, message.bytes().clone()),
                None => tracing::debug!("a notification that belongs to no request"),
            }
            return;
        };
        let Some((wire, id)) = Key::of(raw).and_then(|wire| {
            let id = state.flights.get(&wire)?.id.clone();
            Some((wire, id))
        }) else {
            return;
        };
        let request = message.param(&["requestId"]).filter(|_| cancels);
        let mut edits = vec![(raw, id.as_str())];
        edits.extend(
            request
                .filter(|r| r.as_ptr() != raw.as_ptr())
                .map(|r| (r, id.as_str())),
        );
        self.related(&mut state, &wire, message.with(&edits));
        if cancels && let Some(flight) = state.take(&wire) {
            flight.out.close();
        }
    }

    /// A question or notification within a session: to the stream of the one request in flight, else
    /// to the listener, else to the newest request, else kept for the next listener.
    fn session_message(&self, message: &Message) {
        let mut state = self.state();
        let question = matches!(message.kind(), Kind::Request { .. });
        if question && state.asked.len() >= MAX_QUESTIONS {
            drop(state);
            return self.refuse(message, StatusCode::TOO_MANY_REQUESTS);
        }
        let only = state
            .only_flight()
            .filter(|wire| state.flights[wire].attached);
        let target = match only {
            None if !state.has_listener() => state.newest_attached(),
            only => only,
        };
        let asked = message.id().filter(|_| question).and_then(Key::of);
        match &target {
            Some(wire) => {
                self.related(&mut state, wire, message.bytes().clone());
                if let Some(flight) = state.flights.get_mut(wire).filter(|_| question) {
                    flight.questions += 1;
                }
            }
            None if self
                .inbox
                .push(Event::Related(message.bytes().clone()))
                .is_err() =>
            {
                tracing::warn!("nobody listens to an MCP server; a message was thrown away");
                drop(state);
                if question {
                    self.refuse(message, StatusCode::TOO_MANY_REQUESTS);
                }
                return;
            }
            None => {}
        }
        if let Some(asked) = asked {
            state.asked.insert(asked, target);
        }
    }

    /// Answers a question of the server in the client's place.
    fn refuse(&self, question: &Message, why: StatusCode) {
        let fault = match why {
            StatusCode::OK => Fault::new(
                why,
                METHOD_NOT_FOUND,
                "no_questions",
                "servers of 2026-07-28 do not send requests",
                "return `resultType: input_required` instead",
            ),
            _ => Fault::busy("client_busy", "the client does not listen"),
        };
        if self.outbound.push(fault.body(question.id())).is_err() {
            tracing::debug!("cannot answer the MCP server: it does not read");
        }
    }

    /// Passes a message on with the request it belongs to, which thereby gets more time.
    fn related(&self, state: &mut State, wire: &Key, body: Bytes) {
        let Some(flight) = state.flights.get_mut(wire) else {
            return;
        };
        let deadline = Instant::now() + self.limits.request_timeout;
        flight.deadline = flight.deadline.map(|_| deadline);
        if flight.out.push(Event::Related(body)).is_ok() {
            return;
        }
        if !flight.attached {
            tracing::debug!("nobody has come back for a stream; a message was thrown away");
            return;
        }
        if let Some(flight) = state.take(wire) {
            self.cancel(&flight, "the caller does not keep up");
            flight.fail(&Fault::failed(
                "reader_too_slow",
                "too many messages of this request wait to be read",
                "read the response stream faster",
            ));
        }
    }
}

impl State {
    fn only_flight(&self) -> Option<Key> {
        let mut keys = self.flights.keys();
        keys.next().filter(|_| keys.next().is_none()).cloned()
    }

    fn newest_attached(&self) -> Option<Key> {
        let attached = self.flights.iter().filter(|(_, flight)| flight.attached);
        attached
            .max_by_key(|(_, flight)| flight.number)
            .map(|(wire, _)| wire.clone())
    }

    /// Whom an untagged notification of a shared server is for: log messages for the newest request
    /// that wants them, all else for the one request in flight.
    fn who_is_meant(&self, log: bool) -> Option<Key> {
        let mut calls: Vec<_> = self
            .flights
            .iter()
            .filter(|(_, f)| f.attached && f.purpose == Purpose::Ordinary && (f.wants_log || !log))
            .collect();
        calls.sort_by_key(|(_, flight)| flight.number);
        match calls.as_slice() {
            [one] => Some(one.0.clone()),
            [.., newest] if log => Some(newest.0.clone()),
            _ => None,
        }
    }
}

/// What an answer to `server/discover` says about the server.
fn era_of(message: &Message, error: Option<i64>) -> Era {
    let modern = match error {
        Some(code) => matches!(
            code,
            HEADER_MISMATCH | MISSING_CAPABILITY | UNSUPPORTED_VERSION
        ),
        None => message
            .outcome(&["supportedVersions"])
            .and_then(|raw| serde_json::from_str::<Vec<String>>(raw).ok())
            .is_some_and(|versions| versions.iter().any(|v| v.as_str() >= FIRST_MODERN)),
    };
    if modern { Era::Modern } else { Era::Legacy }
}
