//! The gate: before each call of a peer, the one question "may it?" is asked, here.

mod asked;
mod listing;
mod paced;

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{Method, header::ACCEPT_ENCODING};
use peerage_core::{
    PeerId,
    policy::{
        self, Audience,
        rules::{Action, Limit, Rule, Rules},
    },
    problem::Problem,
};
use peerage_mesh::{Forbidden, Origin};
use serde_json::Value;

use self::{asked::OfServer, listing::Listing};
use crate::{
    card::{CARD_PATH, TELL_PATH},
    context::Context,
    failure::{Code, Failure},
    limit::hold_back,
    mcp::MCP_PREFIX,
    members::unix_now,
    names::{FORWARD_PATH, NAMES_PATH},
    policy::{Asked, Over, Pass, Refused, Subject},
    shares::Share,
    trust::{GRANTS_PATH, JOIN_PATH, RENEWALS_PATH, REVOCATIONS_PATH},
};

/// A tower layer (by `axum::middleware::from_fn_with_state`) that lets through what the caller may, and
/// answers the rest with 403, a reason and a hint. A path that is not known here is refused.
pub async fn gate(State(ctx): State<Context>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let passed = match request.extensions().get::<Origin>() {
        Some(Origin::Local) => return next.run(request).await,
        Some(Origin::Peer(peer)) => pass(&ctx, *peer, request).await,
        None => Err(Problem::new(500, "no_origin", "a request without an origin").into()),
    };
    match passed {
        Ok(passed) => passed.run(next).await,
        Err(Refusal {
            problem,
            wait,
            rule,
        }) => {
            tracing::info!(%problem, path, rule, "refused a call");
            let mut response = match wait {
                Some(wait) => hold_back(problem, wait).await,
                None => Failure(problem).into_response(),
            };
            if let Some(rule) = rule {
                response.extensions_mut().insert(Code(rule));
            }
            response
        }
    }
}

/// Why a call does not go on.
struct Refusal {
    problem: Problem,
    /// After which time to come again, where that helps.
    wait: Option<Duration>,
    /// The rule that refuses, where one does.
    rule: Option<String>,
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self {
            problem,
            wait: None,
            rule: None,
        }
    }
}

impl From<Forbidden> for Refusal {
    fn from(forbidden: Forbidden) -> Self {
        Problem::new(403, "blocked", forbidden.to_string()).into()
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        Self {
            rule: refused.rule,
            ..refused.problem.into()
        }
    }
}

impl From<Over> for Refusal {
    fn from(over: Over) -> Self {
        let (wait, rule) = (Some(over.retry_after), Some(over.rule.clone()));
        Self {
            problem: over.into(),
            wait,
            rule,
        }
    }
}

/// A request that may go on, and how.
struct Passed {
    request: Request,
    /// What it may use, where a rule says so, and whether it counts as a call.
    pass: Option<(Pass, bool)>,
    /// Whose list of tools it is answered with, where not all may be seen.
    listing: Option<Listing>,
}

impl Passed {
    fn freely(request: Request) -> Self {
        Self {
            request,
            pass: None,
            listing: None,
        }
    }

    async fn run(mut self, next: Next) -> Response {
        if self.listing.is_some() {
            // What is packed cannot be cut.
            self.request.headers_mut().remove(ACCEPT_ENCODING);
        }
        let response = match self.pass {
            None => next.run(self.request).await,
            Some((pass, counted)) => paced::run(pass, counted, self.request, next).await,
        };
        match self.listing {
            None => response,
            Some(listing) => listing.cut(response).await,
        }
    }
}

