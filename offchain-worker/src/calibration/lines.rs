//! JSON lines, as people's data come.

use crate::text;
use serde::de::DeserializeOwned;
use std::io::{BufRead, Read as _};

/// Longest line, in bytes.
pub const MAX_LINE_BYTES: u64 = 16 * 1024 * 1024;

/// Reads at most `most` lines. Empty lines and the mark that some editors begin a file with are passed over. Errors are one
/// line for people, and name the line; those of `parse` do not.
pub fn read<T>(
    mut reader: impl BufRead,
    most: usize,
    parse: impl Fn(&[u8]) -> Result<T, String>,
) -> Result<Vec<T>, String> {
    let mut lines = Vec::new();
    let mut bytes = Vec::new();
    for number in 1_u64.. {
        bytes.clear();
        let mut bounded = (&mut reader).take(MAX_LINE_BYTES.saturating_add(1));
        let read =
            bounded.read_until(b'\n', &mut bytes).map_err(|error| format!("line {number}: {error}"))?;
        if read == 0 {
            break;
        }
        if read as u64 > MAX_LINE_BYTES {
            return Err(format!("line {number} is longer than {MAX_LINE_BYTES} bytes"));
        }
        let line = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes).trim_ascii();
        if line.is_empty() {
            continue;
        }
        if lines.len() >= most {
            return Err(format!("more than {most} lines; take a sample"));
        }
        lines.push(parse(line).map_err(|error| format!("line {number} {error}"))?);
    }
    Ok(lines)
}

/// The JSON object of a line, which has `what`. The error does not name the line.
pub fn object<T: DeserializeOwned>(line: &[u8], what: &str) -> Result<T, String> {
    let line = std::str::from_utf8(line).map_err(|_| "is not UTF-8 text")?;
    serde_json::from_str(line).map_err(|error| {
        // The position inside the line is of use, its number is always 1.
        let error = error.to_string().replace("line 1 column", "column");
        format!("is no JSON object with {what} ({})", text::message(&error))
    })
}
