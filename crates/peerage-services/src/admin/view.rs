//! How the local API shows what the node knows.

mod limits;
mod score;

use peerage_core::{
    Multiaddr, PeerId,
    did::Did,
    fingerprint::fingerprint,
    multiaddr::Protocol,
    peer_book::{Now, Path, PeerRecord, Relation as Known},
    policy::Audience,
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::Local;
use crate::{
    api::{
        AddressView, Allow, MeshView, NodeStatus, PeerCount, PeerPath, PeerView, Relation,
        ShareKind, ShareView,
    },
    context::Context,
    shares::{Kind, Share, State},
};

pub(super) fn status(local: &Local) -> NodeStatus {
    let ctx = &local.ctx;
    let own = ctx.members.own_mesh();
    let names = ctx.members.own_names();
    NodeStatus {
        name: ctx.facts.name.clone(),
        peer_id: ctx.me().to_base58(),
        did: ctx.identity.did().to_string(),
        fingerprint: fingerprint_of(&ctx.me()),
        api: local.doors.api.clone(),
        token_file: local.doors.token_file.clone(),
        socket: local.doors.socket.clone(),
        listen: listening(ctx),
        version: ctx.facts.version.clone(),
        pid: std::process::id(),
        uptime_s: ctx.facts.started.elapsed().as_secs(),
        mesh: MeshView {
            name: own
                .as_ref()
                .map_or_else(String::new, |(path, _)| path.to_string()),
            root: own.map_or_else(String::new, |(_, root)| root.to_string()),
            member_of: names.iter().map(ToString::to_string).collect(),
        },
        peers: ctx.mesh.book().read(|book| PeerCount {
            known: book.len(),
            connected: book
                .iter()
                .filter(|(_, record)| record.link.is_some())
                .count(),
        }),
        shares: ctx.shares.all().iter().map(|s| share(s)).collect(),
        mdns: (local.mdns)(),
        limits: limits::limits(&ctx.mesh),
        warnings: warnings(ctx),
    }
}

fn warnings(ctx: &Context) -> Vec<String> {
    let mut warnings = match ctx.store.damages() {
        Ok(damages) => damages.iter().map(ToString::to_string).collect(),
        Err(error) => vec![error.to_string()],
    };
    let old = |trouble| format!("{trouble}; the rules before stay in force");
    warnings.extend(ctx.policy.trouble().map(old));
    warnings
}

/// Where others reach this node, each with its id.
fn listening(ctx: &Context) -> Vec<String> {
    let me = ctx.me();
    let addresses = ctx.mesh.listening().borrow().clone();
    addresses
        .into_iter()
        .map(|address| full(address, me))
        .collect()
}

fn full(address: Multiaddr, peer: PeerId) -> String {
    address.with(Protocol::P2p(peer)).to_string()
}

pub(super) fn peer(ctx: &Context, id: &PeerId, record: &PeerRecord) -> PeerView {
    let names = ctx.members.names_of(id);
    let card = record.card.as_ref();
    PeerView {
        name: card.map_or_else(|| id.to_base58(), |card| card.name().to_owned()),
        peer_id: id.to_base58(),
        did: Did::from_peer_id(id).map_or_else(|_| String::new(), |did| did.to_string()),
        fingerprint: fingerprint_of(id),
        relation: match record.relation {
            Known::Member => Relation::Member,
            Known::Trusted => Relation::Trusted,
            Known::Stranger => Relation::Stranger,
        },
        names: names.iter().map(ToString::to_string).collect(),
        connected: record.link.is_some(),
        path: record.link.as_ref().map(|link| path(link.path)),
        addresses: record
            .addresses
            .iter()
            .map(|known| AddressView {
                address: known.address.to_string(),
                source: format!("{:?}", known.source).to_lowercase(),
                last_good: known.last_good.map(|at| rfc3339(at.as_secs())),
            })
            .collect(),
        rtt_ms: record.rtt.map(|rtt| rtt.as_secs_f64() * 1000.0),
        failures: record.failures,
        bytes_in: record.bytes_in,
        bytes_out: record.bytes_out,
        last_error: record
            .last_error
            .clone()
            .or_else(|| record.card_error.clone()),
        servers: card
            .map(|card| card.servers().iter().map(|s| s.name.clone()).collect())
            .unwrap_or_default(),
        card_expires: card.map(|card| rfc3339(card.expires())),
        agent: record.agent.clone(),
        score: score::score(&record.score),
    }
}

/// A peer that is only known by its id.
pub(super) fn unknown(ctx: &Context, id: &PeerId) -> PeerView {
    let mut record = PeerRecord::new(Now::ZERO);
    record.relation = ctx.members.relation(id);
    peer(ctx, id, &record)
}

pub(super) fn path(path: Path) -> PeerPath {
    match path {
        Path::Direct => PeerPath::Direct,
        Path::Relayed => PeerPath::Relayed,
    }
}

pub(super) fn share(share: &Share) -> ShareView {
    let (state, tools, error) = match share.state() {
        State::Starting => ("starting", 0, None),
        State::Ready(tools) => ("ready", tools.len(), None),
        State::Failed(error) => ("failed", 0, Some(error)),
    };
    ShareView {
        name: share.name.clone(),
        kind: match share.kind {
            Kind::Stdio => ShareKind::Stdio,
            Kind::Http => ShareKind::Http,
            Kind::Function => ShareKind::Function,
        },
        target: share.target.clone(),
        allow: allow(&share.audience),
        state: state.to_owned(),
        tools,
        error,
    }
}

fn allow(audience: &Audience) -> Allow {
    match audience {
        Audience::Mesh => Allow::One("mesh".to_owned()),
        Audience::Public => Allow::One("public".to_owned()),
        Audience::Only(subjects) => {
            Allow::Listed(subjects.iter().map(ToString::to_string).collect())
        }
    }
}

pub(super) fn fingerprint_of(id: &PeerId) -> String {
    fingerprint(id).unwrap_or_default()
}

/// A time in unix seconds as people and programs read it.
#[must_use]
pub fn rfc3339(unix: u64) -> String {
    i64::try_from(unix)
        .ok()
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_default()
}
