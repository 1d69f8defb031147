//! GGUF files with other metadata than they came with.

/// A value of the metadata.
#[derive(Clone, Copy)]
pub enum Value<'a> {
    Bool(bool),
    U32(u32),
    Text(&'a str),
}

const BOOL: u32 = 7;
const TEXT: u32 = 8;
const ARRAY: u32 = 9;

/// The offsets of tensors begin at a multiple of this.
const ALIGNMENT: usize = 32;

/// `model` with these entries in place of those of the same keys.
pub fn with(model: &[u8], entries: &[(&str, Value<'_>)]) -> Vec<u8> {
    let mut input = Input { bytes: model, at: 8 };
    let (tensors, count) = (input.u64(), input.u64());
    let mut kept = Vec::new();
    for _ in 0..count {
        let start = input.at;
        let key = input.text();
        let kind = input.u32();
        input.skip(kind);
        if !entries.iter().any(|(name, _)| name.as_bytes() == key) {
            kept.push(&model[start..input.at]);
        }
    }
    let infos = input.at;
    for _ in 0..tensors {
        input.text();
        let dimensions = input.u32() as usize;
        input.at += dimensions * 8 + 4 + 8;
    }
    let (infos, data) = (&model[infos..input.at], &model[input.at.next_multiple_of(ALIGNMENT)..]);
    let mut out = model[..8].to_vec();
    out.extend(tensors.to_le_bytes());
    out.extend(((kept.len() + entries.len()) as u64).to_le_bytes());
    kept.iter().for_each(|entry| out.extend_from_slice(entry));
    for (key, value) in entries {
        put(&mut out, key);
        match value {
            Value::Bool(value) => {
                out.extend(BOOL.to_le_bytes());
                out.push(u8::from(*value));
            }
            Value::U32(value) => {
                out.extend(4_u32.to_le_bytes());
                out.extend(value.to_le_bytes());
            }
            Value::Text(value) => {
                out.extend(TEXT.to_le_bytes());
                put(&mut out, value);
            }
        }
    }
    out.extend(infos);
    out.resize(out.len().next_multiple_of(ALIGNMENT), 0);
    out.extend(data);
    out
}

fn put(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Input<'a> {
    fn take(&mut self, length: usize) -> &'a [u8] {
        let taken = &self.bytes[self.at..self.at + length];
        self.at += length;
        taken
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take(4).try_into().unwrap())
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take(8).try_into().unwrap())
    }

    fn text(&mut self) -> &'a [u8] {
        let length = self.u64() as usize;
        self.take(length)
    }

    fn skip(&mut self, kind: u32) {
        match kind {
            0 | 1 | BOOL => self.at += 1,
            2 | 3 => self.at += 2,
            4..=6 => self.at += 4,
            10..=12 => self.at += 8,
            TEXT => drop(self.text()),
            ARRAY => {
                let (kind, count) = (self.u32(), self.u64());
                (0..count).for_each(|_| self.skip(kind));
            }
            _ => panic!("kind {kind}"),
        }
    }
}
