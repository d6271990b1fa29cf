//! Describes a node before it starts, for programs that embed one.

use std::{future::Future, net::SocketAddr, path::PathBuf};

use peerage_core::{Multiaddr, problem::Problem};
use peerage_mesh::{Limits, Transports};
use peerage_services::{
    api::ShareRequest, audit::AuditSettings, mcp::functions::FunctionServer, names::Gateways,
    secrets::SecretsSettings,
};
use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    config::{Config, IdentitySource, Pins},
    node::{Extras, FUNCTIONS, Node},
};

/// A node to be. Defaults are those of [`Config::new`], but for the local API, which is at a free port.
#[derive(Debug)]
pub struct Builder {
    config: Config,
    extras: Extras,
}

impl Builder {
    pub(crate) fn new(home: impl Into<PathBuf>) -> Self {
        let mut config = Config::new(home);
        config.api = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            config,
            extras: Extras::default(),
        }
    }

    /// The node's name. Default: the host's.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.config.name = name.into();
        self
    }

    /// Listens at this address too, instead of at the default ones. Port 0 is any.
    #[must_use]
    pub fn listen(mut self, address: Multiaddr) -> Self {
        self.config.listen.push(address);
        self
    }

    /// Dials this peer without discovery; the address ends in `/p2p/` and its id.
    #[must_use]
    pub fn peer(mut self, address: Multiaddr) -> Self {
        self.config.peers.push(address);
        self
    }

    /// Finds peers on the local network and is found. Default: yes.
    #[must_use]
    pub fn mdns(mut self, mdns: bool) -> Self {
        self.config.mdns = mdns;
        self
    }

    /// Where the node's key comes from. Default: the stored one.
    #[must_use]
    pub fn identity(mut self, source: IdentitySource) -> Self {
        self.config.identity = source;
        self
    }

    /// What peers may use. Default: as fits this machine's memory.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.config.limits.peers = limits;
        self
    }

    /// Which names are reached through a gateway, and for which this node is one. Default: none.
    #[must_use]
    pub fn gateways(mut self, gateways: Gateways) -> Self {
        self.config.gateways = gateways;
        self
    }

    /// What is done about credentials that are about to leave. Default: those in requests are refused, those in answers are
    /// written over.
    #[must_use]
    pub fn secrets(mut self, secrets: SecretsSettings) -> Self {
        self.config.secrets = secrets;
        self
    }

    /// What is in the audit beside refusals and changes of trust, and how much is kept.
    #[must_use]
    pub fn audit(mut self, audit: AuditSettings) -> Self {
        self.config.audit = audit;
        self
    }

    /// Names and addresses that only one key may have. Default: none.
    #[must_use]
    pub fn pins(mut self, pins: Pins) -> Self {
        self.config.pins = pins;
        self
    }

    /// Shares an MCP server.
    #[must_use]
    pub fn share(mut self, share: ShareRequest) -> Self {
        self.config.shares.push(share);
        self
    }

    /// Speaks over memory with nodes of this process only: for tests.
    #[must_use]
    pub fn in_memory(mut self) -> Self {
        self.extras.transports = Transports::Memory;
        self.config.mdns = false;
        self
    }

    /// Adds a function of this program as a tool, shared with the mesh as `functions/NAME`. Its
    /// arguments are described by their JSON Schema.
    #[must_use]
    pub fn tool<T, R, E, F>(
        mut self,
        name: &str,
        description: &str,
        function: impl Fn(T) -> F + Send + Sync + 'static,
    ) -> Self
    where
        T: DeserializeOwned + JsonSchema + Send + 'static,
        R: Serialize,
        E: std::fmt::Display,
        F: Future<Output = Result<R, E>> + Send + 'static,
    {
        let functions = self.extras.functions.take();
        let functions = functions.unwrap_or_else(|| FunctionServer::new(FUNCTIONS));
        self.extras.functions = Some(functions.tool(name, description, function));
        self
    }

    /// Starts the node.
    ///
    /// # Errors
    ///
    /// See [`Node::spawn`].
    pub async fn spawn(self) -> Result<Node, Problem> {
        Node::spawn_with(self.config, self.extras).await
    }
}
