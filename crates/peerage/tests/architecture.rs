//! The layering and the shape of the source tree, checked: a rule that no tool checks is a wish.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// The published crates, lowest first: each may use those before it. The lab may use all.
const FLOORS: [&str; 4] = [
    "peerage-core",
    "peerage-mesh",
    "peerage-services",
    "peerage",
];
/// What answers requests: a module of `peerage-services` each. None names another.
const SERVICES: [&str; 6] = ["admin", "card", "mcp", "names", "proxy", "trust"];
/// Who names a service all the same, and why. An entry that is no longer true fails, too.
const NAMES_A_SERVICE: [(&str, &str, &str); 15] = [
    (
        "admin",
        "mcp",
        "the local API calls tools and holds the aggregate",
    ),
    (
        "admin",
        "names",
        "the local API takes names wherever it takes peers",
    ),
    (
        "admin",
        "trust",
        "the local API makes and redeems invitations",
    ),
    ("context", "mcp", "a card promises MCP servers"),
    ("context", "card", "a call begins with an introduction"),
    ("context", "names", "what is remembered of names"),
    ("gate", "card", "the paths that are open to strangers"),
    (
        "gate",
        "mcp",
        "the path below which each server has an audience",
    ),
    (
        "gate",
        "names",
        "the path below which members ask for names",
    ),
    ("gate", "trust", "the paths that are open to strangers"),
    ("secrets", "mcp", "the path below which shares answer"),
    ("proxy", "names", "a path begins with whom it means"),
    ("shares", "mcp", "what is shared is an MCP server"),
    ("tools", "names", "a name may be behind a gateway"),
    ("tools", "mcp", "tools are those of MCP servers"),
];
/// Lines of code in a file, at the most; blank lines, comments and tests apart.
const MAX_LINES: usize = 400;
/// Names that say nothing of what is in a file.
const BUCKETS: [&str; 8] = [
    "common", "helper", "helpers", "misc", "types", "util", "utils", "manager",
];

#[test]
fn crates_use_only_those_below() {
    for (floor, name) in FLOORS.iter().enumerate() {
        for dependency in dependencies(name) {
            let below = FLOORS.iter().position(|other| *other == dependency);
            let fits = below.is_none_or(|below| below < floor) && dependency != "peerage-lab";
            assert!(fits, "{name} uses {dependency}, which is not below it");
        }
    }
}

#[test]
fn libp2p_is_named_by_the_mesh_alone() {
    for name in FLOORS.iter().chain(&["peerage-lab"]) {
        if *name == "peerage-mesh" {
            continue;
        }
        let direct = dependencies(name).contains("libp2p");
        assert!(!direct, "{name} depends on libp2p");
    }
    refuse("libp2p::", |file| !file.is_in("peerage-mesh"));
    refuse("libp2p_identity::", |file| !file.is_in("peerage-core"));
}

#[test]
fn core_has_no_tasks_no_sockets_and_no_clock() {
    let core = dependencies("peerage-core");
    for runtime in ["tokio", "tokio-util", "futures", "hyper", "axum", "tower"] {
        assert!(!core.contains(runtime), "peerage-core depends on {runtime}");
    }
    for text in [
        "async ",
        "std::net::Tcp",
        "std::net::Udp",
        "std::fs",
        "Instant::now",
        "SystemTime",
    ] {
        refuse(text, |file| file.is_in("peerage-core"));
    }
}

#[test]
fn services_do_not_name_each_other() {
    let mut found = BTreeSet::new();
    for file in sources()
        .iter()
        .filter(|file| file.is_in("peerage-services"))
    {
        let module = file.top_module();
        for named in file.named_modules() {
            if SERVICES.contains(&named.as_str()) && named != module && module != "lib" {
                found.insert((module.clone(), named));
            }
        }
    }
    let allowed = NAMES_A_SERVICE.map(|(who, whom, _)| (who.to_owned(), whom.to_owned()));
    let allowed = BTreeSet::from(allowed);
    let new: Vec<_> = found.difference(&allowed).collect();
    assert!(new.is_empty(), "these name a service: {new:?}");
    let gone: Vec<_> = allowed.difference(&found).collect();
    assert!(gone.is_empty(), "these no longer do, strike them: {gone:?}");
}

#[test]
fn every_module_says_what_it_is() {
    for file in sources() {
        let told = file.text.starts_with("//! ");
        assert!(told, "{} does not begin with `//! `", file.path.display());
    }
}

#[test]
fn files_are_named_for_what_they_hold() {
    for file in every_rust_file() {
        let stem = file.path.file_stem().and_then(|stem| stem.to_str());
        let stem = stem.expect("source files have names");
        let named = stem != "mod" && !BUCKETS.contains(&stem);
        assert!(named, "{} is no name", file.path.display());
    }
}

#[test]
fn a_file_is_one_idea() {
    for file in sources() {
        let lines = file.code().count();
        let path = file.path.display();
        assert!(lines <= MAX_LINES, "{path} has {lines} lines of code");
    }
}

