//! Files beside an ONNX file that hold its weights.
//!
//! An ONNX file is a message of protocol buffers. Each tensor in it has its numbers, or says in which file they are.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, BufReader, Read as _},
    path::{Component, Path},
};

/// Most files beside one.
const MOST_FILES: usize = 1000;

/// Longest name of a file, in bytes.
const LONGEST_NAME: u64 = 1024;

/// Deepest nesting: networks hold networks for their branches.
const DEEPEST: usize = 64;

/// Value of a tensor's `data_location` if its numbers are in another file.
const EXTERNAL: u64 = 1;

/// Messages on the way to tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Model,
    Graph,
    Function,
    Node,
    Attribute,
    Sparse,
    Tensor,
}

impl Kind {
    /// Kind of the message in field `number`, if it may hold a tensor.
    fn of_field(self, number: u64) -> Option<Self> {
        match (self, number) {
            (Self::Model, 7) | (Self::Attribute, 6 | 11) => Some(Self::Graph),
            (Self::Model, 25) => Some(Self::Function),
            (Self::Graph, 1) | (Self::Function, 7) => Some(Self::Node),
            (Self::Node, 5) => Some(Self::Attribute),
            (Self::Graph, 5) | (Self::Attribute, 5 | 10) | (Self::Sparse, 1 | 2) => Some(Self::Tensor),
            (Self::Graph, 15) | (Self::Attribute, 22 | 23) => Some(Self::Sparse),
            _ => None,
        }
    }
}

/// The files in which the ONNX file `model` keeps weights, by their path relative to its folder. The error is one line.
pub fn files_of(model: &Path) -> Result<BTreeSet<String>, String> {
    let said = |error: io::Error| format!("{} cannot be read as an ONNX file: {error}", model.display());
    let read = || {
        let file = File::open(model)?;
        let length = file.metadata()?.len();
        let mut walk = Walk { input: BufReader::new(file), at: 0, names: BTreeSet::new() };
        walk.message(Kind::Model, length, 0)?;
        Ok(walk.names)
    };
    let names: BTreeSet<String> = read().map_err(said)?;
    match names.iter().find(|name| !stays_beside(name)) {
        None => Ok(names),
        Some(name) => Err(format!(
            "{} keeps its weights in {name:?}, which is not in its folder; export it with its weights beside it",
            model.display()
        )),
    }
}

fn stays_beside(name: &str) -> bool {
    let mut parts = Path::new(name).components().peekable();
    parts.peek().is_some() && parts.all(|part| matches!(part, Component::Normal(_)))
}

struct Walk<T> {
    input: BufReader<T>,
    at: u64,
    names: BTreeSet<String>,
}

impl<T: io::Read + io::Seek> Walk<T> {
    /// Reads the message that ends at `end`.
    fn message(&mut self, kind: Kind, end: u64, depth: usize) -> io::Result<()> {
        if depth > DEEPEST {
            return Err(bad("it is nested too deeply"));
        }
        let (mut name, mut apart) = (None, false);
        while self.at < end {
            let tag = self.varint()?;
            let number = tag >> 3;
            match tag & 7 {
                0 => {
                    let value = self.varint()?;
                    apart |= kind == Kind::Tensor && number == 14 && value == EXTERNAL;
                }
                1 => self.skip(8)?,
                2 => {
                    let length = self.varint()?;
                    let inner = self.at.checked_add(length).filter(|inner| *inner <= end);
                    let inner = inner.ok_or_else(|| bad("a part is longer than the whole"))?;
                    if kind == Kind::Tensor && number == 13 {
                        name = self.location(inner)?.or(name);
                    } else if let Some(part) = kind.of_field(number) {
                        self.message(part, inner, depth.saturating_add(1))?;
                    } else {
                        self.skip(length)?;
                    }
                }
                5 => self.skip(4)?,
                _ => return Err(bad("it holds what ONNX files do not")),
            }
        }
        if self.at != end {
            return Err(bad("a part ends in the middle of a value"));
        }
        if let Some(name) = name.filter(|_| apart) {
            self.names.insert(name);
        }
        if self.names.len() > MOST_FILES {
            return Err(bad("its weights are in too many files"));
        }
        Ok(())
    }

    /// The value of an entry, a pair of texts, whose key is `location`.
    fn location(&mut self, end: u64) -> io::Result<Option<String>> {
        let (mut key, mut value) = (String::new(), String::new());
        while self.at < end {
            let tag = self.varint()?;
            let length = self.varint()?;
            match tag {
                0x0A => key = self.text(length, end)?,
                0x12 => value = self.text(length, end)?,
                _ => return Err(bad("it holds what ONNX files do not")),
            }
        }
        Ok(Some(value).filter(|_| key == "location"))
    }

    fn text(&mut self, length: u64, end: u64) -> io::Result<String> {
        if length > LONGEST_NAME || self.at.saturating_add(length) > end {
            return Err(bad("the name of a file is too long"));
        }
        let mut text = vec![0; usize::try_from(length).unwrap_or(0)];
        self.input.read_exact(&mut text)?;
        self.at = self.at.saturating_add(length);
        String::from_utf8(text).map_err(|_| bad("the name of a file is no text"))
    }

    fn varint(&mut self) -> io::Result<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let mut byte = [0];
            self.input.read_exact(&mut byte)?;
            self.at = self.at.saturating_add(1);
            let [byte] = byte;
            value |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(bad("a number does not end"))
    }

    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        self.at = self.at.saturating_add(bytes);
        self.input.seek_relative(i64::try_from(bytes).map_err(|_| bad("a part is too long"))?)
    }
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write as _;

    fn field(number: u8, content: &[u8]) -> Vec<u8> {
        let mut out = vec![(number << 3) | 2];
        let mut length = content.len();
        while length > 127 {
            out.push((length & 127) as u8 | 128);
            length >>= 7;
        }
        out.push(length as u8);
        out.extend(content);
        out
    }

    fn tensor(name: &str, external: bool) -> Vec<u8> {
        let entry = |key: &str, value: &str| {
            field(13, &[field(1, key.as_bytes()), field(2, value.as_bytes())].concat())
        };
        [
            entry("location", name),
            entry("offset", "0"),
            vec![14 << 3, u8::from(external)],
            field(9, &[0; 200]),
        ]
        .concat()
    }

    fn names(content: &[u8]) -> Result<Vec<String>, String> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content).unwrap();
        files_of(file.path()).map(|names| names.into_iter().collect())
    }

    #[test]
    fn names_are_found_wherever_tensors_are() {
        let in_branch = field(7, &field(1, &field(5, &field(6, &field(5, &tensor("b/c.bin", true))))));
        let model = [
            field(7, &field(5, &tensor("a.bin", true))),
            in_branch,
            field(7, &field(5, &tensor("d", false))),
        ];
        assert_eq!(names(&model.concat()).unwrap(), ["a.bin", "b/c.bin"]);
        assert_eq!(names(&[]).unwrap(), [""; 0]);
        for bad in ["../up", "/abs", "a/../b", "."] {
            let error = names(&field(7, &field(5, &tensor(bad, true)))).unwrap_err();
            assert!(error.contains("not in its folder"), "{error}");
        }
        assert!(names(b"version https://git-lfs").unwrap_err().contains("ONNX"));
    }

    proptest! {
        #[test]
        fn noise_never_panics(noise: Vec<u8>, at in 0_usize..300, byte: u8) {
            let _either = names(&noise);
            let mut nearly = field(7, &field(5, &tensor("a.bin", true)));
            let at = at % nearly.len();
            nearly[at] = byte;
            let _either = names(&nearly);
        }
    }
}
