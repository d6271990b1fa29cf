//! One interface over one family: its socket, what it says there, and when.

use std::{collections::HashMap, io, net::IpAddr, net::SocketAddr, sync::Arc, time::Duration};

use rand::RngExt;
use tokio::{net::UdpSocket, time::Instant};

use super::{
    InterfaceState,
    message::Query,
    records::{Profile, Records, Reply, Service, Tone, question},
    socket,
};
use crate::Tasks;

/// When the first queries go, after the interface is there.
const FIRST_QUERIES: [Duration; 3] = [
    Duration::ZERO,
    Duration::from_secs(1),
    Duration::from_secs(3),
];
/// How much the intervals vary, in hundredths, so that nodes that started together drift apart.
const JITTER: std::ops::Range<u32> = 80..120;
/// How late the first query may be, in milliseconds (RFC 6762, 5.2).
const FIRST_JITTER: std::ops::Range<u64> = 20..120;
/// How long an answer that others may give too waits, in milliseconds (RFC 6762, 6).
const REPLY_JITTER: std::ops::Range<u64> = 20..120;
/// How soon the same answer goes to everybody again (RFC 6762, 6).
const REPLY_INTERVAL: Duration = Duration::from_secs(1);
/// How often a change is announced, a second apart.
const ANNOUNCEMENTS: u8 = 2;
/// How long an interface may take to bring our own first packet back.
const PROOF: Duration = Duration::from_secs(3);
/// How long one packet may take to be sent.
const SEND_TIMEOUT: Duration = Duration::from_secs(1);

/// When an answer goes to everybody.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    due: Option<Instant>,
    sent: Option<Instant>,
}

/// One interface over one family.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) index: u32,
    pub(super) address: IpAddr,
    pub(super) name: String,
    pub(super) state: InterfaceState,
    pub(super) socket: Arc<UdpSocket>,
    /// Stops the reader.
    reader: Tasks,
    records: Option<Records>,
    opened: Instant,
    query_interval: Duration,
    queries: usize,
    next_query: Instant,
    /// Of our last query, by which it is known when it comes back.
    query_id: u16,
    announcements: u8,
    next_announcement: Instant,
    slots: HashMap<Reply, Slot>,
}

impl Endpoint {
    pub(super) fn new(
        (name, index, address): (String, u32, IpAddr),
        socket: Arc<UdpSocket>,
        reader: Tasks,
        query_interval: Duration,
        now: Instant,
    ) -> Self {
        Self {
            index,
            address,
            name,
            state: InterfaceState::Starting,
            socket,
            reader,
            records: None,
            opened: now,
            query_interval,
            queries: 0,
            next_query: now + millis(FIRST_JITTER),
            query_id: 0,
            announcements: 0,
            next_announcement: now,
            slots: HashMap::new(),
        }
    }

    /// Whether this is where the interface `index` has `address`.
    pub(super) fn is(&self, index: u32, address: IpAddr) -> bool {
        self.index == index && self.address == address
    }

    /// Says from now on what `profile` says where it is reached at `addresses`.
    pub(super) fn tell(
        &mut self,
        profile: &Profile,
        addresses: &[libp2p::Multiaddr],
        now: Instant,
    ) {
        let records = Records::new(profile, addresses).unwrap_or_else(|error| {
            tracing::warn!(%error, "this node cannot be described in DNS records");
            None
        });
        if records == self.records {
            return;
        }
        let renamed = match (&self.records, &records) {
            (Some(old), Some(new)) => !old.same_names(new),
            (Some(_), None) => true,
            (None, _) => false,
        };
        if renamed {
            self.say_goodbye();
        }
        self.records = records;
        self.slots.clear();
        self.announce(now);
    }

    /// Tells everybody unasked.
    pub(super) fn announce(&mut self, now: Instant) {
        self.announcements = if self.records.is_some() {
            ANNOUNCEMENTS
        } else {
            0
        };
        self.next_announcement = now + millis(FIRST_JITTER);
    }

    /// Begins anew where the last packet could not be sent, as if the interface had just come.
    pub(super) fn retry(&mut self, now: Instant) {
        if matches!(self.state, InterfaceState::Failed(_)) {
            self.opened = now;
            self.queries = 0;
            self.next_query = now + millis(FIRST_JITTER);
            self.announce(now);
        }
    }

    /// Whether a query is this node's own, heard again.
    pub(super) fn is_own(&self, query: &Query) -> bool {
        self.queries > 0 && query.id == self.query_id
    }

    /// A packet came: the interface works.
    pub(super) fn heard(&mut self) {
        self.state = InterfaceState::Working;
    }

