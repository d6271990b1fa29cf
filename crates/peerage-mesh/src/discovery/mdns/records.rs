//! What a node says of itself on one link, and the packets that say it.

use std::net::IpAddr;

use hickory_proto::{
    ProtoError,
    op::{Message, MessageType, OpCode},
    rr::{
        Name, RData, Record, RecordType,
        rdata::{A, AAAA, PTR, SRV, TXT},
    },
};
use libp2p::{Multiaddr, PeerId, multiaddr::Protocol};
use peerage_core::reach::ip;

use super::message::{MAX_PACKET, P2P, PEERAGE, Query, TYPES};

#[cfg(test)]
mod tests;

/// Addresses that are told on one link: as many as fit a packet that no Ethernet has to divide.
const MAX_ADDRESSES: usize = 8;
/// The longest string in a TXT record.
const MAX_TEXT: usize = 255;
/// The longest label of a name.
const MAX_LABEL: usize = 63;
/// Characters of the peer id that tell nodes of one name apart.
const SUFFIX: usize = 6;
/// The port that is told where a node has none; nobody uses it.
const NO_PORT: u16 = 4001;
/// How long somebody who does not speak multicast DNS may hold an answer, in seconds (RFC 6762, 6.7).
const LEGACY_TTL: u32 = 10;

/// Who is told of.
#[derive(Clone, Debug)]
pub(super) struct Profile {
    pub(super) peer: PeerId,
    pub(super) did: String,
    pub(super) name: String,
    /// A random label, new with each start: the instance of the libp2p service and the host.
    pub(super) label: String,
    /// In seconds.
    pub(super) ttl: u32,
}

/// The two services of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Service {
    P2p,
    Peerage,
}

/// The answers there are. Each is a packet of its own, because js-libp2p looks at one pointer a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Reply {
    /// Which services there are.
    Types,
    /// Which instances of a service there are, with all about them.
    Browse(Service),
    /// All about an instance.
    Resolve(Service),
    /// The addresses of the host.
    Host,
}

/// How an answer is meant.
#[derive(Clone, Copy, Debug)]
pub(super) enum Tone<'a> {
    /// To everybody.
    Multicast,
    /// To everybody, for the last time.
    Goodbye,
    /// To one who asks as in ordinary DNS and wants its own question back.
    Legacy(&'a Query),
}

/// The records of one service.
#[derive(Clone, Debug, PartialEq)]
struct Entry {
    pointer: Record,
    instance: Name,
    details: [Record; 2],
}

/// All records of a node on one link.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Records {
    p2p: Entry,
    peerage: Entry,
    host: Name,
    hosts: Vec<Record>,
    ttl: u32,
}

impl Records {
    /// What `profile` says where it is reached at `addresses`; nothing, if it is not reached there.
    pub(super) fn new(
        profile: &Profile,
        addresses: &[Multiaddr],
    ) -> Result<Option<Self>, ProtoError> {
        let addresses = preferred(addresses);
        if addresses.is_empty() {
            return Ok(None);
        }
        let host = Name::from_labels([profile.label.as_bytes(), b"local"])?;
        let ttl = profile.ttl;
        let suffix = format!("/p2p/{}", profile.peer);
        let lines = addresses
            .iter()
            .map(|address| format!("dnsaddr={address}{suffix}"))
            .filter(|line| line.len() <= MAX_TEXT)
            .collect();
        let port = addresses.iter().find_map(port).unwrap_or(NO_PORT);
        let p2p = Entry::new(&P2P, profile.label.as_bytes(), (port, &host), lines, ttl)?;
        let lines = vec![
            "txtvers=1".to_owned(),
            format!("did={}", profile.did),
            format!("peer={}", profile.peer),
            format!("name={}", profile.name),
        ];
        let lines = lines
            .into_iter()
            .map(|line| clipped(&line, MAX_TEXT).to_owned());
        let instance = instance(profile);
        let peerage = Entry::new(
            &PEERAGE,
            instance.as_bytes(),
            (port, &host),
            lines.collect(),
            ttl,
        )?;
        let hosts = hosts(&addresses)
            .into_iter()
            .map(|data| unique(host.clone(), ttl, data))
            .collect();
        Ok(Some(Self {
            p2p,
            peerage,
            host,
            hosts,
            ttl,
        }))
    }

    /// Which answers a query wants, each once.
    pub(super) fn wanted(&self, query: &Query) -> Vec<Reply> {
        let mut replies = Vec::new();
        for question in &query.questions {
            let (name, kind) = (&question.name, question.kind);
            let asks = |kinds: &[RecordType]| kind == RecordType::ANY || kinds.contains(&kind);
            if *name == *TYPES && asks(&[RecordType::PTR]) {
                replies.push(Reply::Types);
            }
            if *name == self.host && asks(&[RecordType::A, RecordType::AAAA]) {
                replies.push(Reply::Host);
            }
            for service in [Service::P2p, Service::Peerage] {
                let entry = self.entry(service);
                if *name == entry.pointer.name && asks(&[RecordType::PTR]) && !entry.known(query) {
                    replies.push(Reply::Browse(service));
                }
                if *name == entry.instance && asks(&[RecordType::SRV, RecordType::TXT]) {
                    replies.push(Reply::Resolve(service));
                }
            }
        }
        replies.sort_unstable();
        replies.dedup();
        replies
    }

