//! Why a card is refused.

use libp2p_identity::PeerId;

use super::{EXTENSION_URI, MAX_CARD_BYTES};
use crate::{did::DidError, problem::Problem};

/// What is wrong with a card.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CardError {
    /// It is larger than [`MAX_CARD_BYTES`].
    #[error("the card has {bytes} bytes, more than {MAX_CARD_BYTES}")]
    TooLarge {
        /// How large it is.
        bytes: usize,
    },
    /// It is not JSON, nested too deeply, or has a field twice.
    #[error("the card is not acceptable JSON: {0}")]
    Json(String),
    /// It has no signature at all, or one that cannot be read.
    #[error("the card has no usable signature: {0}")]
    NoSignature(&'static str),
    /// No signature claims to be by the key that it must be signed with.
    #[error("the card is signed by {found} and not by {expected}, whose card it should be")]
    WrongKey {
        /// The `kid` of the first signature.
        found: String,
        /// Whose card it should be.
        expected: PeerId,
    },
    /// The signature does not fit the card.
    #[error("the signature does not fit the card: it was altered, or signed by another key")]
    Signature,
    /// Our extension is missing.
    #[error("the card lacks the extension {EXTENSION_URI}")]
    NoExtension,
    /// The `peerId` or `did` in the extension is not the key that signed.
    #[error("the card is signed by {expected} but says that it is of {found}")]
    OtherPeer {
        /// What it says.
        found: String,
        /// Who signed.
        expected: PeerId,
    },
    /// A field is missing, malformed or beyond its limit.
    #[error("the card is invalid: {0}")]
    Content(String),
    /// Its time is over.
    #[error("the card expired at {expires} and now is {now} (unix seconds)")]
    Expired {
        /// When it ended.
        expires: u64,
        /// The time here.
        now: u64,
    },
    /// It was issued later than now.
    #[error("the card was issued at {issued} and here it is only {now} (unix seconds)")]
    FromTheFuture {
        /// When it says it was issued.
        issued: u64,
        /// The time here.
        now: u64,
    },
    /// A newer one is held.
    #[error("the card was issued at {issued}, before the one that is held ({held}, unix seconds)")]
    Older {
        /// When it was issued.
        issued: u64,
        /// When the one that is held was.
        held: u64,
    },
    /// The peer has no Ed25519 key, so no card can be its own.
    #[error("whose card: {0}")]
    Key(#[from] DidError),
}

impl CardError {
    /// Whether whoever showed the card did wrong: it says what its key has not signed, or what is another's.
    /// Not so of one that is late or malformed, nor of one that some other key signed, as other programs' cards may be.
    #[must_use]
    pub fn is_forgery(&self) -> bool {
        matches!(self, Self::Signature | Self::OtherPeer { .. })
    }

    /// The stable word for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "card_too_large",
            Self::Json(_) | Self::Content(_) => "card_invalid",
            Self::NoSignature(_) => "card_unsigned",
            Self::WrongKey { .. } | Self::OtherPeer { .. } | Self::Key(_) => "card_wrong_key",
            Self::Signature => "card_altered",
            Self::NoExtension => "card_without_extension",
            Self::Expired { .. } => "card_expired",
            Self::FromTheFuture { .. } => "card_from_the_future",
            Self::Older { .. } => "card_older",
        }
    }
}

impl From<CardError> for Problem {
    fn from(error: CardError) -> Self {
        let problem = Self::new(422, error.code(), error.to_string());
        match error {
            CardError::Expired { .. } | CardError::FromTheFuture { .. } => {
                problem.hint("compare the clocks of both machines")
            }
            CardError::TooLarge { .. } => problem.hint("share fewer servers or tools on this node"),
            _ => problem,
        }
    }
}