/// The request as it goes on, if it may.
async fn pass(ctx: &Context, peer: PeerId, request: Request) -> Result<Passed, Refusal> {
    let path = request.uri().path();
    // Finding each other, showing cards and redeeming invitations are open to whoever may connect.
    if [CARD_PATH, TELL_PATH, JOIN_PATH].contains(&path) {
        return Ok(Passed::freely(request));
    }
    // What these carry proves itself; only members have a reason to, to ask for names, and to bring
    // calls of others, whose signers are decided on in turn.
    if [GRANTS_PATH, RENEWALS_PATH, REVOCATIONS_PATH].contains(&path)
        || path.starts_with(FORWARD_PATH)
    {
        decide(ctx, peer, &Audience::Mesh)?;
        return Ok(Passed::freely(request));
    }
    if let Some(name) = path.strip_prefix(NAMES_PATH) {
        let subject = ctx.policy.subject(peer);
        subject.resolve(plain(name)?, || decide(ctx, peer, &Audience::Mesh))?;
        return Ok(Passed::freely(request));
    }
    // One that is blocked has no connection, but another node may bring its calls.
    ctx.policy.unblocked(Some(&peer), None)?;
    let subject = ctx.policy.subject(peer);
    let Some(rest) = path.strip_prefix(MCP_PREFIX) else {
        let nobody = || decide(ctx, peer, &Audience::Only(Vec::new()));
        let pass = match subject.call(Asked::Path(path), nobody)? {
            Some(rule) => begin(ctx, peer, rule, true)?,
            None => None,
        };
        return Ok(Passed {
            pass,
            ..Passed::freely(request)
        });
    };
    let server = server(rest)?.to_owned();
    let (request, asked) = asked::asked(&subject, &server, request).await?;
    // A stream of events and the end of a session are no calls.
    let counted = request.method() == Method::POST;
    let pass = match may(ctx, peer, &subject, asked.of(&server))? {
        Some(rule) => begin(ctx, peer, rule, counted)?,
        None => None,
    };
    let lists = asked == OfServer::List || request.method() == Method::GET;
    let listing = (lists && depends(&subject, &server)).then(|| Listing::new(ctx, peer, &server));
    Ok(Passed {
        request,
        pass,
        listing,
    })
}

/// Takes what a call needs of what its rule allows; nothing where that has no limits.
fn begin(
    ctx: &Context,
    peer: PeerId,
    rule: &Rule,
    counted: bool,
) -> Result<Option<(Pass, bool)>, Over> {
    if rule.limit == Limit::default() {
        return Ok(None);
    }
    let pass = ctx.policy.accounts().begin(peer, rule, counted)?;
    Ok(Some((pass, counted)))
}

/// Whether a caller may see some tools of a server and others not.
fn depends(subject: &Subject, server: &str) -> bool {
    let server = Rules::server(server);
    subject.depends_below(Action::Call, &server)
        || subject.depends_below(Action::See, &server)
        || !subject.sees(&server)
}

/// A shared server as a peer may see it.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The server.
    pub share: Arc<Share>,
    /// Its tools, those that the peer may see and call.
    pub tools: Vec<Value>,
    /// Whether it has others.
    pub partly: bool,
}

/// What a peer may see and call of what this node shares.
#[must_use]
pub fn listed(ctx: &Context, peer: PeerId) -> Vec<Listed> {
    let subject = ctx.policy.subject(peer);
    let shown = shown(ctx, peer, &subject);
    let mut listed = Vec::new();
    for share in ctx.shares.all() {
        let server = share.name.as_str();
        let mut tools = share.tools();
        let (all, partly) = (tools.len(), depends(&subject, server));
        if partly {
            tools.retain(|tool| {
                let name = tool.get("name").and_then(Value::as_str);
                name.is_some_and(|name| shown(Asked::Tool(server, name)))
            });
        }
        if shown(Asked::Session(server)) || partly && !tools.is_empty() {
            let partly = partly && tools.len() < all;
            listed.push(Listed {
                share,
                tools,
                partly,
            });
        }
    }
    listed
}

/// Whether a caller may see and call what it may ask for.
fn shown<'a>(
    ctx: &'a Context,
    peer: PeerId,
    subject: &'a Subject,
) -> impl Fn(Asked<'_>) -> bool + 'a {
    move |asked| subject.sees(&asked.object()) && may(ctx, peer, subject, asked).is_ok()
}

/// The server that is meant by what stands behind the prefix. Names need no escapes, and one that the route would
/// read differently than the gate would be decided on by another's audience.
fn server(rest: &str) -> Result<&str, Problem> {
    plain(rest.split('/').next().unwrap_or_default())
}

/// A name in a path, which needs no escapes: rules and routes must not read it differently.
fn plain(name: &str) -> Result<&str, Problem> {
    if name.contains('%') {
        let text = "a name has no escapes in it here";
        return Err(Problem::new(400, "bad_name", text));
    }
    Ok(name)
}

/// Whether a peer may call an MCP server, or what it asks for of it.
fn may<'a>(
    ctx: &Context,
    peer: PeerId,
    subject: &'a Subject,
    asked: Asked<'_>,
) -> Result<Option<&'a Rule>, Refused> {
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
