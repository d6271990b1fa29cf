//! Which tools fit a few words.

use super::listing::{Listed, Listing};

/// The longest one-line description, in characters.
const MAX_LINE: usize = 160;

/// The most words of a query that are looked at.
const MAX_WORDS: usize = 16;

/// How much a word counts where it is found.
const TOOL: f64 = 5.0;
const SERVER: f64 = 3.0;
const PEER: f64 = 3.0;
const ARGUMENT: f64 = 1.5;
const DESCRIPTION: f64 = 1.0;

/// A tool that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its name in the aggregate.
    pub name: String,
    /// What it does, in one line.
    pub line: String,
    /// Whether a call would get there now.
    pub reachable: bool,
}

/// The tools that fit `query`, best first: those that fit more of its words, then those that fit
/// better, then reachable ones, then by name. All tools fit a query without words.
pub(super) fn search(listing: &Listing, query: &str, limit: usize) -> Vec<Found> {
    let mut wanted = words(query);
    wanted.truncate(MAX_WORDS);
    let mut found: Vec<_> = listing
        .iter()
        .map(|(name, tool)| (score(tool, &wanted), name, tool))
        .filter(|((hits, _), _, _)| *hits > 0 || wanted.is_empty())
        .collect();
    found.sort_by(|(a, a_name, a_tool), (b, b_name, b_tool)| {
        let by_hits = b.0.cmp(&a.0);
        by_hits
            .then(b.1.total_cmp(&a.1))
            .then(b_tool.reachable.cmp(&a_tool.reachable))
            .then(a_name.cmp(b_name))
    });
    let best = found.into_iter().take(limit);
    best.map(|(_, name, tool)| Found {
        name: name.to_owned(),
        line: line(tool),
        reachable: tool.reachable,
    })
    .collect()
}

/// How many of the wanted words fit, and how well all in all.
fn score(tool: &Listed, wanted: &[String]) -> (usize, f64) {
    let arguments = tool.whole["inputSchema"]["properties"].as_object();
    let arguments: Vec<_> = arguments.into_iter().flat_map(|it| it.keys()).collect();
    let arguments = arguments.iter().flat_map(|name| words(name)).collect();
    let fields = [
        (TOOL, words(&tool.at.tool)),
        (SERVER, words(&tool.at.server)),
        (PEER, words(&tool.peer_name)),
        (ARGUMENT, arguments),
        (DESCRIPTION, words(tool.description())),
        (DESCRIPTION, words(&tool.about)),
    ];
    let mut hits = 0;
    let mut sum = 0.0;
    for word in wanted {
        let best = fields
            .iter()
            .map(|(weight, held)| weight * fit(word, held))
            .fold(0.0, f64::max);
        hits += usize::from(best > 0.0);
        sum += best;
    }
    (hits, sum)
}

/// How well a word fits the best of those held: the same, the beginning of it or the other way round,
/// or a part of it.
fn fit(word: &str, held: &[String]) -> f64 {
    let fits = held.iter().map(|held| {
        if held == word {
            1.0
        } else if word.len() > 2 && (held.starts_with(word) || is_inflected(word, held)) {
            0.6
        } else if word.len() > 2 && held.contains(word) {
            0.3
        } else {
            0.0
        }
    });
    fits.fold(0.0, f64::max)
}

/// `files` asks for `file`, but `listen` does not ask for `list`.
fn is_inflected(word: &str, held: &str) -> bool {
    held.len() > 2
        && word
            .strip_prefix(held)
            .is_some_and(|rest| matches!(rest, "s" | "es" | "d" | "ed" | "ing"))
}

/// Words in lower case, split at everything that is not a letter or digit and where `camelCase` does.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut after_lower = false;
    for c in text.chars() {
        let starts = c.is_uppercase() && after_lower;
        if (starts || !c.is_alphanumeric()) && !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        if c.is_alphanumeric() {
            word.extend(c.to_lowercase());
        }
        after_lower = c.is_lowercase() || c.is_numeric();
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

fn line(tool: &Listed) -> String {
    let first = tool.description().trim().lines().next().unwrap_or_default();
    let mut line: String = first.chars().take(MAX_LINE).collect();
    if line.len() < first.len() {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn words_are_split_where_people_see_them() {
        assert_eq!(
            words("listAllowed_directories of HTTP2-Server"),
            ["list", "allowed", "directories", "of", "http2", "server"]
        );
    }
}
