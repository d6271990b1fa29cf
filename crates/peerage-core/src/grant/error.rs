//! Why a chain is refused: one case for each rule.

use super::{MAX_CHAIN_BYTES, MAX_LINK_BYTES, MAX_LINKS};
use crate::{address::Address, did::Did, problem::Problem};

/// The rule that a chain breaks. `link` counts from 0, the link that the root signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GrantError {
    /// There is no link.
    #[error("the grant has no link")]
    Empty,
    /// There are more than [`MAX_LINKS`].
    #[error("the grant has more than {MAX_LINKS} links")]
    TooManyLinks,
    /// The text form is longer than [`MAX_CHAIN_BYTES`].
    #[error("the grant has {bytes} bytes, more than {MAX_CHAIN_BYTES}")]
    ChainTooLong {
        /// How long it is.
        bytes: usize,
    },
    /// A link is longer than [`MAX_LINK_BYTES`].
    #[error("link {link} of the grant has {bytes} bytes, more than {MAX_LINK_BYTES}")]
    LinkTooLong {
        /// Which link.
        link: usize,
        /// How long it is.
        bytes: usize,
    },
    /// A link is not three parts of base64url with dots between them.
    #[error("link {link} of the grant is not a compact JWS")]
    Form {
        /// Which link.
        link: usize,
    },
    /// A link has another header than the one there is.
    #[error(
        "link {link} of the grant has another header than {{\"alg\":\"EdDSA\",\"typ\":\"o-grant+jwt\"}}"
    )]
    Header {
        /// Which link.
        link: usize,
    },
    /// A part of a link is not base64url in its one spelling, or the signature has not 64 bytes.
    #[error("link {link} of the grant is not base64url")]
    Base64 {
        /// Which link.
        link: usize,
    },
    /// The payload of a link is not what it should be: a field is unknown, missing, doubled or malformed.
    #[error("link {link} of the grant: {reason}")]
    Payload {
        /// Which link.
        link: usize,
        /// What is wrong.
        reason: String,
    },
    /// The first link was issued by another root than the one that counts here.
    #[error("the grant is of another mesh: its root is {found} and not {expected}")]
    ForeignRoot {
        /// The root that it names.
        found: Did,
        /// The root that counts here.
        expected: Did,
    },
    /// The first link refers to a link above it.
    #[error("link 0 of the grant names a proof, but there is nothing above the root")]
    ProofAtRoot,
    /// A link was issued by somebody else than the subject of the link above.
    #[error(
        "link {link} of the grant was issued by {found} and not by {expected}, the holder of the link above"
    )]
    Issuer {
        /// Which link.
        link: usize,
        /// Who it says issued it.
        found: Did,
        /// Who should have.
        expected: Did,
    },
    /// The signature of a link is not its issuer's.
    #[error("the signature of link {link} of the grant is wrong")]
    Signature {
        /// Which link.
        link: usize,
    },
    /// A link does not name the link above as its proof.
    #[error("link {link} of the grant was not made for the link above it")]
    Proof {
        /// Which link.
        link: usize,
    },
    /// The link above lacks the right to grant.
    #[error("link {link} of the grant was issued by a key that may not grant")]
    MayNotGrant {
        /// Which link.
        link: usize,
    },
    /// A link gives a right that the link above lacks.
    #[error("link {link} of the grant gives the right {right:?}, which its issuer has not")]
    Widened {
        /// Which link.
        link: usize,
        /// The right that is too much.
        right: String,
    },
    /// A link is for a name that is neither that of the link above nor below it.
    #[error("link {link} of the grant is for {path}, which is not at or below {above}")]
    Outside {
        /// Which link.
        link: usize,
        /// What it is for.
        path: Address,
        /// What the link above is for.
        above: Address,
    },
    /// A link begins before the link above.
    #[error("link {link} of the grant begins before the link above")]
    Earlier {
        /// Which link.
        link: usize,
    },
    /// A link ends after the link above.
    #[error("link {link} of the grant ends after the link above")]
    Longer {
        /// Which link.
        link: usize,
    },
    /// A link allows as many further links as the link above, or more.
    #[error("link {link} of the grant needs a smaller depth than {above}, that of the link above")]
    Deeper {
        /// Which link.
        link: usize,
        /// The depth of the link above.
        above: u8,
    },
    /// The time of a link is over.
    #[error("the grant expired at {exp} (link {link})")]
    Expired {
        /// Which link.
        link: usize,
        /// When it ended, in unix seconds.
        exp: u64,
    },
    /// The time of a link has not come.
    #[error("the grant holds only from {nbf} on (link {link})")]
    NotYetValid {
        /// Which link.
        link: usize,
        /// When it begins, in unix seconds.
        nbf: u64,
    },
    /// Somebody else than the subject of the chain tried to delegate it.
    #[error("only the holder of the grant, {subject}, may delegate it")]
    NotTheHolder {
        /// Who holds it.
        subject: Did,
    },
}

impl GrantError {
    /// Whether whoever showed the grant did wrong: it says what its issuers have not said, or could not. Not so of one whose time
    /// is over or has not come, nor of one of another mesh.
    #[must_use]
    pub fn is_forgery(&self) -> bool {
        matches!(
            self,
            Self::ProofAtRoot
                | Self::Issuer { .. }
                | Self::Signature { .. }
                | Self::Proof { .. }
                | Self::MayNotGrant { .. }
                | Self::Widened { .. }
                | Self::Outside { .. }
                | Self::Earlier { .. }
                | Self::Longer { .. }
                | Self::Deeper { .. }
        )
    }

    /// The stable word for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Expired { .. } => "grant_expired",
            Self::NotYetValid { .. } => "grant_not_yet_valid",
            Self::ForeignRoot { .. } => "grant_of_another_mesh",
            _ => "grant_invalid",
        }
    }
}

impl From<GrantError> for Problem {
    fn from(error: GrantError) -> Self {
        let problem = Self::new(403, error.code(), error.to_string());
        match error {
            GrantError::Expired { .. } => {
                problem.hint("ask for a new invite and run `peerage join CODE`")
            }
            GrantError::NotYetValid { .. } => problem.hint("compare the clocks of both machines"),
            GrantError::ForeignRoot { .. } => {
                problem.hint("ask for an invite of this mesh and run `peerage join CODE`")
            }
            _ => problem,
        }
    }
}
