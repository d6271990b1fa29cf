//! `peerage status`: the running node.

use peerage_services::api::NodeStatus;

use super::{Context, Failure, output::Output, share};

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
