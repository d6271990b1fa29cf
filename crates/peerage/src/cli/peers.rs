//! `peerage peers`: who is known, and how they are reached.

mod score;

use http::Method;
use peerage_services::api::{PeerPath, PeerView};

use super::{Context, Failure, client::segment, output::Output};

/// List the peers that are known
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Show all about one: its name, PeerId, DID or o:// name
    peer: Option<String>,
    /// Show what their deeds say of them: points for what they did wrong, and what follows
    #[arg(long)]
    why: bool,
    /// Forget what the peer did: it is let in again, with all its calls
    #[arg(long, requires = "peer", conflicts_with = "why")]
    reset: bool,
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let client = context.client().await?;
    let output = &context.output;
    if let Some(peer) = args.peer {
        let path = format!("/api/v1/peers/{}", segment(&peer));
        if args.reset {
            let score = format!("{path}/score");
            client.act(Method::DELETE, &score).await?;
        }
        let peer: PeerView = client.get(&path).await?;
        output.answer(&peer, |peer| {
            if args.why || args.reset {
                score::one(output, peer)
            } else {
                one(output, peer)
            }
        });
        return Ok(());
    }
    let peers: Vec<PeerView> = client.get("/api/v1/peers").await?;
    output.answer(&peers, |peers| {
        if args.why {
            score::all(output, peers)
        } else {
            table(output, peers)
        }
    });
    if peers.is_empty() {
        output.note("no peers yet");
        output.note(
            "hint: `peerage up` on another machine here, or `peerage invite` for one elsewhere",
        );
    }
    Ok(())
}

fn table(output: &Output, peers: &[PeerView]) -> String {
    if peers.is_empty() {
        return String::new();
    }
    let rows = peers.iter().map(|peer| {
        vec![
            peer.name.clone(),
            peer.relation.as_str().to_owned(),
            path(peer),
            rtt(peer),
            peer.servers.join(", "),
            peer.peer_id.clone(),
        ]
    });
    let header = ["name", "relation", "path", "rtt", "servers", "peer id"];
    output.table(&header, rows.collect())
}

fn one(output: &Output, peer: &PeerView) -> String {
    let addresses: Vec<_> = peer
        .addresses
        .iter()
        .map(|seen| {
            let good = seen.last_good.as_deref().unwrap_or("never worked");
            format!("{} ({}, {good})", seen.address, seen.source)
        })
        .collect();
    output.fields(&[
        ("name", peer.name.clone()),
        ("names", peer.names.join("\n")),
        ("relation", peer.relation.as_str().to_owned()),
        ("peer id", peer.peer_id.clone()),
        ("did", peer.did.clone()),
        ("fingerprint", peer.fingerprint.clone()),
        ("path", path(peer)),
        ("rtt", rtt(peer)),
        ("servers", peer.servers.join(", ")),
        ("addresses", addresses.join("\n")),
        ("received", bytes(peer.bytes_in)),
        ("sent", bytes(peer.bytes_out)),
        ("agent", peer.agent.clone().unwrap_or_default()),
        ("card until", peer.card_expires.clone().unwrap_or_default()),
        (
            "failures",
            if peer.failures == 0 {
                String::new()
            } else {
                peer.failures.to_string()
            },
        ),
        ("last error", peer.last_error.clone().unwrap_or_default()),
    ])
}

fn path(peer: &PeerView) -> String {
    match peer.path {
        Some(path) if peer.connected => path.as_str().to_owned(),
        None if peer.connected => PeerPath::Direct.as_str().to_owned(),
        _ => "not connected".to_owned(),
    }
}

fn rtt(peer: &PeerView) -> String {
    peer.rtt_ms
        .map_or_else(String::new, |rtt| format!("{rtt:.1} ms"))
}

/// A number of bytes for people.
pub(crate) fn bytes(count: u64) -> String {
    let units = [("GiB", 1_u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    let unit = units.iter().find(|(_, size)| count >= *size);
    unit.map_or_else(
        || format!("{count} B"),
        |(name, size)| format!("{}.{} {name}", count / size, count % size * 10 / size),
    )
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn bytes_are_shown_in_their_unit() {
        assert_eq!(bytes(1_023), "1023 B");
        assert_eq!(bytes(1_536), "1.5 KiB");
        assert_eq!(bytes(3 << 30), "3.0 GiB");
    }
}
