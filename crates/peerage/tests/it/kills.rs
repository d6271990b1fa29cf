//! A hundred times SIGKILL, of either node, at moments that nobody chose: nothing that was acknowledged is
//! lost, the store is never unreadable, and the other side reconnects by itself.

use std::{collections::BTreeSet, time::Duration};

use peerage_core::Identity;
use rand::{Rng, RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use serde_json::Value;
use tokio::time::sleep;

use super::running::{Place, Running, toolbox};

/// Rounds in which both nodes run and one of them, or both, are killed while they are at work.
const AT_WORK: usize = 25;
/// Kills of a node that is just starting, in each such round.
const STARTING: usize = 3;
/// Kills in all, at the least.
const KILLS: usize = AT_WORK * (1 + STARTING);
/// In every so many rounds it is looked whether they find each other again.
const RECONNECT: usize = 5;
/// The longest that a node may run, and be busy, before it is killed.
const BUSY: Duration = Duration::from_millis(400);
/// The longest that one may take to start before it is killed.
const START: Duration = Duration::from_millis(250);

/// What a node has said that it did, and what it may have done when it was killed.
#[derive(Debug, Default)]
struct Acknowledged {
    shares: BTreeSet<String>,
    removed: BTreeSet<String>,
    trusted: BTreeSet<String>,
    /// Codes that were handed out.
    codes: Vec<String>,
}

/// One of the two nodes.
#[derive(Debug)]
struct Side {
    place: Place,
    node: Option<Running>,
    id: String,
    acknowledged: Acknowledged,
}

impl Side {
    async fn new(place: Place) -> Self {
        let mut side = Self {
            place,
            node: None,
            id: String::new(),
            acknowledged: Acknowledged::default(),
        };
        let share = toolbox("box");
        let node = side.place.start(&["--share", &share]).await;
        side.id = node.peer_id().to_owned();
        side.acknowledged.shares.insert("box".to_owned());
        side.node = Some(node);
        side
    }

    async fn kill(&mut self) {
        if let Some(node) = self.node.take() {
            node.kill().await;
        }
    }

    /// Kills it while it starts, and then starts it: it is who it was, and knows what it said.
    async fn start(&mut self, random: &mut StdRng, starting: usize) -> usize {
        for _ in 0..starting {
            let mut child = self.place.up(&[]).spawn().unwrap();
            sleep(START.mul_f64(random.random())).await;
            child.kill().await.unwrap();
        }
        let node = self.place.start(&[]).await;
        assert_eq!(node.peer_id(), self.id);
        let warnings = &node.status["warnings"];
        assert_eq!(*warnings, serde_json::json!([]), "the store is sound");
        let shares = names(&node.status["shares"], "name");
        let known = &self.acknowledged;
        let missing: Vec<_> = known.shares.difference(&shares).collect();
        assert!(missing.is_empty(), "{missing:?} were shared");
        let back: Vec<_> = known.removed.intersection(&shares).collect();
        assert!(back.is_empty(), "{back:?} were no longer shared");
        self.node = Some(node);
        starting
    }

    /// Changes something, and notes it when the node says that it is done.
    async fn change(&mut self, round: usize, random: &mut StdRng) {
        for n in 0.. {
            let known = &mut self.acknowledged;
            let done = match random.random_range(0..4) {
                0 => {
                    let name = format!("s{round}-{n}");
                    let share = format!("{name}=http://127.0.0.1:9/mcp");
                    let done = self.place.run(&["share", &share]).await.code == 0;
                    done && known.shares.insert(name)
                }
                1 => {
                    let mine = known.shares.iter().filter(|name| *name != "box");
                    let Some(name) = mine.max().cloned() else {
                        continue;
                    };
                    // Whether it is still shared is not known while this is not answered.
                    known.shares.remove(&name);
                    let done = self.place.run(&["unshare", &name]).await.code == 0;
                    done && known.removed.insert(name)
                }
                2 => {
                    let mut secret = [0; 32];
                    random.fill_bytes(&mut secret);
                    let peer = Identity::from_secret(secret).peer_id().to_base58();
                    let done = self.place.run(&["trust", &peer]).await.code == 0;
                    done && known.trusted.insert(peer)
                }
                _ => {
                    let invited = self.place.run(&["invite", "--json"]).await;
                    let code = (invited.code == 0).then(|| invited.json()["code"].clone());
                    let code = code.and_then(|code| code.as_str().map(str::to_owned));
                    known.codes.extend(code.clone());
                    code.is_some()
                }
            };
            if !done {
                return;
            }
        }
    }
}

/// The values of a field in a list of objects.
fn names(list: &Value, field: &str) -> BTreeSet<String> {
    let list = list.as_array().unwrap().iter();
    list.filter_map(|entry| entry[field].as_str())
        .map(str::to_owned)
        .collect()
}

/// Calls until a node is gone. What is answered is right.
async fn calls(by: &Place, of: &str) {
    for n in 0.. {
        let text = format!("text={n}");
        let ended = by
            .run(&["call", &format!("{of}/box/echo"), &text, "--json"])
            .await;
        if ended.code != 0 {
            let problem = ended.json();
            assert!(problem["code"].is_string() && problem["detail"].is_string());
            return;
        }
        assert_eq!(ended.json()["content"][0]["text"], n.to_string());
    }
}

/// Joins with a code that was acknowledged, again and again, until a node is gone.
async fn joins(by: &Place, code: Option<&String>) {
    let Some(code) = code else { return };
    while by.run(&["join", code]).await.code == 0 {}
}

async fn connected(by: &Side, to: &Side) {
    by.place
        .until(&["peers"], |peers| {
            peers.as_array().unwrap().iter().any(|peer| {
                peer["peer_id"] == to.id.as_str()
                    && peer["relation"] == "member"
                    && peer["connected"] == true
            })
        })
        .await;
}

/// Lets the two work, and kills one of them or both in the midst of it.
async fn work_and_kill(a: &mut Side, b: &mut Side, round: usize, random: &mut StdRng) -> usize {
    let code = a.acknowledged.codes.choose(random).cloned();
    let after = BUSY.mul_f64(random.random());
    let [mut first, mut second] = [(); 2].map(|()| StdRng::seed_from_u64(random.next_u64()));
    let (bob, mut nodes) = (b.place.clone(), [a.node.take(), b.node.take()]);
    let victims = match random.random_range(0..5) {
        0 | 1 => [true, false],
        2 | 3 => [false, true],
        _ => [true, true],
    };
    let killing = async {
        sleep(after).await;
        for (node, victim) in nodes.iter_mut().zip(victims) {
            if let Some(node) = node.take_if(|_| victim) {
                node.kill().await;
            }
        }
    };
    let begun = async {
        tokio::select! {
            // What has begun on the one that lives ends with the round.
            () = async {
                sleep(after + BUSY).await;
            } => {}
            _ = async {
                tokio::join!(
                    a.change(round, &mut first),
                    b.change(round, &mut second),
                    calls(&bob, "ann"),
                    joins(&bob, code.as_ref()),
                )
            } => {}
        }
    };
    tokio::join!(killing, begun);
    let [first, second] = nodes;
    (a.node, b.node) = (first, second);
    victims.into_iter().filter(|victim| *victim).count()
}

#[tokio::test]
async fn a_hundred_kills_lose_nothing_that_was_acknowledged() {
    let seed = rand::rng().next_u64();
    eprintln!("seed: {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let folder = tempfile::tempdir().unwrap();
    let mut a = Side::new(Place::new(folder.path(), "ann")).await;
    let mut b = Side::new(Place::new(folder.path(), "bob")).await;
    let invite = a.place.json(&["invite"]).await;
    let code = invite["code"].as_str().unwrap();
    let name = b.place.json(&["join", code]).await["name"].clone();
    let mut kills = 0;
    for round in 0..AT_WORK {
        kills += work_and_kill(&mut a, &mut b, round, &mut random).await;
        for side in [&mut a, &mut b] {
            if side.node.is_none() {
                kills += side.start(&mut random, STARTING).await;
            }
        }
        if round % RECONNECT == 0 {
            connected(&a, &b).await;
            connected(&b, &a).await;
        }
    }
    assert!(kills >= KILLS, "{kills}");
    for side in [&mut a, &mut b] {
        side.kill().await;
        side.start(&mut random, 0).await;
    }
    let member_of = &b.node.as_ref().unwrap().status["mesh"]["member_of"];
    assert!(member_of.as_array().unwrap().contains(&name), "{member_of}");
    connected(&a, &b).await;
    connected(&b, &a).await;
    for side in [&a, &b] {
        for peer in &side.acknowledged.trusted {
            let known = side.place.json(&["peers", peer]).await;
            assert_eq!(known["relation"], "trusted", "{peer}");
        }
    }
    // A code that was handed out before any kill is as good as ever: the same key may ask again.
    assert_eq!(b.place.json(&["join", code]).await["name"], name);
    a.kill().await;
    b.kill().await;
    a.place.none_left().await;
    b.place.none_left().await;
}
