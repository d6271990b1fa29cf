//! What a multicast DNS packet says, as far as it concerns peers: a pure, bounded reading of bytes.

use std::sync::LazyLock;

use hickory_proto::{
    op::{Message, MessageType, OpCode, ResponseCode},
    rr::{DNSClass, Name, RData, Record, RecordType},
};
use libp2p::{Multiaddr, PeerId, multiaddr::Protocol};
use thiserror::Error;

#[cfg(test)]
mod tests;

/// The longest packet that is read or sent, in bytes (RFC 6762, section 17).
pub const MAX_PACKET: usize = 9000;
/// Questions that are read from one query.
const MAX_QUESTIONS: usize = 32;
/// Known answers that are read from one query.
const MAX_KNOWN: usize = 64;
/// Peers that are read from one response.
const MAX_PEERS: usize = 16;
/// Addresses that are read for one peer.
const MAX_ADDRESSES: usize = 32;

/// The service under which the peers of every libp2p implementation find each other.
pub(super) static P2P: LazyLock<Name> = LazyLock::new(|| local(["_p2p", "_udp"]));
/// The service under which browsers list Peerage nodes.
pub(super) static PEERAGE: LazyLock<Name> = LazyLock::new(|| local(["_peerage", "_tcp"]));
/// The name that lists the services of a link.
pub(super) static TYPES: LazyLock<Name> = LazyLock::new(|| local(["_services", "_dns-sd", "_udp"]));

fn local<const N: usize>(labels: [&str; N]) -> Name {
    let labels = labels.iter().copied().chain(["local"]);
    Name::from_labels(labels.map(str::as_bytes)).expect("short labels are a name")
}

/// What a packet says.
#[derive(Clone, Debug)]
pub enum Packet {
    /// Somebody asks.
    Query(Query),
    /// Somebody tells of peers; of none, when it tells of other things.
    Response(Vec<Announced>),
}

/// A question to everybody on the link.
#[derive(Clone, Debug)]
pub struct Query {
    pub(super) id: u16,
    pub(super) questions: Vec<Question>,
    pub(super) known: Vec<Known>,
}

/// A name and the type of record that is wanted for it.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) name: Name,
    pub(super) kind: RecordType,
}

/// An answer that the asker already has.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) name: Name,
    pub(super) target: Name,
    /// How long the asker will still hold it, in seconds.
    pub(super) ttl: u32,
}

/// A peer that a response tells of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announced {
    pub(super) peer: PeerId,
    /// Without the closing `/p2p/…`.
    pub(super) addresses: Vec<Multiaddr>,
    /// For how long this is true, in seconds; 0 says goodbye.
    pub(super) ttl: u32,
}

/// Why a packet is ignored.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// It is longer than [`MAX_PACKET`].
    #[error("a packet of {0} bytes is too long")]
    TooLong(usize),
    /// It is not a DNS message.
    #[error("not a DNS message: {0}")]
    Malformed(#[from] hickory_proto::serialize::binary::DecodeError),
    /// It is a DNS message of a kind that multicast DNS does not have, such as an update or an error.
    #[error("not a multicast DNS message")]
    Foreign,
}

/// Reads a packet.
///
/// Peers are read from every TXT record of the libp2p service, be it in the answers (as js-libp2p
/// sends it) or in the additional records (as the specification says), in one record or in several.
///
/// # Errors
///
/// If the packet is too long, malformed, or not multicast DNS. Single records that make no sense are
/// passed over.
pub fn decode(bytes: &[u8]) -> Result<Packet, DecodeError> {
    if bytes.len() > MAX_PACKET {
        return Err(DecodeError::TooLong(bytes.len()));
    }
    let message = Message::from_vec(bytes)?;
    if message.metadata.op_code != OpCode::Query
        || message.metadata.response_code != ResponseCode::NoError
    {
        return Err(DecodeError::Foreign);
    }
    Ok(match message.metadata.message_type {
        MessageType::Query => Packet::Query(query(message)),
        MessageType::Response => Packet::Response(peers(&message)),
    })
}

