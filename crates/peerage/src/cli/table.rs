//! Tables that fit the terminal.

use comfy_table::{ContentArrangement, Table, presets};

/// The narrowest that a table is squeezed to.
const MIN_WIDTH: u16 = 20;

/// A table with a header, in at most `width` columns if there is a limit; cells wrap where needed.
///
/// Without a limit every row is one line, for programs that read lines.
pub(crate) fn table(width: Option<u16>, header: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .force_no_tty()
        .set_header(header.iter().map(|title| title.to_uppercase()))
        .add_rows(rows);
    match width {
        Some(width) => {
            table
                .set_content_arrangement(ContentArrangement::Dynamic)
                .set_width(width.max(MIN_WIDTH));
        }
        None => {
            table.set_content_arrangement(ContentArrangement::Disabled);
        }
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let lines: Vec<_> = table
        .lines()
        .map(|line| line.trim_end().to_owned())
        .collect();
    lines.join("\n")
}

/// Names and values, one pair per line, the values under each other. Pairs without a value are left out.
pub(crate) fn fields(pairs: &[(&str, String)]) -> String {
    let shown = || pairs.iter().filter(|(_, value)| !value.is_empty());
    let width = shown()
        .map(|(name, _)| name.len())
        .max()
        .unwrap_or_default();
    let lines: Vec<_> = shown()
        .flat_map(|(name, value)| {
            value.lines().enumerate().map(move |(number, line)| {
                let name = if number == 0 { name } else { "" };
                format!("{name:width$}  {line}")
            })
        })
        .collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests;
