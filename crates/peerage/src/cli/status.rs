//! `peerage status`: the running node.

use std::collections::BTreeMap;

use peerage_services::api::{InUse, LimitsView, NodeStatus};

use super::{Context, Failure, output::Output, share};

const MIB: u64 = 1024 * 1024;
/// Peers that were refused something, shown at the most; `--json` has all that are kept.
const REFUSED_PEERS: usize = 5;

pub(crate) async fn run(context: &Context) -> Result<(), Failure> {
    let status: NodeStatus = context.client().await?.get("/api/v1/node").await?;
    context
        .output
        .answer(&status, |status| render(&context.output, status));
    Ok(())
}

/// A node as names and values, then what it shares.
pub(crate) fn render(output: &Output, status: &NodeStatus) -> String {
    let peers = &status.peers;
    let mdns: Vec<_> = status
        .mdns
        .iter()
        .map(|on| format!("{} {} {}", on.interface, on.address, on.state))
        .collect();
    let mut text = output.fields(&[
        ("name", status.name.clone()),
        ("peer id", status.peer_id.clone()),
        ("did", status.did.clone()),
        ("fingerprint", status.fingerprint.clone()),
        ("mesh", status.mesh.name.clone()),
        ("names", status.mesh.member_of.join("\n")),
        ("api", status.api.clone()),
        ("listen", listen(status)),
        ("mdns", mdns.join("\n")),
        ("in use", in_use(&status.limits)),
        ("refused", refused(&status.limits)),
        (
            "peers",
            format!("{} connected, {} known", peers.connected, peers.known),
        ),
        (
            "running",
            format!(
                "{}, process {}, version {}",
                ago(status.uptime_s),
                status.pid,
                status.version
            ),
        ),
        ("warning", status.warnings.join("\n")),
    ]);
    if !status.shares.is_empty() {
        text.push_str("\n\n");
        text.push_str(&share::render(output, &status.shares));
    }
    text
}

/// What peers use of what they may use together.
fn in_use(limits: &LimitsView) -> String {
    let of = |InUse { used, limit, .. }: InUse, what| format!("{used} of {limit} {what}");
    let bytes = limits.bytes_in_flight;
    let bytes = InUse {
        used: bytes.used.div_ceil(MIB),
        limit: bytes.limit / MIB,
        ..bytes
    };
    let all = [
        of(limits.connections, "connections"),
        of(limits.streams, "streams"),
        of(bytes, "MiB in flight"),
    ];
    all.join(", ")
}

/// What was refused since the node started: in all, and to those it met last.
fn refused(limits: &LimitsView) -> String {
    let mut lines = Vec::new();
    if !limits.refused.is_empty() {
        lines.push(by_cause(&limits.refused));
    }
    for peer in limits.refused_peers.iter().take(REFUSED_PEERS) {
        let shut_out = if peer.shut_out { ", shut out" } else { "" };
        lines.push(format!(
            "{}{shut_out}: {}",
            peer.peer_id,
            by_cause(&peer.refused)
        ));
    }
    lines.join("\n")
}

fn by_cause(refused: &BTreeMap<String, u64>) -> String {
    let causes: Vec<_> = refused
        .iter()
        .map(|(cause, count)| format!("{cause} {count}"))
        .collect();
    causes.join(", ")
}

/// The addresses for people: all of them end in the same PeerId, which is shown already.
pub(crate) fn listen(status: &NodeStatus) -> String {
    let end = format!("/p2p/{}", status.peer_id);
    let short = |address: &String| address.strip_suffix(&end).unwrap_or(address).to_owned();
    let addresses: Vec<_> = status.listen.iter().map(short).collect();
    addresses.join("\n")
}

/// A time span for people, in its two largest units.
fn ago(seconds: u64) -> String {
    let units = [
        (seconds / 86_400, "d"),
        (seconds / 3_600 % 24, "h"),
        (seconds / 60 % 60, "m"),
        (seconds % 60, "s"),
    ];
    let first = units.iter().position(|(count, _)| *count > 0).unwrap_or(3);
    let shown = units[first..]
        .iter()
        .take(2)
        .filter(|(count, _)| *count > 0);
    let text: Vec<_> = shown
        .map(|(count, unit)| format!("{count}{unit}"))
        .collect();
    if text.is_empty() {
        "0s".to_owned()
    } else {
        text.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::ago;

    #[test]
    fn time_spans_have_two_units() {
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m"),
            (3_661, "1h 1m"),
            (90_061, "1d 1h"),
            (86_405, "1d"),
        ] {
            assert_eq!(ago(seconds), text);
        }
    }
}
