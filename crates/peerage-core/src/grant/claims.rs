//! What a link of a chain claims: the part its issuer decides, and the whole as it is signed.

use serde::{Deserialize, Deserializer, Serialize};

use super::{GrantId, Rights};
use crate::{address::Address, did::Did};

/// The largest number that all JSON software reads exactly (2^53 - 1).
const MAX_TIME: u64 = (1 << 53) - 1;

/// The most characters of a `jti`.
const MAX_JTI: usize = 64;

/// What the issuer of a grant decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// The key it is given to.
    pub sub: Did,
    /// The name it is given for.
    pub path: Address,
    /// What the subject may do.
    pub rights: Rights,
    /// From when it holds, in unix seconds.
    pub nbf: u64,
    /// Until when it holds, in unix seconds, exclusive.
    pub exp: u64,
    /// How many further links may follow: 0 for a leaf.
    pub depth: u8,
}

/// The payload of a link: the claims, who makes them, and by what proof.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Payload {
    pub(super) iss: Did,
    pub(super) sub: Did,
    pub(super) path: Address,
    pub(super) rights: Rights,
    pub(super) nbf: u64,
    pub(super) exp: u64,
    jti: String,
    pub(super) depth: u8,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "present"
    )]
    pub(super) prf: Option<GrantId>,
}

/// A `prf` that is there has a value: `null` would be a second spelling of its absence.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<GrantId>, D::Error> {
    GrantId::deserialize(deserializer).map(Some)
}

impl Payload {
    pub(super) fn new(iss: Did, claims: Claims, prf: Option<GrantId>) -> Self {
        let Claims {
            sub,
            path,
            rights,
            nbf,
            exp,
            depth,
        } = claims;
        let jti = format!("{:016x}", rand::random::<u64>());
        Self {
            iss,
            sub,
            path,
            rights,
            nbf,
            exp,
            jti,
            depth,
            prf,
        }
    }

    /// Reads a payload and checks what can be said of it alone.
    pub(super) fn parse(json: &[u8]) -> Result<Self, String> {
        // Serde would also take an array with the fields in order, which no other reader does.
        if json.first() != Some(&b'{') {
            return Err("it is not a JSON object".to_owned());
        }
        let payload: Self = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        payload.check()?;
        Ok(payload)
    }

    pub(super) fn check(&self) -> Result<(), String> {
        if self.nbf > MAX_TIME || self.exp > MAX_TIME {
            return Err(format!("a time is beyond {MAX_TIME}"));
        }
        if self.exp <= self.nbf {
            return Err("it ends before it begins".to_owned());
        }
        let is_jti = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if !(1..=MAX_JTI).contains(&self.jti.len()) || !self.jti.bytes().all(is_jti) {
            return Err(format!(
                "jti is not 1 to {MAX_JTI} characters A-Z, a-z, 0-9, \"-\" and \"_\""
            ));
        }
        Ok(())
    }
}
