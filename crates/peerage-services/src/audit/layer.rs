//! Where calls are noted: those of peers when they are refused, and all of both directions where asked.

use std::time::Instant;

use axum::{
    body::{Body, HttpBody},
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http::{Method, StatusCode};
use peerage_core::{PeerId, score::Deed};
use peerage_mesh::Origin;

use super::{Audit, Event, body::Counted};
use crate::{api::AuditVerdict, context::Context, failure::Code};

/// A tower layer (by `axum::middleware::from_fn_with_state`) around all that peers may ask for.
pub async fn calls(State(ctx): State<Context>, request: Request, next: Next) -> Response {
    let Some(origin @ Origin::Peer(_)) = request.extensions().get::<Origin>().copied() else {
        return next.run(request).await;
    };
    let all = ctx.audit.wants_calls();
    let begun = Instant::now();
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let bytes_in = request.body().size_hint().exact();
    let mut response = next.run(request).await;
    let refusal = response
        .extensions_mut()
        .remove::<Code>()
        .filter(|_| response.status().is_client_error());
    if !all && refusal.is_none() {
        return response;
    }
    if let (Origin::Peer(peer), Some(Code(code))) = (origin, &refusal)
        && let Some(deed) = deed(response.status(), code)
    {
        ctx.did(peer, deed, object(&method, uri.path()));
    }
    let verdict = match refusal {
        Some(_) => AuditVerdict::Refused,
        None => AuditVerdict::Allowed,
    };
    let mut event = Event::new(Some(origin), verdict, "call", object(&method, uri.path()));
    event.bytes_in = bytes_in.filter(|bytes| *bytes > 0);
    event.status = Some(response.status().as_u16());
    event.rule = refusal.map(|Code(code)| code);
    noted(&ctx.audit, event, begun, response)
}

/// Notes a call of this machine to a peer, when its answer ends.
#[must_use]
pub fn outgoing(
    audit: &Audit,
    peer: PeerId,
    (method, path): (&Method, &str),
    begun: Instant,
    response: Response,
) -> Response {
    let object = format!("{peer} {}", object(method, path));
    let mut event = Event::new(Some(Origin::Local), AuditVerdict::Allowed, "call", object);
    event.status = Some(response.status().as_u16());
    noted(audit, event, begun, response)
}

fn noted(audit: &Audit, mut event: Event, begun: Instant, response: Response) -> Response {
    if let Some(size) = response.body().size_hint().exact() {
        event.bytes_out = Some(size).filter(|size| *size > 0);
        event.took = Some(begun.elapsed());
        audit.note(event);
        return response;
    }
    let audit = audit.clone();
    response.map(|body| Body::new(Counted::new(body, audit, event, begun)))
}

/// What a peer did that got such an answer. What is over a limit is counted where that is kept.
fn deed(status: StatusCode, code: &str) -> Option<Deed> {
    match (status, code) {
        // It may have what it asked for, but for what it holds.
        (_, "secret_in_answer") => None,
        (StatusCode::FORBIDDEN, _) => Some(Deed::NotAllowed),
        (_, "bad_revocation") => Some(Deed::Forged),
        (StatusCode::BAD_REQUEST, "bad_request" | "bad_grant") => Some(Deed::Garbage),
        _ => None,
    }
}

fn object(method: &Method, path: &str) -> String {
    format!("{method} {path}")
}
