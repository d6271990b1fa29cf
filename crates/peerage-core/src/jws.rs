//! The two spellings that every JSON Web Signature here is made of: base64url, and the EdDSA signature over it.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};

/// Base64url without padding.
pub(crate) fn encode(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads base64url without padding. A second spelling of the same bytes (set bits after the last byte) is refused.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    BASE64_URL_SAFE_NO_PAD.decode(text).ok()
}

/// Reads an Ed25519 signature.
pub(crate) fn decode_signature(text: &str) -> Option<[u8; 64]> {
    decode(text)?.try_into().ok()
}
