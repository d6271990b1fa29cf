//! Two real instances over loopback multicast. Where that is missing, each test says so and ends.

use std::net::{Ipv4Addr, UdpSocket};

use tokio::time::timeout;

use super::*;

/// What is printed where loopback has no multicast.
const SKIPPED: &str = "SKIPPED: no multicast on loopback";
/// Long enough for the slowest machine.
const PATIENCE: Duration = Duration::from_secs(20);

struct Node {
    id: PeerId,
    mdns: Mdns,
    listen: watch::Sender<Vec<Multiaddr>>,
    tasks: Tasks,
}

fn at(port: u16) -> Vec<Multiaddr> {
    vec![format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap()]
}

fn node(name: &str, port: u16) -> Node {
    node_with(name, port, None)
}

fn node_with(name: &str, port: u16, budget: Option<Budget>) -> Node {
    let id = PeerId::random();
    let (listen, receiver) = watch::channel(at(port));
    let tasks = Tasks::new();
    let mut config = Config::new(id, "did:key:z6Mktest", name);
    config.interfaces = Interfaces::Loopback;
    config.budget = budget;
    config.query_interval = Duration::from_secs(1);
    let mdns = spawn(config, receiver, &tasks);
    Node {
        id,
        mdns,
        listen,
        tasks,
    }
}

impl Node {
    /// Whether loopback has multicast, once that is known.
    async fn works(&self) -> bool {
        let mut status = self.mdns.watch_status();
        let known = |status: &Vec<InterfaceStatus>| {
            status
                .iter()
                .any(|one| one.address.is_loopback() && one.state != InterfaceState::Starting)
        };
        let status = timeout(PATIENCE, status.wait_for(known))
            .await
            .unwrap()
            .unwrap();
        let works = status
            .iter()
            .any(|one| one.state == InterfaceState::Working);
        if !works {
            println!("{SKIPPED}: {:?}", *status);
        }
        works
    }

    /// Waits for a sighting of `peer`; other tests may be on the same loopback.
    async fn sees(&mut self, peer: PeerId, what: impl Fn(&Sighting) -> bool) -> Sighting {
        timeout(PATIENCE, async {
            loop {
                let sighting = self.mdns.next().await.expect("discovery ended");
                assert_ne!(sighting.peer, self.id, "a node does not see itself");
                if sighting.peer == peer && what(&sighting) {
                    return sighting;
                }
            }
        })
        .await
        .expect("the sighting did not come")
    }
}

#[tokio::test]
async fn two_nodes_see_each_other_come_change_and_go() {
    let (mut one, mut two) = (node("one", 4001), node("two", 4002));
    if !one.works().await || !two.works().await {
        return;
    }
    let seen = one.sees(two.id, |_| true).await;
    assert_eq!(seen.addresses, at(4002));
    assert_eq!(seen.expires_in, Duration::from_secs(120));
    assert_eq!(two.sees(one.id, |_| true).await.addresses, at(4001));

    two.listen.send_replace(at(4003));
    one.sees(two.id, |seen| seen.addresses == at(4003)).await;

    two.tasks.stop().await;
    assert!(two.mdns.next().await.is_none_or(|seen| seen.peer == one.id));
    one.sees(two.id, |seen| seen.expires_in.is_zero()).await;
    one.tasks.stop().await;
}

#[tokio::test]
async fn a_dropped_handle_says_goodbye_and_ends() {
    let (mut one, two) = (node("one", 4001), node("two", 4002));
    if !one.works().await || !two.works().await {
        return;
    }
    one.sees(two.id, |_| true).await;
    let Node {
        id, mdns, tasks, ..
    } = two;
    drop(mdns);
    one.sees(id, |seen| seen.expires_in.is_zero()).await;
    timeout(PATIENCE, tasks.stop())
        .await
        .expect("its task has ended");
}

#[tokio::test]
async fn garbage_on_the_link_changes_nothing() {
    let mut one = node("one", 4001);
    if !one.works().await {
        return;
    }
    let loud = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    for n in 0..100_u8 {
        let garbage: Vec<u8> = (0..usize::from(n) * 20)
            .map(|i| (i as u8).wrapping_mul(n))
            .collect();
        loud.send_to(&garbage, ("224.0.0.251", 5353)).ok();
    }
    let mut two = node("two", 4002);
    one.sees(two.id, |_| true).await;
    two.sees(one.id, |_| true).await;
}

