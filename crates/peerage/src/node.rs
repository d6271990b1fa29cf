//! The node: a mesh, a book, what is shared and one service, put together.

use std::{sync::Arc, time::Instant};

use peerage_core::{Multiaddr, PeerId, multiaddr::Protocol, problem::Problem};
use peerage_mesh::{Book, Inbound, Mesh, MeshConfig, Tasks, Transports};
use peerage_services::{
    admin::{self, Doors, Local},
    api::{CallToolRequest, JoinView, MdnsView, NodeFile, NodeStatus},
    audit::Audit,
    card::{self, Introductions},
    context::{Context, Facts, Parts},
    mcp::{
        self, Limits,
        aggregate::{Aggregate, AggregateConfig},
        functions::FunctionServer,
    },
    members::{self, Members},
    names, peers,
    policy::{self, Policy, PolicyParts},
    presence, proxy,
    secrets::Secrets,
    shares::{ShareSpec, Shares},
    store::{Store, StoreError},
    tools::Tools,
    trust,
};
use serde_json::{Map, Value};

use crate::{
    builder::Builder,
    config::{Config, Origin},
    discovery,
    home::Home,
    layers, listeners,
};

/// The program and its version, as told to peers.
const AGENT: &str = concat!("peerage/", env!("CARGO_PKG_VERSION"));
/// The name under which a program's own functions are shared.
pub const FUNCTIONS: &str = "functions";

/// A running node. Dropping it stops it without waiting; [`Node::stop`] waits.
#[derive(Debug)]
pub struct Node {
    local: Local,
    home: Home,
    book: Book,
    socket: std::path::PathBuf,
    tasks: Tasks,
    /// Stops the listeners, which let requests that have begun end; the other tasks stop after them.
    doors: Tasks,
}

/// How mDNS is doing, asked when somebody wants to know.
pub(crate) type MdnsStatus = Arc<dyn Fn() -> Vec<MdnsView> + Send + Sync>;

/// What a node is beside its configuration: what the embedding program adds.
#[derive(Debug, Default)]
pub(crate) struct Extras {
    pub(crate) functions: Option<FunctionServer>,
    pub(crate) transports: Transports,
}

impl Node {
    /// Begins to describe a node that keeps everything in the folder `home`.
    pub fn builder(home: impl Into<std::path::PathBuf>) -> Builder {
        Builder::new(home)
    }

    /// Starts a node as configured.
    ///
    /// # Errors
    ///
    /// What cannot be used and what would help: `already_running`, `home_unusable`, `api_unusable`, …
    pub async fn spawn(config: Config) -> Result<Self, Problem> {
        Self::spawn_with(config, Extras::default()).await
    }

    /// Starts a node. What is listed here is all there is.
    pub(crate) async fn spawn_with(config: Config, extras: Extras) -> Result<Self, Problem> {
        let (tasks, doors) = (Tasks::new(), Tasks::new());
        let home = Home::open(&config.home, &config.name)?;
        let (ctx, inbound) = context(&home, &config, extras.transports, &tasks).await?;
        let book = ctx.mesh.book().clone();
        let mdns = discovery::mdns(&ctx, &config);
        share(&ctx, &config, extras.functions)?;
        let public = public(&ctx);

        let tools = Tools::new(&ctx, public.clone());
        let aggregate = aggregate(&tools, &config, &tasks);
        let listener = listeners::bind_tcp(config.api).await?;
        let (socket, token) = (home.socket()?, home.token()?);
        let unix = listeners::bind_unix(&socket)?;
        let local = Local {
            doors: Doors {
                api: format!("http://{}", local_address(&listener)?),
                token_file: home.token_file().display().to_string(),
                socket: socket.display().to_string(),
            },
            mdns,
            stop: doors.clone(),
            ctx: ctx.clone(),
            tools,
            aggregate,
        };
        let routes = admin::routes(local.clone())
            .merge(mcp::local_routes(&local.aggregate, &tasks))
            .merge(proxy::routes(public.clone()).with_state(ctx.clone()))
            .merge(public.clone());
        let routes = layers::local(routes);

        serve(&tasks, inbound, public);
        let stop = doors.token();
        doors.spawn_graceful(
            "http",
            listeners::tcp(
                listener,
                routes.clone(),
                (token, ctx.audit.clone()),
                stop.clone(),
            ),
        );
        doors.spawn_graceful("socket", listeners::unix(unix, routes, stop));
        tasks.spawn("cards", card::run(ctx.clone()));
        tasks.spawn("members", members::run(ctx.members.clone()));
        tasks.spawn("names", names::run(ctx.clone()));
        tasks.spawn("grants", trust::run(ctx.clone()));
        tasks.spawn("book", peers::run(ctx.store.clone(), book.clone()));
        tasks.spawn("policy", policy::run(ctx.clone()));
        tasks.spawn("presence", presence::run(book.clone()));
        let node = Self {
            local,
            home,
            book,
            socket,
            tasks,
            doors,
        };
        node.announce(&config).await?;
        Ok(node)
    }

