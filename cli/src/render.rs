//! Tables, colours, JSON, and output that may be closed early.

use crate::failure::Failure;
use comfy_table::{
    presets, Attribute, Cell, CellAlignment, ContentArrangement, LineStyle, Table, TableStyle,
};
use serde_json::Value;
use std::{
    env,
    fmt::Write as _,
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
    let _ = writeln!(io::stderr(), "{mark}: {}", printable(text));
}

/// Writes a remark where errors go: standard output is for the answer.
pub fn note_line(text: &str) {
    let _ = writeln!(io::stderr(), "{}", printable(text));
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

/// Text of strangers (prompts, answers, names, errors of nodes) with all in sight that would steer a terminal, turn the direction of
/// what follows, or take no room: such a character is written as its number, like `<U+202E>`.
pub fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\t' => shown.push(character),
            other if other.is_control() || is_invisible(other) => {
                let _ = write!(shown, "<U+{:04X}>", u32::from(other));
            }
            other => shown.push(other),
        }
    }
    shown
}

/// Whether a text has anything that can be seen.
pub fn is_visible(text: &str) -> bool {
    text.chars().any(|c| !c.is_whitespace() && !c.is_control() && !is_invisible(c))
}

/// Characters that have no glyph: those of the general category `Cf` of Unicode 16 that are not drawn, line and paragraph
/// separators, and fillers.
fn is_invisible(character: char) -> bool {
    matches!(
        character,
        '\u{ad}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0001}'
            | '\u{e0020}'..='\u{e007f}'
    )
}

/// UTF-8 as the chain stores it, as text.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
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
        assert_eq!(printable("a\u{1b}[2Jb\nc"), "a<U+001B>[2Jb\nc");
        assert_eq!(printable("Lima\u{202e}.POQ\u{200b}\u{feff}"), "Lima<U+202E>.POQ<U+200B><U+FEFF>");
        let plain = "¿Cuál? 利马 ليما 👋🏽 naïve\tx";
        assert_eq!(printable(plain), plain);
    }

    #[test]
    fn what_nobody_can_see_is_not_visible() {
        for empty in ["", " \n", "\u{200b}", "\u{feff}\u{2060} ", "\u{3164}"] {
            assert!(!is_visible(empty), "{empty:?}");
        }
        assert!(is_visible("-") && is_visible("\u{200b}?"));
    }

    #[test]
    fn an_excerpt_is_one_line() {
        assert_eq!(excerpt("a\n b", 10), "a b");
        assert_eq!(excerpt("abcdef", 4), "abc…");
    }
}
