//! Within a stream of server-sent events, the event that holds a credential becomes the error of its JSON-RPC request, so that
//! whoever asked is told instead of cut off.

use bytes::Bytes;
use peerage_core::problem::Problem;
use serde_json::{Value, json};

/// JSON-RPC's code for what the server will not do, from its own range.
const REFUSED: i32 = -32_003;

/// These whole events with an error in the place of the one in which the byte `at` stands. None where it is no whole event with
/// the answer to a request.
pub(super) fn refused(events: &[u8], at: usize, problem: &Problem) -> Option<Bytes> {
    let text = std::str::from_utf8(events).ok()?;
    let start = text.get(..at)?.rfind("\n\n").map_or(0, |end| end + 2);
    let end = at + text.get(at..)?.find("\n\n")? + 2;
    let event = text.get(start..end)?;
    let data: Vec<&str> = event
        .lines()
        .filter_map(|line| line.strip_prefix("data:"))
        .map(|data| data.strip_prefix(' ').unwrap_or(data))
        .collect();
    let answer: Value = serde_json::from_str(&data.join("\n")).ok()?;
    let id = answer.get("id")?;
    answer.get("result").or_else(|| answer.get("error"))?;
    let error = json!({ "code": REFUSED, "message": problem.detail, "data": problem });
    let error = json!({ "jsonrpc": "2.0", "id": id, "error": error });
    let others = event
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with("data:"))
        .map(|line| format!("{line}\n"));
    let before = text.get(..start)?;
    let after = text.get(end..)?;
    let others: String = others.collect();
    Some(Bytes::from(format!(
        "{before}{others}data: {error}\n\n{after}"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_becomes_an_error_and_others_stay() {
        let problem = Problem::new(403, "secret_in_answer", "no");
        let events = "id: 1\ndata: {\"id\":7,\"result\":{\"t\":\"KEY\"}}\n\ndata: {\"id\":8,\"result\":1}\n\n";
        let at = events.find("KEY").unwrap();
        let told = refused(events.as_bytes(), at, &problem).unwrap();
        let told = std::str::from_utf8(&told).unwrap();
        assert!(told.starts_with("id: 1\ndata: {"), "{told}");
        assert!(
            told.ends_with("\n\ndata: {\"id\":8,\"result\":1}\n\n"),
            "{told}"
        );
        let error = told.lines().nth(1).unwrap().trim_start_matches("data: ");
        let error: Value = serde_json::from_str(error).unwrap();
        assert_eq!(
            (&error["id"], &error["error"]["message"]),
            (&json!(7), &json!("no"))
        );
        assert!(!told.contains("KEY"));
        for events in [
            "data: {\"method\":\"KEY\"}\n\n",
            "data: {\"id\":7,\"result\":\"KEY\"}",
            "KEY\n\n",
        ] {
            let at = events.find("KEY").unwrap();
            assert!(
                refused(events.as_bytes(), at, &problem).is_none(),
                "{events}"
            );
        }
    }
}
