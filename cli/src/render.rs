//! Lines, colours, JSON, and output that may be closed early.

use crate::failure::Failure;
use console::measure_text_width;
use serde_json::Value;
use std::{
    env,
    fmt::Write as _,
    io::{self, IsTerminal, Write},
};

/// Least columns of a value beside its name, however narrow the terminal is.
const LEAST_ROOM: usize = 8;

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

/// Writes a warning where errors go.
pub fn warning_line(text: &str) {
    let mark = if coloured(&io::stderr()) { "\u{1b}[33mwarning\u{1b}[0m" } else { "warning" };
    let _ = writeln!(io::stderr(), "{mark}: {}", printable(text));
}

/// Whether standard output shows emphasis.
pub fn is_coloured() -> bool {
    coloured(&io::stdout())
}

/// Emphasised, where that shows.
pub fn bold(text: &str) -> String {
    if is_coloured() {
        format!("\u{1b}[1m{text}\u{1b}[0m")
    } else {
        text.to_owned()
    }
}

fn coloured(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Columns of the terminal: those of the variable `COLUMNS`, else those that the terminal of standard output says. `None`, no limit,
/// where neither does, and for 0, which a terminal says that does not know.
pub fn width() -> Option<usize> {
    let said = env::var("COLUMNS").ok().and_then(|columns| columns.trim().parse().ok());
    let terminal = || comfy_table::Table::new().width().map(usize::from);
    said.or_else(terminal).filter(|columns| *columns > 0)
}

/// Writes sentences, with lines broken between words where the terminal ends.
pub fn prose(text: &str) -> Result<(), Failure> {
    match width() {
        Some(width) => line(wrap(text, width).join("\n")),
        None => line(text),
    }
}

/// Writes names and values, one pair a line, the values below each other.
pub fn facts<V: AsRef<str>>(facts: &[(&str, V)]) -> Result<(), Failure> {
    let facts: Vec<_> = facts.iter().map(|(name, value)| (*name, value.as_ref())).collect();
    line(aligned(&facts, "", width()))
}

/// Names and values, one pair a line after `indent`, the values below each other and within `width`.
pub fn aligned(fields: &[(&str, &str)], indent: &str, width: Option<usize>) -> String {
    let longest = fields.iter().map(|(name, _)| measure_text_width(name)).max().unwrap_or_default();
    let margin = indent.len().saturating_add(longest).saturating_add(1);
    let lines = fields.iter().flat_map(|(name, value)| {
        let parts = match width {
            Some(width) => wrap(value, width.saturating_sub(margin).max(LEAST_ROOM)),
            None => vec![(*value).to_owned()],
        };
        let names = std::iter::once(*name).chain(std::iter::repeat(""));
        let pairs = names.zip(parts).map(|(name, part)| format!("{indent}{name:longest$} {part}"));
        pairs.collect::<Vec<_>>()
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Lines of at most `width` columns, broken between words; a word that is longer is an id, and shortened in the middle, or text without
/// blanks, and cut. There is always a line.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.split('\n') {
        let mut line = String::new();
        for word in paragraph.split_whitespace().flat_map(|word| pieces(word, width)) {
            let joined =
                measure_text_width(&line).saturating_add(measure_text_width(&word)).saturating_add(1);
            if !line.is_empty() && joined > width {
                lines.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(&word);
        }
        lines.push(line);
    }
    lines
}

/// A word in pieces of at most `width` columns.
fn pieces(word: &str, width: usize) -> Vec<String> {
    if measure_text_width(word) <= width {
        return vec![word.to_owned()];
    }
    if word.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return vec![shortened(word, width)];
    }
    let mut pieces = vec![String::new()];
    for character in word.chars() {
        let mut alone = [0; 4];
        let room = measure_text_width(character.encode_utf8(&mut alone));
        let is_full = |piece: &String| measure_text_width(piece).saturating_add(room) > width;
        if pieces.last().is_some_and(|piece| !piece.is_empty() && is_full(piece)) {
            pieces.push(String::new());
        }
        if let Some(piece) = pieces.last_mut() {
            piece.push(character);
        }
    }
    pieces
}

/// Both ends of an id of more than `most` characters.
pub fn shortened(id: &str, most: usize) -> String {
    let length = id.chars().count();
    if length <= most {
        return id.to_owned();
    }
    let kept = most.saturating_sub(1);
    let tail = kept / 2;
    let head: String = id.chars().take(kept.saturating_sub(tail)).collect();
    let tail: String = id.chars().skip(length.saturating_sub(tail)).collect();
    format!("{head}…{tail}")
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

/// Whether a text has a character with a glyph.
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
    fn lines_end_between_words_and_ids_are_shortened_in_the_middle() {
        assert_eq!(wrap("one two  three\nfour", 8), ["one two", "three", "four"]);
        assert_eq!(wrap("", 8), [""]);
        assert_eq!(wrap("5GrwvaEF5zXb26Fz9rcQ is it", 11), ["5Grwv…z9rcQ", "is it"]);
        assert_eq!(wrap("利马是首都", 4), ["利马", "是首", "都"], "no blanks, and two columns a character");
        assert_eq!(shortened("abcdef", 6), "abcdef");
        assert_eq!((shortened("abcdef", 5), shortened("abcdef", 1)), ("ab…ef".into(), "…".into()));
    }

    #[test]
    fn values_stand_below_each_other() {
        let facts = [("A", "one two"), ("Long", "three")];
        assert_eq!(aligned(&facts, "", None), "A    one two\nLong three");
        assert_eq!(
            aligned(&facts, "  ", Some(8)),
            "  A    one two\n  Long three",
            "a value has 8 columns at least"
        );
        assert_eq!(aligned(&[("A", "one two three")], "", Some(10)), "A one two\n  three");
    }

    #[test]
    fn an_excerpt_is_one_line() {
        assert_eq!(excerpt("a\n b", 10), "a b");
        assert_eq!(excerpt("abcdef", 4), "abc…");
    }
}