    /// The packet of an answer.
    pub(super) fn packet(&self, reply: Reply, tone: Tone<'_>) -> Result<Vec<u8>, ProtoError> {
        let mut message = Message::new(0, MessageType::Response, OpCode::Query);
        message.metadata.authoritative = true;
        match reply {
            Reply::Types => {
                let list = |service: &Name| shared(TYPES.clone(), self.ttl, service.clone());
                message.add_answers([list(&P2P), list(&PEERAGE)]);
            }
            Reply::Browse(service) => {
                let entry = self.entry(service);
                message.add_answer(entry.pointer.clone());
                message.add_additionals(entry.details.iter().chain(&self.hosts).cloned());
            }
            Reply::Resolve(service) => {
                message.add_answers(self.entry(service).details.iter().cloned());
                message.add_additionals(self.hosts.iter().cloned());
            }
            Reply::Host => {
                message.add_answers(self.hosts.iter().cloned());
            }
        }
        toned(&mut message, tone);
        let bytes = message.to_vec()?;
        if bytes.len() > MAX_PACKET {
            return Err(ProtoError::MaxBufferSizeExceeded(MAX_PACKET));
        }
        Ok(bytes)
    }

    /// Whether both say that the same things exist, whatever they say about them.
    pub(super) fn same_names(&self, other: &Self) -> bool {
        self.p2p.instance == other.p2p.instance && self.peerage.instance == other.peerage.instance
    }

    fn entry(&self, service: Service) -> &Entry {
        match service {
            Service::P2p => &self.p2p,
            Service::Peerage => &self.peerage,
        }
    }
}

impl Entry {
    fn new(
        service: &Name,
        label: &[u8],
        (port, host): (u16, &Name),
        lines: Vec<String>,
        ttl: u32,
    ) -> Result<Self, ProtoError> {
        let instance = service.prepend_label(label)?;
        let srv = RData::SRV(SRV::new(0, 0, port, host.clone()));
        let txt = RData::TXT(TXT::new(lines));
        Ok(Self {
            pointer: shared(service.clone(), ttl, instance.clone()),
            details: [
                unique(instance.clone(), ttl, srv),
                unique(instance.clone(), ttl, txt),
            ],
            instance,
        })
    }

    /// Whether the asker has this answer, and will hold it for at least half its life.
    fn known(&self, query: &Query) -> bool {
        query.known.iter().any(|known| {
            known.name == self.pointer.name
                && known.target == self.instance
                && known.ttl >= self.pointer.ttl / 2
        })
    }
}

/// The packet that asks for peers.
pub(super) fn question(id: u16) -> Result<Vec<u8>, ProtoError> {
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.add_query(hickory_proto::op::Query::query(
        P2P.clone(),
        RecordType::PTR,
    ));
    message.to_vec()
}

fn toned(message: &mut Message, tone: Tone<'_>) {
    let mut change = |apply: &dyn Fn(&mut Record)| {
        message.answers.iter_mut().for_each(apply);
        message.additionals.iter_mut().for_each(apply);
    };
    match tone {
        Tone::Multicast => {}
        Tone::Goodbye => change(&|record| record.ttl = 0),
        Tone::Legacy(query) => {
            change(&|record| {
                record.ttl = record.ttl.min(LEGACY_TTL);
                record.mdns_cache_flush = false;
            });
            message.metadata.id = query.id;
            let questions = query.questions.iter();
            message.add_queries(questions.map(|question| {
                hickory_proto::op::Query::query(question.name.clone(), question.kind)
            }));
        }
    }
}

/// The addresses to tell, best first. py-libp2p takes only the first and has no QUIC.
fn preferred(addresses: &[Multiaddr]) -> Vec<Multiaddr> {
    let mut addresses = addresses.to_vec();
    let rank = |address: &Multiaddr| {
        let mut parts = address.iter();
        let v6 = !matches!(parts.next(), Some(Protocol::Ip4(_)));
        (v6, !matches!(parts.next(), Some(Protocol::Tcp(_))))
    };
    addresses.sort_by_key(rank);
    addresses.dedup();
    addresses.truncate(MAX_ADDRESSES);
    addresses
}

fn port(address: &Multiaddr) -> Option<u16> {
    address.iter().find_map(|part| match part {
        Protocol::Tcp(port) | Protocol::Udp(port) => Some(port),
        _ => None,
    })
}

fn hosts(addresses: &[Multiaddr]) -> Vec<RData> {
    let mut ips: Vec<IpAddr> = addresses.iter().filter_map(ip).collect();
    ips.sort_unstable();
    ips.dedup();
    ips.into_iter()
        .map(|ip| match ip {
            IpAddr::V4(ip) => RData::A(A(ip)),
            IpAddr::V6(ip) => RData::AAAA(AAAA(ip)),
        })
        .collect()
}

/// The name that browsers show: the node's own, and the end of its peer id.
fn instance(profile: &Profile) -> String {
    let id = profile.peer.to_string();
    let suffix = id.get(id.len().saturating_sub(SUFFIX)..).unwrap_or(&id);
    let name: String = profile.name.chars().filter(|c| !c.is_control()).collect();
    let name = match name.trim() {
        "" => "peerage",
        name => clipped(name, MAX_LABEL - SUFFIX - 1),
    };
    format!("{name}-{suffix}")
}

/// The longest beginning of at most `limit` bytes.
fn clipped(text: &str, limit: usize) -> &str {
    let end = (0..=limit.min(text.len()))
        .rev()
        .find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or(0)]
}

/// A record that several nodes may have.
fn shared(name: Name, ttl: u32, target: Name) -> Record {
    Record::from_rdata(name, ttl, RData::PTR(PTR(target)))
}

/// A record that only this node has: whoever holds an older one forgets it.
fn unique(name: Name, ttl: u32, data: RData) -> Record {
    let mut record = Record::from_rdata(name, ttl, data);
    record.mdns_cache_flush = true;
    record
}
