//! The head of a GGUF file, read without loading the network.

use std::{
    collections::{BTreeSet, HashMap},
    fs::File,
    io::{self, BufReader, Read, Seek},
    path::Path,
};

/// Most entries of a head.
const MAX_ENTRIES: u64 = 65_536;

/// Longest key, in bytes.
const MAX_KEY: u64 = 65_536;

/// Longest text that is kept, in bytes; longer ones are cut.
const MAX_TEXT: u64 = 1 << 20;

/// Most elements of one list.
const MAX_ELEMENTS: u64 = 16 * 1024 * 1024;

/// Most tensors whose names are read.
const MAX_TENSORS: u64 = 1 << 20;

/// Begin of the names of a classification head's tensors, and how many of them are kept.
const CLASSIFIER: &str = "cls";
const MAX_CLASSIFIER: usize = 16;

/// Key of the network's architecture.
const ARCHITECTURE: &str = "general.architecture";

/// Values of a GGUF's head, by key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Single values, in words.
    values: HashMap<String, String>,
    /// Of a list of numbers the largest that is neither negative nor a fraction, of a list of texts their number.
    lists: HashMap<String, u64>,
    /// Names of the tensors of a classification head that this file has.
    classifier: BTreeSet<String>,
}

impl Head {
    /// Reads the head of the file `path`.
    pub fn read(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        if !file.metadata()?.is_file() {
            return Err(bad("no file"));
        }
        Self::parse(BufReader::new(file))
    }

    /// Reads a head, of version 2 or 3 and little-endian. Other bytes are an error.
    pub fn parse(mut source: impl Read + Seek) -> io::Result<Self> {
        let source = &mut source;
        if bytes::<4>(source)? != *b"GGUF" || !(2..=3).contains(&u32::from_le_bytes(bytes(source)?)) {
            return Err(bad("no GGUF of version 2 or 3"));
        }
        let tensors = u64::from_le_bytes(bytes(source)?);
        let entries = u64::from_le_bytes(bytes(source)?);
        if entries > MAX_ENTRIES {
            return Err(bad("too many entries"));
        }
        let mut head = Self::default();
        for _ in 0..entries {
            let key = text(source, MAX_KEY)?;
            match u32::from_le_bytes(bytes(source)?) {
                LIST => head.lists.extend(list(source)?.map(|number| (key, number))),
                TEXT => drop(head.values.insert(key, text(source, MAX_TEXT)?)),
                kind => drop(head.values.insert(key, scalar(source, kind)?)),
            }
        }
        // Files that end here are good enough for what else the head tells.
        let _ended = head.read_tensors(source, tensors);
        Ok(head)
    }

    fn read_tensors(&mut self, source: &mut (impl Read + Seek), tensors: u64) -> io::Result<()> {
        for _ in 0..tensors.min(MAX_TENSORS) {
            let name = text(source, MAX_KEY)?;
            let sizes = u32::from_le_bytes(bytes(source)?);
            // Sizes, kind, and place.
            skip(source, u64::from(sizes).saturating_mul(8).saturating_add(4).saturating_add(8))?;
            if name.starts_with(CLASSIFIER) && self.classifier.len() < MAX_CLASSIFIER {
                self.classifier.insert(name);
            }
        }
        Ok(())
    }

    /// Whether the file has the tensor `name` of a classification head.
    pub fn has_classifier(&self, name: &str) -> bool {
        self.classifier.contains(name)
    }

    /// Number of outputs of the classification head: of its labels, or 1.
    pub fn classifier_outputs(&self) -> u64 {
        let key = format!("{}.classifier.output_labels", self.value(ARCHITECTURE).unwrap_or_default());
        self.lists.get(&key).copied().unwrap_or(0).max(1)
    }

    /// A single value, in words: a text, a number, `true` or `false`.
    pub fn value(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str)
    }

    /// The number that belongs to the architecture, such as `block_count`; the largest if it differs by layer. Neither negative nor a
    /// fraction.
    pub fn number(&self, name: &str) -> Option<u64> {
        let key = format!("{}.{name}", self.value(ARCHITECTURE).unwrap_or_default());
        self.value(&key).map_or_else(|| self.lists.get(&key).copied(), |value| value.parse().ok())
    }

    /// Tokens of the vocabulary.
    pub fn vocabulary(&self) -> u64 {
        self.lists.get("tokenizer.ggml.tokens").copied().unwrap_or(0)
    }
}

/// Number of the kind of a flag, of a text, and of a list.
const FLAG: u32 = 7;
const TEXT: u32 = 8;
const LIST: u32 = 9;

fn list(source: &mut (impl Read + Seek)) -> io::Result<Option<u64>> {
    let kind = u32::from_le_bytes(bytes(source)?);
    let elements = u64::from_le_bytes(bytes(source)?);
    if elements > MAX_ELEMENTS {
        return Err(bad("a list is too long"));
    }
    match kind {
        TEXT => {
            for _ in 0..elements {
                let length = u64::from_le_bytes(bytes(source)?);
                skip(source, length)?;
            }
            Ok(Some(elements))
        }
        // Lists of lists are not in use.
        LIST => Err(bad("a list of lists")),
        kind => {
            let mut largest = None;
            for _ in 0..elements {
                largest = largest.max(scalar(source, kind)?.parse().ok());
            }
            Ok(largest)
        }
    }
}

