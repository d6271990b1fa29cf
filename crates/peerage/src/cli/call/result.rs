//! The result of a tool as text.

use serde_json::Value;

use super::super::{
    output::{Output, clean, clean_lines},
    peers::bytes,
};

/// What a person or a script reads: texts as they are, and a word for everything else.
pub(super) fn render(result: &Value, output: &Output) -> String {
    let text = text(result);
    if output.is_terminal() {
        clean_lines(&text)
    } else {
        text
    }
}

/// The texts of a result; its structured content where it has no texts.
pub(super) fn text(result: &Value) -> String {
    let blocks = result.get("content").and_then(Value::as_array);
    let parts: Vec<_> = blocks.into_iter().flatten().map(block).collect();
    if !parts.is_empty() {
        return parts.join("\n");
    }
    match result.get("structuredContent") {
        Some(content) => pretty(content),
        None if blocks.is_some() => String::new(),
        None => pretty(result),
    }
}

fn block(block: &Value) -> String {
    let field = |name: &str| block.get(name).and_then(Value::as_str).unwrap_or_default();
    match field("type") {
        "text" => field("text").to_owned(),
        kind @ ("image" | "audio") => {
            // Base64 has four characters for three bytes.
            let size = field("data").len() as u64 / 4 * 3;
            format!("[{kind} {}, {}]", clean(field("mimeType")), bytes(size))
        }
        "resource_link" => format!("[resource {}]", clean(field("uri"))),
        "resource" => {
            let resource = block.get("resource").unwrap_or(&Value::Null);
            let text = resource.get("text").and_then(Value::as_str);
            let uri = resource
                .get("uri")
                .and_then(Value::as_str)
                .unwrap_or_default();
            text.map_or_else(|| format!("[resource {}]", clean(uri)), str::to_owned)
        }
        _ => block.to_string(),
    }
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).expect("JSON that was read can be written")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::text;

    #[test]
    fn texts_are_as_they_are_and_the_rest_is_named() {
        let result = json!({"content": [
            {"type": "text", "text": "one\ntwo"},
            {"type": "image", "mimeType": "image/png", "data": "AAAA"},
            {"type": "resource", "resource": {"uri": "file:///a", "text": "inside"}},
            {"type": "resource_link", "uri": "file:///b"},
            {"type": "later", "x": 1}
        ]});
        let expected = "one\ntwo\n[image image/png, 3 B]\ninside\n[resource file:///b]\n{\"type\":\"later\",\"x\":1}";
        assert_eq!(text(&result), expected);
        assert_eq!(text(&json!({"content": []})), "");
        assert_eq!(
            text(&json!({"content": [], "structuredContent": {"a": 1}})),
            "{\n  \"a\": 1\n}"
        );
    }
}
