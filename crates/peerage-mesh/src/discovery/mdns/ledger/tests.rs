//! News, repetition, floods.

use super::*;

const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

fn announced(peer: PeerId, port: u16, ttl: u32) -> Announced {
    let address = format!("/ip4/10.0.0.1/tcp/{port}").parse().unwrap();
    Announced {
        peer,
        addresses: vec![address],
        ttl,
    }
}

fn source(n: usize) -> IpAddr {
    IpAddr::from(u32::try_from(n).unwrap().to_be_bytes())
}

#[tokio::test(start_paused = true)]
async fn news_is_told_once() {
    let now = Instant::now();
    let mut ledger = Ledger::new(now);
    let peer = PeerId::random();
    let told = ledger.enter(1, HOME, announced(peer, 1, 120), now).unwrap();
    assert_eq!(
        (told.peer, told.expires_in),
        (peer, Duration::from_secs(120))
    );
    assert_eq!(ledger.enter(1, HOME, announced(peer, 1, 120), now), None);
    assert!(
        ledger
            .enter(1, HOME, announced(peer, 2, 120), now)
            .is_some()
    );
    assert_eq!(ledger.enter(1, HOME, announced(peer, 2, 120), now), None);
    let later = now + REPEAT;
    assert!(
        ledger
            .enter(1, HOME, announced(peer, 2, 120), later)
            .is_some()
    );
    let told = ledger
        .enter(1, HOME, announced(peer, 3, u32::MAX), later)
        .unwrap();
    assert_eq!(told.expires_in, MAX_TTL);
}

#[tokio::test(start_paused = true)]
async fn the_last_goodbye_counts() {
    let now = Instant::now();
    let mut ledger = Ledger::new(now);
    let peer = PeerId::random();
    assert_eq!(ledger.enter(1, HOME, announced(peer, 1, 0), now), None);
    for link in [1, 2] {
        assert!(
            ledger
                .enter(link, HOME, announced(peer, 1, 120), now)
                .is_some()
        );
    }
    assert_eq!(ledger.enter(1, HOME, announced(peer, 1, 0), now), None);
    let told = ledger.enter(2, HOME, announced(peer, 1, 0), now).unwrap();
    assert_eq!(told.expires_in, Duration::ZERO);
    assert!(
        ledger
            .enter(1, HOME, announced(peer, 1, 120), now)
            .is_some()
    );
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_invented_peers_are_survived() {
    let mut now = Instant::now();
    let mut ledger = Ledger::new(now);
    let known = PeerId::random();
    assert!(
        ledger
            .enter(1, HOME, announced(known, 1, 120), now)
            .is_some()
    );
    let liar = source(9);
    let invent = |ledger: &mut Ledger, now| {
        (0..10_000)
            .filter_map(|_| ledger.enter(1, liar, announced(PeerId::random(), 1, 120), now))
            .count()
    };
    assert_eq!(invent(&mut ledger, now), MAX_NEW_OF_SOURCE);
    // Others are still heard: who was known, and who is new.
    assert!(
        ledger
            .enter(1, HOME, announced(known, 2, 120), now)
            .is_some()
    );
    assert!(
        ledger
            .enter(1, HOME, announced(PeerId::random(), 1, 120), now)
            .is_some()
    );
    now += WINDOW;
    assert_eq!(ledger.tidy(now), 10_000 - MAX_NEW_OF_SOURCE as u64);
    assert_eq!(invent(&mut ledger, now), MAX_NEW_OF_SOURCE);
}

#[tokio::test(start_paused = true)]
async fn memory_is_bounded_and_the_living_are_kept() {
    let mut now = Instant::now();
    let mut ledger = Ledger::new(now);
    let known = PeerId::random();
    for round in 0..20 {
        ledger.enter(1, HOME, announced(known, 1, 120), now);
        for n in 0..10_000 {
            let from = source(round * 10_000 + n);
            ledger.enter(1, from, announced(PeerId::random(), 1, u32::MAX), now);
        }
        assert!(ledger.seen.len() <= MAX_PEERS);
        assert!(ledger.new.len() <= MAX_NEW);
        assert!(ledger.seen.contains_key(&(known, 1)));
        now += WINDOW;
        ledger.tidy(now);
    }
}

#[tokio::test(start_paused = true)]
async fn what_expired_is_forgotten() {
    let now = Instant::now();
    let mut ledger = Ledger::new(now);
    ledger.enter(1, HOME, announced(PeerId::random(), 1, 5), now);
    ledger.tidy(now + WINDOW);
    assert!(ledger.seen.is_empty());
}
