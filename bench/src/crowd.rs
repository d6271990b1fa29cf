//! Many peers in one process: each shows its card, reads that of whoever connects, and is then idle.

use std::{io::Write, sync::Arc, time::Duration};

use anyhow::Result;
use axum::{
    Router,
    routing::{get, post},
};
use clap::Args;
use http::Request;
use http_body_util::{BodyExt, Empty};
use peerage_core::{
    Identity,
    card::{Card, CardContent},
    peer_book::PeerEvent,
};
use peerage_mesh::{Body, Book, Mesh, Tasks, book};
use tokio::time::timeout;

use crate::node::{Node, Transport};

/// How long a card is good, seconds.
const LIFETIME: u64 = 6 * 3600;
/// How long reading a card may take.
const DEADLINE: Duration = Duration::from_secs(60);
const CARD: &str = "/.well-known/agent-card.json";

/// How many.
#[derive(Debug, Args)]
pub(crate) struct Options {
    count: u32,
}

/// Says where each is, and runs them until the input ends.
pub(crate) async fn run(options: &Options) -> Result<()> {
    let mut all = Vec::new();
    for number in 0..options.count {
        let node = one(number)?;
        let mut out = std::io::stdout();
        writeln!(out, "{}/p2p/{}", node.address().await?, node.id)?;
        out.flush()?;
        all.push(node);
    }
    tokio::io::copy(&mut tokio::io::stdin(), &mut tokio::io::sink()).await?;
    for node in all {
        node.tasks.stop().await;
    }
    Ok(())
}

fn one(number: u32) -> Result<Node> {
    let identity = Identity::generate();
    let card: Arc<[u8]> = card(&identity, number)?.bytes().into();
    let (node, inbound) = Node::start(Transport::Tcp, identity)?;
    let routes = Router::new()
        .route(CARD, get(move || async move { card.to_vec() }))
        .route("/api/v1/cards", post(|| async {}));
    node.tasks.spawn("serve", inbound.serve(routes));
    let (book, mesh) = (node.mesh.book().clone(), node.mesh.clone());
    node.tasks
        .spawn("read", read(book, mesh, node.tasks.clone()));
    Ok(node)
}

fn card(identity: &Identity, number: u32) -> Result<Card> {
    let content = CardContent {
        name: format!("idle-{number}"),
        description: "A peer that does nothing".to_owned(),
        version: "0".to_owned(),
        ..CardContent::default()
    };
    let now = book::now().as_secs();
    Ok(Card::issue(identity, content, now, now + LIFETIME)?)
}

async fn read(book: Book, mesh: Mesh, tasks: Tasks) {
    let mut changes = book.watch();
    while let Ok(change) = changes.recv().await {
        if matches!(change.event, PeerEvent::Connected { .. }) {
            let mesh = mesh.clone();
            tasks.spawn("card", async move {
                let body: Body = Empty::new().map_err(|never| match never {}).boxed_unsync();
                let request = Request::get(CARD).body(body).expect("the parts are valid");
                let read = async {
                    let answer = mesh.call(change.peer, request).await.ok()?;
                    answer.into_body().collect().await.ok()
                };
                // A peer without a card is idle too.
                let _ = timeout(DEADLINE, read).await;
            });
        }
    }
}
