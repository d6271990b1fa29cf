//! The connection to one running server: its two streams, its process, and the requests in flight.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use peerage_mesh::Tasks;
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    fault::{Fault, METHOD_NOT_FOUND},
    flight::{Event, Flight, Purpose},
    limits::Limits,
    message::{Key, Message},
    process::Pipes,
    queue::Queue,
    tool_headers::ToolHeaders,
};

mod call;
mod route;
mod serve;
mod streams;

pub(super) use call::Ticket;
use streams::Streams;
pub(super) use streams::{EventId, Reader};

/// What is known about a server's revision of MCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Era {
    /// Nothing yet.
    Unknown,
    /// It speaks 2026-07-28 or later.
    Modern,
    /// It said that it does not.
    Legacy,
    /// It does not answer before `initialize`.
    Silent,
    /// It ended before it said anything.
    Ended,
}

/// One running server.
#[derive(Debug)]
pub(super) struct Link {
    limits: Arc<Limits>,
    state: Mutex<State>,
    outbound: Queue<Bytes>,
    inbox: Arc<Queue<Event>>,
    tools: ToolHeaders,
    era: watch::Sender<Era>,
    ending: CancellationToken,
    gone: CancellationToken,
}

#[derive(Debug)]
struct State {
    /// Ids and tokens are replaced, for several clients may share the server.
    shared: bool,
    /// By the id on the wire.
    flights: HashMap<Key, Flight>,
    /// From the progress token on the wire to the id on the wire.
    tokens: HashMap<Key, Key>,
    /// The server's own requests that wait for an answer, and to which flight they went.
    asked: HashMap<Key, Option<Key>>,
    streams: Streams,
    version: Option<String>,
    probing: bool,
    next: u64,
    last_used: Instant,
    closed: Option<String>,
}

impl Link {
    /// Starts to serve the streams; `shared` as in [`Link::claim_for_session`].
    pub(super) fn start(
        pipes: Pipes,
        shared: bool,
        limits: &Arc<Limits>,
        tasks: &Tasks,
    ) -> Arc<Self> {
        let link = Arc::new(Self {
            limits: limits.clone(),
            state: Mutex::new(State {
                shared,
                flights: HashMap::new(),
                tokens: HashMap::new(),
                asked: HashMap::new(),
                streams: Streams::default(),
                version: None,
                probing: false,
                next: 0,
                last_used: Instant::now(),
                closed: None,
            }),
            outbound: Queue::new(limits.queue_messages, limits.queue_bytes),
            inbox: Arc::new(Queue::new(limits.queue_messages, limits.queue_bytes)),
            tools: ToolHeaders::default(),
            era: watch::Sender::new(Era::Unknown),
            ending: CancellationToken::new(),
            gone: CancellationToken::new(),
        });
        tasks.spawn("mcp child", serve::run(serve::Ending(link.clone()), pipes));
        link
    }

    /// True for the first one to ask, who then has to find out what the server speaks.
    pub(super) fn claim_probe(&self) -> bool {
        self.era() == Era::Unknown && !std::mem::replace(&mut self.state().probing, true)
    }

    /// What is known by now.
    pub(super) fn era(&self) -> Era {
        *self.era.borrow()
    }

    /// What the server speaks, once that is known; soon, for a probe has a deadline.
    pub(super) async fn settled(&self) -> Era {
        let mut era = self.era.subscribe();
        let known = era.wait_for(|era| *era != Era::Unknown);
        // The deadline of the probe is kept by the clock, which ticks somewhat later.
        match timeout(self.limits.probe_timeout * 2, known).await {
            Ok(Ok(era)) => *era,
            _ => Era::Silent,
        }
    }

    /// Gives a server that turned out to be legacy to one client for a session: from now on its ids
    /// and tokens pass unchanged. False if it has anything else to do.
    pub(super) fn claim_for_session(&self) -> bool {
        let mut state = self.state();
        let free = self.era() == Era::Legacy && state.flights.is_empty() && state.closed.is_none();
        if free {
            state.shared = false;
            state.last_used = Instant::now();
        }
        free
    }

