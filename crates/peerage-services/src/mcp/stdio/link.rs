//! The connection to one running server: its two streams, its process, and the requests in flight.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use peerage_mesh::Tasks;
use serde_json::json;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufReader},
    sync::watch,
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    fault::{Fault, METHOD_NOT_FOUND},
    flight::{Event, Flight, Purpose},
    headers::{META_CAPABILITIES, META_CLIENT, META_LOG_LEVEL, META_VERSION},
    limits::Limits,
    lines::{Line, next_line},
    message::{Key, Message},
    process::{Pipes, Process},
    queue::Queue,
};

mod route;

/// How long output is still read after the process ended or closed its input.
const DRAIN: Duration = Duration::from_secs(1);
/// How long to wait for the exit status of a process that closed its output.
const EXIT_STATUS: Duration = Duration::from_millis(200);
/// Bytes read from the server at once.
const READ_BUFFER: usize = 64 * 1024;

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
    inbox: Queue<Bytes>,
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
    listener: Option<(u64, CancellationToken)>,
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
        let queue = || Queue::new(limits.queue_messages, limits.queue_bytes);
        let link = Arc::new(Self {
            limits: limits.clone(),
            state: Mutex::new(State {
                shared,
                flights: HashMap::new(),
                tokens: HashMap::new(),
                asked: HashMap::new(),
                listener: None,
                version: None,
                probing: false,
                next: 0,
                last_used: Instant::now(),
                closed: None,
            }),
            outbound: queue(),
            inbox: Queue::new(limits.queue_messages, limits.queue_bytes),
            era: watch::Sender::new(Era::Unknown),
            ending: CancellationToken::new(),
            gone: CancellationToken::new(),
        });
        tasks.spawn("mcp child", run(Ending(link.clone()), pipes));
        link
    }

    /// Sends a request; the ticket receives what belongs to it.
    pub(super) fn call(
        self: &Arc<Self>,
        request: &Message,
        purpose: Purpose,
    ) -> Result<Ticket, Fault> {
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
        let id = request.id().unwrap_or("null");
        let token = request.param(&["_meta", "progressToken"]);
        state.next += 1;
        let number = state.next;
        let wire_id = if state.shared {
            number.to_string()
        } else {
            id.to_owned()
        };
        let wire_token = token.map(|raw| if state.shared { wire_id.as_str() } else { raw });
        let wire = Key::of(&wire_id).ok_or_else(Fault::no_id)?;
        if state.flights.contains_key(&wire) {
            return Err(Fault::duplicate_id());
        }
        let edits: Vec<_> = [(Some(id), Some(wire_id.as_str())), (token, wire_token)]
            .into_iter()
            .filter_map(|(old, new)| Some((old?, new?)))
            .collect();
        self.outbound
            .push(request.with(&edits))
            .map_err(|_| Fault::busy("server_busy", "the MCP server does not read its input"))?;
        let token = wire_token
            .and_then(Key::of)
            .zip(token.map(ToOwned::to_owned));
        if let Some((key, _)) = &token {
            state.tokens.insert(key.clone(), wire.clone());
        }
        let out = Arc::new(Queue::new(
            self.limits.queue_messages,
            self.limits.queue_bytes,
        ));
        let now = Instant::now();
        let (patience, limit) = self.patience(purpose);
        let flight = Flight {
            number,
            id: id.to_owned(),
            wire_id,
            token,
            purpose,
            wants_log: request.param(&["_meta", META_LOG_LEVEL]).is_some(),
            attached: true,
            cancelled: false,
            questions: 0,
            deadline: patience.map(|patience| now + patience),
            limit: limit.map(|limit| now + limit),
            out: out.clone(),
        };
        state.flights.insert(wire.clone(), flight);
        state.last_used = now;
        Ok(Ticket {
            link: self.clone(),
            wire,
            number,
            out,
        })
    }

    fn patience(&self, purpose: Purpose) -> (Option<Duration>, Option<Duration>) {
        let limits = &self.limits;
        match purpose {
            Purpose::Listen => (None, None),
            Purpose::Probe => (Some(limits.probe_timeout), Some(limits.probe_timeout)),
            Purpose::Ordinary | Purpose::Opening => {
                (Some(limits.request_timeout), Some(limits.request_limit))
            }
        }
    }

    /// Asks the server itself whether it knows sessionless MCP, in the name of the client that sent
    /// `request`. The answer shows in [`Link::settled`].
    pub(super) fn probe(self: &Arc<Self>, request: &Message) -> Result<(), Fault> {
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
        match timeout(self.limits.probe_timeout + DRAIN, known).await {
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
        self.outbound
            .push(line)
            .map_err(|_| Fault::busy("server_busy", "the MCP server does not read its input"))
    }

    /// Receives what belongs to no request; the latest listener takes over from earlier ones.
    pub(super) fn listen(self: &Arc<Self>) -> Listener {
        let mut state = self.state();
        state.next += 1;
        let replaced = CancellationToken::new();
        let mine = (state.next, replaced.clone());
        if let Some((_, earlier)) = state.listener.replace(mine) {
            earlier.cancel();
        }
        Listener {
            link: self.clone(),
            number: state.next,
            replaced,
        }
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
        (state.flights.is_empty() && state.listener.is_none()).then_some(state.last_used)
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
            let cancellation = flight.cancellation("no answer in time");
            if self.outbound.push(cancellation).is_err() {
                tracing::debug!("cannot tell the MCP server of a cancellation: it does not read");
            }
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
                Purpose::Ordinary | Purpose::Listen => flight.fail(&self.too_late()),
            }
        }
        let unused = state.flights.is_empty() && state.listener.is_none();
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

    /// The caller of a request does not read any more.
    fn leave(&self, wire: &Key, number: u64) {
        let mut state = self.state();
        state.last_used = Instant::now();
        let shared = state.shared;
        let Some(flight) = state.flights.get_mut(wire).filter(|f| f.number == number) else {
            return;
        };
        match flight.purpose {
            Purpose::Ordinary | Purpose::Listen if shared => {
                let cancellation = flight.cancellation("the caller went away");
                state.take(wire);
                if self.outbound.push(cancellation).is_err() {
                    tracing::debug!(
                        "cannot tell the MCP server of a cancellation: it does not read"
                    );
                }
            }
            Purpose::Opening => {
                state.take(wire);
                self.end();
            }
            // With sessions, going away does not mean to cancel; and a probe serves everyone.
            Purpose::Ordinary | Purpose::Listen | Purpose::Probe => {
                flight.attached = false;
                flight.out.close();
            }
        }
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

/// The caller's end of one request. Dropping it before the answer tells the link that nobody waits.
#[derive(Debug)]
pub(super) struct Ticket {
    link: Arc<Link>,
    wire: Key,
    number: u64,
    out: Arc<Queue<Event>>,
}

impl Ticket {
    /// What comes next; `None` after the answer. Cancel-safe.
    pub(super) async fn next(&self) -> Option<Event> {
        self.out.pop().await
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.link.leave(&self.wire, self.number);
    }
}

/// Receives the messages of a session that belong to no request.
#[derive(Debug)]
pub(super) struct Listener {
    link: Arc<Link>,
    number: u64,
    replaced: CancellationToken,
}

impl Listener {
    /// What comes next; `None` when the session ended or another listener took over. Cancel-safe.
    pub(super) async fn next(&self) -> Option<Bytes> {
        tokio::select! {
            biased;
            () = self.replaced.cancelled() => None,
            message = self.link.inbox.pop() => message,
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut state = self.link.state();
        state.last_used = Instant::now();
        if state
            .listener
            .as_ref()
            .is_some_and(|(number, _)| *number == self.number)
        {
            state.listener = None;
        }
    }
}

/// Closes the link also when its task is dropped because the node stops.
struct Ending(Arc<Link>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.close("the node stopped it");
        self.0.gone.cancel();
    }
}

/// Serves the streams until one of them or the process ends, or the link is asked to.
async fn run(link: Ending, pipes: Pipes) {
    let Pipes {
        stdin,
        stdout,
        mut process,
    } = pipes;
    let link_ref = &link.0;
    let reason = {
        let leaving = async {
            let reason = tokio::select! {
                reason = write(link_ref, stdin) => reason,
                status = status(&mut process) => format!("its process ended ({status})"),
            };
            sleep(DRAIN).await;
            reason
        };
        tokio::select! {
            reason = read(link_ref, stdout) => reason,
            reason = leaving => reason,
            never = watch_the_clock(link_ref) => match never {},
            () = link_ref.ending.cancelled() => "the session ended".to_owned(),
        }
    };
    let status = timeout(EXIT_STATUS, status(&mut process)).await;
    link_ref.close(&match status {
        Ok(status) if !link_ref.ending.is_cancelled() => format!("its process ended ({status})"),
        _ => reason,
    });
    if let Some(process) = process {
        process.end(link_ref.limits.stop_grace).await;
    }
}

async fn status(process: &mut Option<Process>) -> String {
    match process {
        Some(process) => process.ended().await,
        None => std::future::pending().await,
    }
}

async fn watch_the_clock(link: &Link) -> Infallible {
    let longest = Duration::from_secs(1);
    let shortest = Duration::from_millis(5);
    let limits = &link.limits;
    let soonest = limits
        .request_timeout
        .min(limits.probe_timeout)
        .min(limits.idle_timeout);
    let mut ticks = interval((soonest / 20).clamp(shortest, longest));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let now = ticks.tick().await;
        link.tick(now);
    }
}

async fn read(link: &Link, from: impl AsyncRead + Unpin) -> String {
    let mut from = BufReader::with_capacity(READ_BUFFER, from);
    loop {
        match next_line(&mut from, link.limits.max_message).await {
            Ok(Some(Line::Text(line))) => link.receive(line),
            Ok(Some(Line::TooLong(_))) => link.receive_too_long(),
            Ok(None) => return "it closed its output".to_owned(),
            Err(e) => return format!("its output cannot be read: {e}"),
        }
    }
}

async fn write(link: &Link, mut to: impl AsyncWrite + Unpin) -> String {
    while let Some(line) = link.outbound.pop().await {
        let sent = async {
            to.write_all(&line).await?;
            to.write_all(b"\n").await?;
            to.flush().await
        };
        if let Err(e) = sent.await {
            return format!("it closed its input: {e}");
        }
    }
    "the session ended".to_owned()
}
