//! The gate: before each call of a peer, the one question "may it?" is asked, here.

mod asked;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use peerage_core::{
    PeerId,
    policy::{self, Audience, rules::Rule},
    problem::Problem,
};
use peerage_mesh::Origin;

use crate::{
    card::{CARD_PATH, TELL_PATH},
    context::Context,
    failure::Failure,
    mcp::MCP_PREFIX,
    members::unix_now,
    policy::{Asked, Subject},
    trust::{GRANTS_PATH, JOIN_PATH, RENEWALS_PATH, REVOCATIONS_PATH},
};

/// A tower layer (by `axum::middleware::from_fn_with_state`) that lets through what the caller may, and
/// answers the rest with 403, a reason and a hint. A path that is not known here is refused.
pub async fn gate(State(ctx): State<Context>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let passed = match request.extensions().get::<Origin>() {
        Some(Origin::Local) => Ok(request),
        Some(Origin::Peer(peer)) => pass(&ctx, *peer, request).await,
        None => Err(Problem::new(
            500,
            "no_origin",
            "a request without an origin",
        )),
    };
    match passed {
        Ok(request) => next.run(request).await,
        Err(problem) => {
            tracing::info!(%problem, path, "refused a call");
            Failure(problem).into_response()
        }
    }
}

/// The request as it goes on, if it may.
async fn pass(ctx: &Context, peer: PeerId, request: Request) -> Result<Request, Problem> {
    let path = request.uri().path();
    // Finding each other, showing cards and redeeming invitations are open to whoever may connect.
    if [CARD_PATH, TELL_PATH, JOIN_PATH].contains(&path) {
        return Ok(request);
    }
    // What these carry proves itself; only members have a reason to.
    if [GRANTS_PATH, RENEWALS_PATH, REVOCATIONS_PATH].contains(&path) {
        return decide(ctx, peer, &Audience::Mesh).map(|()| request);
    }
    let subject = ctx.policy.subject(peer);
    let Some(rest) = path.strip_prefix(MCP_PREFIX) else {
        let nobody = || decide(ctx, peer, &Audience::Only(Vec::new()));
        subject.call(Asked::Path(path), nobody)?;
        return Ok(request);
    };
    let server = server(rest)?.to_owned();
    let (request, asked) = asked::asked(&subject, &server, request).await?;
    may(ctx, peer, &subject, asked.of(&server))?;
    Ok(request)
}

/// The server that is meant by what stands behind the prefix. Names need no escapes, and one that the route would
/// read differently than the gate would be decided on by another's audience.
fn server(rest: &str) -> Result<&str, Problem> {
    let name = rest.split('/').next().unwrap_or_default();
    if name.contains('%') {
        let text = "the name of a server has no escapes in it";
        return Err(Problem::new(400, "bad_server_name", text));
    }
    Ok(name)
}

/// Whether a peer may call an MCP server, or what it asks for of it.
fn may<'a>(
    ctx: &Context,
    peer: PeerId,
    subject: &'a Subject,
    asked: Asked<'_>,
) -> Result<Option<&'a Rule>, Problem> {
    subject.call(asked, || {
        let (Asked::Session(server) | Asked::Server(server) | Asked::Tool(server, _)) = asked
        else {
            return decide(ctx, peer, &Audience::Only(Vec::new()));
        };
        // Whoever may not call learns nothing about which names exist: a share that does not exist is
        // decided on like one for members.
        let share = ctx.shares.get(server);
        let audience = share
            .map(|share| share.audience.clone())
            .unwrap_or_default();
        decide(ctx, peer, &audience)
    })
}

fn decide(ctx: &Context, peer: PeerId, audience: &Audience) -> Result<(), Problem> {
    policy::decide(audience, &ctx.members.caller(peer), unix_now()).into_result()
}
