//! Waiting for a condition, with a deadline and a clear word when it does not come.

use std::time::Duration;

use peerage::{Node, PeerId};
use peerage_core::peer_book::{PeerBook, Relation};
use tokio::{
    sync::{broadcast::error::RecvError, watch},
    time::{interval, timeout},
};

/// The longest that anything may take. Generous: it is only reached when something is broken.
pub const WITHIN: Duration = Duration::from_secs(30);
/// How often a condition is looked at that nobody tells of, such as the end of a process.
const LOOK: Duration = Duration::from_millis(10);

/// Waits until `holds` is true of a node's book, looking again at each change.
///
/// # Panics
///
/// When that takes longer than [`WITHIN`]; `what` says what did not come.
pub async fn until(node: &Node, what: &str, holds: impl Fn(&PeerBook) -> bool) {
    let mut changes = node.book().watch();
    let waited = timeout(WITHIN, async {
        while !node.book().read(&holds) {
            match changes.recv().await {
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => panic!("{what}: the book is closed"),
            }
        }
    });
    if waited.await.is_err() {
        let book = node.book().read(|book| {
            book.iter()
                .map(|(_, r)| format!("{r:?}"))
                .collect::<Vec<_>>()
        });
        panic!("not within {WITHIN:?}: {what}; the book: {book:#?}");
    }
}

/// Waits until `holds` is true of a watched value.
///
/// # Panics
///
/// As [`until`].
pub async fn until_watched<T>(
    watched: &mut watch::Receiver<T>,
    what: &str,
    holds: impl FnMut(&T) -> bool,
) {
    let waited = timeout(WITHIN, watched.wait_for(holds)).await;
    assert!(matches!(waited, Ok(Ok(_))), "not within {WITHIN:?}: {what}");
}

/// Waits until `holds` is true of something that tells nobody of its changes.
///
/// # Panics
///
/// As [`until`].
pub async fn until_true(what: &str, mut holds: impl FnMut() -> bool) {
    let mut look = interval(LOOK);
    let waited = timeout(WITHIN, async {
        while !holds() {
            look.tick().await;
        }
    });
    assert!(waited.await.is_ok(), "not within {WITHIN:?}: {what}");
}

/// Waits until every node is connected with each other one and holds its card.
pub async fn introduced(nodes: &[&Node]) {
    for node in nodes {
        for other in nodes.iter().map(|other| other.peer_id()) {
            if other == node.peer_id() {
                continue;
            }
            until(node, "connected, and introduced by a card", |book| {
                book.get(&other)
                    .is_some_and(|record| record.link.is_some() && record.card.is_some())
            })
            .await;
        }
    }
}

/// Waits until `peer` is that to `node`.
pub async fn related(node: &Node, peer: PeerId, relation: Relation) {
    until(node, &format!("{relation:?}"), |book| {
        book.get(&peer)
            .is_some_and(|record| record.relation == relation)
    })
    .await;
}
