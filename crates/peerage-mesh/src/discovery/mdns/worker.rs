//! The task that keeps the interfaces, hears what comes, and answers.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use libp2p::Multiaddr;
use tokio::{
    net::UdpSocket,
    sync::{broadcast, mpsc, watch},
    time::{Instant, sleep_until},
};

use super::{
    Config, InterfaceState, InterfaceStatus, Sighting,
    endpoint::Endpoint,
    ledger::Ledger,
    limit::Limit,
    link::{self, Link},
    message::{Announced, MAX_PACKET, P2P, Packet, Query, decode},
    records::Profile,
    socket,
};
use crate::{Tasks, limits::Cause};

/// How often interfaces are looked for.
const RESCAN: Duration = Duration::from_secs(5);
/// How soon they are looked for after one failed.
const RESCAN_SOON: Duration = Duration::from_secs(1);
/// Packets that are read but not yet looked at.
const MAX_WAITING: usize = 64;

/// What a socket's reader says.
#[derive(Debug)]
enum Heard {
    Packet(Vec<u8>, SocketAddr),
    Failed(io::Error),
}

/// Where something was heard: the interface and this machine's address on it.
type Place = (u32, IpAddr);

/// What the owner of the discovery changes.
#[derive(Debug)]
pub(super) struct Inputs {
    pub(super) listen: watch::Receiver<Vec<Multiaddr>>,
    pub(super) name: watch::Receiver<String>,
}

/// What the owner of the discovery learns.
#[derive(Debug)]
pub(super) struct Outputs {
    pub(super) sightings: broadcast::Sender<Sighting>,
    pub(super) status: watch::Sender<Vec<InterfaceStatus>>,
}

/// The state of the task.
#[derive(Debug)]
pub(super) struct Worker {
    config: Config,
    profile: Profile,
    inputs: Inputs,
    outputs: Outputs,
    tasks: Tasks,
    to_heard: mpsc::Sender<(Place, Heard)>,
    heard: mpsc::Receiver<(Place, Heard)>,
    links: Vec<Link>,
    endpoints: Vec<Endpoint>,
    /// Those that could not be opened.
    failed: Vec<InterfaceStatus>,
    next_scan: Instant,
    ledger: Ledger,
    limit: Limit,
}

impl Worker {
    pub(super) fn new(
        config: Config,
        profile: Profile,
        inputs: Inputs,
        outputs: Outputs,
        tasks: Tasks,
    ) -> Self {
        let now = Instant::now();
        let (to_heard, heard) = mpsc::channel(MAX_WAITING);
        Self {
            config,
            profile,
            inputs,
            outputs,
            tasks,
            to_heard,
            heard,
            links: Vec::new(),
            endpoints: Vec::new(),
            failed: Vec::new(),
            next_scan: now,
            ledger: Ledger::new(now),
            limit: Limit::new(now),
        }
    }

    pub(super) async fn run(mut self) {
        let (mut listen, mut name) = (true, true);
        loop {
            self.tick(Instant::now()).await;
            let next = self
                .endpoints
                .iter()
                .map(Endpoint::next)
                .fold(self.next_scan, Instant::min);
            tokio::select! {
                Some((place, heard)) = self.heard.recv() => self.hear(place, heard).await,
                changed = self.inputs.listen.changed(), if listen => {
                    listen = changed.is_ok();
                    self.tell();
                }
                changed = self.inputs.name.changed(), if name => {
                    name = changed.is_ok();
                    self.profile.name = self.inputs.name.borrow().clone();
                    self.tell();
                }
                () = sleep_until(next) => {}
            }
        }
    }

    async fn tick(&mut self, now: Instant) {
        if now >= self.next_scan {
            self.scan(now);
            self.limit.tidy(now);
            let refused = self.ledger.tidy(now);
            if refused > 0 {
                self.config.refused(Cause::MdnsPeers, refused);
                tracing::warn!(
                    refused,
                    "more new peers were announced over mDNS than are believed"
                );
            }
        }
        for endpoint in &mut self.endpoints {
            endpoint.tick(now).await;
        }
        self.publish();
    }

    /// Opens what has come, closes what has gone.
    fn scan(&mut self, now: Instant) {
        self.next_scan = now + RESCAN;
        self.links = match link::scan(self.config.interfaces) {
            Ok(links) => links,
            Err(error) => {
                tracing::warn!(%error, "cannot list the network interfaces");
                return;
            }
        };
        let wanted: Vec<(String, Place)> = self
            .links
            .iter()
            .flat_map(|link| {
                let addresses = [link.v4().map(IpAddr::from), link.v6().map(IpAddr::from)];
                addresses
                    .into_iter()
                    .flatten()
                    .map(|ip| (link.name.clone(), (link.index, ip)))
            })
            .collect();
        let before = self.endpoints.len();
        self.endpoints.retain(|endpoint| {
            wanted
                .iter()
                .any(|(_, (index, ip))| endpoint.is(*index, *ip))
        });
        let closed = self.endpoints.len() < before;
        for endpoint in &mut self.endpoints {
            endpoint.retry(now);
            if closed {
                // What closed said goodbye, which whoever hears the others must not believe.
                endpoint.announce(now);
            }
        }
        self.failed.clear();
        if !self.links.iter().any(Link::is_loopback) {
            self.failed.push(InterfaceStatus {
                name: "loopback".to_owned(),
                address: Ipv4Addr::LOCALHOST.into(),
                state: InterfaceState::Failed("no loopback interface is up".to_owned()),
            });
        }
        for (name, (index, address)) in wanted {
            if self
                .endpoints
                .iter()
                .any(|endpoint| endpoint.is(index, address))
            {
                continue;
            }
            match socket::open(index, address) {
                Ok(socket) => self.add((name, index, address), Arc::new(socket), now),
                Err(error) => self.failed.push(InterfaceStatus {
                    name,
                    address,
                    state: InterfaceState::Failed(error.to_string()),
                }),
            }
        }
        self.tell();
    }

