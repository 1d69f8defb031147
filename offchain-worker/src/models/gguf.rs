//! Metadata of a GGUF file, read without loading it.

use crate::generator::{fitness, template::Template};
use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, BufReader, Read},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

/// Most entries of a header.
const MOST_ENTRIES: u64 = 1 << 16;

/// Longest key, in bytes.
const LONGEST_KEY: u64 = 1 << 16;

/// Longest text that is kept, in bytes; longer ones are cut.
const LONGEST_TEXT: u64 = 1 << 20;

/// Texts and numbers of a header, by key.
type Header = HashMap<String, String>;

/// Faults that a generator's file shows before it is loaded, each in one line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Why it is no generator.
    pub unfit: Option<String>,
    /// Why its own chat template does not work. Another can be given for it.
    pub template: Option<String>,
}

/// The faults of the GGUF file `path`. What cannot be read shows none: loading it tells.
pub fn faults(path: &Path) -> Faults {
    let Ok(header) = read(path) else { return Faults::default() };
    let template = header.get(fitness::CHAT_TEMPLATE).map(|source| Template::jinja(source, "", ""));
    Faults {
        unfit: fitness::check(&|key| header.get(key).cloned()).err(),
        template: template.and_then(Result::err).map(fitness::template_fault),
    }
}

/// Remembers what files show, as long as their size and time stay the same.
#[derive(Debug, Default)]
pub struct Known(Mutex<HashMap<PathBuf, (Stamp, Faults)>>);

type Stamp = (u64, Option<SystemTime>);

impl Known {
    /// As [`faults`].
    pub fn faults(&self, path: &Path) -> Faults {
        let Ok(metadata) = fs::metadata(path) else { return Faults::default() };
        let stamp = (metadata.len(), metadata.modified().ok());
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = lock().get(path).filter(|(then, _)| *then == stamp).map(|(_, faults)| faults.clone());
        known.unwrap_or_else(|| {
            let faults = faults(path);
            lock().insert(path.to_owned(), (stamp, faults.clone()));
            faults
        })
    }
}

/// The header of the file, as far as it says what the network is and how it is talked to.
fn read(path: &Path) -> io::Result<Header> {
    let file = File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(bad("no file"));
    }
    header(&mut BufReader::new(file))
}

fn header(input: &mut (impl Read + Skip)) -> io::Result<Header> {
    let magic: [u8; 4] = bytes(input)?;
    let version = u32::from_le_bytes(bytes(input)?);
    if magic != *b"GGUF" || !(2..=3).contains(&version) {
        return Err(bad("another format"));
    }
    let (_tensors, entries) = (number(input)?, number(input)?);
    if entries > MOST_ENTRIES {
        return Err(bad("too many entries"));
    }
    let mut header = Header::new();
    for _ in 0..entries {
        let key = text(input, LONGEST_KEY)?;
        let kind = u32::from_le_bytes(bytes(input)?);
        if kind == ARRAY {
            skip_array(input)?;
        } else {
            header.insert(key, value(input, kind)?);
        }
    }
    Ok(header)
}

const BOOL: u32 = 7;
const TEXT: u32 = 8;
const ARRAY: u32 = 9;

/// A single value in words.
fn value(input: &mut (impl Read + Skip), kind: u32) -> io::Result<String> {
    Ok(match kind {
        0 => u8::from_le_bytes(bytes(input)?).to_string(),
        1 => i8::from_le_bytes(bytes(input)?).to_string(),
        2 => u16::from_le_bytes(bytes(input)?).to_string(),
        3 => i16::from_le_bytes(bytes(input)?).to_string(),
        4 => u32::from_le_bytes(bytes(input)?).to_string(),
        5 => i32::from_le_bytes(bytes(input)?).to_string(),
        6 => f32::from_le_bytes(bytes(input)?).to_string(),
        BOOL => (u8::from_le_bytes(bytes(input)?) != 0).to_string(),
        TEXT => text(input, LONGEST_TEXT)?,
        10 => u64::from_le_bytes(bytes(input)?).to_string(),
        11 => i64::from_le_bytes(bytes(input)?).to_string(),
        12 => f64::from_le_bytes(bytes(input)?).to_string(),
        _ => return Err(bad("an unknown kind of value")),
    })
}

/// Bytes of a value of this kind, if all are equally long.
fn size(kind: u32) -> Option<i64> {
    match kind {
        0 | 1 | BOOL => Some(1),
        2 | 3 => Some(2),
        4..=6 => Some(4),
        10..=12 => Some(8),
        _ => None,
    }
}

