//! Tables, colours, JSON, and output that may be closed early.

use crate::failure::Failure;
use comfy_table::{
    presets, Attribute, Cell, CellAlignment, ContentArrangement, LineStyle, Table, TableStyle,
};
use serde_json::Value;
use std::{
    env,
    io::{self, IsTerminal, Write},
};

/// A line below the names of the columns, and no other.
const STYLE: TableStyle = presets::NOTHING.header_separator(LineStyle::none().fill('─').junction('─'));

/// Writes a line (or lines) of output.
pub fn line(text: impl AsRef<str>) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", text.as_ref())?;
    Ok(out.flush()?)
}

/// Writes `value` as JSON: indented for people, on one line for pipes.
pub fn json(value: &Value) -> Result<(), Failure> {
    line(if io::stdout().is_terminal() { format!("{value:#}") } else { value.to_string() })
}

/// Writes an error where errors go. A failure to do so cannot be told to anybody.
pub fn error_line(text: &str) {
    let mark = if coloured(&io::stderr()) { "\u{1b}[31merror\u{1b}[0m" } else { "error" };
    let _ = writeln!(io::stderr(), "{mark}: {text}");
}

/// Writes a remark where errors go: standard output is for the answer.
pub fn note_line(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Emphasised, where that shows.
pub fn bold(text: &str) -> String {
    if coloured(&io::stdout()) {
        format!("\u{1b}[1m{text}\u{1b}[0m")
    } else {
        text.to_owned()
    }
}

fn coloured(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// A table with these columns; those whose name begins with `>` hold numbers.
pub fn table(columns: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(STYLE).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(columns.iter().map(|name| {
        let cell = Cell::new(name.trim_start_matches('>'));
        if coloured(&io::stdout()) {
            cell.add_attribute(Attribute::Bold)
        } else {
            cell
        }
    }));
    for (column, name) in table.column_iter_mut().zip(columns) {
        if name.starts_with('>') {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// Text of strangers (prompts, answers, names) without what would steer a terminal.
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|character| match character {
            '\n' | '\t' => character,
            other if other.is_control() => char::REPLACEMENT_CHARACTER,
            other => other,
        })
        .collect()
}

/// The beginning of a text, on one line.
pub fn excerpt(text: &str, most: usize) -> String {
    let flat = printable(text).split_whitespace().collect::<Vec<_>>().join(" ");
    if flat.chars().count() <= most {
        return flat;
    }
    let head: String = flat.chars().take(most.saturating_sub(1)).collect();
    format!("{head}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_do_not_steer_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\nc"), "a\u{fffd}[2Jb\nc");
    }

    #[test]
    fn an_excerpt_is_one_line() {
        assert_eq!(excerpt("a\n b", 10), "a b");
        assert_eq!(excerpt("abcdef", 4), "abc…");
    }
}
