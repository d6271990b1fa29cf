//! Arguments of a tool as they are typed: `KEY=VALUE`, `KEY:=JSON`, one JSON object, or `-`.

mod schema;

use serde_json::{Map, Value};

use self::schema::Schema;
use super::super::Failure;

/// How like each other two keys must be for one to be suggested for the other.
const NEAR: f64 = 0.75;

/// What was typed.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Given {
    /// One JSON object, or nothing.
    Whole(Map<String, Value>),
    /// `-`: a JSON object on standard input.
    Stdin,
    /// Keys and values, in order.
    Pairs(Vec<Pair>),
}

/// `KEY=VALUE` or `KEY:=JSON`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pair {
    key: String,
    value: Typed,
}

#[derive(Clone, Debug, PartialEq)]
enum Typed {
    Text(String),
    Json(Value),
}

/// Sorts out what was typed.
pub(super) fn parse(typed: &[String]) -> Result<Given, Failure> {
    match typed {
        [] => Ok(Given::Whole(Map::new())),
        [one] if one == "-" => Ok(Given::Stdin),
        [one] if one.trim_start().starts_with('{') => object(one).map(Given::Whole),
        many => many
            .iter()
            .map(|text| pair(text))
            .collect::<Result<_, _>>()
            .map(Given::Pairs),
    }
}

/// Reads a JSON object.
pub(super) fn object(text: &str) -> Result<Map<String, Value>, Failure> {
    serde_json::from_str(text)
        .map_err(|error| Failure::usage(format!("the arguments are not a JSON object: {error}")))
}

/// Gives each value the type that the tool's input schema says; without one, texts stay texts.
pub(super) fn typed(
    pairs: Vec<Pair>,
    schema: Option<&Value>,
) -> Result<Map<String, Value>, Failure> {
    let schema = schema.map_or_else(Schema::anything, Schema::new);
    let mut grouped: Vec<(String, Vec<Typed>)> = Vec::new();
    for pair in pairs {
        match grouped.iter_mut().find(|(key, _)| *key == pair.key) {
            Some((_, values)) => values.push(pair.value),
            None => grouped.push((pair.key, vec![pair.value])),
        }
    }
    let mut arguments = Map::new();
    for (key, values) in grouped {
        if schema.refuses(&key) {
            return Err(unknown(&key, &schema));
        }
        let value = value(&key, values, &schema.property(&key))?;
        arguments.insert(key, value);
    }
    Ok(arguments)
}

fn pair(text: &str) -> Result<Pair, Failure> {
    let split = text
        .split_once('=')
        .filter(|(key, _)| !key.trim_end_matches(':').is_empty());
    let (key, value) = split.ok_or_else(|| {
        Failure::usage(format!("`{text}` is neither KEY=VALUE nor a JSON object"))
    })?;
    if let Some(key) = key.strip_suffix(':') {
        let json = serde_json::from_str(value)
            .map_err(|error| Failure::usage(format!("`{key}` is not JSON: {error}")))?;
        return Ok(Pair {
            key: key.to_owned(),
            value: Typed::Json(json),
        });
    }
    Ok(Pair {
        key: key.to_owned(),
        value: Typed::Text(value.to_owned()),
    })
}

fn value(key: &str, mut values: Vec<Typed>, schema: &Schema<'_>) -> Result<Value, Failure> {
    let wrong = |text: &str| {
        let expected = schema.expected();
        Failure::usage(format!("`{key}` is {expected}, which `{text}` is not"))
            .hint(format!("as JSON: {key}:=…"))
    };
    let one = |value: Typed, schema: &Schema<'_>| match value {
        Typed::Json(value) => Ok(value),
        Typed::Text(text) => schema.read(&text).ok_or_else(|| wrong(&text)),
    };
    if values.len() == 1
        && let Some(value) = values.pop()
    {
        return one(value, schema);
    }
    if !schema.may_be_list() {
        return Err(Failure::usage(format!(
            "`{key}` is given {} times, and is no list",
            values.len()
        )));
    }
    let items = schema.items();
    let items = values.into_iter().map(|value| one(value, &items));
    items.collect::<Result<Vec<_>, _>>().map(Value::Array)
}

fn unknown(key: &str, schema: &Schema<'_>) -> Failure {
    let keys = schema.keys();
    let near = keys
        .iter()
        .map(|known| (strsim::jaro_winkler(key, known), known))
        .filter(|(likeness, _)| *likeness >= NEAR)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    let hint = match near {
        Some((_, near)) => format!("did you mean `{near}`?"),
        None if keys.is_empty() => "it takes none".to_owned(),
        None => format!("it takes {}", keys.join(", ")),
    };
    Failure::usage(format!("the tool takes no `{key}`")).hint(hint)
}

#[cfg(test)]
mod tests;
