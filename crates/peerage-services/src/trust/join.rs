//! The joiner's side: redeems an invitation.

use axum::body::{Body, to_bytes};
use futures::{StreamExt, stream};
use http::{Request, header::CONTENT_TYPE};
use peerage_core::{
    PeerId,
    address::Address,
    grant::Chain,
    invite::{Invite, InviteError, InviteSecret},
    peer_book::{PeerEvent, Source},
    problem::Problem,
};
use peerage_mesh::Origin;
use serde::{Deserialize, Serialize};

use super::JOIN_PATH;
use crate::{api::JoinView, context::Context, members::unix_now, peers};

/// Bytes of the answer, at the most.
const MAX_ANSWER: usize = 64 * 1024;

/// Peers that a new grant is shown to at once.
const AT_ONCE: usize = 16;

/// What a joiner sends. The connection is encrypted and its other end is the key in the invitation, so
/// the secret goes to the inviter alone.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wish {
    /// The invitation's secret.
    pub(super) secret: InviteSecret,
    /// The name that the joiner would like to have.
    pub(super) name: String,
}

/// What a new member gets.
#[derive(Debug, Serialize, Deserialize)]
pub struct Joined {
    /// The name of the mesh.
    pub mesh: Address,
    /// The proof of membership.
    pub chain: Chain,
}

/// Redeems an invitation: from then on this node is a member, also after a restart. Returns what
/// was granted.
///
/// # Errors
///
/// `bad_invite`, `invite_expired`, `unreachable`, what the inviter refused, or the store's.
pub async fn join(ctx: &Context, code: &str) -> Result<JoinView, Problem> {
    let invite = Invite::decode(code).map_err(|error| unusable(&error))?;
    if invite.is_expired_at(unix_now()) {
        let text = "the invitation has expired";
        return Err(
            Problem::new(403, "invite_expired", text).hint("ask for a new one: peerage invite")
        );
    }
    let inviter = invite.inviter();
    if inviter == ctx.me() {
        let text = "this node made the invitation itself";
        return Err(Problem::new(409, "own_invite", text).hint("use it on another machine"));
    }
    let discovered = PeerEvent::Discovered {
        addresses: invite.addresses().to_vec(),
        source: Source::Invite,
        holds: None,
    };
    ctx.mesh.book().apply(inviter, discovered);
    let joined = redeem(ctx, &invite).await?;
    let grant = ctx
        .members
        .join(joined.mesh.clone(), joined.chain, inviter)?;
    ctx.audit
        .changed(Origin::Local, "join", grant.path.to_string());
    show(ctx, Some(inviter)).await;
    // A member that does not remember where the others are would be alone after a kill.
    peers::keep(&ctx.store, ctx.mesh.book(), inviter)?;
    Ok(JoinView {
        mesh: joined.mesh.to_string(),
        name: grant.path.to_string(),
        root: grant.root.to_string(),
        inviter: inviter.to_base58(),
    })
}

async fn redeem(ctx: &Context, invite: &Invite) -> Result<Joined, Problem> {
    let wish = Wish {
        secret: invite.secret().clone(),
        name: ctx.facts.name.clone(),
    };
    let body = serde_json::to_vec(&wish).expect("two texts always serialise");
    let request = Request::post(JOIN_PATH)
        .header(CONTENT_TYPE, "application/json")
        .body(Body::from(body))
        .expect("the parts are valid");
    let response = ctx.call_unintroduced(invite.inviter(), request).await?;
    let status = response.status();
    let bytes = to_bytes(response.into_body(), MAX_ANSWER)
        .await
        .map_err(|error| Problem::new(502, "connection_lost", error.to_string()))?;
    if !status.is_success() {
        return Err(Problem::from_json(&bytes).unwrap_or_else(|| {
            Problem::new(502, "not_joined", format!("the inviter answered {status}"))
        }));
    }
    serde_json::from_slice(&bytes)
        .map_err(|error| Problem::new(502, "not_joined", format!("the inviter's answer: {error}")))
}

/// Shows a new grant to whoever gave it, and meanwhile to everyone else who is connected: nobody waits for
/// those, of whom some may be slow or gone.
pub(super) async fn show(ctx: &Context, giver: Option<PeerId>) {
    let others: Vec<PeerId> = ctx.mesh.book().read(|book| {
        book.iter()
            .filter(|(peer, record)| record.link.is_some() && Some(**peer) != giver)
            .map(|(peer, _)| *peer)
            .collect()
    });
    let all = ctx.clone();
    ctx.tasks.spawn("show grant", async move {
        stream::iter(others)
            .for_each_concurrent(AT_ONCE, |peer| show_to(&all, peer))
            .await;
    });
    if let Some(giver) = giver {
        show_to(ctx, giver).await;
    }
}

async fn show_to(ctx: &Context, peer: PeerId) {
    if let Err(problem) = ctx.introductions.again(ctx, peer).await {
        tracing::debug!(%peer, %problem, "the new grant could not be shown");
    }
}

fn unusable(error: &InviteError) -> Problem {
    Problem::new(
        400,
        "bad_invite",
        format!("the code cannot be used: {error}"),
    )
    .hint("copy the whole code as `peerage invite` printed it")
}