    /// What this node is and how it is doing.
    #[must_use]
    pub fn status(&self) -> NodeStatus {
        admin::status(&self.local)
    }

    /// This node's id.
    #[must_use]
    pub fn peer_id(&self) -> PeerId {
        self.local.ctx.me()
    }

    /// All that is known of peers; it can be watched.
    #[must_use]
    pub fn book(&self) -> &Book {
        &self.book
    }

    /// What services are given, for programs that build their own.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.local.ctx
    }

    /// Calls a tool, `PEER/SERVER/TOOL` with its arguments, and returns the MCP result object.
    ///
    /// # Errors
    ///
    /// `bad_tool` for another form; `no_such_peer`; `mcp_error` with the server's words; why nothing
    /// came from there.
    pub async fn call(&self, tool: &str, arguments: Value) -> Result<Value, Problem> {
        let mut parts = tool.rsplitn(3, '/');
        let (Some(name), Some(server), Some(peer)) = (parts.next(), parts.next(), parts.next())
        else {
            let text = format!("`{}` is not PEER/SERVER/TOOL", tool.escape_debug());
            return Err(Problem::new(400, "bad_tool", text).hint("peerage tools"));
        };
        let request = CallToolRequest {
            peer: peer.to_owned(),
            server: server.to_owned(),
            tool: name.to_owned(),
            arguments: object(arguments)?,
            timeout_s: mcp::client::DEADLINE.as_secs(),
        };
        admin::call_by_name(&self.local, request, None).await
    }

    /// Makes an invitation that is good for `seconds` and works once. The code is a secret.
    ///
    /// # Errors
    ///
    /// See [`trust::invite`].
    pub fn invite(&self, seconds: u64) -> Result<String, Problem> {
        Ok(trust::invite(&self.local.ctx, seconds, None)?.code)
    }

    /// Redeems an invitation.
    ///
    /// # Errors
    ///
    /// See [`trust::join`].
    pub async fn join(&self, code: &str) -> Result<JoinView, Problem> {
        trust::join(&self.local.ctx, code).await
    }

    /// Returns when the node was asked to stop through its API.
    pub async fn stopped(&self) {
        self.doors.token().cancelled().await;
    }

    /// Stops: no new requests, those that have begun may end for a moment, children are ended, what is
    /// known is written.
    pub async fn stop(self) {
        self.doors.stop_within(listeners::GRACE).await;
        self.local.ctx.shares.stop().await;
        self.local.ctx.audit.flush().await;
        self.tasks.stop().await;
        policy::keep(&self.local.ctx.policy);
        if let Err(error) = peers::flush(&self.local.ctx.store, &self.book) {
            tracing::error!(%error, "what is known of peers cannot be kept");
        }
        self.home.withdraw(&self.socket);
    }

    /// Waits until it listens, and says where it is reached.
    async fn announce(&self, config: &Config) -> Result<(), Problem> {
        discovery::until_listening(&self.local.ctx.mesh).await;
        let doors = &self.local.doors;
        self.home.announce(&NodeFile {
            pid: std::process::id(),
            name: config.name.clone(),
            api: doors.api.clone(),
            token_file: doors.token_file.clone(),
            socket: doors.socket.clone(),
            started: admin::rfc3339(members::unix_now()),
        })
    }
}

/// Redeems an invitation for a node that is not running: starts it for as long as that takes.
///
/// # Errors
///
/// As [`Node::spawn`] and [`Node::join`].
pub async fn join(mut config: Config, code: &str) -> Result<JoinView, Problem> {
    config.api.set_port(0);
    config.shares.clear();
    let node = Node::spawn(config).await?;
    let joined = node.join(code).await;
    node.stop().await;
    joined
}

impl Drop for Node {
    fn drop(&mut self) {
        self.doors.abort();
        self.tasks.abort();
    }
}

/// What services are given, and the calls that arrive.
async fn context(
    home: &Home,
    config: &Config,
    transports: Transports,
    tasks: &Tasks,
) -> Result<(Context, Inbound), Problem> {
    let identity = home.identity(&config.identity)?;
    let store = Store::open_soon(&home.store())
        .await
        .map_err(|error| opened(error, &config.name))?;
    let book = peers::open(&store, identity.peer_id())?;
    let root = Some(home.root()?);
    let members = Members::open(&identity, &config.name, root, &store, &book)?;
    let members = members.pinning(config.pins.names.clone());
    let policy = Policy::open(PolicyParts {
        file: config.policy_file(),
        pins: config.pins.addresses.clone(),
        members: &members,
        book: &book,
        store: &store,
    })?;
    let mut mesh_config = mesh_config(config, &identity, transports)?;
    mesh_config.gating = Some(Arc::new(policy.clone()));
    let (mesh, inbound) = Mesh::spawn(mesh_config, &book, tasks).map_err(not_started)?;
    let audit = Audit::open(home.audit(), config.audit, &members, mesh.budget(), tasks);

    let ctx = Context::new(Parts {
        shares: Shares::open(&store, tasks, limits(config))?,
        facts: facts(config),
        introductions: Introductions::default(),
        secrets: Secrets::new(config.secrets.clone(), &members, &audit),
        audit,
        names: names::Names::new(config.gateways.clone()),
        identity,
        mesh,
        members,
        policy,
        store,
        tasks: tasks.clone(),
    });
    Ok((ctx, inbound))
}