    fn add(&mut self, place: (String, u32, IpAddr), socket: Arc<UdpSocket>, now: Instant) {
        tracing::debug!(interface = place.0, address = %place.2, "mDNS begins");
        let reader = self.tasks.child();
        let read = read(
            (place.1, place.2),
            Arc::clone(&socket),
            self.to_heard.clone(),
        );
        reader.spawn("mdns reader", read);
        let interval = self.config.query_interval;
        self.endpoints
            .push(Endpoint::new(place, socket, reader, interval, now));
    }

    /// Has every interface say what is now true.
    fn tell(&mut self) {
        let now = Instant::now();
        let listen = self.inputs.listen.borrow_and_update();
        for endpoint in &mut self.endpoints {
            let link = self.links.iter().find(|link| link.index == endpoint.index);
            let addresses = link.map_or_else(Vec::new, |link| link.reachable(&listen));
            endpoint.tell(&self.profile, &addresses, now);
        }
    }

    fn publish(&self) {
        let working = self.endpoints.iter().map(|endpoint| InterfaceStatus {
            name: endpoint.name.clone(),
            address: endpoint.address,
            state: endpoint.state.clone(),
        });
        let mut status: Vec<_> = working.chain(self.failed.iter().cloned()).collect();
        status.sort_by(|one, other| (&one.name, one.address).cmp(&(&other.name, other.address)));
        self.outputs.status.send_if_modified(|old| {
            let changed = *old != status;
            *old = status;
            changed
        });
    }

    async fn hear(&mut self, place: Place, heard: Heard) {
        let (packet, source) = match heard {
            Heard::Packet(packet, source) => (packet, source),
            Heard::Failed(error) => {
                tracing::debug!(address = %place.1, %error, "mDNS socket failed");
                self.endpoints
                    .retain(|endpoint| !endpoint.is(place.0, place.1));
                self.next_scan = Instant::now() + RESCAN_SOON;
                return;
            }
        };
        if !self.limit.allows(source.ip(), Instant::now()) {
            self.config.refused(Cause::MdnsPackets, 1);
            return;
        }
        match decode(&packet) {
            Ok(Packet::Query(query)) => self.hear_query(place, &query, source).await,
            Ok(Packet::Response(peers)) => self.hear_response(place, peers, source.ip()),
            Err(error) => tracing::trace!(%source, %error, "ignored an mDNS packet"),
        }
    }

    async fn hear_query(&mut self, place: Place, query: &Query, source: SocketAddr) {
        let Some(endpoint) = self
            .endpoints
            .iter_mut()
            .find(|one| one.is(place.0, place.1))
        else {
            return;
        };
        let Some(link) = self.links.iter().find(|link| link.index == place.0) else {
            return;
        };
        endpoint.heard();
        if endpoint.is_own(query) && link.owns(source.ip()) {
            return;
        }
        let replies = endpoint.wanted(query);
        if source.port() == socket::PORT {
            endpoint.plan(&replies, Instant::now());
            return;
        }
        // Whoever asks from another port does not hear the group, except rust-libp2p, which does.
        let p2p = query.questions.iter().any(|question| question.name == *P2P);
        if p2p {
            endpoint.plan(&replies, Instant::now());
        }
        if link.contains(source.ip()) {
            endpoint.answer(&replies, query, source).await;
        }
    }

    fn hear_response(&mut self, place: Place, peers: Vec<Announced>, source: IpAddr) {
        if let Some(endpoint) = self
            .endpoints
            .iter_mut()
            .find(|one| one.is(place.0, place.1))
        {
            endpoint.heard();
        }
        let Some(link) = self.links.iter().find(|link| link.index == place.0) else {
            return;
        };
        let now = Instant::now();
        for mut announced in peers {
            if announced.peer == self.profile.peer {
                continue;
            }
            announced.addresses = link.believable(source, &announced.addresses);
            if announced.addresses.is_empty() && announced.ttl > 0 {
                continue;
            }
            if let Some(sighting) = self.ledger.enter(place.0, source, announced, now) {
                // Without a listener there is nobody to tell.
                let _unheard = self.outputs.sightings.send(sighting);
            }
        }
    }
}

/// Reads a socket until it fails. A full queue holds it up, and the system drops what comes meanwhile.
async fn read(place: Place, socket: Arc<UdpSocket>, heard: mpsc::Sender<(Place, Heard)>) {
    let mut buffer = vec![0; MAX_PACKET + 1];
    loop {
        let (event, last) = match socket.recv_from(&mut buffer).await {
            Ok((length, source)) => (Heard::Packet(buffer[..length].to_vec(), source), false),
            Err(error) => (Heard::Failed(error), true),
        };
        if heard.send((place, event)).await.is_err() || last {
            return;
        }
    }
}
