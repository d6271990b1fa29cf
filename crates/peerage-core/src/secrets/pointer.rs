//! Where in a JSON text a byte stands, as a JSON Pointer (RFC 6901).

use super::find;

/// The deepest that is told.
const MAX_DEPTH: usize = 64;
/// The longest that is told, bytes.
const MAX_TEXT: usize = 200;

/// An object or array that is open.
enum Open {
    /// With the key whose value comes, once it is known.
    Object(Option<String>),
    /// With the number of the element.
    Array(usize),
}

/// The pointer to the value in which the byte `at` stands. None where the text before it is no JSON, and where the pointer
/// would be long or hold a credential itself.
#[must_use]
pub fn pointer(text: &[u8], at: usize) -> Option<String> {
    let mut open: Vec<Open> = Vec::new();
    let mut place = 0;
    while place < at.min(text.len()) {
        match text[place] {
            b'{' => open.push(Open::Object(None)),
            b'[' => open.push(Open::Array(0)),
            b'}' | b']' => drop(open.pop()?),
            b',' => match open.last_mut()? {
                Open::Object(key) => *key = None,
                Open::Array(number) => *number += 1,
            },
            b'"' => {
                let end = string_end(text, place);
                if end > at {
                    break;
                }
                if let Some(Open::Object(key @ None)) = open.last_mut() {
                    *key = Some(serde_json::from_slice(text.get(place..end)?).ok()?);
                }
                place = end;
                continue;
            }
            b':' | b' ' | b'\t' | b'\r' | b'\n' | b'-' | b'+' | b'.' => {}
            byte if byte.is_ascii_alphanumeric() => {}
            _ => return None,
        }
        if open.len() > MAX_DEPTH {
            return None;
        }
        place += 1;
    }
    told(&open)
}

/// Behind the string that begins at `start`.
fn string_end(text: &[u8], start: usize) -> usize {
    let mut place = start + 1;
    while place < text.len() {
        match text[place] {
            b'\\' => place += 1,
            b'"' => return place + 1,
            _ => {}
        }
        place += 1;
    }
    text.len() + 1
}

fn told(open: &[Open]) -> Option<String> {
    let mut pointer = String::new();
    for part in open {
        pointer.push('/');
        match part {
            Open::Object(key) => {
                let key = key.as_ref()?;
                pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
            }
            Open::Array(number) => pointer.push_str(&number.to_string()),
        }
    }
    let fits = !pointer.is_empty() && pointer.len() <= MAX_TEXT;
    (fits && find(pointer.as_bytes()).is_empty()).then_some(pointer)
}