fn query(message: Message) -> Query {
    let questions = message
        .queries
        .into_iter()
        .filter(|question| matches!(question.query_class, DNSClass::IN | DNSClass::ANY))
        .take(MAX_QUESTIONS)
        .map(|question| Question {
            name: question.name,
            kind: question.query_type,
        })
        .collect();
    let known = message
        .answers
        .into_iter()
        .filter_map(|record| match record.data {
            RData::PTR(target) => Some(Known {
                name: record.name,
                target: target.0,
                ttl: record.ttl,
            }),
            _ => None,
        })
        .take(MAX_KNOWN)
        .collect();
    Query {
        id: message.metadata.id,
        questions,
        known,
    }
}

fn peers(message: &Message) -> Vec<Announced> {
    let mut found: Vec<(&Name, Announced)> = Vec::new();
    for record in message.answers.iter().chain(&message.additionals) {
        let RData::TXT(txt) = &record.data else {
            continue;
        };
        if record.dns_class != DNSClass::IN || !is_instance(message, &record.name) {
            continue;
        }
        for (peer, address) in txt.txt_data.iter().filter_map(|text| dnsaddr(text)) {
            let place = match found.iter().position(|(name, _)| **name == record.name) {
                Some(place) => place,
                None if found.len() < MAX_PEERS => {
                    let ttl = record.ttl.min(pointer_ttl(message, &record.name));
                    found.push((
                        &record.name,
                        Announced {
                            peer,
                            addresses: Vec::new(),
                            ttl,
                        },
                    ));
                    found.len() - 1
                }
                None => break,
            };
            let announced = &mut found[place].1;
            // One instance is one peer: the first that it names.
            if announced.peer == peer && announced.addresses.len() < MAX_ADDRESSES {
                announced.addresses.push(address);
            }
        }
    }
    found.into_iter().map(|(_, announced)| announced).collect()
}

/// Whether a name is an instance of the libp2p service: by its form, or because the packet says so.
/// rust-libp2p gives its instances names outside of the service.
fn is_instance(message: &Message, name: &Name) -> bool {
    let inside = name.num_labels() == P2P.num_labels() + 1 && P2P.zone_of(name);
    inside || pointers(message, name).next().is_some()
}

/// How long the pointer to an instance is true; a goodbye may say it there alone.
fn pointer_ttl(message: &Message, instance: &Name) -> u32 {
    pointers(message, instance)
        .next()
        .map_or(u32::MAX, |record| record.ttl)
}

/// The pointers from the libp2p service to an instance.
fn pointers<'a>(message: &'a Message, instance: &'a Name) -> impl Iterator<Item = &'a Record> {
    let points = |record: &&Record| {
        record.name == *P2P && matches!(&record.data, RData::PTR(target) if target.0 == *instance)
    };
    message.answers.iter().take(MAX_PEERS).filter(points)
}

/// Reads `dnsaddr=<multiaddr>/p2p/<id>`. py-libp2p numbers the key (`dnsaddr2=`), for keys are unique
/// in its library.
///
/// Only addresses that begin with an IP address and name one peer, at the end, are taken: a name
/// would have this node ask a resolver, and a relay is nothing that a link can tell of.
fn dnsaddr(text: &[u8]) -> Option<(PeerId, Multiaddr)> {
    let text = std::str::from_utf8(text).ok()?;
    let (number, address) = text.strip_prefix("dnsaddr")?.split_once('=')?;
    if !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let mut address: Multiaddr = address.parse().ok()?;
    let Some(Protocol::P2p(peer)) = address.pop() else {
        return None;
    };
    let from_ip = matches!(
        address.iter().next(),
        Some(Protocol::Ip4(_) | Protocol::Ip6(_))
    );
    let direct = !address
        .iter()
        .any(|part| matches!(part, Protocol::P2p(_) | Protocol::P2pCircuit));
    (from_ip && direct).then_some((peer, address))
}
