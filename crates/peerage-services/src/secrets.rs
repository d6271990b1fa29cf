//! The secrets guard: what leaves this node for peers is searched for credentials first.
//!
//! Requests of this machine, answers of what it shares, and its card. A credential is told by kind and place, never by what
//! it is. Encoded bytes (base64, compressed) are not looked into.

mod answers;
mod body;
mod event;
mod requests;
mod scanner;

use std::{collections::BTreeMap, fmt, str::FromStr, sync::Arc};

use peerage_core::{PeerId, policy::Subject, problem::Problem, secrets};
use peerage_mesh::Origin;

pub use self::{answers::answers, requests::Watched};
use crate::{
    api::AuditVerdict,
    audit::{Audit, Event},
    members::Members,
};

/// Places of one message that are told.
const MAX_TOLD: usize = 4;

/// What is done about a credential that is about to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The message does not leave.
    Refuse,
    /// It leaves with `*` in the place of each of the credential's bytes.
    Redact,
    /// It leaves, and the audit says so.
    Warn,
    /// Nobody looks.
    Off,
}

impl Mode {
    const ALL: [Self; 4] = [Self::Refuse, Self::Redact, Self::Warn, Self::Off];

    /// The word for it in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::Redact => "redact",
            Self::Warn => "warn",
            Self::Off => "off",
        }
    }
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|mode| mode.as_str() == text);
        found.ok_or_else(|| "refuse, redact, warn or off".to_owned())
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is done where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretsSettings {
    /// Requests of this machine to peers. Refused by default: who asks is here, is told why, and can say it anew; a key that
    /// left cannot be called back.
    pub outgoing: Mode,
    /// Answers of what is shared, and the card. Redacted by default: whoever asked needs the rest, and cannot change what is
    /// there; a text that only looks like a key costs no more than these characters.
    pub answers: Mode,
    /// Answers of one share, instead of `answers`.
    pub shares: BTreeMap<String, Mode>,
    /// What goes to one peer, by key or by a name at or below one, instead of all others.
    pub peers: Vec<(Subject, Mode)>,
}

impl Default for SecretsSettings {
    fn default() -> Self {
        Self {
            outgoing: Mode::Refuse,
            answers: Mode::Redact,
            shares: BTreeMap::new(),
            peers: Vec::new(),
        }
    }
}

/// See the module's page. Clones share the settings.
#[derive(Clone, Debug)]
pub struct Secrets(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: SecretsSettings,
    members: Members,
    audit: Audit,
}

/// A message that is searched: whose it is, and what it is called when something is told of it.
#[derive(Clone, Debug)]
struct Message {
    who: Origin,
    /// `secret_in_request`, …
    code: &'static str,
    /// Peer, method and path.
    about: String,
    mode: Mode,
    /// Its body is a stream of server-sent events.
    events: bool,
}

/// A credential that was found in a message.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    kind: &'static str,
    /// `byte 12 (/params/text)`, or the name of a header.
    at: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.kind, self.at)
    }
}

impl Secrets {
    /// A guard by these settings.
    #[must_use]
    pub fn new(settings: SecretsSettings, members: &Members, audit: &Audit) -> Self {
        Self(Arc::new(Inner {
            settings,
            members: members.clone(),
            audit: audit.clone(),
        }))
    }

    /// What goes onto this node's card, with `*` in the place of credentials: a node without a card could not be called at all.
    #[must_use]
    pub fn on_card(&self, text: String, what: &str) -> String {
        let mode = self.0.settings.answers;
        if mode == Mode::Off {
            return text;
        }
        let found = secrets::find(text.as_bytes());
        let Some(first) = found.first() else {
            return text;
        };
        let message = Message {
            who: Origin::Local,
            code: "secret_on_card",
            about: what.to_owned(),
            events: false,
            mode: if mode == Mode::Warn {
                Mode::Warn
            } else {
                Mode::Redact
            },
        };
        let place = Place {
            kind: first.kind,
            at: format!("byte {}", first.at),
        };
        self.tell(&message, &place);
        if mode == Mode::Warn {
            return text;
        }
        let mut bytes = text.into_bytes();
        secrets::redact(&mut bytes, &found);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn for_request(&self, peer: &PeerId) -> Mode {
        self.for_peer(peer).unwrap_or(self.0.settings.outgoing)
    }

    fn for_answer(&self, peer: &PeerId, share: &str) -> Mode {
        let of_share = || self.0.settings.shares.get(share).copied();
        let mode = self.for_peer(peer).or_else(of_share);
        mode.unwrap_or(self.0.settings.answers)
    }

    fn for_peer(&self, peer: &PeerId) -> Option<Mode> {
        let peers = &self.0.settings.peers;
        if peers.is_empty() {
            return None;
        }
        let names = self.0.members.names_of(peer);
        let fits = |subject: &Subject| match subject {
            Subject::Key(key) => key == peer,
            Subject::Name(top) => names.iter().any(|name| top.covers(name)),
        };
        let found = peers.iter().find(|(subject, _)| fits(subject));
        found.map(|(_, mode)| *mode)
    }

    fn tell(&self, message: &Message, place: &Place) {
        let (verdict, done) = match message.mode {
            Mode::Refuse => (AuditVerdict::Refused, ""),
            Mode::Redact => (AuditVerdict::Warned, ", written over"),
            Mode::Warn | Mode::Off => (AuditVerdict::Warned, ", sent"),
        };
        let object = format!("{}: {place}{done}", message.about);
        tracing::warn!(object, "a credential was about to leave");
        let event = Event::new(Some(message.who), verdict, "secret", object);
        self.0.audit.note(event.by(message.code));
    }
}

impl Message {
    fn problem(&self, place: &Place) -> Problem {
        let what = match self.who {
            Origin::Local => "the request",
            Origin::Peer(_) => "the answer",
        };
        let text =
            format!("{what} holds what looks like a credential ({place}) and does not leave");
        Problem::new(403, self.code, text).hint(
            "take it out; if it may leave, say so under [guard] in peerage.toml of the node that refused",
        )
    }
}

#[cfg(test)]
mod tests;