    /// Sends a notification, or the client's answer to a question of the server.
    pub(super) fn tell(&self, message: &Message) -> Result<(), Fault> {
        let Some(line) = self.outgoing(message) else {
            return Ok(());
        };
        self.outbound.push(line).map_err(|_| Fault::server_busy())
    }

    /// What is known of the server's tools.
    pub(super) fn tools(&self) -> &ToolHeaders {
        &self.tools
    }

    /// The version that `initialize` agreed on.
    pub(super) fn version(&self) -> Option<String> {
        self.state().version.clone()
    }

    /// Whether it can still be called.
    pub(super) fn alive(&self) -> bool {
        !self.ending.is_cancelled() && self.state().closed.is_none()
    }

    /// Since when nothing uses it; `None` while something does.
    pub(super) fn unused_since(&self) -> Option<Instant> {
        let state = self.state();
        (state.flights.is_empty() && !state.has_listener()).then_some(state.last_used)
    }

    /// Asks it to end.
    pub(super) fn end(&self) {
        self.ending.cancel();
    }

    /// Waits until its process is gone.
    pub(super) async fn gone(&self) {
        self.gone.cancelled().await;
    }

    /// Fails what is in flight and lets nothing more in. Only the first reason counts.
    fn close(&self, reason: &str) {
        let flights = {
            let mut state = self.state();
            if state.closed.is_some() {
                return;
            }
            state.closed = Some(reason.to_owned());
            std::mem::take(&mut state.flights)
        };
        let fault = Fault::ended(reason);
        for flight in flights.into_values() {
            flight.fail(&fault);
        }
        self.inbox.close();
        self.outbound.close();
        self.era.send_if_modified(|era| {
            let unknown = *era == Era::Unknown;
            if unknown {
                *era = Era::Ended;
            }
            unknown
        });
    }

    /// Looks at the clock: fails what takes too long, and ends what nobody uses.
    fn tick(&self, now: Instant) {
        let mut state = self.state();
        let late: Vec<_> = state
            .flights
            .iter()
            .filter(|(_, flight)| flight.expired(now))
            .map(|(wire, _)| wire.clone())
            .collect();
        for flight in late.iter().filter_map(|wire| state.take(wire)) {
            if flight.cancelled {
                flight.out.close();
                continue;
            }
            self.cancel(&flight, "no answer in time");
            match flight.purpose {
                Purpose::Probe => {
                    self.era.send_replace(Era::Silent);
                    flight.fail(&Fault::new(
                        http::StatusCode::NOT_FOUND,
                        METHOD_NOT_FOUND,
                        "discover_unanswered",
                        "the MCP server does not answer `server/discover`",
                        "it may be older than 2026-07-28: send `initialize`",
                    ));
                }
                Purpose::Opening => {
                    flight.fail(&self.too_late());
                    self.end();
                }
                Purpose::Ordinary | Purpose::ToolList | Purpose::Listen => {
                    flight.fail(&self.too_late())
                }
            }
        }
        state.forget_streams(now);
        let unused = state.flights.is_empty() && !state.has_listener();
        if unused && state.last_used + self.limits.idle_timeout <= now {
            self.end();
        }
    }

    fn too_late(&self) -> Fault {
        let seconds = self.limits.request_timeout.as_secs_f32();
        Fault::failed(
            "deadline_exceeded",
            format!("the MCP server was silent for {seconds} s"),
            "servers that report progress get more time",
        )
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Removes a flight with all that refers to it.
    fn take(&mut self, wire: &Key) -> Option<Flight> {
        let flight = self.flights.remove(wire)?;
        if let Some((token, _)) = &flight.token
            && self.tokens.get(token) == Some(wire)
        {
            self.tokens.remove(token);
        }
        for asked in self
            .asked
            .values_mut()
            .filter(|to| to.as_ref() == Some(wire))
        {
            *asked = None;
        }
        self.last_used = Instant::now();
        Some(flight)
    }
}
