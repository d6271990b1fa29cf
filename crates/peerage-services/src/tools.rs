//! Every tool this node may call, its own and its peers', and how to call one.

mod origin;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use axum::{Router, body::Body};
use http::{Request, Response};
use peerage_core::{
    PeerId,
    address::Address,
    peer_book::{PeerEvent, Relation},
    problem::Problem,
};
use peerage_mesh::Change;
use serde_json::Value;
use tokio::sync::{broadcast::error::RecvError, watch};
use tokio_util::sync::CancellationToken;

use crate::{
    context::{Context, ask},
    mcp::{
        MCP_PREFIX,
        aggregate::{ServerEntry, ToolCall, ToolSource},
        client::{CallOptions, HttpCall, McpClient, ProgressSink, ToolCallError},
    },
    names,
};

/// Clients that are kept; past it the cache is emptied, and sessions begin anew.
const MAX_CLIENTS: usize = 1024;

/// See the module's page. Clones share their clients.
#[derive(Clone)]
pub struct Tools(Arc<Inner>);

struct Inner {
    ctx: Context,
    own: Router,
    clients: Mutex<HashMap<(Target, String), McpClient>>,
    changes: watch::Sender<u64>,
}

/// Whose servers are called.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Target {
    /// A peer's, or this node's own.
    Peer(PeerId),
    /// Those of whoever bears a name, through its gateway.
    Name(Address),
}

impl std::fmt::Debug for Tools {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tools").finish_non_exhaustive()
    }
}

impl Tools {
    /// The tools of a node; `own` is the router that answers for its own shares.
    #[must_use]
    pub fn new(ctx: &Context, own: Router) -> Self {
        let tools = Self(Arc::new(Inner {
            ctx: ctx.clone(),
            own,
            clients: Mutex::default(),
            changes: watch::Sender::new(0),
        }));
        ctx.tasks.spawn("tools", tools.clone().follow());
        tools
    }

    /// Calls a tool with a deadline and all other options. What a peer answers says so in its `_meta`.
    ///
    /// # Errors
    ///
    /// What the server said, or why nothing came from it.
    pub async fn call_with(
        &self,
        call: ToolCall,
        mut options: CallOptions,
    ) -> Result<Value, ToolCallError> {
        options.repeats_arguments |= self.repeats_arguments(&call);
        let client = self.client(Target::Peer(call.peer), &call.server);
        let mut result = client
            .call_tool(&call.tool, call.arguments, options)
            .await?;
        if call.peer != self.0.ctx.me() {
            let origin = origin::of_peer(&self.0.ctx, call.peer, &call.server);
            origin::mark(&mut result, origin);
        }
        Ok(result)
    }

    /// Calls a tool of whoever bears a name that is behind a gateway, which is the call's peer.
    ///
    /// # Errors
    ///
    /// As [`Tools::call_with`].
    pub async fn call_behind(
        &self,
        name: Address,
        call: ToolCall,
        options: CallOptions,
    ) -> Result<Value, ToolCallError> {
        let client = self.client(Target::Name(name.clone()), &call.server);
        let mut result = client
            .call_tool(&call.tool, call.arguments, options)
            .await?;
        origin::mark(&mut result, origin::behind(&name, call.peer, &call.server));
        Ok(result)
    }

    /// Says in the result of a call by which name its peer was called, which that peer has proved.
    pub fn called_by(result: &mut Value, name: &Address) {
        origin::called_by(result, name);
    }

    /// The tools of one server, asked for now.
    ///
    /// # Errors
    ///
    /// As [`Tools::call_with`].
    pub async fn list(&self, peer: PeerId, server: &str) -> Result<Vec<Value>, ToolCallError> {
        self.client(Target::Peer(peer), server).list_tools().await
    }

    /// Whether the tool wants arguments repeated in headers, as far as it is known.
    fn repeats_arguments(&self, call: &ToolCall) -> bool {
        let wants = |name: Option<&Value>, schema: Option<&Value>| {
            name.and_then(Value::as_str) == Some(&call.tool) && schema.is_some_and(wants_headers)
        };
        let ctx = &self.0.ctx;
        if call.peer == ctx.me() {
            let tools = ctx.shares.get(&call.server).map(|share| share.tools());
            return tools
                .unwrap_or_default()
                .iter()
                .any(|tool| wants(tool.get("name"), tool.get("inputSchema")));
        }
        ctx.mesh.book().read(|book| {
            let card = book.get(&call.peer).and_then(|record| record.card.as_ref());
            let servers = card.map(|card| card.servers()).unwrap_or_default();
            let server = servers.iter().find(|server| server.name == call.server);
            server.is_some_and(|server| {
                let mut tools = server.tools.iter();
                tools.any(|tool| wants(tool.get("name"), tool.get("inputSchema")))
            })
        })
    }

