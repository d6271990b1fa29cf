//! What every service is given: the node's identity, its mesh, what it knows and what it shares.

mod deeds;

use std::{sync::Arc, time::Instant};

use axum::{Router, body::Body};
use http::{Request, Response};
use hyper::upgrade::OnUpgrade;
use peerage_core::{
    Identity, Multiaddr, PeerId,
    peer_book::PeerEvent,
    problem::Problem,
    reach::{is_link_local, is_loopback},
    score::Deed,
};
use peerage_mesh::{BoxError, CallError, Mesh, OpenError, Origin, Tasks};
use tower::ServiceExt;

use crate::{
    audit::{self, Audit},
    card::Introductions,
    members::Members,
    names::Names,
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
    /// What is remembered of names.
    pub names: Names,
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
        // First, for it reads nothing of the request: whoever cannot be reached has cost the caller no body.
        self.introductions.ensure(self, peer).await?;
        let (request, cut_off) = self.secrets.request(peer, request).await?.split();
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
        let path = request.uri().path().to_owned();
        let answered = self.mesh.call(peer, request).await;
        if let Some((deed, detail)) = deeds::of_call(self, peer, &path, &answered) {
            self.did(peer, deed, detail);
        }
        Ok(answered.map_err(unanswered)?.map(Body::new))
    }

    /// Takes note of what a peer did.
    pub fn did(&self, peer: PeerId, deed: Deed, detail: impl Into<String>) {
        let event = PeerEvent::Did {
            deed,
            count: 1,
            detail: detail.into(),
        };
        self.mesh.book().apply(peer, event);
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
}

/// Asks a router of this node, as a program on this machine would.
pub async fn ask(router: &Router, request: Request<Body>) -> Response<Body> {
    ask_as(router, Origin::Local, request).await
}

/// Asks a router of this node on behalf of `origin`.
pub async fn ask_as(router: &Router, origin: Origin, mut request: Request<Body>) -> Response<Body> {
    // What another router has left there is not meant for this one, such as the parts of its path.
    let extensions = request.extensions_mut();
    let upgrade = extensions.remove::<OnUpgrade>();
    extensions.clear();
    extensions.insert(origin);
    upgrade.map(|upgrade| extensions.insert(upgrade));
    match router.clone().oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// The code of the problem that a call was sent and no answer came.
const CONNECTION_LOST: &str = "connection_lost";

/// Whether a call was not made because the peer could not be reached, or has no room: another one may be called instead.
#[must_use]
pub fn is_away(problem: &Problem) -> bool {
    matches!(problem.status, 502 | 503) && !may_have_been_sent(problem)
}

/// Whether a call that brought no answer, but this problem, may have been executed all the same.
#[must_use]
pub fn may_have_been_sent(problem: &Problem) -> bool {
    problem.code == CONNECTION_LOST
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
        CallError::Lost { .. } => Problem::new(502, CONNECTION_LOST, text)
            .hint("find out whether it was executed before you repeat it"),
        CallError::Stopping => Problem::new(503, "stopping", text),
        other => Problem::new(502, "unreachable", other.to_string()),
    }
}
