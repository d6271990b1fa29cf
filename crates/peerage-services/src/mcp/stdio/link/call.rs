//! Sending a request, and what its caller holds meanwhile.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use serde_json::json;
use tokio::time::Instant;

use super::{Link, Reader};
use crate::mcp::stdio::{
    fault::Fault,
    flight::{Event, Flight, Purpose},
    headers::{META_CAPABILITIES, META_CLIENT, META_LOG_LEVEL, META_VERSION},
    message::{Key, Message},
    queue::Queue,
};

/// The caller's end of one request. Dropping it before the answer tells the link that nobody waits.
#[derive(Debug)]
pub(in crate::mcp::stdio) struct Ticket {
    link: Arc<Link>,
    wire: Key,
    number: u64,
    out: Arc<Queue<Event>>,
    handed_over: bool,
}

impl Ticket {
    /// What comes next; `None` after the answer. Cancel-safe.
    pub(in crate::mcp::stdio) async fn next(&self) -> Option<Event> {
        self.out.pop().await
    }

    /// Waits for something to come, and takes it if it is the answer.
    pub(in crate::mcp::stdio) async fn answer_alone(&self) -> Option<Event> {
        self.out.wait().await;
        self.out
            .try_pop_if(|event| matches!(event, Event::Final { .. }))
    }

    /// Makes the rest of what comes a stream that can be resumed.
    pub(in crate::mcp::stdio) fn stream(self) -> Reader {
        self.link.clone().stream(self)
    }

    pub(super) fn hand_over(mut self) -> (u64, Key, Arc<Queue<Event>>) {
        self.handed_over = true;
        (self.number, self.wire.clone(), self.out.clone())
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.handed_over {
            self.link.leave(&self.wire, self.number);
        }
    }
}

impl Link {
    /// Sends a request; the ticket receives what belongs to it.
    pub(in crate::mcp::stdio) fn call(
        self: &Arc<Self>,
        request: &Message,
        purpose: Purpose,
    ) -> Result<Ticket, Fault> {
        let (number, shared) = self.admit()?;
        let id = request.id().ok_or_else(Fault::no_id)?;
        let wire_id = if shared {
            number.to_string()
        } else {
            id.to_owned()
        };
        let wire = Key::of(&wire_id).ok_or_else(Fault::no_id)?;
        let token = request.param(&["_meta", "progressToken"]);
        let wire_token = token.map(|raw| if shared { wire_id.as_str() } else { raw });
        let mut edits = vec![(id, wire_id.as_str())];
        edits.extend(token.zip(wire_token));
        let line = request.with(&edits);
        let limits = &self.limits;
        let out = Arc::new(Queue::new(limits.queue_messages, limits.queue_bytes));
        let (patience, limit) = self.patience(purpose);
        let now = Instant::now();
        let flight = Flight {
            number,
            id: id.to_owned(),
            token: wire_token
                .and_then(Key::of)
                .zip(token.map(ToOwned::to_owned)),
            wire_id,
            purpose,
            wants_log: request.param(&["_meta", META_LOG_LEVEL]).is_some(),
            attached: true,
            cancelled: false,
            questions: 0,
            deadline: patience.map(|patience| now + patience),
            limit: limit.map(|limit| now + limit),
            out: out.clone(),
        };
        self.send(line, wire.clone(), flight)?;
        Ok(Ticket {
            link: self.clone(),
            wire,
            number,
            out,
            handed_over: false,
        })
    }

    /// Numbers a new request and says whether ids are replaced.
    fn admit(&self) -> Result<(u64, bool), Fault> {
        let mut state = self.state();
        if let Some(reason) = &state.closed {
            return Err(Fault::ended(reason));
        }
        if state.flights.len() >= self.limits.max_in_flight {
            return Err(Fault::busy(
                "too_many_requests",
                "too many requests in flight",
            ));
        }
        state.next += 1;
        Ok((state.next, state.shared))
    }

    /// Sends a request and remembers it, both or neither.
    fn send(&self, line: Bytes, wire: Key, flight: Flight) -> Result<(), Fault> {
        let mut state = self.state();
        if let Some(reason) = &state.closed {
            return Err(Fault::ended(reason));
        }
        if state.flights.contains_key(&wire) {
            return Err(Fault::duplicate_id());
        }
        self.outbound.push(line).map_err(|_| Fault::server_busy())?;
        if let Some((token, _)) = &flight.token {
            state.tokens.insert(token.clone(), wire.clone());
        }
        state.flights.insert(wire, flight);
        state.last_used = Instant::now();
        Ok(())
    }

    fn patience(&self, purpose: Purpose) -> (Option<Duration>, Option<Duration>) {
        let limits = &self.limits;
        match purpose {
            Purpose::Listen => (None, None),
            Purpose::Probe => (Some(limits.probe_timeout), Some(limits.probe_timeout)),
            Purpose::Ordinary | Purpose::ToolList | Purpose::Opening => {
                (Some(limits.request_timeout), Some(limits.request_limit))
            }
        }
    }

    /// Asks the server itself whether it knows sessionless MCP, in the name of the client that sent
    /// `request`. The answer shows in [`Link::settled`].
    pub(in crate::mcp::stdio) fn probe(self: &Arc<Self>, request: &Message) -> Result<(), Fault> {
        let mut meta = serde_json::Map::new();
        for member in [META_VERSION, META_CAPABILITIES, META_CLIENT] {
            if let Some(value) = request.param(&["_meta", member]) {
                meta.insert(
                    member.to_owned(),
                    serde_json::from_str(value).unwrap_or_default(),
                );
            }
        }
        let probe = json!({
            "jsonrpc": "2.0", "id": 0, "method": "server/discover", "params": { "_meta": meta },
        });
        let probe = Message::parse(probe.to_string().into()).map_err(|_| Fault::no_id())?;
        // The flight stays when its ticket goes.
        self.call(&probe, Purpose::Probe).map(drop)
    }

    /// Tells the server that nobody waits for a request any more.
    pub(super) fn cancel(&self, flight: &Flight, reason: &str) {
        if self.outbound.push(flight.cancellation(reason)).is_err() {
            tracing::debug!("cannot tell the MCP server of a cancellation: it does not read");
        }
    }

    /// The caller of a request does not read any more.
    fn leave(&self, wire: &Key, number: u64) {
        let mut state = self.state();
        state.last_used = Instant::now();
        let shared = state.shared;
        let Some(flight) = state.flights.get_mut(wire).filter(|f| f.number == number) else {
            return;
        };
        match flight.purpose {
            Purpose::Ordinary | Purpose::ToolList | Purpose::Listen if shared => {
                self.cancel(flight, "the caller went away");
                state.take(wire);
            }
            Purpose::Opening => {
                state.take(wire);
                self.end();
            }
            // With sessions, going away does not mean to cancel; and a probe serves everyone.
            Purpose::Ordinary | Purpose::ToolList | Purpose::Listen | Purpose::Probe => {
                flight.attached = false;
                flight.out.close();
            }
        }
    }
}
