//! Requests that another node forwards: signed by whom they come from, so that the last node knows who calls.
//!
//! The signature is an HTTP Message Signature (RFC 9421) with Ed25519 over the method, the target, its authority, the digest of
//! the body (RFC 9530) and the grants that are shown, under the label `origin`. Target and authority are those of the name that
//! is meant: `o://acme/partners/bob/-/mcp/quotes` and `acme`, whichever nodes the request passes. `created`, `expires`, `nonce`,
//! `keyid` (a `did:key`), `alg` and `tag` are required, everything is verified strictly, and what is longer than it need be is
//! refused. That a nonce is used once is for the node to remember.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use sfv::{
    Dictionary, KeyRef, ListEntry, ListSerializer, Parameters, Parser, StringRef, key_ref,
    string_ref,
};
use sha2::{Digest as _, Sha256};

use crate::{address::Address, did::Did, identity::Identity};

#[cfg(test)]
mod tests;

/// For how long a signature is made, in seconds.
pub const LIFE: u64 = 120;
/// The longest life that is accepted, in seconds.
pub const MAX_LIFE: u64 = 300;
/// How far a clock may be behind the signer's, in seconds.
pub const CLOCK_SKEW: u64 = 60;
/// The most bytes of the header `Signature-Input`.
const MAX_INPUT: usize = 1024;
/// The most bytes of the header `Signature`.
const MAX_SIGNATURE: usize = 256;
/// The largest number of a structured field.
const MAX_NUMBER: u64 = 999_999_999_999_999;
/// The most bytes of a nonce.
const MAX_NONCE: usize = 64;

/// The label of the signature.
const LABEL: &KeyRef = key_ref("origin");
/// What the signature is for, so that no other signature of the same key can be taken for it.
const TAG: &StringRef = string_ref("peerage-forward");
const ALGORITHM: &StringRef = string_ref("ed25519");
/// What is covered in each request, and what only where it is there.
const COVERED: [&str; 4] = ["@method", "@target-uri", "@authority", "content-digest"];
const GRANTS: &str = "peerage-grant";

/// What is signed of a request.
#[derive(Clone, Debug)]
pub struct Message<'a> {
    /// The method.
    pub method: &'a str,
    /// Who is meant.
    pub name: &'a Address,
    /// The path at whom the name means, without a `/` at the beginning, and the query: `mcp/quotes?x=1`.
    pub path: &'a str,
    /// The header `Content-Digest`.
    pub digest: &'a str,
    /// The headers `Peerage-Grant`.
    pub grants: Vec<&'a str>,
}

/// The headers of a signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// `Signature-Input`.
    pub input: String,
    /// `Signature`.
    pub value: String,
}

/// What a signature proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// Who has signed.
    pub by: Did,
    /// Chosen by the signer for this request alone.
    pub nonce: String,
    /// Until when the signature holds, in unix seconds, exclusive.
    pub expires: u64,
}

/// Why a signature does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ForwardError {
    /// The headers are not structured fields, have no signature under the label, or are too long.
    #[error("there is no signature of the origin that can be read: {0}")]
    Form(String),
    /// It does not cover what it must, or more.
    #[error(
        "the signature must cover the method, the target, its authority, the digest and the grants"
    )]
    Covered,
    /// A parameter is missing, is another one than it must be, or of another type.
    #[error("the parameter `{0}` of the signature is missing, or not what it must be")]
    Parameter(&'static str),
    /// It lives for longer than [`MAX_LIFE`].
    #[error("the signature holds for longer than {MAX_LIFE} seconds")]
    LongLived,
    /// It was made in the future.
    #[error("the signature was made at {created}, and now is {now} (unix seconds)")]
    Early {
        /// When it says that it was made.
        created: u64,
        /// The time here.
        now: u64,
    },
    /// It has expired.
    #[error("the signature has expired at {expires}, and now is {now} (unix seconds)")]
    Expired {
        /// When it expired.
        expires: u64,
        /// The time here.
        now: u64,
    },
    /// The request is not the one that was signed, or another key has signed it.
    #[error("the signature is not that of {0} for this request")]
    Signature(Did),
    /// The body is not the one that was signed.
    #[error("the body is not the one whose digest was signed")]
    Digest,
}

impl Message<'_> {
    fn has_grants(&self) -> bool {
        !self.grants.is_empty()
    }

    fn covered(&self) -> impl Iterator<Item = &'static str> {
        COVERED
            .into_iter()
            .chain(self.has_grants().then_some(GRANTS))
    }

    /// The text that is signed (RFC 9421, section 2.5).
    fn base(&self, parameters: &str) -> String {
        let authority = self.name.segments().next().unwrap_or_default();
        let mut base = format!(
            "\"@method\": {}\n\"@target-uri\": {}/-/{}\n\"@authority\": {authority}\n\"content-digest\": {}\n",
            self.method, self.name, self.path, self.digest
        );
        if self.has_grants() {
            base += &format!("\"{GRANTS}\": {}\n", self.grants.join(", "));
        }
        base + &format!("\"@signature-params\": {parameters}")
    }
}

