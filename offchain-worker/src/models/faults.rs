//! Faults of models that their files show before they are loaded.

use super::gguf::Head;
use crate::generator::{fitness, template::Template};
use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

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
    let Ok(head) = Head::read(path) else { return Faults::default() };
    let template = head.value(fitness::CHAT_TEMPLATE).map(|source| Template::jinja(source, "", ""));
    Faults {
        unfit: fitness::check(&|key| head.value(key).map(str::to_owned)).err(),
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

#[cfg(test)]
mod tests {
    use super::*;

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
        out.extend(9_u32.to_le_bytes());
        out.extend(8_u32.to_le_bytes());
        out.extend(2_u64.to_le_bytes());
        put(&mut out, "a");
        put(&mut out, "bc");
        put(&mut out, "tokenizer.ggml.scores");
        out.extend(9_u32.to_le_bytes());
        out.extend(6_u32.to_le_bytes());
        out.extend(2_u64.to_le_bytes());
        out.extend([0; 8]);
        for (key, text) in texts {
            put(&mut out, key);
            out.extend(8_u32.to_le_bytes());
            put(&mut out, text);
        }
        put(&mut out, "llama.attention.causal");
        out.extend(7_u32.to_le_bytes());
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
}
