//! Where a node lives: its home, its key and its address, all known before it starts.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use peerage::{
    Builder, Multiaddr, Node, PeerId,
    config::{IdentitySource, Phrase},
};
use peerage_core::{Identity, multiaddr::Protocol};
use peerage_services::mcp::functions::FunctionServer;
use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};
use serde_json::{Map, Value};
use tempfile::TempDir;

/// The first address in memory that a lab uses; one address is used once in a process, so that labs of
/// tests that run side by side do not meet.
static NEXT_ADDRESS: AtomicU64 = AtomicU64::new(1_000);

/// A folder with the homes of nodes. It goes with everything in it when it is dropped.
#[derive(Debug)]
pub struct Lab {
    folder: TempDir,
}

impl Lab {
    /// An empty lab.
    ///
    /// # Panics
    ///
    /// When there can be no temporary folder.
    #[must_use]
    pub fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("lab-").tempdir();
        Self {
            folder: folder.expect("a temporary folder can be made"),
        }
    }

    /// The folder, for what a test puts there.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A place with a home of its own: a stranger to all others.
    #[must_use]
    pub fn place(&self, name: &str) -> Place {
        self.place_at(name, name)
    }

    /// A place under a home that others may share, whose nodes are then members of one mesh.
    #[must_use]
    pub fn place_at(&self, home: &str, name: &str) -> Place {
        let address = NEXT_ADDRESS.fetch_add(1, Ordering::Relaxed);
        Place {
            home: self.folder.path().join(home),
            name: name.to_owned(),
            phrase: format!("lab {address}"),
            address: Protocol::Memory(address).into(),
            peers: Vec::new(),
        }
    }

    /// `count` places with a home each, of which each knows the others' addresses.
    #[must_use]
    pub fn places(&self, count: usize) -> Vec<Place> {
        let mut places: Vec<Place> = (0..count).map(|n| self.place(&format!("n{n}"))).collect();
        let addresses: Vec<Multiaddr> = places.iter().map(Place::address).collect();
        for (n, place) in places.iter_mut().enumerate() {
            let others = addresses
                .iter()
                .enumerate()
                .filter(|(other, _)| *other != n);
            place.peers = others.map(|(_, address)| address.clone()).collect();
        }
        places
    }
}

impl Default for Lab {
    fn default() -> Self {
        Self::new()
    }
}

/// Where a node lives.
#[derive(Clone, Debug)]
pub struct Place {
    home: PathBuf,
    name: String,
    phrase: String,
    address: Multiaddr,
    peers: Vec<Multiaddr>,
}

impl Place {
    /// The node's id.
    #[must_use]
    pub fn peer_id(&self) -> PeerId {
        Identity::from_insecure_phrase(&self.phrase).peer_id()
    }

    /// Where the node is reached, with its id.
    #[must_use]
    pub fn address(&self) -> Multiaddr {
        self.address.clone().with(Protocol::P2p(self.peer_id()))
    }

    /// The same place, whose node knows this one's address.
    #[must_use]
    pub fn knowing(mut self, other: &Self) -> Self {
        self.peers.push(other.address());
        self
    }

    /// The same place, whose node is told of nobody.
    #[must_use]
    pub fn knowing_nobody(mut self) -> Self {
        self.peers.clear();
        self
    }

    /// A node of this place, to be described further.
    #[must_use]
    pub fn builder(&self) -> Builder {
        let builder = Node::builder(&self.home)
            .name(&self.name)
            .identity(IdentitySource::InsecurePhrase(Phrase::new(&self.phrase)))
            .listen(self.address.clone())
            .in_memory();
        self.peers
            .iter()
            .fold(builder, |builder, peer| builder.peer(peer.clone()))
    }

    /// Starts the node of this place.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub async fn start(&self) -> Node {
        self.builder().spawn().await.expect("the node starts")
    }
}

/// A server with one tool, `touch`, that counts its calls.
#[must_use]
pub fn counted(counter: &Arc<AtomicUsize>) -> FunctionServer {
    let counter = counter.clone();
    FunctionServer::new("counted").tool(
        "touch",
        "Counts its calls",
        move |_: Map<String, Value>| {
            let count = counter.fetch_add(1, Ordering::SeqCst) + 1;
            async move { Ok::<_, String>(count) }
        },
    )
}

/// The numbers below `count` in an order that follows from the seed.
#[must_use]
pub fn shuffled(count: usize, seed: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    order.shuffle(&mut StdRng::seed_from_u64(seed));
    order
}
