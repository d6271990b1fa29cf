//! Cutting tools out of a message, or out of an event of a stream, and leaving every other byte as it was.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    result: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct List<'a> {
    #[serde(borrow)]
    tools: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Tool<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
}

/// A message without the tools that are not to be shown; none if it holds none of them. What lists no tools in the way that
/// every reader understands is no list.
pub(crate) fn without(message: &[u8], shown: impl Fn(&str) -> bool) -> Option<Vec<u8>> {
    let answer: Answer<'_> = serde_json::from_slice(message).ok()?;
    let list: List<'_> = serde_json::from_str(answer.result?.get()).ok()?;
    let (first, last) = (list.tools.first()?, list.tools.last()?);
    let is_shown = |tool: &&&RawValue| {
        let named = serde_json::from_str::<Tool<'_>>(tool.get());
        named.is_ok_and(|tool| shown(&tool.name))
    };
    let kept: Vec<&str> = list
        .tools
        .iter()
        .filter(is_shown)
        .map(|tool| tool.get())
        .collect();
    if kept.len() == list.tools.len() {
        return None;
    }
    let place = |part: &RawValue| part.get().as_ptr() as usize - message.as_ptr() as usize;
    let end = place(last) + last.get().len();
    let mut cut = message[..place(first)].to_vec();
    cut.extend_from_slice(kept.join(",").as_bytes());
    cut.extend_from_slice(&message[end..]);
    Some(cut)
}

/// Where the first event ends: after an empty line. Lines end in `\n`, `\r\n` or `\r`.
pub(crate) fn end_of_event(bytes: &[u8], from: usize) -> Option<usize> {
    (from..bytes.len()).find_map(|at| match &bytes[at..] {
        [b'\r', b'\n', b'\r', b'\n', ..] => Some(at + 4),
        [b'\n', b'\r', b'\n', ..] => Some(at + 3),
        [b'\n', b'\n', ..] | [b'\r', b'\r', ..] => Some(at + 2),
        _ => None,
    })
}

/// An event with its data changed; none if nothing changes.
pub(crate) fn event_without(
    event: &[u8],
    without: impl Fn(&[u8]) -> Option<Vec<u8>>,
) -> Option<Vec<u8>> {
    let is_break = |byte: &u8| matches!(byte, b'\n' | b'\r');
    let data_of = |line: &'_ [u8]| -> Option<usize> {
        let rest = line.strip_prefix(b"data:")?;
        Some(if rest.first() == Some(&b' ') { 6 } else { 5 })
    };
    let mut data = Vec::new();
    for line in event.split(is_break) {
        if let Some(begin) = data_of(line) {
            if !data.is_empty() {
                data.push(b'\n');
            }
            data.extend_from_slice(&line[begin..]);
        }
    }
    let mut changed = without(&data)?;
    // Line breaks in JSON stand between its parts, where a space means the same.
    for byte in changed.iter_mut().filter(|byte| is_break(byte)) {
        *byte = b' ';
    }
    let mut whole = Vec::with_capacity(event.len());
    let mut changed = Some(changed);
    let mut after_taken = false;
    for line in event.split_inclusive(is_break) {
        if std::mem::take(&mut after_taken) && line == b"\n" {
            continue;
        }
        let bare = line
            .strip_suffix(b"\n")
            .or_else(|| line.strip_suffix(b"\r"))
            .unwrap_or(line);
        match data_of(bare) {
            None => whole.extend_from_slice(line),
            Some(_) => {
                // All of it goes where its first line was.
                if let Some(changed) = changed.take() {
                    whole.extend_from_slice(b"data: ");
                    whole.extend_from_slice(&changed);
                    whole.extend_from_slice(&line[bare.len()..]);
                } else {
                    // The rest of its line end stands alone.
                    after_taken = line.ends_with(b"\r");
                }
            }
        }
    }
    Some(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(message: &str) -> Option<String> {
        let cut = without(message.as_bytes(), |tool| tool != "b");
        cut.map(|cut| String::from_utf8(cut).unwrap())
    }

    #[test]
    fn only_what_is_not_shown_is_cut() {
        let list = |tools: &str| {
            format!(
                "{{ \"jsonrpc\":\"2.0\", \"result\": {{\"x\":1.0,\"tools\":[ {tools} ],\"nextCursor\":\"b\"}},\"id\":1e0}}"
            )
        };
        let (a, b, c) = (
            "{\"name\":\"a\", \"n\":1.50}",
            "{ \"name\":\"\\u0062\"}",
            "{\"name\":\"c\"}",
        );
        for (tools, left) in [
            (format!("{a}, {b} ,{c}"), format!("{a},{c}")),
            (format!("{b},{a}"), a.to_owned()),
            (format!("{a},{b}"), a.to_owned()),
            (b.to_owned(), String::new()),
            (format!("{a},{{\"nameless\":1}}"), a.to_owned()),
        ] {
            assert_eq!(cut(&list(&tools)), Some(list(&left)));
        }
        for same in [
            list(&format!("{a},{c}")),
            list(""),
            "{\"result\":{\"content\":[]}}".to_owned(),
            "{\"error\":{}}".to_owned(),
            "garbage".to_owned(),
        ] {
            assert_eq!(cut(&same), None, "{same}");
        }
    }

    fn event(text: &str) -> Option<String> {
        let cut = event_without(text.as_bytes(), |data| without(data, |tool| tool != "b"));
        cut.map(|cut| String::from_utf8(cut).unwrap())
    }

    #[test]
    fn an_event_keeps_its_other_lines() {
        let list = "{\"result\":{\"tools\":[{\"name\":\"a\"},{\"name\":\"b\"}]}}";
        let left = "{\"result\":{\"tools\":[{\"name\":\"a\"}]}}";
        for (before, after) in [
            (
                format!("id: 1\nevent: message\ndata: {list}\n\n"),
                format!("id: 1\nevent: message\ndata: {left}\n\n"),
            ),
            (
                format!("data:{list}\r\nid: 1\r\n\r\n"),
                format!("data: {left}\r\nid: 1\r\n\r\n"),
            ),
        ] {
            assert_eq!(event(&before), Some(after));
        }
        let halves = list.split_at(10);
        let lines = format!("data: {}\ndata: {}\n\n", halves.0, halves.1);
        assert_eq!(event(&lines).unwrap().matches("data: ").count(), 1);
        assert_eq!(event(": a comment\n\n"), None);
    }

    #[test]
    fn the_end_of_an_event_is_found() {
        for (text, end) in [
            ("data: 1\n\nx", Some(9)),
            ("data: 1\r\n\r\nx", Some(11)),
            ("data: 1\r\rx", Some(9)),
            ("data: 1\n\r\nx", Some(10)),
            ("data: 1\n", None),
            ("", None),
        ] {
            assert_eq!(end_of_event(text.as_bytes(), 0), end, "{text:?}");
        }
    }
}
