//! What every service is given: the node's identity, its mesh, what it knows and what it shares.

use std::{sync::Arc, time::Instant};

use axum::{Router, body::Body};
use http::{Request, Response};
use peerage_core::{
    Identity, Multiaddr, PeerId,
    did::Did,
    peer_book::Relation,
    problem::Problem,
    reach::{is_link_local, is_loopback},
};
use peerage_mesh::{BoxError, CallError, Mesh, OpenError, Origin, Tasks};
use tower::ServiceExt;

use crate::{
    audit::{self, Audit},
    card::Introductions,
    members::Members,
    policy::Policy,
    secrets::Secrets,
    shares::Shares,
    store::Store,
};

/// What does not change while a node runs.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Its name, one segment.
    pub name: String,
    /// What it says of itself on its card.
    pub description: String,
    /// Free data for its card.
    pub metadata: serde_json::Map<String, serde_json::Value>,
    /// The program's version.
    pub version: String,
    /// When it started.
    pub started: Instant,
}

/// See the module's page. Clones share everything.
#[derive(Clone, Debug)]
pub struct Context(Arc<Parts>);

/// What a context is made of.
#[derive(Debug)]
pub struct Parts {
    /// The node's key.
    pub identity: Identity,
    /// What does not change.
    pub facts: Facts,
    /// The way to peers.
    pub mesh: Mesh,
    /// What is kept on disk.
    pub store: Store,
    /// Who is who.
    pub members: Members,
    /// Who may do what.
    pub policy: Policy,
    /// What is shared.
    pub shares: Shares,
    /// What was refused, what has changed and, where asked, what was called.
    pub audit: Audit,
    /// What must not leave.
    pub secrets: Secrets,
    /// Who has been introduced to whom.
    pub introductions: Introductions,
    /// What runs in the background.
    pub tasks: Tasks,
}

impl std::ops::Deref for Context {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl Context {
    /// Puts the parts together.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// This node.
    #[must_use]
    pub fn me(&self) -> PeerId {
        self.mesh.me()
    }

    /// Calls a peer, after the two have been introduced, so that the callee knows the caller's grants.
    ///
    /// # Errors
    ///
    /// A problem when no answer came; what the peer answers, refusals included, is an answer.
    pub async fn call(
        &self,
        peer: PeerId,
        request: Request<Body>,
    ) -> Result<Response<Body>, Problem> {
        let (request, cut_off) = self.secrets.request(peer, request).await?.split();
        self.introductions.ensure(self, peer).await?;
        let (begun, method) = (Instant::now(), request.method().clone());
        let path = self
            .audit
            .wants_calls()
            .then(|| request.uri().path().to_owned());
        let answer = self.call_unintroduced(peer, request).await;
        if let Some(problem) = cut_off() {
            return Err(problem);
        }
        match path {
            Some(path) => {
                let called = (&method, path.as_str());
                Ok(audit::outgoing(&self.audit, peer, called, begun, answer?))
            }
            None => answer,
        }
    }

    /// Calls a peer without an introduction.
    ///
    /// # Errors
    ///
    /// As [`Context::call`].
    pub async fn call_unintroduced(
        &self,
        peer: PeerId,
        request: Request<Body>,
    ) -> Result<Response<Body>, Problem> {
        let request = request.map(|body| {
            http_body_util::BodyExt::boxed_unsync(http_body_util::BodyExt::map_err(
                body,
                |error| -> BoxError { error.into() },
            ))
        });
        let response = self.mesh.call(peer, request).await.map_err(unanswered)?;
        Ok(response.map(Body::new))
    }

    /// Where others reach this node, the most useful first: not the link-local ones, which mean nothing
    /// elsewhere, and those of this machine alone only when there are no others.
    #[must_use]
    pub fn addresses(&self) -> Vec<Multiaddr> {
        let mut addresses = self.mesh.listening().borrow().clone();
        addresses.retain(|address| !is_link_local(address));
        if !addresses.iter().all(is_loopback) {
            addresses.retain(|address| !is_loopback(address));
        }
        addresses.sort_by_key(|address| address.to_string().len());
        addresses
    }

