//! An invite as text and back.

use multiaddr::Multiaddr;
use sha2::{Digest as _, Sha256};

use super::{
    Invite, InviteError, InviteSecret, MAX_ADDRESS_BYTES, MAX_ADDRESSES, MAX_CODE, PREFIX,
};
use crate::did::Did;

/// The version that is written and read.
pub(super) const VERSION: u8 = 1;

/// Crockford's base32 digits.
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

const HEADER_BYTES: usize = 3;
const CHECKSUM_BYTES: usize = 4;

pub(super) fn encode(invite: &Invite) -> String {
    let mut body = Vec::new();
    body.extend_from_slice(invite.inviter.public_key());
    body.extend_from_slice(invite.secret.as_bytes());
    body.extend_from_slice(&invite.expires.to_be_bytes());
    for address in &invite.addresses {
        body.push(
            u8::try_from(address.len()).expect("an address of an invite has at most 92 bytes"),
        );
        body.extend_from_slice(address.as_ref());
    }
    seal(VERSION, &body)
}

/// Puts header and checksum around the body, and writes it as text.
pub(super) fn seal(version: u8, body: &[u8]) -> String {
    let follows =
        u16::try_from(body.len() + CHECKSUM_BYTES).expect("six addresses of 92 bytes are few");
    let mut bytes = vec![version];
    bytes.extend_from_slice(&follows.to_be_bytes());
    bytes.extend_from_slice(body);
    bytes.extend_from_slice(&checksum(&bytes));
    format!("{PREFIX}{}", to_base32(&bytes))
}

pub(super) fn decode(text: &str) -> Result<Invite, InviteError> {
    let bytes = from_text(text)?;
    let (content, sum) = bytes
        .split_last_chunk::<CHECKSUM_BYTES>()
        .ok_or(InviteError::CutShort)?;
    let sum_fits = checksum(content) == *sum;
    let &[version, high, low, ref body @ ..] = content else {
        return Err(InviteError::CutShort);
    };
    // Only a whole code of another version is called that: a mistyped first digit is a mistyped code.
    if version != VERSION {
        return Err(if sum_fits {
            InviteError::Version { found: version }
        } else {
            InviteError::Checksum
        });
    }
    if !sum_fits {
        let follows = usize::from(u16::from_be_bytes([high, low]));
        let found = bytes.len() - HEADER_BYTES;
        return Err(match found.cmp(&follows) {
            std::cmp::Ordering::Less => InviteError::CutShort,
            std::cmp::Ordering::Equal => InviteError::Checksum,
            std::cmp::Ordering::Greater => InviteError::Trailing,
        });
    }
    parse(body)
}

/// Reads what stands between the header and the checksum, once these fit.
fn parse(body: &[u8]) -> Result<Invite, InviteError> {
    let short = || InviteError::Content("it is too short");
    let (key, rest) = body.split_first_chunk::<32>().ok_or_else(short)?;
    let (secret, rest) = rest.split_first_chunk::<16>().ok_or_else(short)?;
    let (expires, mut rest) = rest.split_first_chunk::<8>().ok_or_else(short)?;
    let mut addresses = Vec::new();
    let mut read = 0;
    while let Some((length, tail)) = rest.split_first() {
        let length = usize::from(*length);
        if read == MAX_ADDRESSES || !(1..=MAX_ADDRESS_BYTES).contains(&length) {
            return Err(InviteError::Content(
                "it has too many or too long addresses",
            ));
        }
        let (address, tail) = tail
            .split_at_checked(length)
            .ok_or(InviteError::Content("an address is cut short"))?;
        // An address of a kind that this version does not know is no reason to refuse the others.
        addresses.extend(Multiaddr::try_from(address.to_vec()));
        read += 1;
        rest = tail;
    }
    Ok(Invite {
        inviter: Did::from_public_key(key)?,
        secret: InviteSecret::from_bytes(*secret),
        expires: u64::from_be_bytes(*expires),
        addresses,
    })
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let hash: [u8; 32] = Sha256::digest(bytes).into();
    *hash.first_chunk().expect("32 bytes begin with 4")
}

fn to_base32(bytes: &[u8]) -> String {
    let (mut bits, mut held) = (0_u32, 0);
    let mut text = String::new();
    for byte in bytes {
        bits = bits << 8 | u32::from(*byte);
        held += 8;
        while held >= 5 {
            held -= 5;
            text.push(digit(bits >> held));
        }
    }
    if held > 0 {
        text.push(digit(bits << (5 - held)));
    }
    text
}

fn digit(bits: u32) -> char {
    char::from(DIGITS[usize::try_from(bits & 31).expect("five bits fit")])
}

fn from_text(text: &str) -> Result<Vec<u8>, InviteError> {
    if text.len() > MAX_CODE {
        return Err(InviteError::TooLong);
    }
    let start = text.len() - text.trim_start().len();
    let digits_at = start + PREFIX.len();
    let prefix = text.get(start..digits_at).ok_or(InviteError::NoPrefix)?;
    if !prefix.eq_ignore_ascii_case(PREFIX) {
        return Err(InviteError::NoPrefix);
    }
    let (mut bits, mut held) = (0_u32, 0);
    let mut bytes = Vec::new();
    for (at, character) in text.char_indices().skip_while(|(at, _)| *at < digits_at) {
        if character.is_whitespace() || character == '-' {
            continue;
        }
        let position = text[..at].chars().count() + 1;
        let value = value(character).ok_or(InviteError::Character {
            character,
            position,
        })?;
        bits = bits << 5 | value;
        held += 5;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from(bits >> held & 0xff).expect("eight bits fit"));
        }
    }
    let spare = bits & ((1 << held) - 1);
    if held >= 5 {
        Err(InviteError::CutShort)
    } else if spare != 0 {
        Err(InviteError::Checksum)
    } else {
        Ok(bytes)
    }
}

fn value(character: char) -> Option<u32> {
    let folded = match character.to_ascii_lowercase() {
        'o' => '0',
        'i' | 'l' => '1',
        other => other,
    };
    let position = DIGITS
        .iter()
        .position(|digit| char::from(*digit) == folded)?;
    u32::try_from(position).ok()
}