/// Signs a request at the time given in unix seconds. The nonce is random and used once.
#[must_use]
pub fn sign(by: &Identity, message: &Message<'_>, now: u64, nonce: [u8; 16]) -> Signature {
    let number = |number: u64| {
        let number = i64::try_from(number.min(MAX_NUMBER)).unwrap_or_default();
        sfv::Integer::try_from(number).expect("it has at most 15 digits")
    };
    let (nonce, did) = (crate::jws::encode(nonce), by.did().to_string());
    let mut list = ListSerializer::new();
    let mut covered = list.inner_list();
    for component in message.covered() {
        let _ = covered.bare_item(text(component));
    }
    let _ = covered
        .finish()
        .parameter(key_ref("created"), number(now))
        .parameter(key_ref("expires"), number(now.saturating_add(LIFE)))
        .parameter(key_ref("nonce"), text(&nonce))
        .parameter(key_ref("keyid"), text(&did))
        .parameter(key_ref("alg"), ALGORITHM)
        .parameter(key_ref("tag"), TAG);
    let parameters = list.finish().expect("the list has a member");
    let signature = by.sign(message.base(&parameters).as_bytes());
    Signature {
        input: format!("{}={parameters}", LABEL.as_str()),
        value: format!("{}=:{}:", LABEL.as_str(), BASE64_STANDARD.encode(signature)),
    }
}

fn text(text: &str) -> &StringRef {
    StringRef::from_str(text).expect("what is signed is visible ASCII")
}

/// Checks the signature of a request at the time given in unix seconds.
///
/// # Errors
/// See [`ForwardError`].
pub fn verify(
    message: &Message<'_>,
    signature: &Signature,
    now: u64,
) -> Result<Signed, ForwardError> {
    if signature.input.len() > MAX_INPUT || signature.value.len() > MAX_SIGNATURE {
        return Err(ForwardError::Form("it is too long".to_owned()));
    }
    let input = dictionary(&signature.input)?;
    let Some(entry @ ListEntry::InnerList(list)) = input.get(LABEL) else {
        return Err(missing());
    };
    let names = list.items.iter().map(|item| {
        let bare = item.params.is_empty();
        let name = item.bare_item.as_string().filter(|_| bare);
        name.map(StringRef::as_str)
    });
    let covered: Vec<&str> = message.covered().collect();
    if !names.eq(covered.into_iter().map(Some)) {
        return Err(ForwardError::Covered);
    }
    let signed = parameters(&list.params, now)?;
    let value = dictionary(&signature.value)?;
    let Some(ListEntry::Item(value)) = value.get(LABEL) else {
        return Err(missing());
    };
    let bytes = value.bare_item.as_byte_sequence();
    let bytes: [u8; 64] = bytes
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(missing)?;
    let mut list = ListSerializer::new();
    list.members([entry]);
    let parameters = list.finish().expect("the list has a member");
    if !signed
        .by
        .verify(message.base(&parameters).as_bytes(), &bytes)
    {
        return Err(ForwardError::Signature(signed.by));
    }
    Ok(signed)
}

fn parameters(parameters: &Parameters, now: u64) -> Result<Signed, ForwardError> {
    let text = |key: &'static str| {
        let value = KeyRef::from_str(key)
            .ok()
            .and_then(|key| parameters.get(key));
        let text = value.and_then(|value| value.as_string());
        text.map(StringRef::as_str)
            .ok_or(ForwardError::Parameter(key))
    };
    let number = |key: &'static str| {
        let value = KeyRef::from_str(key)
            .ok()
            .and_then(|key| parameters.get(key));
        let number = value.and_then(|value| value.as_integer());
        let number = number.map(i64::from).and_then(|n| u64::try_from(n).ok());
        number.ok_or(ForwardError::Parameter(key))
    };
    for (key, wanted) in [("alg", ALGORITHM), ("tag", TAG)] {
        if text(key)? != wanted.as_str() {
            return Err(ForwardError::Parameter(key));
        }
    }
    if parameters.len() != 6 {
        return Err(ForwardError::Parameter("(another)"));
    }
    let by = text("keyid")?;
    let by = by.parse().map_err(|_| ForwardError::Parameter("keyid"))?;
    let nonce = text("nonce")?.to_owned();
    if nonce.is_empty() || nonce.len() > MAX_NONCE {
        return Err(ForwardError::Parameter("nonce"));
    }
    let (created, expires) = (number("created")?, number("expires")?);
    if expires.saturating_sub(created) > MAX_LIFE {
        return Err(ForwardError::LongLived);
    }
    if created > now.saturating_add(CLOCK_SKEW) {
        return Err(ForwardError::Early { created, now });
    }
    if now >= expires {
        return Err(ForwardError::Expired { expires, now });
    }
    Ok(Signed { by, nonce, expires })
}

fn dictionary(text: &str) -> Result<Dictionary, ForwardError> {
    let parsed = Parser::new(text).parse();
    parsed.map_err(|error| ForwardError::Form(error.to_string()))
}

fn missing() -> ForwardError {
    ForwardError::Form(format!("there is none under `{}`", LABEL.as_str()))
}

/// The header `Content-Digest` of a body.
#[must_use]
pub fn digest(body: &[u8]) -> String {
    format!("sha-256=:{}:", BASE64_STANDARD.encode(Sha256::digest(body)))
}

/// Checks a body against the header `Content-Digest`.
///
/// # Errors
/// [`ForwardError::Digest`], also when the header has no SHA-256.
pub fn check_digest(header: &str, body: &[u8]) -> Result<(), ForwardError> {
    let wanted = dictionary(header).map_err(|_| ForwardError::Digest)?;
    let Some(ListEntry::Item(wanted)) = wanted.get(key_ref("sha-256")) else {
        return Err(ForwardError::Digest);
    };
    let digest = Sha256::digest(body);
    if wanted.bare_item.as_byte_sequence() == Some(digest.as_slice()) {
        Ok(())
    } else {
        Err(ForwardError::Digest)
    }
}
