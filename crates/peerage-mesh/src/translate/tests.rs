use libp2p::identity::Keypair;

use super::*;

fn told(listen: &[&str], reached_at: Option<&str>) -> Vec<String> {
    let info = identify::Info {
        public_key: Keypair::generate_ed25519().public(),
        protocol_version: "test".into(),
        agent_version: "test/0".into(),
        listen_addrs: listen.iter().map(|text| text.parse().unwrap()).collect(),
        protocols: Vec::new(),
        observed_addr: Multiaddr::empty(),
        signed_peer_record: None,
    };
    let reached_at = reached_at.map(|text| text.parse().unwrap());
    match identified(info, reached_at.as_ref()) {
        PeerEvent::Identified { addresses, .. } => {
            addresses.iter().map(ToString::to_string).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn who_listens_everywhere_is_found_where_it_was_met() {
    let listen = ["/ip4/0.0.0.0/tcp/1", "/ip4/127.0.0.1/tcp/1"];
    let met = |at| told(&listen, at);
    assert_eq!(met(Some("/ip4/10.0.0.9/tcp/5")), ["/ip4/10.0.0.9/tcp/1"]);
    assert_eq!(met(Some("/ip6/fd00::9/tcp/5")), [""; 0]);
    assert_eq!(
        met(Some("/ip4/10.0.0.9/tcp/5/p2p-circuit")),
        [""; 0],
        "the address of a relay is not its own"
    );
    assert_eq!(met(None), ["/ip4/127.0.0.1/tcp/1"]);
}
