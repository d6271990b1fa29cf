//! What a peer answers that was asked for a name: who bears it, or a beginning of it, with the proof and where to reach them.

use multiaddr::Multiaddr;
use serde::{Deserialize, Serialize};

use super::MAX_HINTS;
use crate::grant::Chain;

/// The most bytes of an answer.
pub const MAX_ANSWER: usize = 512 * 1024;

/// The most addresses of one bearer.
pub const MAX_ADDRESSES: usize = 8;

/// An answer. It proves nothing until its chains are verified.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// At most [`MAX_HINTS`], those of the longest name first.
    pub bearers: Vec<Bearer>,
}

/// One who bears a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bearer {
    /// The proof: its last link is given to the peer that bears the name.
    pub chain: Chain,
    /// Where it was last seen: at most [`MAX_ADDRESSES`].
    pub addresses: Vec<Multiaddr>,
}

/// Why bytes are no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AnswerError {
    /// There are more than [`MAX_ANSWER`].
    #[error("the answer has more than {MAX_ANSWER} bytes")]
    TooLarge,
    /// They are not the JSON of an answer.
    #[error("the answer cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    /// It names more than [`MAX_HINTS`] bearers.
    #[error("the answer names more than {MAX_HINTS} bearers")]
    TooMany,
    /// A bearer has more than [`MAX_ADDRESSES`] addresses.
    #[error("a bearer has more than {MAX_ADDRESSES} addresses")]
    TooManyAddresses,
}

impl Answer {
    /// Reads an answer.
    ///
    /// # Errors
    /// See [`AnswerError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, AnswerError> {
        if bytes.len() > MAX_ANSWER {
            return Err(AnswerError::TooLarge);
        }
        let answer: Self = serde_json::from_slice(bytes)?;
        if answer.bearers.len() > MAX_HINTS {
            return Err(AnswerError::TooMany);
        }
        let mut addresses = answer.bearers.iter().map(|bearer| bearer.addresses.len());
        if addresses.any(|count| count > MAX_ADDRESSES) {
            return Err(AnswerError::TooManyAddresses);
        }
        Ok(answer)
    }

    /// The answer as JSON.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts always serialise")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        grant::{Claims, Rights},
        identity::Identity,
    };

    fn bearer() -> Bearer {
        let root = Identity::from_secret([1; 32]);
        let claims = Claims {
            sub: Identity::from_secret([2; 32]).did(),
            path: "o://acme/sales".parse().unwrap(),
            rights: Rights::member(),
            nbf: 1,
            exp: 2,
            depth: 0,
        };
        Bearer {
            chain: Chain::issue_root(&root, claims).unwrap(),
            addresses: vec!["/ip4/192.0.2.1/tcp/1".parse().unwrap()],
        }
    }

    #[test]
    fn an_answer_is_read_as_it_was_written() {
        let answer = Answer {
            bearers: vec![bearer(); MAX_HINTS],
        };
        assert_eq!(Answer::decode(&answer.encode()).unwrap(), answer);
    }

    #[test]
    fn what_is_too_much_or_no_answer_is_refused() {
        let many = Answer {
            bearers: vec![bearer(); MAX_HINTS + 1],
        };
        let error = Answer::decode(&many.encode()).unwrap_err();
        assert!(matches!(error, AnswerError::TooMany), "{error}");
        let mut wide = bearer();
        wide.addresses = vec![wide.addresses[0].clone(); MAX_ADDRESSES + 1];
        let wide = Answer {
            bearers: vec![wide],
        };
        let error = Answer::decode(&wide.encode()).unwrap_err();
        assert!(matches!(error, AnswerError::TooManyAddresses), "{error}");
        let error = Answer::decode(&vec![b' '; MAX_ANSWER + 1]).unwrap_err();
        assert!(matches!(error, AnswerError::TooLarge), "{error}");
        for text in [
            "",
            "{}",
            "[]",
            r#"{"bearers":[{"chain":[],"addresses":[]}]}"#,
            r#"{"bearers":[{"chain":["a.b.c"],"addresses":["x"]}]}"#,
            r#"{"bearers":[],"more":1}"#,
        ] {
            let error = Answer::decode(text.as_bytes()).unwrap_err();
            assert!(matches!(error, AnswerError::Json(_)), "{text}: {error}");
        }
    }
}
