//! Reading `peerage.toml`: unknown keys are errors that name the line and the key that was probably meant.

use std::{collections::BTreeMap, path::Path};

use toml::de::{DeTable, DeValue};

use super::{ConfigError, Layer};

/// What a key may hold.
enum Shape {
    /// A value; its type is checked where it is read.
    Value,
    /// A table of anything.
    Open,
    /// A table with these keys.
    Table(&'static [(&'static str, Self)]),
    /// Tables with these keys, one for each name.
    Named(&'static [(&'static str, Self)]),
    /// A list of tables with these keys.
    List(&'static [(&'static str, Self)]),
}

/// Every key there is.
const ROOT: &[(&str, Shape)] = &[
    ("name", Shape::Value),
    ("api", Shape::Value),
    ("listen", Shape::Value),
    ("mdns", Shape::Value),
    ("description", Shape::Value),
    ("metadata", Shape::Open),
    ("policy", Shape::Value),
    ("pins", Shape::Open),
    ("peers", Shape::List(&[("address", Shape::Value)])),
    (
        "gateways",
        Shape::List(&[("prefix", Shape::Value), ("via", Shape::Value)]),
    ),
    (
        "forwards",
        Shape::List(&[("prefix", Shape::Value), ("allow", Shape::Value)]),
    ),
    (
        "shares",
        Shape::Named(&[
            ("command", Shape::Value),
            ("url", Shape::Value),
            ("args", Shape::Value),
            ("env", Shape::Open),
            ("cwd", Shape::Value),
            ("allow", Shape::Value),
        ]),
    ),
    (
        "mcp",
        Shape::Table(&[
            ("pinned", Shape::Value),
            ("all_tools", Shape::Value),
            ("not_after_remote", Shape::Value),
        ]),
    ),
    (
        "limits",
        Shape::Table(&[
            ("request_timeout", Shape::Value),
            ("session_idle", Shape::Value),
            ("connections", Shape::Value),
            ("connections_per_second", Shape::Value),
            ("streams", Shape::Value),
            ("bytes_in_flight", Shape::Value),
            ("member", Shape::Table(PEER_LIMITS)),
            ("stranger", Shape::Table(PEER_LIMITS)),
        ]),
    ),
    (
        "guard",
        Shape::Table(&[
            ("outgoing", Shape::Value),
            ("answers", Shape::Value),
            ("shares", Shape::Open),
            ("peers", Shape::Open),
        ]),
    ),
    (
        "audit",
        Shape::Table(&[
            ("calls", Shape::Value),
            ("size", Shape::Value),
            ("files", Shape::Value),
        ]),
    ),
];

const PEER_LIMITS: &[(&str, Shape)] = &[
    ("streams", Shape::Value),
    ("bytes_in_flight", Shape::Value),
    ("calls_per_second", Shape::Value),
];

/// How like each other two keys must be for one to be suggested for the other.
const NEAR: f64 = 0.75;

/// Lines of the keys, from 1.
pub(super) type Lines = BTreeMap<String, usize>;

/// Reads the file's text into a layer, with the line of each key.
pub(super) fn parse(path: &Path, text: &str) -> Result<(Layer, Lines), ConfigError> {
    let invalid = |error: &toml::de::Error| ConfigError::Invalid {
        path: path.to_owned(),
        line: line_of(text, error.span().map_or(0, |span| span.start)),
        message: error.message().replace('\n', "; "),
    };
    let document = DeTable::parse(text).map_err(|error| invalid(&error))?;
    let mut walk = Walk {
        path,
        text,
        lines: Lines::new(),
    };
    walk.table("", document.get_ref(), ROOT)?;
    let layer = toml::from_str(text).map_err(|error| invalid(&error))?;
    Ok((layer, walk.lines))
}

/// One pass over a document.
struct Walk<'a> {
    path: &'a Path,
    text: &'a str,
    lines: Lines,
}

impl Walk<'_> {
    fn table(
        &mut self,
        above: &str,
        table: &DeTable<'_>,
        keys: &'static [(&'static str, Shape)],
    ) -> Result<(), ConfigError> {
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            let line = line_of(self.text, key.span().start);
            let full = dotted(above, name);
            let Some((_, shape)) = keys.iter().find(|(known, _)| *known == name) else {
                return Err(ConfigError::UnknownKey {
                    path: self.path.to_owned(),
                    line,
                    near: nearest(above, name, keys),
                    key: full,
                });
            };
            self.lines.insert(full.clone(), line);
            self.value(&full, value.get_ref(), shape)?;
        }
        Ok(())
    }

    fn value(&mut self, full: &str, value: &DeValue<'_>, shape: &Shape) -> Result<(), ConfigError> {
        match (shape, value) {
            (Shape::Table(keys), DeValue::Table(table)) => self.table(full, table, keys),
            (Shape::Named(keys), DeValue::Table(table)) => {
                for (name, entry) in table {
                    let below = dotted(full, name.get_ref());
                    let line = line_of(self.text, name.span().start);
                    self.lines.insert(below.clone(), line);
                    if let DeValue::Table(entry) = entry.get_ref() {
                        self.table(&below, entry, keys)?;
                    }
                }
                Ok(())
            }
            (Shape::List(keys), DeValue::Array(entries)) => {
                for entry in entries.iter() {
                    if let DeValue::Table(entry) = entry.get_ref() {
                        self.table(full, entry, keys)?;
                    }
                }
                Ok(())
            }
            // Wrong types are found, and told better, where the value is read.
            _ => Ok(()),
        }
    }
}

/// The known key that is most like `name`: one beside it, or one that belongs elsewhere.
fn nearest(above: &str, name: &str, keys: &[(&str, Shape)]) -> Option<String> {
    let beside = keys.iter().map(|(known, _)| (*known, dotted(above, known)));
    let elsewhere = ROOT.iter().flat_map(|(top, shape)| match shape {
        Shape::Table(keys) => keys
            .iter()
            .map(|(known, _)| (*known, dotted(top, known)))
            .collect(),
        _ => vec![(*top, (*top).to_owned())],
    });
    // Of two that are equally like, the later one: the one beside.
    best(name, &mut elsewhere.chain(beside))
}

/// Of pairs of a key and what to suggest, what to suggest for the key that is most like `name`.
fn best(name: &str, candidates: &mut dyn Iterator<Item = (&str, String)>) -> Option<String> {
    let name = name.to_lowercase();
    candidates
        .map(|(known, full)| (strsim::jaro_winkler(&name, known), full))
        .filter(|(likeness, _)| *likeness >= NEAR)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, full)| full)
}

fn dotted(above: &str, name: &str) -> String {
    if above.is_empty() {
        name.to_owned()
    } else {
        format!("{above}.{name}")
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    let before = &text.as_bytes()[..offset.min(text.len())];
    before.iter().filter(|byte| **byte == b'\n').count() + 1
}
