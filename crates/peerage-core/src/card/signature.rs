//! The detached JWS of a card.

use serde_json::{Value, json};

use super::{CardError, json};
use crate::{did::Did, identity::Identity, jws};

/// The most signatures of a card that are looked at.
const MAX_SIGNATURES: usize = 8;

/// The most bytes of a protected header.
const MAX_HEADER: usize = 2048;

/// The most characters of a foreign key's name that an error shows.
const MAX_SHOWN: usize = 160;

/// The value of `signatures` for the card.
pub(super) fn sign(identity: &Identity, card: &Value) -> Result<Value, CardError> {
    let header = json!({"alg": "EdDSA", "kid": identity.did().key_url(), "typ": "JOSE"});
    let protected = jws::encode(json::write(&header));
    let input = format!("{protected}.{}", jws::encode(json::canonical(card)?));
    Ok(json!([{"protected": protected, "signature": jws::encode(identity.sign(input.as_bytes()))}]))
}

/// Checks that one of the card's signatures is by the key. Signatures by others prove nothing here and are ignored.
pub(super) fn verify(card: &Value, key: &Did) -> Result<(), CardError> {
    let signatures = card.get("signatures").and_then(Value::as_array);
    let signatures = signatures.ok_or(CardError::NoSignature("there is no \"signatures\""))?;
    if signatures.len() > MAX_SIGNATURES {
        return Err(CardError::NoSignature("there are too many"));
    }
    let mut claimed = Vec::new();
    for signature in signatures {
        let protected = text(signature, "protected")?;
        let kid = kid(protected)?;
        if kid == key.key_url() || kid == key.to_string() {
            return check(card, key, protected, text(signature, "signature")?);
        }
        claimed.push(kid);
    }
    let found = claimed
        .into_iter()
        .next()
        .ok_or(CardError::NoSignature("\"signatures\" is empty"))?;
    Err(CardError::WrongKey {
        found: found.chars().take(MAX_SHOWN).collect(),
        expected: key.peer_id(),
    })
}

fn check(card: &Value, key: &Did, protected: &str, signature: &str) -> Result<(), CardError> {
    let signature = jws::decode_signature(signature);
    let signature = signature.ok_or(CardError::NoSignature(
        "\"signature\" is not base64url of 64 bytes",
    ))?;
    let input = format!("{protected}.{}", jws::encode(json::canonical(card)?));
    if key.verify(input.as_bytes(), &signature) {
        Ok(())
    } else {
        Err(CardError::Signature)
    }
}

/// Reads the key id from a protected header that is one of ours: EdDSA, and nothing that must be understood besides.
fn kid(protected: &str) -> Result<String, CardError> {
    let header = jws::decode(protected).filter(|header| header.len() <= MAX_HEADER);
    let header = header.ok_or(CardError::NoSignature(
        "\"protected\" is not base64url of a header",
    ))?;
    let header = json::read(&header, MAX_HEADER)?;
    if header.get("alg").and_then(Value::as_str) != Some("EdDSA") {
        return Err(CardError::NoSignature("its \"alg\" is not EdDSA"));
    }
    if header.get("crit").is_some() {
        return Err(CardError::NoSignature(
            "its header has a \"crit\" that is not understood",
        ));
    }
    let kid = header.get("kid").and_then(Value::as_str);
    kid.map(str::to_owned)
        .ok_or(CardError::NoSignature("its header has no \"kid\""))
}

fn text<'a>(signature: &'a Value, field: &'static str) -> Result<&'a str, CardError> {
    let text = signature.get(field).and_then(Value::as_str);
    text.ok_or(CardError::NoSignature(
        "a signature lacks \"protected\" or \"signature\"",
    ))
}