    /// Which peer a person means by `text`: a PeerId, a DID, a name that a peer has proved to bear, the
    /// name on a card, or a part of a PeerId of at least six characters that only one has. Members come
    /// before trusted peers and those before strangers, so that a stranger cannot take a member's name.
    ///
    /// # Errors
    ///
    /// `no_such_peer`, or `ambiguous_peer` with the candidates.
    pub fn resolve(&self, text: &str) -> Result<PeerId, Problem> {
        if let Ok(peer) = text.parse::<PeerId>() {
            return Ok(peer);
        }
        if let Ok(did) = text.parse::<Did>() {
            return Ok(did.peer_id());
        }
        if let Some(peer) = text
            .parse()
            .ok()
            .and_then(|name| self.members.pinned(&name))
        {
            return Ok(peer);
        }
        // Own names are verified each time, which takes longer than the whole call: only for what is one.
        let is_own_name = || {
            let names = self.members.own_names();
            names.iter().any(|name| name.as_str() == text)
        };
        if text == "self" || text == self.facts.name || (text.contains('/') && is_own_name()) {
            return Ok(self.me());
        }
        let mut found: Vec<(Relation, PeerId)> = self.mesh.book().read(|book| {
            book.iter()
                .filter(|(peer, record)| {
                    let card = record.card.as_ref();
                    card.is_some_and(|card| card.name() == text) || is_part_of(text, peer)
                })
                .map(|(peer, record)| (record.relation, *peer))
                .collect()
        });
        let known: Vec<PeerId> = self
            .mesh
            .book()
            .read(|b| b.iter().map(|(p, _)| *p).collect());
        for peer in known {
            let names = self.members.names_of(&peer);
            let named = names.iter().any(|n| n.as_str() == text || n.last() == text);
            if named && !found.iter().any(|(_, p)| *p == peer) {
                found.push((self.members.relation(&peer), peer));
            }
        }
        choose(text, found)
    }
}

fn is_part_of(text: &str, peer: &PeerId) -> bool {
    let id = peer.to_base58();
    text.len() >= 6 && (id.starts_with(text) || id.ends_with(text)) && text.len() < id.len()
}

fn choose(text: &str, mut found: Vec<(Relation, PeerId)>) -> Result<PeerId, Problem> {
    found.sort();
    let Some((best, peer)) = found.last().copied() else {
        let text = format!("no peer called `{text}` is known");
        return Err(Problem::new(404, "no_such_peer", text)
            .hint("peerage peers lists those that are; a PeerId always works"));
    };
    let equals: Vec<_> = found
        .iter()
        .filter(|(relation, _)| *relation == best)
        .collect();
    if equals.len() > 1 {
        let ids: Vec<_> = equals.iter().map(|(_, peer)| peer.to_base58()).collect();
        let text = format!("`{text}` may be any of {}", ids.join(", "));
        return Err(Problem::new(409, "ambiguous_peer", text).hint("use the PeerId"));
    }
    Ok(peer)
}

/// Asks a router of this node, as a program on this machine would.
pub async fn ask(router: &Router, mut request: Request<Body>) -> Response<Body> {
    request.extensions_mut().insert(Origin::Local);
    match router.clone().oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

fn unanswered(error: CallError) -> Problem {
    let text = error.to_string();
    match error {
        CallError::Unreachable { .. } => Problem::new(502, "unreachable", text)
            .hint("is its node up? `peerage peers` shows when it was last seen"),
        CallError::Open { source, .. } => match source {
            OpenError::Busy(_) | OpenError::TooMany => {
                Problem::new(503, "busy", format!("{text}: {source}")).hint("try again in a moment")
            }
            source => Problem::new(502, "no_stream", format!("{text}: {source}"))
                .hint("does it run Peerage, or another libp2p program that serves /http/1.1?"),
        },
        CallError::Lost { .. } => Problem::new(502, "connection_lost", text)
            .hint("find out whether it was executed before you repeat it"),
        CallError::Stopping => Problem::new(503, "stopping", text),
        other => Problem::new(502, "unreachable", other.to_string()),
    }
}
