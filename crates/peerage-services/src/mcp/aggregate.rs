//! One MCP server that offers every tool this node may call, whichever peer shares it.
//!
//! [`Aggregate`] knows nothing of peers or the mesh: it asks a [`ToolSource`] what there is and has it
//! make the calls. It serves Streamable HTTP ([`Aggregate::routes`]) and byte streams such as stdio
//! ([`Aggregate::serve_stream`]), in the current protocol and the one before.
//!
//! The list has one order and one name per tool whatever else is in it, and a change is announced only
//! when what clients would list is really different. With more than [`MAX_LISTED`] tools clients are
//! offered three tools instead, to search, describe and call the others.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicBool},
    time::Duration,
};

use async_trait::async_trait;
use axum::Router;
use peerage_core::PeerId;
use peerage_mesh::Tasks;
use serde_json::{Map, Value};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
};
use tokio_util::sync::CancellationToken;

use self::{handler::Handler, listing::Listing, stream::serve_stream, whole::Marker};
pub use self::{search::Found, stream::ServeError};
use super::{
    client::{ProgressSink, ToolCallError},
    endpoint::{self, Hosts},
};

mod handler;
mod listing;
mod meta;
mod search;
mod stream;
#[cfg(test)]
mod tests;
mod whole;

/// The most tools that are listed one by one, unless all are wanted.
pub const MAX_LISTED: usize = 40;

/// How long the list must be quiet before a change of it is announced.
const QUIET: Duration = Duration::from_millis(100);

/// One MCP server of one peer, as the peer's card tells of it.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerEntry {
    /// The peer that shares it; this node itself for its own servers.
    pub peer: PeerId,
    /// What the peer calls itself.
    pub peer_name: String,
    /// The server's name on that peer.
    pub server: String,
    /// What the server is for, for people and models; may be empty.
    pub description: String,
    /// Its tools, each the whole MCP tool object. Malformed ones are left out of the list.
    pub tools: Vec<Value>,
    /// Whether what it says was written on another machine.
    pub remote: bool,
    /// Whether calls would get there now. The tools of unreachable servers are not listed, but keep
    /// their names, so that a call of one is told why it fails.
    pub reachable: bool,
}

/// Where the tools are: what [`Aggregate`] needs to know and have done.
#[async_trait]
pub trait ToolSource: Send + Sync + 'static {
    /// All servers this node may call. Cheap: asked again after each change.
    fn servers(&self) -> Vec<ServerEntry>;

    /// Counts up whenever [`ToolSource::servers`] may have changed.
    fn changes(&self) -> watch::Receiver<u64>;

    /// Calls a tool; the result is the whole MCP result object.
    ///
    /// Dropping the future gives the call up, and so does `cancel`.
    ///
    /// # Errors
    ///
    /// What the server said, or why nothing came from it.
    async fn call(
        &self,
        tool: ToolCall,
        progress: Option<ProgressSink>,
        cancel: CancellationToken,
    ) -> Result<Value, ToolCallError>;
}

/// A call of one tool.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolCall {
    /// The peer that shares the server.
    pub peer: PeerId,
    /// The server's name on that peer.
    pub server: String,
    /// The tool's name on that server.
    pub tool: String,
    /// What it is called with.
    pub arguments: Map<String, Value>,
}

/// What the aggregate offers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AggregateConfig {
    /// Lists every tool however many there are. Default: no.
    pub all_tools: bool,
    /// Tools that are listed even when the others are left to search: names in the aggregate or
    /// `peer/server/tool`, with `*` for any characters and `?` for one. Default: none.
    pub pinned: Vec<String>,
    /// Tools that are closed to sessions that have read what another machine's tools said, in the same words. Clients over HTTP
    /// that have no session count as one. Default: none.
    pub not_after_remote: Vec<String>,
}

/// The aggregated server. Clones are the same server.
#[derive(Clone)]
pub struct Aggregate {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Aggregate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Aggregate")
            .field("config", &self.shared.config)
            .finish_non_exhaustive()
    }
}

impl Aggregate {
    /// The server over `source`; it follows the source's changes until `tasks` stop.
    #[must_use]
    pub fn new(source: Arc<dyn ToolSource>, config: AggregateConfig, tasks: &Tasks) -> Self {
        let changes = source.changes();
        let built_for = *changes.borrow();
        let listing = Arc::new(Listing::build(&source.servers(), &config));
        let shared = Arc::new(Shared {
            announced: watch::Sender::new(listing.digest()),
            built: Mutex::new((built_for, listing)),
            changes,
            config,
            marker: Marker::new(),
            read_remote: Arc::default(),
            source,
            tasks: tasks.clone(),
        });
        tasks.spawn("mcp aggregate", announce_changes(shared.clone()));
        Self { shared }
    }

    /// Routes that answer at `/` over Streamable HTTP, to names of loopback only.
    pub fn routes(&self) -> Router {
        let shared = self.shared.clone();
        let marker = shared.marker.clone();
        endpoint::router(
            move || Handler::new(shared.clone(), Some(shared.read_remote.clone())),
            Hosts::Loopback,
            &self.shared.tasks,
        )
        .layer(axum::middleware::map_response(move |response| {
            std::future::ready(whole::restore_response(&marker, response))
        }))
    }

    /// Serves one client over a stream of newline-delimited JSON, until it goes away or the node stops.
    ///
    /// # Errors
    ///
    /// [`ServeError`] when the client did not introduce itself as the protocol says, or the stream broke.
    pub async fn serve_stream<S>(&self, stream: S) -> Result<(), ServeError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        serve_stream(self.shared.clone(), stream).await
    }

    /// The tools that fit `query` best, best first: at most `limit`.
    #[must_use]
    pub fn search(&self, query: &str, limit: usize) -> Vec<Found> {
        search::search(&self.shared.listing(), query, limit)
    }
}

/// What all clients of an aggregate share.
struct Shared {
    source: Arc<dyn ToolSource>,
    changes: watch::Receiver<u64>,
    config: AggregateConfig,
    marker: Marker,
    /// Whether a client without a session has read what another machine's tools said.
    read_remote: Arc<AtomicBool>,
    /// The list, and the change it was built for.
    built: Mutex<(u64, Arc<Listing>)>,
    /// The digest of the list that clients were told of last.
    announced: watch::Sender<[u8; 32]>,
    tasks: Tasks,
}

impl Shared {
    /// The list as it is now: built anew if the source changed.
    fn listing(&self) -> Arc<Listing> {
        let mut built = self.built();
        let change = *self.changes.borrow();
        if built.0 != change {
            let listing = Listing::build(&self.source.servers(), &self.config);
            *built = (change, Arc::new(listing));
        }
        built.1.clone()
    }

    fn built(&self) -> MutexGuard<'_, (u64, Arc<Listing>)> {
        self.built.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells the handlers when clients would list something else than they were told of last.
async fn announce_changes(shared: Arc<Shared>) {
    let mut changes = shared.changes.clone();
    // A change between building the first list and here is one too.
    changes.mark_changed();
    while changes.changed().await.is_ok() {
        tokio::time::sleep(QUIET).await;
        changes.mark_unchanged();
        let digest = shared.listing().digest();
        shared.announced.send_if_modified(|announced| {
            let is_new = *announced != digest;
            *announced = digest;
            is_new
        });
    }
}
