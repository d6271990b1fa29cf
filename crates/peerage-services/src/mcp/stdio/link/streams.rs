//! The streams of a session: what each of them has said is kept for a while, so that a client whose
//! connection broke gets the rest of it by asking with the id of the last event that it saw.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Link, State, Ticket};
use crate::mcp::stdio::{
    flight::Event,
    message::Key,
    queue::{Queue, Weight},
};

/// The stream of what belongs to no request. Requests count from one.
const LISTENER: u64 = 0;
/// Streams of one session that are kept without a reader.
const MAX_LOST: usize = 64;
/// Events of one stream that are kept.
const MAX_KEPT: usize = 1024;
/// Bytes of one stream that are kept, and of all streams of a session that have no reader.
const MAX_KEPT_BYTES: usize = 16 << 20;
/// How long a stream is kept without a reader once all is said.
const KEPT_FOR: Duration = Duration::from_secs(120);

/// The streams of one session, by the number of their request.
#[derive(Debug, Default)]
pub(super) struct Streams(BTreeMap<u64, Stream>);

#[derive(Debug)]
struct Stream {
    /// What is still to be said.
    out: Arc<Queue<Event>>,
    /// Its request, as long as that is in flight.
    wire: Option<Key>,
    said: VecDeque<(u64, Event)>,
    said_bytes: usize,
    last: u64,
    reader: Option<(u64, CancellationToken)>,
    lost_at: Instant,
}

/// The place of an event: its stream, and how many came before it there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::mcp::stdio) struct EventId {
    stream: u64,
    sequence: u64,
}

impl EventId {
    /// Reads what [`EventId`] writes.
    pub(in crate::mcp::stdio) fn parse(text: &str) -> Option<Self> {
        let (stream, sequence) = text.split_once('-')?;
        Some(Self {
            stream: stream.parse().ok()?,
            sequence: sequence.parse().ok()?,
        })
    }
}

impl std::fmt::Display for EventId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.stream, self.sequence)
    }
}

/// Reads one stream. Another reader of the same stream takes over from it.
#[derive(Debug)]
pub(in crate::mcp::stdio) struct Reader {
    link: Arc<Link>,
    stream: u64,
    number: u64,
    begun: u64,
    again: VecDeque<(u64, Event)>,
    out: Arc<Queue<Event>>,
    replaced: CancellationToken,
}

impl Reader {
    /// The place just before what this reader will say.
    pub(in crate::mcp::stdio) fn begin(&self) -> EventId {
        self.id(self.begun)
    }

    /// What comes next; `None` after the answer, when the session ended or another reader took over.
    /// Cancel-safe.
    pub(in crate::mcp::stdio) async fn next(&mut self) -> Option<(EventId, Event)> {
        if let Some((sequence, event)) = self.again.pop_front() {
            return Some((self.id(sequence), event));
        }
        loop {
            tokio::select! {
                biased;
                () = self.replaced.cancelled() => return None,
                more = self.out.wait() => if !more { return None },
            }
            let said = self.link.state().streams.say(self.stream, self.number);
            if let Some((sequence, event)) = said {
                return Some((self.id(sequence), event));
            }
        }
    }

    fn id(&self, sequence: u64) -> EventId {
        EventId {
            stream: self.stream,
            sequence,
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.link.state().lose(self.stream, self.number);
    }
}

impl Link {
    /// Receives what belongs to no request, from `after` on if that is kept; the latest listener takes
    /// over from earlier ones.
    pub(in crate::mcp::stdio) fn listen(self: &Arc<Self>, after: Option<EventId>) -> Reader {
        let mut state = self.state();
        state
            .streams
            .0
            .entry(LISTENER)
            .or_insert_with(|| Stream::new(self.inbox.clone(), None));
        let after = after.filter(|after| after.stream == LISTENER);
        let after = after.map_or(u64::MAX, |after| after.sequence);
        let reader = state.read(self, LISTENER, after);
        reader.expect("the stream was made just now")
    }

    /// The rest of a request's stream; `None` if what came after `after` is not kept any more.
    pub(in crate::mcp::stdio) fn resume(self: &Arc<Self>, after: EventId) -> Option<Reader> {
        if after.stream == LISTENER {
            return Some(self.listen(Some(after)));
        }
        let mut state = self.state();
        let stream = state.streams.0.get(&after.stream)?;
        let oldest = stream
            .said
            .front()
            .map_or(stream.last, |(first, _)| first - 1);
        if after.sequence < oldest || after.sequence > stream.last {
            return None;
        }
        state.read(self, after.stream, after.sequence)
    }

