//! A JSON Schema, as far as it says how a typed text is meant.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// How deep references and alternatives are followed; a schema from a peer may refer to itself.
const MAX_DEPTH: usize = 16;

/// A schema within its document, which references point into.
#[derive(Clone, Debug)]
pub(super) struct Schema<'a> {
    root: &'a Value,
    /// The alternatives: `anyOf`, `oneOf` and references are resolved.
    any: Vec<&'a Map<String, Value>>,
}

/// The schema that says nothing.
static ANYTHING: Value = Value::Null;

impl<'a> Schema<'a> {
    /// A whole document.
    pub(super) fn new(root: &'a Value) -> Self {
        Self::within(root, root)
    }

    /// The schema that says nothing.
    pub(super) fn anything() -> Self {
        Self::new(&ANYTHING)
    }

    fn within(root: &'a Value, schema: &'a Value) -> Self {
        let mut any = Vec::new();
        collect(root, schema, MAX_DEPTH, &mut any);
        Self { root, any }
    }

    /// The schema of a property of an object.
    pub(super) fn property(&self, key: &str) -> Self {
        self.part(|schema| schema.get("properties").and_then(|all| all.get(key)))
    }

    /// The schema of a list's items.
    pub(super) fn items(&self) -> Self {
        self.part(|schema| schema.get("items"))
    }

    fn part(&self, get: impl Fn(&'a Map<String, Value>) -> Option<&'a Value>) -> Self {
        let mut any = Vec::new();
        for schema in self.any.iter().filter_map(|schema| get(schema)) {
            collect(self.root, schema, MAX_DEPTH, &mut any);
        }
        Self {
            root: self.root,
            any,
        }
    }

    /// The properties of an object.
    pub(super) fn keys(&self) -> Vec<&'a str> {
        let properties = self
            .any
            .iter()
            .filter_map(|schema| schema.get("properties")?.as_object());
        properties
            .flat_map(|all| all.keys().map(String::as_str))
            .collect()
    }

    /// Whether an object must not have this property.
    pub(super) fn refuses(&self, key: &str) -> bool {
        let closed = |schema: &&Map<String, Value>| {
            schema.get("additionalProperties") == Some(&Value::Bool(false))
                && !schema.contains_key("patternProperties")
        };
        !self.any.is_empty() && self.any.iter().all(closed) && !self.keys().contains(&key)
    }

    /// Whether several values can make one.
    pub(super) fn may_be_list(&self) -> bool {
        let types = self.types();
        types.is_empty() || types.contains("array")
    }

    /// What is expected, in words.
    pub(super) fn expected(&self) -> String {
        let choices = self.choices();
        if !choices.is_empty() {
            let choices: Vec<_> = choices.iter().map(ToString::to_string).collect();
            return format!("one of {}", choices.join(", "));
        }
        let words: Vec<_> = self
            .types()
            .into_iter()
            .map(|name| match name {
                "array" => "a list",
                "boolean" => "true or false",
                "integer" => "a whole number",
                "null" => "null",
                "number" => "a number",
                "object" => "a JSON object",
                _ => "a text",
            })
            .collect();
        words.join(" or ")
    }

    /// A text as the value that is meant; `None` if it cannot be one that fits.
    pub(super) fn read(&self, text: &str) -> Option<Value> {
        let choices = self.choices();
        if !choices.is_empty() {
            let same = |choice: &&&Value| match choice {
                Value::String(choice) => choice == text,
                choice => choice.to_string() == text,
            };
            return choices.iter().find(same).map(|choice| (*choice).clone());
        }
        let types = self.types();
        let texts = types.is_empty() || types.contains("string");
        let json = serde_json::from_str::<Value>(text).ok();
        let fits = json.filter(|value| self.fits(value, text, &types, texts));
        if fits.is_some() {
            return fits;
        }
        if texts {
            return Some(Value::String(text.to_owned()));
        }
        // One item of a list need not be written as a list.
        let item = types
            .contains("array")
            .then(|| self.items().read(text))
            .flatten();
        item.map(|item| Value::Array(vec![item]))
    }

    /// Whether a text that is JSON is meant as JSON. Where it may also be a text, only a number, truth value or null
    /// in its usual spelling is: `007` stays a text.
    fn fits(&self, value: &Value, text: &str, types: &BTreeSet<&str>, texts: bool) -> bool {
        let named = match value {
            Value::Null => types.contains("null"),
            Value::Bool(_) => types.contains("boolean"),
            Value::Number(number) => {
                let whole = number.is_i64()
                    || number.is_u64()
                    || number.as_f64().is_some_and(|n| n.fract() == 0.0);
                types.contains("number") || (types.contains("integer") && whole)
            }
            Value::String(_) => false,
            Value::Array(_) => types.contains("array"),
            Value::Object(_) => types.contains("object"),
        };
        named && (!texts || serde_json::to_string(value).is_ok_and(|usual| usual == text))
    }

    fn types(&self) -> BTreeSet<&'a str> {
        let mut types = BTreeSet::new();
        for schema in &self.any {
            match schema.get("type") {
                Some(Value::String(name)) => {
                    types.insert(name.as_str());
                }
                Some(Value::Array(names)) => types.extend(names.iter().filter_map(Value::as_str)),
                _ if schema.contains_key("properties") => {
                    types.insert("object");
                }
                _ if schema.contains_key("items") => {
                    types.insert("array");
                }
                _ => {}
            }
        }
        types
    }

    /// The values that are listed, if nothing else is allowed.
    fn choices(&self) -> Vec<&'a Value> {
        let listed =
            |schema: &&'a Map<String, Value>| match (schema.get("enum"), schema.get("const")) {
                (Some(Value::Array(values)), _) => values.iter().collect(),
                (_, Some(value)) => vec![value],
                _ => Vec::new(),
            };
        let lists: Vec<Vec<&Value>> = self.any.iter().map(listed).collect();
        if lists.iter().any(Vec::is_empty) {
            return Vec::new();
        }
        lists.concat()
    }
}

/// Gathers a schema's alternatives, following references.
fn collect<'a>(
    root: &'a Value,
    schema: &'a Value,
    depth: usize,
    any: &mut Vec<&'a Map<String, Value>>,
) {
    let (Value::Object(object), Some(depth)) = (schema, depth.checked_sub(1)) else {
        return;
    };
    if let Some(Value::String(reference)) = object.get("$ref") {
        let target = reference
            .strip_prefix('#')
            .and_then(|pointer| root.pointer(pointer));
        if let Some(target) = target {
            collect(root, target, depth, any);
        }
        return;
    }
    let alternatives = ["anyOf", "oneOf", "allOf"]
        .iter()
        .filter_map(|key| object.get(*key)?.as_array());
    let mut none = true;
    for alternative in alternatives.flatten() {
        collect(root, alternative, depth, any);
        none = false;
    }
    if none || object.contains_key("type") || object.contains_key("properties") {
        any.push(object);
    }
}