#[test]
fn what_runs_in_the_background_belongs_to_tasks() {
    let elsewhere = |file: &Source| !file.path.ends_with("peerage-mesh/src/tasks.rs");
    refuse("tokio::spawn(", elsewhere);
    refuse("task::spawn(", elsewhere);
    refuse("unbounded_channel(", |_| true);
}

/// A Rust file.
struct Source {
    path: PathBuf,
    text: String,
}

impl Source {
    fn is_in(&self, name: &str) -> bool {
        self.path.starts_with(crates().join(name))
    }

    /// The module of the crate that the file belongs to: `mcp` for `src/mcp/stdio/lines.rs`.
    fn top_module(&self) -> String {
        let mut parts = self
            .path
            .components()
            .map(|part| part.as_os_str().to_string_lossy());
        parts.find(|part| part == "src");
        let part = parts.next().expect("a source file is below src");
        part.trim_end_matches(".rs").to_owned()
    }

    /// The lines of code: without blank lines, comments, and modules of tests.
    fn code(&self) -> impl Iterator<Item = &str> {
        let lines = self.text.lines().collect::<Vec<_>>();
        let mut code = Vec::new();
        let mut at = 0;
        while let Some(line) = lines.get(at).copied() {
            let next = lines.get(at + 1).copied().unwrap_or_default();
            if line == "#[cfg(test)]" && next.starts_with("mod ") && next.ends_with('{') {
                let end = lines[at..].iter().position(|line| *line == "}");
                at += end.expect("a module of rustfmt's making ends in `}` alone");
            } else if !line.trim().is_empty() && !line.trim_start().starts_with("//") {
                code.push(line);
            }
            at += 1;
        }
        code.into_iter()
    }

    /// The modules of its crate that the file names, by `crate::x` or `use crate::{x, …}`; in a file at
    /// the top, where `super` is the crate, by that too.
    fn named_modules(&self) -> BTreeSet<String> {
        let mut code = self.code().collect::<Vec<_>>().join("\n");
        let at_the_top = self
            .path
            .parent()
            .is_some_and(|parent| parent.ends_with("src"));
        if at_the_top {
            code = code.replace("super::", "crate::");
        }
        let mut modules = BTreeSet::new();
        for (at, start) in code.match_indices("crate::") {
            let rest = &code[at + start.len()..];
            match rest.strip_prefix('{') {
                Some(group) => modules.extend(first_segments(group)),
                None => modules.extend([identifier(rest)]),
            }
        }
        modules
    }
}

/// The first segment of each path in a group of imports, given from after its opening brace.
fn first_segments(group: &str) -> Vec<String> {
    let mut segments = Vec::new();
    let (mut depth, mut begins) = (0, true);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => begins = true,
            c if begins && !c.is_whitespace() => {
                segments.push(identifier(&group[at..]));
                begins = false;
            }
            _ => {}
        }
    }
    segments
}

fn identifier(text: &str) -> String {
    let is_part = |c: &char| c.is_alphanumeric() || *c == '_';
    text.chars().take_while(is_part).collect()
}

/// No source file of those `meant` may have `text` in its code, as the beginning of a word.
fn refuse(text: &str, meant: impl Fn(&Source) -> bool) {
    for file in sources().iter().filter(|file| meant(file)) {
        for line in file.code() {
            let begins = |(at, _): (usize, &str)| {
                let before = line[..at].chars().next_back();
                before.is_none_or(|c| !c.is_alphanumeric() && c != '_')
            };
            let found = line.match_indices(text).any(begins);
            assert!(!found, "{}: `{text}` in: {line}", file.path.display());
        }
    }
}

/// The crates that a crate of this workspace depends on, for whatever purpose.
fn dependencies(name: &str) -> BTreeSet<String> {
    let manifest = fs::read_to_string(crates().join(name).join("Cargo.toml"))
        .expect("every crate has a manifest");
    let manifest: toml::Table = manifest.parse().expect("a manifest is TOML");
    let sections = ["dependencies", "dev-dependencies", "build-dependencies"];
    let tables = sections
        .iter()
        .filter_map(|section| manifest.get(*section)?.as_table());
    tables.flat_map(toml::Table::keys).cloned().collect()
}

/// Every source file that is not a test.
fn sources() -> Vec<Source> {
    let is_test = |path: &Path| {
        let mut parts = path.components().map(|part| part.as_os_str());
        parts.any(|part| part == "tests" || part == "tests.rs")
    };
    let mut files = every_rust_file();
    files.retain(|file| {
        let below = file
            .path
            .strip_prefix(crates())
            .expect("files are found there");
        !is_test(below)
    });
    assert!(files.len() > 50, "the sources were not found");
    files
}

fn every_rust_file() -> Vec<Source> {
    let mut files = Vec::new();
    let mut folders = vec![crates()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("sources can be read") {
            let path = entry.expect("sources can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("sources are text");
                files.push(Source { path, text });
            }
        }
    }
    files
}

fn crates() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("crates are in a folder").to_owned()
}
