//! Weights of an ONNX file: in which files beside it they are, and for how many positions there are some.
//!
//! An ONNX file is a message of protocol buffers. Each tensor in it has its numbers, or says in which file they are.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, BufReader, Read as _},
    path::Path,
};

/// Most files beside one.
const MOST_FILES: usize = 1000;

/// Longest name of a file or of a tensor that is looked at, in bytes.
const LONGEST_NAME: u64 = 1024;

/// Most sizes of a tensor that are looked at.
const MOST_SIZES: usize = 8;

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
    let names = read(model).map_err(said)?.names;
    match names.iter().find(|name| !stays_beside(name)) {
        None => Ok(names),
        Some(name) => Err(format!(
            "{} keeps its weights in {name:?}, which is not in its folder; export it with its weights beside it",
            model.display()
        )),
    }
}

/// Number of positions for which the ONNX file `model` has embeddings, as far as their usual names tell: the most tokens of
/// one input. `None` for networks that compute with positions otherwise.
pub fn positions_of(model: &Path) -> Option<usize> {
    usize::try_from(read(model).ok()?.positions?).ok()
}

/// Number of tokens that a table of this name and these sizes has embeddings for, if it is one of positions.
fn positions(name: &str, sizes: &[u64]) -> Option<u64> {
    let [rows, _] = sizes else { return None };
    let usual = ["position_embeddings", "embed_positions"].iter().any(|usual| name.contains(usual));
    if !usual || name.contains("relative") {
        return None;
    }
    Some(rows.saturating_sub(if numbers_from_two(name) { 2 } else { 0 }))
}

/// Whether networks of this family number positions from 2 on: RoBERTa and its kin, whose first two stand for padding.
pub(super) fn numbers_from_two(family: &str) -> bool {
    ["roberta", "camembert", "mpnet"].iter().any(|kin| family.contains(kin))
}

fn read(model: &Path) -> io::Result<Found> {
    let file = File::open(model)?;
    let length = file.metadata()?.len();
    let mut walk = Walk { input: BufReader::new(file), at: 0, found: Found::default() };
    walk.message(Kind::Model, length, 0)?;
    Ok(walk.found)
}

/// What the tensors of a file say.
#[derive(Default)]
struct Found {
    /// Files with weights.
    names: BTreeSet<String>,
    /// The least number of positions.
    positions: Option<u64>,
}

/// Whether this is the path of a file below the folder, written in one way only: `a//b`, `a/./b` and `a/` are names of nothing.
fn stays_beside(name: &str) -> bool {
    name.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

struct Walk<T> {
    input: BufReader<T>,
    at: u64,
    found: Found,
}

impl<T: io::Read + io::Seek> Walk<T> {
    /// Reads the message that ends at `end`.
    fn message(&mut self, kind: Kind, end: u64, depth: usize) -> io::Result<()> {
        if depth > DEEPEST {
            return Err(bad("it is nested too deeply"));
        }
        let (mut file, mut apart) = (None, false);
        let (mut name, mut sizes) = (String::new(), Vec::new());
        while self.at < end {
            let tag = self.varint()?;
            let number = tag >> 3;
            match tag & 7 {
                0 => {
                    let value = self.varint()?;
                    apart |= kind == Kind::Tensor && number == 14 && value == EXTERNAL;
                    if kind == Kind::Tensor && number == 1 && sizes.len() < MOST_SIZES {
                        sizes.push(value);
                    }
                }
                1 => self.skip(8)?,
                2 => {
                    let length = self.varint()?;
                    let inner = self.at.checked_add(length).filter(|inner| *inner <= end);
                    let inner = inner.ok_or_else(|| bad("a part is longer than the whole"))?;
                    if kind == Kind::Tensor && number == 13 {
                        file = self.location(inner)?.or(file);
                    } else if kind == Kind::Tensor && number == 1 {
                        while self.at < inner && sizes.len() < MOST_SIZES {
                            sizes.push(self.varint()?);
                        }
                        self.skip(inner.saturating_sub(self.at))?;
                    } else if kind == Kind::Tensor && number == 8 && length <= LONGEST_NAME {
                        name = self.lossy_text(length)?;
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
        if let Some(positions) = positions(&name, &sizes) {
            let least = self.found.positions.map_or(positions, |least| least.min(positions));
            self.found.positions = Some(least);
        }
        if let Some(file) = file.filter(|_| apart) {
            self.found.names.insert(file);
        }
        if self.found.names.len() > MOST_FILES {
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
        String::from_utf8(self.bytes(length)?).map_err(|_| bad("the name of a file is no text"))
    }

    fn lossy_text(&mut self, length: u64) -> io::Result<String> {
        Ok(String::from_utf8_lossy(&self.bytes(length)?).into_owned())
    }

    /// The next bytes, at most [`LONGEST_NAME`].
    fn bytes(&mut self, length: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(length.min(LONGEST_NAME)).unwrap_or(0)];
        self.input.read_exact(&mut bytes)?;
        self.at = self.at.saturating_add(bytes.len() as u64);
        Ok(bytes)
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
        for bad in ["../up", "/abs", "a/../b", ".", "", "a/", "a//b", "a/./b", "./a"] {
            let error = names(&field(7, &field(5, &tensor(bad, true)))).unwrap_err();
            assert!(error.contains("not in its folder"), "{error}");
        }
        assert!(names(b"version https://git-lfs").unwrap_err().contains("ONNX"));
    }

    #[test]
    fn tables_of_positions_are_found() {
        let shape = |name: &str| {
            positions_of(
                &Path::new(env!("CARGO_MANIFEST_DIR"))
                    .join("tests/data/shapes")
                    .join(name)
                    .join("model.onnx"),
            )
        };
        assert_eq!(shape("bert"), Some(64));
        assert_eq!(shape("roberta"), Some(48));
        assert_eq!(shape("xlm-roberta"), Some(64));
        assert_eq!(shape("deberta-v3"), None, "its positions are relative");
        assert_eq!(shape("modernbert"), None, "its positions are angles");
        assert_eq!(shape("nowhere"), None);
        let of = |name: &str, sizes: &[u8]| {
            let one_by_one: Vec<u8> = sizes.iter().flat_map(|size| [1 << 3, *size]).collect();
            let both = [one_by_one, field(1, sizes)].map(|sizes| {
                let mut file = tempfile::NamedTempFile::new().unwrap();
                let tensor = [sizes, field(8, name.as_bytes())].concat();
                file.write_all(&field(7, &field(5, &tensor))).unwrap();
                positions_of(file.path())
            });
            assert_eq!(both[0], both[1]);
            both[0]
        };
        assert_eq!(of("bert.embeddings.position_embeddings.weight_quantized", &[64, 8]), Some(64));
        assert_eq!(of("decoder.embed_positions.weight", &[64, 8]), Some(64));
        assert_eq!(of("roberta.embeddings.position_embeddings.weight", &[66, 8]), Some(64));
        for (name, sizes) in [
            ("embeddings.position_embeddings.weight", &[64][..]),
            ("embeddings.position_embeddings.weight", &[1; 20]),
            ("encoder.relative_position_embeddings.weight", &[64, 8]),
            ("embeddings.word_embeddings.weight", &[64, 8]),
        ] {
            assert_eq!(of(name, sizes), None, "{name}");
        }
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