/// What peers may ask for. Calls that gateways bring are answered by the same routes.
fn public(ctx: &Context) -> axum::Router {
    let routes = card::routes()
        .merge(mcp::routes())
        .merge(names::routes())
        .merge(trust::routes());
    let own = layers::public(routes.clone(), ctx);
    layers::public(routes.merge(names::forward_routes(own)), ctx)
}

fn serve(tasks: &Tasks, inbound: Inbound, public: axum::Router) {
    tasks.spawn("calls", inbound.serve(public));
}

/// Shares what the configuration names, and the functions of the embedding program. What was said on
/// the command line is kept like `peerage share`; the configuration file is its own record.
fn share(ctx: &Context, config: &Config, functions: Option<FunctionServer>) -> Result<(), Problem> {
    for request in &config.shares {
        let flag = matches!(
            config.origin(&format!("shares.{}", request.name)),
            Origin::Flag(_)
        );
        let spec = ShareSpec::try_from(request.clone())?;
        if flag {
            ctx.shares.add(spec)?;
        } else {
            ctx.shares.start(spec)?;
        }
    }
    if let Some(functions) = functions {
        let service = functions.into_router(&ctx.tasks);
        ctx.shares
            .add_service(FUNCTIONS, Default::default(), service)?;
    }
    Ok(())
}

fn aggregate(tools: &Tools, config: &Config, tasks: &Tasks) -> Aggregate {
    let wishes = AggregateConfig {
        all_tools: config.mcp.all_tools,
        pinned: config.mcp.pinned.clone(),
        not_after_remote: config.mcp.not_after_remote.clone(),
    };
    Aggregate::new(Arc::new(tools.clone()), wishes, tasks)
}

fn facts(config: &Config) -> Facts {
    let metadata: Map<String, Value> = config.metadata.clone().into_iter().collect();
    Facts {
        name: config.name.clone(),
        description: config
            .description
            .clone()
            .unwrap_or_else(|| format!("Peerage node {}", config.name)),
        metadata,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started: Instant::now(),
    }
}

fn limits(config: &Config) -> Limits {
    let mut limits = Limits::default();
    limits.request_timeout = config.limits.request_timeout;
    limits.idle_timeout = config.limits.session_idle;
    limits.guard.clone_from(&config.guard);
    limits
}

fn mesh_config(
    config: &Config,
    identity: &peerage_core::Identity,
    transports: Transports,
) -> Result<MeshConfig, Problem> {
    let peers = config.peers.iter().map(named).collect::<Result<_, _>>()?;
    Ok(MeshConfig {
        protocols: Vec::new(),
        identity: identity.clone(),
        listen: config.listen.clone(),
        peers,
        agent: AGENT.to_owned(),
        limits: config.limits.peers,
        gating: None,
        transports,
    })
}

/// The peer at the end of an address, and the address without it.
fn named(address: &Multiaddr) -> Result<(PeerId, Multiaddr), Problem> {
    let mut address = address.clone();
    match address.pop() {
        Some(Protocol::P2p(peer)) => Ok((peer, address)),
        _ => {
            let text = "the address of a peer ends in /p2p/ and the peer's id";
            Err(Problem::new(400, "bad_peer", text)
                .hint("`peerage status` on the peer shows it whole"))
        }
    }
}

fn object(arguments: Value) -> Result<Map<String, Value>, Problem> {
    match arguments {
        Value::Object(arguments) => Ok(arguments),
        Value::Null => Ok(Map::new()),
        _ => Err(Problem::new(
            400,
            "bad_arguments",
            "arguments are a JSON object",
        )),
    }
}

fn local_address(listener: &tokio::net::TcpListener) -> Result<std::net::SocketAddr, Problem> {
    let address = listener.local_addr();
    address.map_err(|error| Problem::new(500, "api_unusable", error.to_string()))
}

fn opened(error: StoreError, name: &str) -> Problem {
    match error {
        StoreError::InUse => Problem::new(
            409,
            "already_running",
            format!("a node called `{name}` is running"),
        )
        .hint("peerage status; or start another one: peerage up --name OTHER"),
        error => error.into(),
    }
}

fn not_started(error: peerage_mesh::StartError) -> Problem {
    Problem::new(500, "mesh_not_started", error.to_string())
        .hint("listen elsewhere: --listen /ip4/0.0.0.0/tcp/0")
}
