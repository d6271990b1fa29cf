//! Grants between peers: given, delivered, renewed, revoked and told.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Extension, State},
    routing::post,
};
use futures::{StreamExt, stream};
use http::{Request, StatusCode, header::CONTENT_TYPE};
use peerage_core::{
    PeerId,
    address::Address,
    grant::{Chain, Grant, GrantId, Revocation},
    peer_book::{PeerEvent, Relation},
    problem::Problem,
};
use peerage_mesh::{Change, Origin};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::{sync::broadcast::error::RecvError, time::timeout};

use super::join::show;
use crate::{
    context::Context,
    failure::{Answer, Asked},
    members::{Due, Gift, MemberError},
};

/// Where a grant is delivered.
pub const GRANTS_PATH: &str = "/api/v1/members/grants";
/// Where a grant is renewed.
pub const RENEWALS_PATH: &str = "/api/v1/members/renewals";
/// Where revocations are told.
pub const REVOCATIONS_PATH: &str = "/api/v1/members/revocations";

/// Bytes of a request, at the most.
const MAX_REQUEST: usize = 512 * 1024;
/// Bytes of an answer, at the most.
const MAX_ANSWER: usize = 64 * 1024;
/// Revocations in one request, at the most.
const MAX_TOLD: usize = 32;
/// Peers that are told at once.
const AT_ONCE: usize = 16;
/// How long telling, delivering or renewing may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// How long until a renewal that failed is tried again; also how often it is looked for grants that are due, at the least.
const AGAIN: Duration = Duration::from_secs(60);

/// A grant on its way to its holder, or back to its issuer to be renewed.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Carried {
    chain: Chain,
}

/// A grant that was given.
#[derive(Debug)]
pub struct Given {
    /// What it says.
    pub grant: Grant,
    /// The proof.
    pub chain: Chain,
    /// Why its holder has not got it yet; nothing when it has.
    pub undelivered: Option<Problem>,
}

/// The public routes.
pub(super) fn routes() -> Router<Context> {
    Router::new()
        .route(GRANTS_PATH, post(accept))
        .route(RENEWALS_PATH, post(renew))
        .route(REVOCATIONS_PATH, post(hear))
        .layer(DefaultBodyLimit::max(MAX_REQUEST))
}

/// Gives a grant and delivers it. A holder that cannot be reached gets it by hand: `peerage join` with its text.
///
/// # Errors
///
/// `may_not_grant`, or the store's.
pub async fn give(ctx: &Context, gift: &Gift) -> Result<Given, Problem> {
    let (chain, grant) = ctx.members.give(gift)?;
    let peer = grant.subject.peer_id();
    let given = format!("{} to {peer}: {}", grant.path, grant.rights);
    ctx.audit.changed(Origin::Local, "grant", given);
    let carried = Carried { chain };
    let delivered: Result<(), Problem> =
        match ask::<_, Empty>(ctx, peer, GRANTS_PATH, &carried).await {
            Ok(Empty {}) => Ok(()),
            Err(problem) => Err(problem),
        };
    Ok(Given {
        grant,
        chain: carried.chain,
        undelivered: delivered.err(),
    })
}

/// Takes a grant by hand, as text. Whoever does that joins its mesh.
///
/// # Errors
///
/// `bad_grant` and what [`crate::members::Members::join`] refuses.
pub async fn take(ctx: &Context, text: &str) -> Result<(Grant, Address), Problem> {
    let chain: Chain = text.parse().map_err(MemberError::Grant)?;
    let root = chain.root().map_err(MemberError::Grant)?;
    let grant = chain
        .verify(&root, crate::members::unix_now())
        .map_err(MemberError::Grant)?;
    let top = grant.path.segments().next().unwrap_or_default();
    let mesh =
        Address::top(top).map_err(|error| Problem::new(400, "bad_grant", error.to_string()))?;
    // Its issuer has the key of the link above, or is the root, which nobody can call.
    let from = chain.issuer().map_err(MemberError::Grant)?.peer_id();
    let grant = ctx.members.join(mesh.clone(), chain, from)?;
    ctx.audit
        .changed(Origin::Local, "join", grant.path.to_string());
    show(ctx, None).await;
    Ok((grant, mesh))
}

