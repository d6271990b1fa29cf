//! The one place that prints.

use std::{
    fmt::Display,
    io::{self, IsTerminal as _, Write as _},
    process::ExitCode,
};

use clap::error::ErrorKind;
use peerage_core::problem::Problem;
use serde::Serialize;

use super::{
    failure::Failure,
    table::{fields, table},
};

/// The width of a table when the terminal does not say how wide it is.
const DEFAULT_WIDTH: u16 = 80;

/// Where and how to print.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    json: bool,
    terminal: bool,
    color: bool,
}

impl Output {
    /// Looks at the standard streams.
    pub(crate) fn new(json: bool) -> Self {
        let terminal = io::stdout().is_terminal();
        Self {
            json,
            terminal,
            color: wants_color(),
        }
    }

    /// Whether one JSON document is asked for.
    pub(crate) const fn json(&self) -> bool {
        self.json
    }

    /// Whether a person reads standard output.
    pub(crate) const fn is_terminal(&self) -> bool {
        self.terminal && !self.json
    }

    /// Whether a person sees standard error while waiting.
    pub(crate) fn shows_progress(&self) -> bool {
        !self.json && io::stderr().is_terminal()
    }

    /// The answer of a command: as one JSON document, or as the text that `render` makes of it.
    pub(crate) fn answer<T: Serialize>(&self, value: &T, render: impl FnOnce(&T) -> String) {
        if self.json {
            self.document(value);
        } else {
            self.text(&render(value));
        }
    }

    /// One JSON document, on one line unless a person reads it.
    pub(crate) fn document<T: Serialize>(&self, value: &T) {
        let text = if self.terminal {
            serde_json::to_string_pretty(value)
        } else {
            serde_json::to_string(value)
        };
        self.text(&text.expect("what commands answer with are maps with text keys"));
    }

    /// Lines on standard output; none if there is nothing to say.
    pub(crate) fn text(&self, text: &str) {
        if !text.is_empty() {
            write_line(&mut io::stdout().lock(), text);
        }
    }

    /// Bytes on standard output as they are.
    pub(crate) fn raw(&self, bytes: &[u8]) {
        let mut out = io::stdout().lock();
        // Whoever read this has gone: nobody is left to tell.
        drop(out.write_all(bytes).and_then(|()| out.flush()));
    }

    /// A line for the person, on standard error; nothing with `--json`.
    pub(crate) fn note(&self, text: impl Display) {
        if !self.json {
            write_line(&mut io::stderr().lock(), &clean(&text.to_string()));
        }
    }

    /// A table of what others said: it fits the terminal and holds no control characters.
    pub(crate) fn table(&self, header: &[&str], rows: Vec<Vec<String>>) -> String {
        let rows = rows
            .into_iter()
            .map(|row| row.iter().map(|cell| clean(cell)).collect())
            .collect();
        table(self.width(), header, rows)
    }

    /// Names and values, see [`fields`]; without control characters.
    pub(crate) fn fields(&self, pairs: &[(&str, String)]) -> String {
        let clean: Vec<_> = pairs
            .iter()
            .map(|(name, value)| (*name, clean_lines(value)))
            .collect();
        fields(&clean)
    }

    /// The text in bold, if the terminal wants colours.
    pub(crate) fn bold(&self, text: &str) -> String {
        self.style("1", text, self.terminal)
    }

    /// The text in grey, if the terminal wants colours.
    pub(crate) fn dim(&self, text: &str) -> String {
        self.style("2", text, self.terminal)
    }

    /// Says what went wrong and gives the exit code.
    pub(crate) fn failure(&self, failure: &Failure) -> ExitCode {
        if let Some(problem) = &failure.problem {
            self.problem(problem);
        }
        ExitCode::from(failure.exit)
    }

    fn problem(&self, problem: &Problem) {
        if self.json {
            self.document(problem);
            return;
        }
        let mut err = io::stderr().lock();
        let terminal = err.is_terminal();
        let error = self.style("1;31", "error", terminal);
        let (code, detail) = (clean(&problem.code), clean(&problem.detail));
        write_line(&mut err, &format!("{error}: {detail} [{code}]"));
        if let Some(hint) = &problem.hint {
            let label = self.style("1;36", "hint", terminal);
            write_line(&mut err, &format!("{label}: {}", clean(hint)));
        }
    }

    fn style(&self, code: &str, text: &str, terminal: bool) -> String {
        if self.color && terminal && !self.json {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }

    fn width(&self) -> Option<u16> {
        if !self.terminal {
            return None;
        }
        let from_terminal = comfy_table::Table::new().width();
        Some(from_terminal.unwrap_or(DEFAULT_WIDTH))
    }
}

/// Whether the environment allows colours.
pub(crate) fn wants_color() -> bool {
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    !no_color && !dumb
}

/// What is wrong with what was typed, or the help that was asked for.
pub(crate) fn usage(error: &clap::Error, json: bool) -> ExitCode {
    let help = matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    );
    if json && !help {
        let text = error.render().to_string();
        let detail = text.lines().next().unwrap_or_default();
        let detail = detail.trim_start_matches("error: ");
        let failure = Failure::usage(detail).hint("`peerage help` lists the commands");
        return Output::new(true).failure(&failure);
    }
    // Prints the help on standard output, an error on standard error, with colours where they are wanted.
    drop(error.print());
    ExitCode::from(if help { 0 } else { 2 })
}

/// The text on one line without control characters: others wrote it.
pub(crate) fn clean(text: &str) -> String {
    let parts: Vec<_> = text.split_whitespace().collect();
    parts.join(" ").chars().filter(|c| !is_unsafe(*c)).collect()
}

/// The text without control characters other than line ends and tabs.
pub(crate) fn clean_lines(text: &str) -> String {
    let kept = |c: &char| matches!(c, '\n' | '\t') || !is_unsafe(*c);
    text.chars().filter(kept).collect()
}

/// Control characters move the cursor, and marks of direction disguise what is written.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn write_line(out: &mut impl io::Write, text: &str) {
    // Whoever read this has gone: nobody is left to tell.
    drop(writeln!(out, "{text}").and_then(|()| out.flush()));
}

#[cfg(test)]
mod tests {
    use super::{clean, clean_lines};

    #[test]
    fn what_others_wrote_cannot_move_the_cursor() {
        assert_eq!(clean("a\u{1b}[2Jb\n c\u{202e}d"), "a[2Jb cd");
        assert_eq!(clean_lines("a\u{1b}[2J\n\tb\r\u{7}"), "a[2J\n\tb");
    }
}