#[tokio::test]
async fn a_flood_of_invented_peers_is_bounded_and_counted() {
    let me = PeerId::random();
    let budget = Budget::new(
        crate::Limits::default(),
        &crate::Book::new(peerage_core::peer_book::PeerBook::new(me, 1)),
    );
    let mut one = node_with("one", 4001, Some(budget.clone()));
    if !one.works().await {
        return;
    }
    let loud = tokio::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .unwrap();
    let refused = |cause| {
        let refused = budget.usage().refused;
        let of = refused.iter().find(|(refused, _)| *refused == cause);
        of.map_or(0, |(_, count)| *count)
    };
    let mut invented = 0_u32;
    let flood = async {
        while invented < 10_000 || refused(Cause::MdnsPackets) == 0 {
            let profile = Profile {
                peer: PeerId::random(),
                did: "did:key:z6Mktest".to_owned(),
                name: "invented".to_owned(),
                label: label(),
                ttl: 120,
            };
            let records = records::Records::new(&profile, &at(4003)).unwrap().unwrap();
            let reply = records::Reply::Browse(records::Service::P2p);
            let packet = records.packet(reply, records::Tone::Multicast).unwrap();
            loud.send_to(&packet, ("224.0.0.251", 5353)).await.ok();
            invented += 1;
        }
    };
    let begun = tokio::time::Instant::now();
    timeout(PATIENCE * 3, flood)
        .await
        .expect("some are refused");
    let windows = 2 + usize::try_from(begun.elapsed().as_secs() / 10).unwrap();
    let mut told = std::collections::HashSet::new();
    while let Ok(Some(sighting)) = timeout(Duration::from_millis(200), one.mdns.next()).await {
        told.insert(sighting.peer);
    }
    // All of loopback is one source.
    assert!(
        told.len() <= windows * 128 + 1,
        "{} in {windows} windows",
        told.len()
    );
    let mut two = node("two", 4002);
    one.sees(two.id, |_| true).await;
    two.sees(one.id, |_| true).await;
}

/// Asks as `dig -p 5353 @224.0.0.251` does, from a port of its own.
#[tokio::test]
async fn a_new_name_is_told_and_ordinary_dns_is_answered() {
    let one = node("before", 4001);
    if !one.works().await {
        return;
    }
    one.mdns.set_name("after");
    let socket = tokio::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .unwrap();
    let mut question = hickory_proto::op::Message::query();
    question.add_query(hickory_proto::op::Query::query(
        message::PEERAGE.clone(),
        hickory_proto::rr::RecordType::PTR,
    ));
    let id = one.id.to_string();
    let wanted = format!("after-{}", &id[id.len() - 6..]);
    let asked = timeout(PATIENCE, async {
        let mut buffer = [0; MAX_PACKET];
        loop {
            let bytes = question.to_vec().unwrap();
            socket.send_to(&bytes, ("224.0.0.251", 5353)).await.unwrap();
            let Ok(Ok(length)) =
                timeout(Duration::from_millis(500), socket.recv(&mut buffer)).await
            else {
                continue;
            };
            let answer = hickory_proto::op::Message::from_vec(&buffer[..length]).unwrap();
            assert_eq!(answer.metadata.id, question.metadata.id);
            if answer
                .answers
                .iter()
                .any(|record| record.data.to_string().contains(&wanted))
            {
                return;
            }
        }
    });
    asked.await.expect("the new name was told");
}

#[tokio::test]
async fn sightings_nobody_takes_are_counted() {
    let (to, sightings) = broadcast::channel(MAX_SIGHTINGS);
    let (_status, status) = watch::channel(Vec::new());
    let (name, _names) = watch::channel(String::new());
    let mut mdns = Mdns {
        sightings,
        status,
        name,
        lost: 0,
        tasks: Tasks::new(),
    };
    for seconds in 0..300 {
        let sighting = Sighting {
            peer: PeerId::random(),
            addresses: Vec::new(),
            expires_in: Duration::from_secs(seconds),
        };
        to.send(sighting).unwrap();
    }
    drop(to);
    assert_eq!(
        mdns.next().await.unwrap().expires_in,
        Duration::from_secs(44)
    );
    assert_eq!(mdns.lost(), 44);
    let mut rest = 0;
    while mdns.next().await.is_some() {
        rest += 1;
    }
    assert_eq!(rest, MAX_SIGHTINGS - 1);
}