/// Takes back a grant, here at once, and tells the peers that are connected.
///
/// # Errors
///
/// `no_such_grant`, or the store's.
pub async fn revoke(ctx: &Context, id: GrantId) -> Result<(), Problem> {
    for revocation in ctx.members.revoke(id)? {
        ctx.audit.changed(Origin::Local, "revoke", id.to_string());
        cut_off(ctx, id).await;
        tell(ctx, vec![revocation], &[]).await;
    }
    Ok(())
}

/// Renews what this node holds before it expires, and tells peers that come what was revoked, until the node stops.
pub async fn run(ctx: Context) {
    tokio::join!(keep_renewed(&ctx), tell_those_who_come(&ctx));
}

async fn keep_renewed(ctx: &Context) {
    loop {
        let (due, next) = ctx.members.due();
        for Due { chain, from } in due {
            match ask(ctx, from, RENEWALS_PATH, &Carried { chain }).await {
                Ok(Carried { chain }) => match ctx.members.accept(chain, from) {
                    Ok(grant) => {
                        tracing::info!(path = %grant.path, "a grant was renewed");
                        show(ctx, Some(from)).await;
                    }
                    Err(error) => tracing::warn!(%from, %error, "a renewed grant is refused"),
                },
                Err(problem) => tracing::warn!(%from, %problem, "a grant is not renewed yet"),
            }
        }
        // A grant that is new may be due earlier than those there were.
        let news = ctx.members.holds_more();
        let _ = timeout(next.unwrap_or(AGAIN).min(AGAIN), news).await;
    }
}

