//! What the audit tells: who did or wanted what, and what came of it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Lines that `GET /api/v1/audit` answers with when the caller does not say.
pub const DEFAULT_AUDIT_LIMIT: usize = 1000;

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum AuditVerdict {
    /// It was refused.
    Refused,
    /// It was done: a call. Only where the configuration asks for calls.
    Allowed,
    /// Who may do what is not as it was before.
    Changed,
    /// It was done, although something is wrong with it.
    Warned,
}

impl AuditVerdict {
    /// All there are.
    pub const ALL: [Self; 4] = [Self::Refused, Self::Allowed, Self::Changed, Self::Warned];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Allowed => "allowed",
            Self::Changed => "changed",
            Self::Warned => "warned",
        }
    }
}

impl std::str::FromStr for AuditVerdict {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL
            .into_iter()
            .find(|verdict| verdict.as_str() == text);
        found.ok_or_else(|| "refused, allowed, changed or warned".to_owned())
    }
}

/// One line of the audit. Fields that do not apply are left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AuditEntry {
    /// When, RFC 3339 in UTC with milliseconds.
    pub time: String,
    /// What came of it.
    pub verdict: AuditVerdict,
    /// What was done or wanted: `call`, `connect`, `stream`, `discover`, `api`, `card`, `show`, `join`, `invite`, `grant`,
    /// `renew`, `revoke`, `trust`, `untrust`, `share`, `unshare`, …
    pub action: String,
    /// With what: a path, a name, a peer.
    pub object: String,
    /// Whose it was: a PeerId; `local` for programs on this machine; `many` for several peers together.
    pub who: String,
    /// The name that it has proved to bear.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it calls itself on its card, which proves nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claims: Option<String>,
    /// The rule, or the code of the refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// HTTP status of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Bytes of the request's body, where that was known before it was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_in: Option<u64>,
    /// Bytes of the answer's body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_out: Option<u64>,
    /// Milliseconds until the answer's end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ms: Option<f64>,
    /// How often it happened since the line before like this one; once where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// Lines before this one that were lost because they came too fast to be written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<u64>,
}
