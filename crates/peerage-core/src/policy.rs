//! Who may call what: the one question that is asked before each call, and its answer.
//!
//! The node that is called decides for itself. What it shares has an [`Audience`]; who calls is a [`Caller`], whose key the
//! connection has proven; [`decide`] is pure.
//!
//! | audience | who is allowed |
//! |---|---|
//! | `public` | everyone |
//! | `mesh` (the default) | who holds a valid grant with the right `call`, and who is trusted |
//! | a list | whose key is on it, and who holds a valid grant with the right `be` for a name at or below one on it; nobody else, also if trusted |
//!
//! Whom the mesh would refuse, a list refuses in the same words: no stranger learns from the answer what there is.

use libp2p_identity::PeerId;

use crate::{
    address::Address,
    grant::{Grant, Rights},
    identity::Identity,
    problem::Problem,
};

mod audience;
mod block;
pub mod rules;
#[cfg(test)]
mod tests;

pub use audience::{Audience, AudienceError, Subject};
pub use block::{Block, Blocked, Blocks, BlocksError};

/// Who calls.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The key that the connection has proven.
    pub peer: PeerId,
    /// Verified grants of meshes that this node is a member of. Those of another subject, or not valid now, count nothing.
    pub grants: Vec<Grant>,
    /// Whether the owner of this node trusts the key without a grant (`peerage trust`).
    pub trusted: bool,
}

impl Caller {
    /// A caller of whom nothing is known but the key.
    #[must_use]
    pub fn stranger(peer: PeerId) -> Self {
        Self {
            peer,
            grants: Vec::new(),
            trusted: false,
        }
    }

    /// A caller with the names given, as if a mesh that counts here had granted them with the rights of a member: what a dry
    /// run asks about. Nobody who calls is ever this.
    #[must_use]
    pub fn supposed(key: &Identity, names: impl IntoIterator<Item = Address>) -> Self {
        let grants = names.into_iter().map(|path| Grant {
            root: key.did(),
            subject: key.did(),
            path,
            rights: Rights::member(),
            not_before: 0,
            expires: u64::MAX,
            depth: 0,
            ids: Vec::new(),
        });
        Self {
            grants: grants.collect(),
            ..Self::stranger(key.peer_id())
        }
    }

    /// The caller's own grants: those given to the key of the connection.
    fn own_grants(&self) -> impl Iterator<Item = &Grant> {
        self.grants
            .iter()
            .filter(|grant| grant.subject.peer_id() == self.peer)
    }
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// The call may go on.
    Allow,
    /// The call is refused: a problem with status 403 and the code `not_a_member`, `no_call_right`, `not_on_the_list`,
    /// `grant_expired` or `grant_not_yet_valid`, that says why and what would help.
    Refuse(Problem),
}

impl Verdict {
    /// Whether the call may go on.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allow)
    }

    /// The answer as a result.
    ///
    /// # Errors
    /// The refusal.
    pub fn into_result(self) -> Result<(), Problem> {
        match self {
            Self::Allow => Ok(()),
            Self::Refuse(problem) => Err(problem),
        }
    }

    fn refuse(code: &str, reason: String, hint: impl Into<String>) -> Self {
        Self::Refuse(Problem::new(403, code, reason).hint(hint))
    }
}

/// Whether the caller may call what is shared with the audience, at the time given in unix seconds.
pub fn decide(audience: &Audience, caller: &Caller, now: u64) -> Verdict {
    match audience {
        Audience::Public => Verdict::Allow,
        Audience::Mesh if caller.trusted => Verdict::Allow,
        Audience::Mesh => by_grant(
            caller,
            now,
            |grant| grant.rights.contains(Rights::CALL),
            not_a_member,
        ),
        Audience::Only(subjects) => {
            if subjects.contains(&Subject::Key(caller.peer)) {
                return Verdict::Allow;
            }
            let bears_a_name = |grant: &Grant| {
                let covers = |name| {
                    subjects
                        .iter()
                        .any(|subject| matches!(subject, Subject::Name(top) if top.covers(name)))
                };
                grant.name().is_some_and(covers)
            };
            match by_grant(caller, now, bears_a_name, not_on_the_list) {
                Verdict::Allow => Verdict::Allow,
                // In the words of the mesh if that refuses, too: no stranger learns that there is a list.
                Verdict::Refuse(problem) => match decide(&Audience::Mesh, caller, now) {
                    Verdict::Allow => Verdict::Refuse(problem),
                    refusal @ Verdict::Refuse(_) => refusal,
                },
            }
        }
    }
}

/// Allows who holds a grant that fits and is valid. A grant that would fit but for the time is said to be that.
fn by_grant(
    caller: &Caller,
    now: u64,
    fits: impl Fn(&Grant) -> bool,
    refuse: fn(&Caller) -> Verdict,
) -> Verdict {
    let mut fitting = caller.own_grants().filter(|grant| fits(grant)).peekable();
    let Some(first) = fitting.peek().copied() else {
        return refuse(caller);
    };
    if fitting.any(|grant| grant.is_valid_at(now)) {
        Verdict::Allow
    } else {
        out_of_time(first, now)
    }
}

fn out_of_time(grant: &Grant, now: u64) -> Verdict {
    let (path, begin, end) = (&grant.path, grant.not_before, grant.expires);
    if grant.is_early_at(now) {
        let reason = format!(
            "the grant for {path} holds from {begin} on, and here it is {now} (unix seconds)"
        );
        return Verdict::refuse(
            "grant_not_yet_valid",
            reason,
            "compare the clocks of both machines",
        );
    }
    let reason = format!("the grant for {path} expired at {end}, and now is {now} (unix seconds)");
    Verdict::refuse(
        "grant_expired",
        reason,
        "ask for a new invite and run `peerage join CODE`",
    )
}

fn not_a_member(caller: &Caller) -> Verdict {
    let peer = caller.peer;
    let or_trust = format!(
        "run `peerage join CODE`, or ask the owner of this node to run `peerage trust {peer}`"
    );
    match caller.own_grants().next() {
        Some(grant) => {
            let reason = format!(
                "the grant of {peer} for {} gives no right to call",
                grant.path
            );
            Verdict::refuse(
                "no_call_right",
                reason,
                format!("ask for an invite that gives it and {or_trust}"),
            )
        }
        None => {
            let reason = format!("{peer} is not a member of this mesh");
            Verdict::refuse(
                "not_a_member",
                reason,
                format!("ask for an invite and {or_trust}"),
            )
        }
    }
}

/// Says nothing of who is on the list: that is the owner's business.
fn not_on_the_list(caller: &Caller) -> Verdict {
    let peer = caller.peer;
    let reason = match caller.own_grants().find_map(Grant::name) {
        Some(name) => format!("{peer}, {name}, is not among those who may call this"),
        None => format!("{peer} is not among those who may call this"),
    };
    let hint =
        format!("ask the owner of this node to put {peer} on the list of those who may call it");
    Verdict::refuse("not_on_the_list", reason, hint)
}