    fn client(&self, target: Target, server: &str) -> McpClient {
        let mut clients = self
            .0
            .clients
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if clients.len() >= MAX_CLIENTS {
            clients.clear();
        }
        let key = (target.clone(), server.to_owned());
        let make = || {
            let http = Arc::new(Way {
                ctx: self.0.ctx.clone(),
                own: self.0.own.clone(),
                target,
            });
            McpClient::new(http, format!("{MCP_PREFIX}{server}"), &self.0.ctx.tasks)
        };
        clients.entry(key).or_insert_with(make).clone()
    }

    /// Counts up when a card, a connection, a relation or an own share has changed.
    async fn follow(self) {
        let mut book = self.0.ctx.mesh.book().watch();
        let mut shares = self.0.ctx.shares.changes();
        loop {
            tokio::select! {
                changed = shares.changed() => if changed.is_err() { return },
                change = book.recv() => match change {
                    Ok(Change { event, .. }) if !matters(&event) => continue,
                    Ok(_) | Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return,
                },
            }
            self.0.changes.send_modify(|version| *version += 1);
        }
    }
}

/// Whether a tool's schema wants an argument repeated in a header.
fn wants_headers(schema: &Value) -> bool {
    let properties = schema.get("properties").and_then(Value::as_object);
    properties.is_some_and(|properties| {
        let mut schemas = properties.values();
        schemas.any(|schema| schema.get("x-mcp-header").is_some() || wants_headers(schema))
    })
}

fn matters(event: &PeerEvent) -> bool {
    matches!(
        event,
        PeerEvent::CardAccepted(_)
            | PeerEvent::Connected { .. }
            | PeerEvent::Disconnected { .. }
            | PeerEvent::Related(_)
    )
}

#[async_trait]
impl ToolSource for Tools {
    fn servers(&self) -> Vec<ServerEntry> {
        let ctx = &self.0.ctx;
        let mut servers: Vec<ServerEntry> = ctx
            .shares
            .all()
            .iter()
            .map(|share| ServerEntry {
                peer: ctx.me(),
                peer_name: ctx.facts.name.clone(),
                server: share.name.clone(),
                description: String::new(),
                tools: share.tools(),
                remote: false,
                reachable: true,
            })
            .collect();
        ctx.mesh.book().read(|book| {
            for (peer, record) in book.iter() {
                let Some(card) = &record.card else { continue };
                // A stranger could put instructions for models into its tools' descriptions: what it
                // shares with everyone is called by PeerId, but not offered to this machine's agents.
                if record.relation == Relation::Stranger {
                    continue;
                }
                servers.extend(card.servers().iter().map(|server| ServerEntry {
                    peer: *peer,
                    peer_name: card.name().to_owned(),
                    server: server.name.clone(),
                    description: server.description.clone(),
                    tools: server.tools.iter().cloned().map(Value::Object).collect(),
                    remote: true,
                    reachable: record.link.is_some(),
                }));
            }
        });
        servers
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    async fn call(
        &self,
        call: ToolCall,
        progress: Option<ProgressSink>,
        cancel: CancellationToken,
    ) -> Result<Value, ToolCallError> {
        let options = CallOptions {
            progress,
            cancel,
            ..CallOptions::default()
        };
        self.call_with(call, options).await
    }
}

/// Reaches one peer's routes, or this node's own.
struct Way {
    ctx: Context,
    own: Router,
    target: Target,
}

#[async_trait]
impl HttpCall for Way {
    async fn call(&self, request: Request<Body>) -> Result<Response<Body>, Problem> {
        match &self.target {
            Target::Peer(peer) if *peer == self.ctx.me() => Ok(ask(&self.own, request).await),
            Target::Peer(peer) => self.ctx.call(*peer, request).await,
            Target::Name(name) => {
                let meant = names::of(&self.ctx, name.clone()).await?;
                let (_, response) = names::call(&self.ctx, &self.own, meant, request).await?;
                Ok(response)
            }
        }
    }
}
