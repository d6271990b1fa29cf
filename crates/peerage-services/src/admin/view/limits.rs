//! How the local API shows what peers may use and what they were refused.

use std::collections::BTreeMap;

use peerage_mesh::{Cause, Mesh, PeerLimits, Usage};

use crate::{
    api::{InUse, LimitsView, PeerLimitsView, RefusedView},
    members::unix_now,
};

/// The word for peers that were heard of and left out of a full book.
const BOOK_FULL: &str = "book_full";

pub(in crate::admin) fn limits(mesh: &Mesh) -> LimitsView {
    let usage = mesh.budget().usage();
    let Usage {
        limits,
        all,
        strangers,
        ..
    } = &usage;
    let in_use = |used, by_strangers, limit| InUse {
        used,
        by_strangers,
        limit,
    };
    let mut refused = by_cause(&usage.refused);
    let left_out = mesh
        .book()
        .read(peerage_core::peer_book::PeerBook::left_out);
    if left_out > 0 {
        refused.insert(BOOK_FULL.to_owned(), left_out);
    }
    LimitsView {
        connections: in_use(all.connections, strangers.connections, limits.connections),
        streams: in_use(all.streams, strangers.streams, limits.streams),
        bytes_in_flight: in_use(
            all.bytes_in_flight,
            strangers.bytes_in_flight,
            limits.bytes_in_flight,
        ),
        half_open: usage.half_open,
        member: of_peer(&limits.member),
        stranger: of_peer(&limits.stranger),
        refused,
        refused_peers: refused_peers(&usage),
    }
}

fn refused_peers(usage: &Usage) -> Vec<RefusedView> {
    let now = unix_now();
    let peers = usage.refused_peers.iter();
    peers
        .map(|refused| RefusedView {
            peer_id: refused.peer.to_base58(),
            refused: by_cause(&refused.causes),
            last: super::rfc3339(now.saturating_sub(refused.ago.as_secs())),
            shut_out: usage.shut_out.contains(&refused.peer),
        })
        .collect()
}

fn by_cause(counts: &[(Cause, u64)]) -> BTreeMap<String, u64> {
    let counts = counts.iter();
    counts
        .map(|(cause, count)| (cause.as_str().to_owned(), *count))
        .collect()
}

fn of_peer(limits: &PeerLimits) -> PeerLimitsView {
    PeerLimitsView {
        streams: limits.streams,
        bytes_in_flight: limits.bytes_in_flight,
        calls_per_second: limits.calls_per_second,
    }
}
