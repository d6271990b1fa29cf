//! The audit: a line on the disk for each refusal, each change of trust and, where asked, each call.
//!
//! Noting something costs its caller a place in a bounded queue; one task writes. A full queue is counted, and the count
//! stands in the next line. What a peer causes again and again is one line a second with a count. A line never holds a
//! header, a body or a query.

mod body;
mod file;
mod flood;
mod layer;
mod refused;
mod writer;

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use peerage_core::PeerId;
use peerage_mesh::{Budget, Origin, Tasks};
use tokio::{
    sync::{broadcast, mpsc, oneshot},
    time::Instant,
};

pub use self::{
    file::{Filter, read},
    layer::{calls, outgoing},
    writer::line_time,
};
use self::{flood::Flood, writer::Writer};
use crate::{
    api::{AuditEntry, AuditVerdict},
    members::Members,
};

/// Lines that wait to be written.
const QUEUE: usize = 4096;
/// Lines that somebody who follows may be behind.
const BEHIND: usize = 1024;
/// Bytes of a text in a line: names and paths are others' words.
const MAX_TEXT: usize = 256;

/// What is kept, and how much of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditSettings {
    /// Keep each call, from peers and to peers, not only what was refused. Default: no.
    pub calls: bool,
    /// Bytes of one file. Default: 8 MiB.
    pub size: u64,
    /// Files that are kept, the one that is written to among them. Default: 4.
    pub files: u32,
}

impl Default for AuditSettings {
    fn default() -> Self {
        Self {
            calls: false,
            size: 8 * 1024 * 1024,
            files: 4,
        }
    }
}

/// Something that is to be in the audit.
#[derive(Clone, Debug)]
pub struct Event {
    /// Whose it is; nobody in particular where that is not known.
    pub who: Option<Origin>,
    /// What came of it.
    pub verdict: AuditVerdict,
    /// What was done or wanted, one word.
    pub action: &'static str,
    /// With what. Never a header, a body or a query.
    pub object: String,
    /// The rule, or the code of the refusal.
    pub rule: Option<String>,
    /// HTTP status of the answer.
    pub status: Option<u16>,
    /// Bytes of the request's body.
    pub bytes_in: Option<u64>,
    /// Bytes of the answer's body.
    pub bytes_out: Option<u64>,
    /// How long it took.
    pub took: Option<Duration>,
}

impl Event {
    /// An event of which no more is known.
    #[must_use]
    pub fn new(
        who: Option<Origin>,
        verdict: AuditVerdict,
        action: &'static str,
        object: impl Into<String>,
    ) -> Self {
        Self {
            who,
            verdict,
            action,
            object: object.into(),
            rule: None,
            status: None,
            bytes_in: None,
            bytes_out: None,
            took: None,
        }
    }

    /// The same by a rule, or with the code of a refusal.
    #[must_use]
    pub fn by(mut self, rule: impl Into<String>) -> Self {
        self.rule = Some(rule.into());
        self
    }
}

/// What waits for the writer.
enum Item {
    Event(Box<Event>, Note),
    /// Tells when all before it is written.
    Flush(oneshot::Sender<()>),
}

/// What belongs to a line beside the event.
#[derive(Clone, Debug)]
struct Note {
    /// Unix time.
    at: Duration,
    /// How often.
    count: u64,
}

/// See the module's page. Clones share the file.
#[derive(Clone, Debug)]
pub struct Audit(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: AuditSettings,
    file: PathBuf,
    queue: mpsc::Sender<Item>,
    flood: Mutex<Flood>,
    lost: AtomicU64,
    written: broadcast::Sender<Arc<AuditEntry>>,
}

impl std::fmt::Debug for Item {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Event(..) => "Event",
            Self::Flush(_) => "Flush",
        })
    }
}

impl Audit {
    /// Goes on with a file, and with those beside it that it was before. What the budget refuses is noted too.
    #[must_use]
    pub fn open(
        file: PathBuf,
        settings: AuditSettings,
        members: &Members,
        budget: &Budget,
        tasks: &Tasks,
    ) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let audit = Self(Arc::new(Inner {
            settings,
            file,
            queue,
            flood: Mutex::default(),
            lost: AtomicU64::new(0),
            written: broadcast::Sender::new(BEHIND),
        }));
        let writer = Writer::new(audit.clone(), members.clone(), budget.clone());
        tasks.spawn("audit", writer.run(waiting));
        audit
    }

    /// Notes what happened. Never waits.
    pub fn note(&self, event: Event) {
        let admitted = self.flood().admit(event, Instant::now());
        if let Some(event) = admitted {
            self.send(event, 1);
        }
    }

    /// Notes that who may do what has changed.
    pub fn changed(&self, who: Origin, action: &'static str, object: impl Into<String>) {
        self.note(Event::new(Some(who), AuditVerdict::Changed, action, object));
    }

    /// Notes a refusal of a peer's wish.
    pub fn refused(&self, peer: PeerId, action: &'static str, object: &str, code: &str) {
        let who = Some(Origin::Peer(peer));
        self.note(Event::new(who, AuditVerdict::Refused, action, object).by(code));
    }

    /// Whether each call is to be noted.
    #[must_use]
    pub fn wants_calls(&self) -> bool {
        self.0.settings.calls
    }

    /// Returns when all that was noted before is written.
    pub async fn flush(&self) {
        let (done, written) = oneshot::channel();
        if self.0.queue.send(Item::Flush(done)).await.is_ok() {
            let _ = written.await;
        }
    }

    /// What is written from now on.
    #[must_use]
    pub fn follow(&self) -> broadcast::Receiver<Arc<AuditEntry>> {
        self.0.written.subscribe()
    }

    /// The file that is written to, and how many there are with those before it.
    #[must_use]
    pub fn files(&self) -> (PathBuf, u32) {
        (self.0.file.clone(), self.0.settings.files)
    }

    fn send(&self, event: Event, count: u64) {
        let note = Note {
            at: peerage_mesh::book::now(),
            count,
        };
        if self
            .0
            .queue
            .try_send(Item::Event(Box::new(event), note))
            .is_err()
        {
            self.0.lost.fetch_add(count, Ordering::Relaxed);
        }
    }

    fn flood(&self) -> std::sync::MutexGuard<'_, Flood> {
        self.0.flood.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A text as a line may hold it: short, on one line.
fn tidy(text: &str) -> String {
    let mut tidy: String = text.chars().filter(|c| !c.is_control()).collect();
    if tidy.len() > MAX_TEXT {
        let end = (0..=MAX_TEXT).rev().find(|at| tidy.is_char_boundary(*at));
        tidy.truncate(end.unwrap_or(0));
        tidy.push('…');
    }
    tidy
}

#[cfg(test)]
mod tests;