fn skip_array(input: &mut (impl Read + Skip)) -> io::Result<()> {
    let kind = u32::from_le_bytes(bytes(input)?);
    let count = number(input)?;
    match size(kind) {
        Some(size) => {
            let length = i64::try_from(count).ok().and_then(|count| count.checked_mul(size));
            input.skip(length.ok_or_else(|| bad("too long a list"))?)
        }
        None if kind == TEXT => (0..count).try_for_each(|_| {
            let length = i64::try_from(number(input)?).map_err(|_| bad("too long a text"))?;
            input.skip(length)
        }),
        // Nobody writes lists of lists.
        None => Err(bad("a list of lists")),
    }
}

/// A text; what is longer than `longest` is cut.
fn text(input: &mut (impl Read + Skip), longest: u64) -> io::Result<String> {
    let length = number(input)?;
    let mut bytes = Vec::new();
    input.by_ref().take(length.min(longest)).read_to_end(&mut bytes)?;
    if (bytes.len() as u64) < length.min(longest) {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    input.skip(i64::try_from(length.saturating_sub(longest)).map_err(|_| bad("too long a text"))?)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn number(input: &mut impl Read) -> io::Result<u64> {
    Ok(u64::from_le_bytes(bytes(input)?))
}

fn bytes<const N: usize>(input: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    input.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Input of which bytes can be skipped.
trait Skip {
    fn skip(&mut self, bytes: i64) -> io::Result<()>;
}

impl<T: Read + io::Seek> Skip for BufReader<T> {
    fn skip(&mut self, bytes: i64) -> io::Result<()> {
        self.seek_relative(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Cursor;

    fn put(out: &mut Vec<u8>, text: &str) {
        out.extend((text.len() as u64).to_le_bytes());
        out.extend(text.as_bytes());
    }

    /// A file without tensors: these texts, a flag, and lists that are passed over.
    fn gguf(texts: &[(&str, &str)], causal: bool) -> Vec<u8> {
        let mut out = b"GGUF\x03\0\0\0".to_vec();
        out.extend(0_u64.to_le_bytes());
        out.extend((texts.len() as u64 + 3).to_le_bytes());
        put(&mut out, "tokenizer.ggml.tokens");
        out.extend(ARRAY.to_le_bytes());
        out.extend(TEXT.to_le_bytes());
        out.extend(2_u64.to_le_bytes());
        put(&mut out, "a");
        put(&mut out, "bc");
        put(&mut out, "tokenizer.ggml.scores");
        out.extend(ARRAY.to_le_bytes());
        out.extend(6_u32.to_le_bytes());
        out.extend(2_u64.to_le_bytes());
        out.extend([0; 8]);
        for (key, text) in texts {
            put(&mut out, key);
            out.extend(TEXT.to_le_bytes());
            put(&mut out, text);
        }
        put(&mut out, "llama.attention.causal");
        out.extend(BOOL.to_le_bytes());
        out.push(u8::from(causal));
        out
    }

    fn faults_of(content: &[u8]) -> Faults {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), content).unwrap();
        faults(file.path())
    }

    #[test]
    fn faults_are_seen_without_loading() {
        let llama = (fitness::ARCHITECTURE, "llama");
        let good = gguf(&[llama, (fitness::CHAT_TEMPLATE, "{{ messages[0].content }}")], true);
        assert_eq!(faults_of(&good), Faults::default());
        assert!(faults_of(&gguf(&[llama], false)).unfit.unwrap().contains("not causal"));
        let bad = faults_of(&gguf(&[llama, (fitness::CHAT_TEMPLATE, "{% broken %}")], true));
        assert!(bad.template.unwrap().contains("chat_template_file"));
        let long = " ".repeat(crate::generator::template::MAX_TEMPLATE_BYTES + 1);
        assert!(faults_of(&gguf(&[llama, (fitness::CHAT_TEMPLATE, &long)], true)).template.is_some());
        for cut in 0..good.len() {
            assert_eq!(faults_of(&good[..cut]), Faults::default(), "{cut}");
        }
    }

    #[test]
    fn a_file_is_looked_at_again_when_it_changes() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let known = Known::default();
        fs::write(file.path(), gguf(&[(fitness::ARCHITECTURE, "llama")], false)).unwrap();
        assert!(known.faults(file.path()).unfit.is_some());
        assert!(known.faults(file.path()).unfit.is_some());
        fs::write(file.path(), gguf(&[(fitness::ARCHITECTURE, "llama2")], false)).unwrap();
        assert!(known.faults(file.path()).unfit.is_none());
    }

    proptest! {
        #[test]
        fn noise_never_panics(noise: Vec<u8>, at in 0_usize..200, byte: u8) {
            let _either = header(&mut BufReader::new(Cursor::new(&noise)));
            let mut nearly = gguf(&[(fitness::ARCHITECTURE, "llama")], true);
            let at = at % nearly.len();
            nearly[at] = byte;
            let _either = header(&mut BufReader::new(Cursor::new(&nearly)));
        }
    }
}
