//! The inviter's side: makes invitations, and admits whoever redeems one.

use data_encoding::HEXLOWER;
use peerage_core::{
    PeerId,
    address::Address,
    did::Did,
    invite::{Invite, InviteSecret},
    problem::Problem,
};
use peerage_mesh::Origin;
use serde::{Deserialize, Serialize};

use super::join::{Joined, Wish};
use crate::{
    context::Context,
    members::{MemberError, unix_now},
    peers,
    store::{Batch, Table},
};

/// Invitations that are open at once, at the most.
const MAX_OPEN: usize = 1024;
/// The longest that an invitation may be good, seconds.
const LONGEST: u64 = 7 * 24 * 3600;
/// How long a used or expired invitation is remembered, so that its next use can be told why.
const REMEMBER: u64 = 24 * 3600;

/// What is kept of an invitation; never its secret.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Open {
    expires: u64,
    /// The name the new member gets, where the inviter chose it.
    name: Option<String>,
    /// Who used it.
    used_by: Option<Did>,
}

/// A new invitation.
#[derive(Debug)]
pub struct Invited {
    /// The code, which is a secret until it is used.
    pub code: String,
    /// Until when it is good, unix seconds.
    pub expires: u64,
}

/// Makes an invitation that is good for `seconds` and works once.
///
/// # Errors
///
/// `may_not_grant` where this node cannot make members; `too_many_invites`; the store's.
pub fn invite(ctx: &Context, seconds: u64, name: Option<String>) -> Result<Invited, Problem> {
    if ctx.members.own_mesh().is_none() {
        return Err(MemberError::MayNotGrant.into());
    }
    if seconds == 0 || seconds > LONGEST {
        let text = format!("an invitation is good for 1 to {LONGEST} seconds");
        return Err(Problem::new(400, "bad_expiry", text));
    }
    let now = unix_now();
    forget_old(ctx, now)?;
    let invite = Invite::new(&ctx.me(), ctx.addresses(), now + seconds)
        .map_err(|error| Problem::new(500, "no_invite", error.to_string()))?;
    let open = Open {
        expires: now + seconds,
        name: name.map(|name| Address::segment_from(&name)),
        used_by: None,
    };
    ctx.store
        .put(Table::Invites, &key_of(invite.secret()), &open)?;
    let named = open.name.clone().unwrap_or_default();
    ctx.audit.changed(Origin::Local, "invite", named);
    Ok(Invited {
        code: invite.encode(),
        expires: open.expires,
    })
}

/// Admits `peer` if what it brings is an open invitation. The use is on the disk before the answer; the
/// same peer may ask again, for the answer may have been lost on the way.
///
/// # Errors
///
/// `unknown_invite`, `invite_used`, `invite_expired`: 403. The store's.
pub fn admit(ctx: &Context, peer: PeerId, wish: &Wish) -> Result<Joined, Problem> {
    let subject = Did::from_peer_id(&peer)
        .map_err(|error| Problem::new(403, "bad_key", error.to_string()))?;
    let key = key_of(&wish.secret);
    // One at a time: of two that redeem one invitation at the same moment, one is too late.
    let _turn = ctx.members.admission();
    let open: Option<Open> = ctx.store.get(Table::Invites, &key)?;
    let open = open.ok_or_else(|| refused("unknown_invite", "no such invitation was made here"))?;
    match open.used_by {
        Some(user) if user != subject => {
            return Err(refused("invite_used", "the invitation has been used"));
        }
        Some(_) => {}
        None if open.expires <= unix_now() => {
            return Err(refused("invite_expired", "the invitation has expired"));
        }
        None => {
            let used = Open {
                used_by: Some(subject),
                ..open.clone()
            };
            ctx.store.put(Table::Invites, &key, &used)?;
        }
    }
    let name = open.name.as_deref().unwrap_or(&wish.name);
    let (chain, mesh) = ctx.members.admit(subject, name)?;
    let _ = ctx.members.shown(peer, vec![chain.clone()]);
    peers::keep(&ctx.store, ctx.mesh.book(), peer)?;
    Ok(Joined { mesh, chain })
}

/// What is kept of a secret.
fn key_of(secret: &InviteSecret) -> String {
    HEXLOWER.encode(&secret.hash())
}

fn refused(code: &str, text: &str) -> Problem {
    Problem::new(403, code, text).hint("ask for a new one: peerage invite")
}

fn forget_old(ctx: &Context, now: u64) -> Result<(), Problem> {
    let invites = ctx.store.all::<Open>(Table::Invites)?;
    let mut batch = Batch::default();
    let mut open = 0;
    for (key, invite) in invites {
        if invite.expires + REMEMBER < now {
            batch.remove(Table::Invites, &key);
        } else if invite.used_by.is_none() && invite.expires > now {
            open += 1;
        }
    }
    if !batch.is_empty() {
        ctx.store.write(batch)?;
    }
    if open >= MAX_OPEN {
        let text = format!("{MAX_OPEN} invitations are open, and no more are possible");
        return Err(Problem::new(429, "too_many_invites", text));
    }
    Ok(())
}