    /// Plans the answers to a query, to go to everybody.
    pub(super) fn plan(&mut self, replies: &[Reply], now: Instant) {
        for reply in replies {
            let slot = self.slots.entry(*reply).or_default();
            if slot.due.is_none() {
                let soon = now + millis(REPLY_JITTER);
                slot.due = Some(
                    slot.sent
                        .map_or(soon, |sent| soon.max(sent + REPLY_INTERVAL)),
                );
            }
        }
    }

    /// The answers that a query wants.
    pub(super) fn wanted(&self, query: &Query) -> Vec<Reply> {
        let records = self.records.as_ref();
        records.map_or_else(Vec::new, |records| records.wanted(query))
    }

    /// Answers one who asked as in ordinary DNS.
    pub(super) async fn answer(&mut self, replies: &[Reply], query: &Query, to: SocketAddr) {
        for reply in replies {
            let packet = self
                .records
                .as_ref()
                .map(|records| records.packet(*reply, Tone::Legacy(query)));
            if let Some(Ok(packet)) = packet {
                self.send(&packet, to).await;
            }
        }
    }

    /// When there is next something to do.
    pub(super) fn next(&self) -> Instant {
        let mut next = self.next_query;
        if self.announcements > 0 {
            next = next.min(self.next_announcement);
        }
        if self.state == InterfaceState::Starting {
            next = next.min(self.opened + PROOF);
        }
        self.slots
            .values()
            .filter_map(|slot| slot.due)
            .fold(next, Instant::min)
    }

    /// Does what is due.
    pub(super) async fn tick(&mut self, now: Instant) {
        if now >= self.next_query {
            self.query(now).await;
        }
        if self.announcements > 0 && now >= self.next_announcement {
            self.announcements -= 1;
            self.next_announcement = now + REPLY_INTERVAL;
            for reply in [Reply::Browse(Service::P2p), Reply::Browse(Service::Peerage)] {
                self.multicast(reply, now).await;
            }
        }
        let due: Vec<Reply> = self
            .slots
            .iter()
            .filter(|(_, slot)| slot.due.is_some_and(|due| now >= due))
            .map(|(reply, _)| *reply)
            .collect();
        for reply in due {
            self.multicast(reply, now).await;
        }
        if self.state == InterfaceState::Starting && now >= self.opened + PROOF {
            self.state = InterfaceState::Silent;
        }
    }

    async fn query(&mut self, now: Instant) {
        self.query_id = rand::random();
        self.queries += 1;
        self.next_query = match FIRST_QUERIES.get(self.queries) {
            Some(after) => self.opened + *after,
            None => now + self.query_interval,
        };
        let wait = self.next_query.saturating_duration_since(now);
        self.next_query = now + wait * rand::rng().random_range(JITTER) / 100;
        match question(self.query_id) {
            Ok(packet) => {
                self.send(&packet, socket::group(self.index, self.address))
                    .await
            }
            Err(error) => tracing::warn!(%error, "cannot write a query"),
        }
    }

    async fn multicast(&mut self, reply: Reply, now: Instant) {
        self.slots.insert(
            reply,
            Slot {
                due: None,
                sent: Some(now),
            },
        );
        let Some(records) = &self.records else {
            return;
        };
        match records.packet(reply, Tone::Multicast) {
            Ok(packet) => {
                self.send(&packet, socket::group(self.index, self.address))
                    .await
            }
            Err(error) => tracing::warn!(%error, "cannot write an answer"),
        }
    }

    async fn send(&mut self, packet: &[u8], to: SocketAddr) {
        let sent = tokio::time::timeout(SEND_TIMEOUT, self.socket.send_to(packet, to)).await;
        let failure = match sent {
            Ok(Ok(_)) => {
                if matches!(self.state, InterfaceState::Failed(_)) {
                    self.state = InterfaceState::Starting;
                    self.opened = Instant::now();
                }
                return;
            }
            Ok(Err(error)) => error,
            Err(_) => io::ErrorKind::TimedOut.into(),
        };
        tracing::debug!(interface = self.name, address = %self.address, %failure, "cannot send");
        self.state = InterfaceState::Failed(format!("cannot send: {failure}"));
    }

    /// Tells everybody that this node goes. Best effort: what the system does not take at once is lost.
    fn say_goodbye(&self) {
        let Some(records) = &self.records else {
            return;
        };
        for reply in [Reply::Browse(Service::P2p), Reply::Browse(Service::Peerage)] {
            if let Ok(packet) = records.packet(reply, Tone::Goodbye) {
                let group = socket::group(self.index, self.address);
                let _lost = self.socket.try_send_to(&packet, group);
            }
        }
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.say_goodbye();
        self.reader.cancel();
    }
}

fn millis(range: std::ops::Range<u64>) -> Duration {
    Duration::from_millis(rand::rng().random_range(range))
}