fn scalar(source: &mut impl Read, kind: u32) -> io::Result<String> {
    Ok(match kind {
        0 => u8::from_le_bytes(bytes(source)?).to_string(),
        1 => i8::from_le_bytes(bytes(source)?).to_string(),
        2 => u16::from_le_bytes(bytes(source)?).to_string(),
        3 => i16::from_le_bytes(bytes(source)?).to_string(),
        4 => u32::from_le_bytes(bytes(source)?).to_string(),
        5 => i32::from_le_bytes(bytes(source)?).to_string(),
        // With a point, so that no fraction reads as a whole number.
        6 => format!("{:?}", f32::from_le_bytes(bytes(source)?)),
        FLAG => (u8::from_le_bytes(bytes(source)?) != 0).to_string(),
        10 => u64::from_le_bytes(bytes(source)?).to_string(),
        11 => i64::from_le_bytes(bytes(source)?).to_string(),
        12 => format!("{:?}", f64::from_le_bytes(bytes(source)?)),
        _ => return Err(bad("a value of unknown kind")),
    })
}

/// A text; what is longer than `longest` is cut.
fn text(source: &mut (impl Read + Seek), longest: u64) -> io::Result<String> {
    let length = u64::from_le_bytes(bytes(source)?);
    let kept = length.min(longest);
    let mut text = Vec::new();
    if source.by_ref().take(kept).read_to_end(&mut text)? as u64 != kept {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    skip(source, length.saturating_sub(kept))?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn skip(source: &mut impl Seek, bytes: u64) -> io::Result<()> {
    source.seek_relative(i64::try_from(bytes).map_err(|_| bad("a text is too long"))?)
}

fn bytes<const N: usize>(source: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    source.read_exact(&mut bytes).map(|()| bytes)
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Cursor;

    fn text(text: &str) -> Vec<u8> {
        [(text.len() as u64).to_le_bytes().as_slice(), text.as_bytes()].concat()
    }

    fn entry(key: &str, kind: u32, value: &[u8]) -> Vec<u8> {
        [text(key).as_slice(), &kind.to_le_bytes(), value].concat()
    }

    fn list(kind: u32, elements: &[Vec<u8>]) -> Vec<u8> {
        [kind.to_le_bytes().as_slice(), &(elements.len() as u64).to_le_bytes(), &elements.concat()].concat()
    }

    fn head(entries: &[Vec<u8>]) -> Vec<u8> {
        let counts = [0_u64.to_le_bytes(), (entries.len() as u64).to_le_bytes()].concat();
        [b"GGUF".as_slice(), &3_u32.to_le_bytes(), &counts, &entries.concat()].concat()
    }

    fn some_head() -> Vec<u8> {
        head(&[
            entry("general.architecture", TEXT, &text("qwen3")),
            entry("general.name", TEXT, &text("any")),
            entry("qwen3.block_count", 4, &28_u32.to_le_bytes()),
            entry("qwen3.rope.freq_base", 6, &1e6_f32.to_le_bytes()),
            entry("qwen3.negative", 5, &(-1_i32).to_le_bytes()),
            entry(
                "qwen3.attention.head_count_kv",
                LIST,
                &list(4, &[2, 8, 4_u32].map(|n| n.to_le_bytes().to_vec())),
            ),
            entry("tokenizer.ggml.tokens", LIST, &list(TEXT, &["a", "", "ccc"].map(text))),
            entry("tokenizer.ggml.add_bos_token", 7, &[1]),
            entry("qwen3.context_length", 10, &40_960_u64.to_le_bytes()),
        ])
    }

    #[test]
    fn numbers_are_found_between_what_is_skipped() {
        let head = Head::parse(Cursor::new(some_head())).unwrap();
        assert_eq!(head.number("block_count"), Some(28));
        assert_eq!(head.number("attention.head_count_kv"), Some(8), "the largest of a list");
        assert_eq!(head.number("context_length"), Some(40_960));
        assert_eq!(
            (head.number("rope.freq_base"), head.number("negative"), head.number("no")),
            (None, None, None)
        );
        assert_eq!(head.vocabulary(), 3);
        assert_eq!(head.value("general.name"), Some("any"));
        assert_eq!(head.value("tokenizer.ggml.add_bos_token"), Some("true"));
        let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/poq-demo-strong.gguf");
        let demo = Head::read(&demo).unwrap();
        assert!(demo.vocabulary() > 100 && demo.number("block_count").unwrap() > 0);
    }

    #[test]
    fn what_is_cut_off_or_out_of_bounds_is_an_error() {
        let whole = some_head();
        for end in 0..whole.len() {
            assert!(Head::parse(Cursor::new(&whole[..end])).is_err(), "{end}");
        }
        let many =
            [b"GGUF".as_slice(), &3_u32.to_le_bytes(), &[0; 8], &(MAX_ENTRIES + 1).to_le_bytes()].concat();
        let long = head(&[entry("a", LIST, &[&TEXT.to_le_bytes()[..], &u64::MAX.to_le_bytes()].concat())]);
        let text = head(&[[u64::MAX.to_le_bytes().as_slice(), b"a"].concat()]);
        let lists = head(&[entry("a", LIST, &list(LIST, &[list(4, &[])]))]);
        for bad in [many, long, text, lists, head(&[entry("a", 13, &[])]), b"GGUF\x01\0\0\0".to_vec()] {
            assert!(Head::parse(Cursor::new(bad)).is_err());
        }
    }

    proptest! {
        #[test]
        fn noise_never_panics(noise: Vec<u8>) {
            let _ = Head::parse(Cursor::new(&noise));
            let _ = Head::parse(Cursor::new([b"GGUF\x03\0\0\0".as_slice(), &noise].concat()));
        }
    }
}