    /// Makes the rest of what a ticket receives a stream that can be resumed.
    pub(in crate::mcp::stdio) fn stream(self: &Arc<Self>, ticket: Ticket) -> Reader {
        let (number, wire, out) = ticket.hand_over();
        let mut state = self.state();
        let stream = Stream::new(out, Some(wire));
        state.streams.0.insert(number, stream);
        let reader = state.read(self, number, 0);
        reader.expect("the stream was made just now")
    }
}

impl State {
    /// Whether somebody listens to what belongs to no request.
    pub(super) fn has_listener(&self) -> bool {
        let listener = self.streams.0.get(&LISTENER);
        listener.is_some_and(|stream| stream.reader.is_some())
    }

    /// Forgets streams that nobody came back for.
    pub(super) fn forget_streams(&mut self, now: Instant) {
        let flights = &self.flights;
        self.streams.0.retain(|number, stream| {
            let wire = stream.wire.as_ref();
            let in_flight = wire.and_then(|wire| flights.get(wire));
            if stream.reader.is_some() || in_flight.is_some_and(|it| it.number == *number) {
                stream.lost_at = now;
            }
            *number == LISTENER || stream.lost_at + KEPT_FOR > now
        });
    }

    fn read(&mut self, link: &Arc<Link>, number: u64, after: u64) -> Option<Reader> {
        self.next += 1;
        let stream = self.streams.0.get_mut(&number)?;
        let replaced = CancellationToken::new();
        let mine = (self.next, replaced.clone());
        if let Some((_, earlier)) = stream.reader.replace(mine) {
            earlier.cancel();
        }
        let flight = stream
            .wire
            .as_ref()
            .and_then(|wire| self.flights.get_mut(wire));
        if let Some(flight) = flight.filter(|flight| flight.number == number) {
            flight.attached = true;
        }
        let said = stream.said.iter();
        let again = said.filter(|(sequence, _)| *sequence > after).cloned();
        Some(Reader {
            link: link.clone(),
            stream: number,
            number: self.next,
            begun: after.min(stream.last),
            again: again.collect(),
            out: stream.out.clone(),
            replaced,
        })
    }

    fn lose(&mut self, number: u64, reader: u64) {
        self.last_used = Instant::now();
        let Some(stream) = self.streams.0.get_mut(&number) else {
            return;
        };
        if stream.reader.as_ref().is_none_or(|(it, _)| *it != reader) {
            return;
        }
        stream.reader = None;
        stream.lost_at = Instant::now();
        let flight = stream
            .wire
            .as_ref()
            .and_then(|wire| self.flights.get_mut(wire));
        if let Some(flight) = flight.filter(|flight| flight.number == number) {
            flight.attached = false;
        }
        while let Some(number) = self.streams.one_too_many() {
            if let Some(stream) = self.streams.0.remove(&number) {
                // Its request goes on; what it says is for nobody.
                stream.out.close();
            }
        }
    }
}

impl Streams {
    /// Takes what is next for the reader, and keeps it for the one after it.
    fn say(&mut self, number: u64, reader: u64) -> Option<(u64, Event)> {
        let stream = self.0.get_mut(&number)?;
        if stream.reader.as_ref().is_none_or(|(it, _)| *it != reader) {
            return None;
        }
        let event = stream.out.try_pop()?;
        stream.last += 1;
        stream.said.push_back((stream.last, event.clone()));
        stream.said_bytes += event.weight();
        while stream.said.len() > MAX_KEPT || stream.said_bytes > MAX_KEPT_BYTES {
            let Some((_, oldest)) = stream.said.pop_front() else {
                break;
            };
            stream.said_bytes -= oldest.weight();
        }
        Some((stream.last, event))
    }

    /// The stream that was lost first, if more is kept of such than may be.
    fn one_too_many(&self) -> Option<u64> {
        let lost = self
            .0
            .iter()
            .filter(|(number, stream)| **number != LISTENER && stream.reader.is_none());
        let bytes = lost.clone().map(|(_, stream)| stream.weight());
        let (count, bytes) = (lost.clone().count(), bytes.sum::<usize>());
        let oldest = lost.min_by_key(|(_, stream)| stream.lost_at)?;
        (count > MAX_LOST || bytes > MAX_KEPT_BYTES).then_some(*oldest.0)
    }
}

impl Stream {
    fn new(out: Arc<Queue<Event>>, wire: Option<Key>) -> Self {
        Self {
            out,
            wire,
            said: VecDeque::new(),
            said_bytes: 0,
            last: 0,
            reader: None,
            lost_at: Instant::now(),
        }
    }

    fn weight(&self) -> usize {
        self.said_bytes + self.out.weight()
    }
}