async fn tell_those_who_come(ctx: &Context) {
    let mut changes = ctx.mesh.book().watch();
    loop {
        match changes.recv().await {
            Ok(Change {
                peer,
                event: PeerEvent::Connected { .. } | PeerEvent::Related(_),
            }) => {
                let ctx = ctx.clone();
                ctx.tasks.clone().spawn(
                    "tell revocations",
                    async move { tell_all(&ctx, peer).await },
                );
            }
            Ok(_) | Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}

/// Tells a member all that is revoked. A call begins with an introduction, so it knows who tells.
async fn tell_all(ctx: &Context, peer: PeerId) {
    let record = ctx.mesh.book().get(&peer);
    if record.is_none_or(|record| record.relation != Relation::Member) {
        return;
    }
    match ctx.members.revocations() {
        Ok(all) => tell_one(ctx, peer, &all).await,
        Err(error) => tracing::error!(%error, "revocations cannot be read"),
    }
}

async fn accept(
    State(ctx): State<Context>,
    Extension(origin): Extension<Origin>,
    Asked(Carried { chain }): Asked<Carried>,
) -> Answer<Json<Empty>> {
    let from = caller(&origin)?;
    let grant = ctx.members.accept(chain, from)?;
    tracing::info!(path = %grant.path, rights = %grant.rights, %from, "a grant was given to this node");
    let taken = format!("{} to this node: {}", grant.path, grant.rights);
    ctx.audit.changed(origin, "grant", taken);
    // Whoever gave it waits for the answer, and is shown it afterwards with the others.
    let all = ctx.clone();
    ctx.tasks
        .spawn("show grant", async move { show(&all, Some(from)).await });
    Ok(Json(Empty {}))
}

async fn renew(
    State(ctx): State<Context>,
    Extension(origin): Extension<Origin>,
    Asked(Carried { chain }): Asked<Carried>,
) -> Answer<Json<Carried>> {
    let peer = caller(&origin)?;
    let chain = ctx.members.renew(&peer, &chain)?;
    ctx.audit.changed(origin, "renew", "");
    Ok(Json(Carried { chain }))
}

async fn hear(
    State(ctx): State<Context>,
    Extension(origin): Extension<Origin>,
    Asked(told): Asked<Vec<Revocation>>,
) -> Answer<StatusCode> {
    let from = caller(&origin)?;
    if told.len() > MAX_TOLD {
        let text = format!("at most {MAX_TOLD} revocations are told at once");
        return Err(Problem::new(413, "too_many", text).into());
    }
    let mut news = Vec::new();
    for revocation in told {
        match ctx.members.take_in(&revocation) {
            Ok(true) => news.push(revocation),
            // Of a mesh that only the other side is in.
            Ok(false) | Err(MemberError::UnknownMesh(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    if !news.is_empty() {
        tracing::info!(%from, count = news.len(), "grants were revoked");
        for revocation in &news {
            if let Some(id) = revocation.id() {
                ctx.audit.changed(origin, "revoke", id.to_string());
                cut_off(&ctx, id).await;
            }
        }
        let all = ctx.clone();
        ctx.tasks.spawn("tell revocations", async move {
            tell(&all, news, &[from]).await
        });
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Ends the connections with peers that are strangers now: what they had begun ends with them.
async fn cut_off(ctx: &Context, id: GrantId) {
    for peer in ctx.members.holders_of(id) {
        if ctx.members.relation(&peer) == Relation::Stranger {
            ctx.mesh.disconnect(peer, "its grant was revoked").await;
        }
    }
}

/// Tells members that are connected; those in turn tell theirs, and whoever comes later is told then.
async fn tell(ctx: &Context, news: Vec<Revocation>, except: &[PeerId]) {
    let members: Vec<PeerId> = ctx.mesh.book().read(|book| {
        book.iter()
            .filter(|(peer, record)| {
                let member = record.relation == Relation::Member;
                record.link.is_some() && member && !except.contains(peer)
            })
            .map(|(peer, _)| *peer)
            .collect()
    });
    stream::iter(members)
        .for_each_concurrent(AT_ONCE, |peer| tell_one(ctx, peer, &news))
        .await;
}

async fn tell_one(ctx: &Context, peer: PeerId, news: &[Revocation]) {
    for some in news.chunks(MAX_TOLD) {
        if let Err(problem) = ask::<_, Empty>(ctx, peer, REVOCATIONS_PATH, &some).await {
            tracing::debug!(%peer, %problem, "a peer was not told of revocations");
            return;
        }
    }
}

/// An answer that says nothing more.
#[derive(Debug, Serialize, Deserialize)]
struct Empty {}

async fn ask<Q: Serialize, A: DeserializeOwned>(
    ctx: &Context,
    peer: PeerId,
    path: &'static str,
    question: &Q,
) -> Result<A, Problem> {
    let body = serde_json::to_vec(question).expect("grants always serialise");
    let request = Request::post(path)
        .header(CONTENT_TYPE, "application/json")
        .body(Body::from(body))
        .expect("the parts are valid");
    let late = |_| Problem::new(504, "deadline", format!("{peer} has not answered in time"));
    let asked = async {
        let response = ctx.call(peer, request).await?;
        let status = response.status();
        let bytes = to_bytes(response.into_body(), MAX_ANSWER).await;
        let bytes =
            bytes.map_err(|error| Problem::new(502, "connection_lost", error.to_string()))?;
        if !status.is_success() {
            let text = format!("{peer} answered {status}");
            return Err(
                Problem::from_json(&bytes).unwrap_or_else(|| Problem::new(502, "bad_answer", text))
            );
        }
        let bytes = if bytes.is_empty() {
            b"{}".as_slice().into()
        } else {
            bytes
        };
        serde_json::from_slice(&bytes).map_err(|error| {
            Problem::new(502, "bad_answer", format!("the answer of {peer}: {error}"))
        })
    };
    timeout(DEADLINE, asked).await.map_err(late)?
}

fn caller(origin: &Origin) -> Result<PeerId, Problem> {
    match origin {
        Origin::Peer(peer) => Ok(*peer),
        Origin::Local => {
            let text = "peers ask this, not programs on this machine";
            Err(Problem::new(400, "not_a_peer", text).hint("peerage grants"))
        }
    }
}
