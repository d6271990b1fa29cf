//! The bounds within which a shared stdio server is run.

use std::{ffi::OsString, time::Duration};

/// Bounds of one shared server. `Default` gives what each field documents.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// How long a request may take without any sign of progress: 60 s.
    pub request_timeout: Duration,
    /// How long a request may take in all, however much progress it reports: 1 h. Subscriptions are
    /// exempt from both.
    pub request_limit: Duration,
    /// How long a server may take to answer `server/discover` before it counts as one that does not
    /// know it: 8 s, which is less than clients wait.
    pub probe_timeout: Duration,
    /// How long a child stays without a request in flight and without a client listening: 10 min.
    pub idle_timeout: Duration,
    /// How long a child may take to leave after its input was closed, and again after SIGTERM: 2 s.
    pub stop_grace: Duration,
    /// How long to wait for a result that can be sent as plain JSON before a stream is opened: 10 s.
    /// Some clients take far larger results as JSON than as one event of a stream.
    pub stream_after: Duration,
    /// Time between the comments that keep a silent stream open: 15 s.
    pub heartbeat: Duration,
    /// Largest message in bytes, in either direction: 64 MiB and some slack for its envelope.
    pub max_message: usize,
    /// Children of one caller: 16.
    pub max_sessions_per_caller: usize,
    /// Children in all: 64.
    pub max_sessions: usize,
    /// Requests in flight on one child: 128.
    pub max_in_flight: usize,
    /// Messages that wait for one reader: 1024.
    pub queue_messages: usize,
    /// Bytes that wait for one reader: 128 MiB.
    pub queue_bytes: usize,
    /// A command that runs another one and ends it when the node dies, such as this program with the
    /// arguments that lead to [`guard::run`](super::guard::run). Empty (the default): none, children
    /// are started directly.
    pub guard: Vec<OsString>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request_timeout: Duration::from_secs(60),
            request_limit: Duration::from_secs(60 * 60),
            probe_timeout: Duration::from_secs(8),
            idle_timeout: Duration::from_secs(10 * 60),
            stop_grace: Duration::from_secs(2),
            stream_after: Duration::from_secs(10),
            heartbeat: Duration::from_secs(15),
            max_message: (64 << 20) + (64 << 10),
            max_sessions_per_caller: 16,
            max_sessions: 64,
            max_in_flight: 128,
            queue_messages: 1024,
            queue_bytes: 128 << 20,
            guard: Vec::new(),
        }
    }
}
