//! The demo models that come with the program: small, trained on a little world of facts, and real in every
//! other way.

use crate::files;
use std::{fs, io, path::Path};

/// A file of the demo models and its path below the models folder.
type DemoFile = (&'static str, &'static [u8]);

macro_rules! demo_files {
    ($($path:literal),* $(,)?) => {
        &[$(($path, include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../models/", $path)))),*]
    };
}

const DEMO_FILES: &[DemoFile] = demo_files![
    "manifest.json",
    "poq-demo-strong.gguf",
    "poq-demo-weak.gguf",
    "poq-demo-evaluator/model.onnx",
    "poq-demo-evaluator/tokenizer.json",
    // Last: it names the others.
    "poq-demo-evaluator/poq.json",
];

/// Writes the demo models into `folder`. Files that are there already with the same content are left alone;
/// each other one is replaced in one step.
pub fn install_demo_models(folder: &Path) -> io::Result<()> {
    for (path, content) in DEMO_FILES {
        let target = folder.join(path);
        if fs::read(&target).is_ok_and(|present| present == *content) {
            continue;
        }
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent)?;
        }
        files::write_atomically(&target, content)?;
    }
    Ok(())
}

/// The manifest of the demo models: JSON with name, kind, id and description of each.
pub fn manifest() -> &'static [u8] {
    DEMO_FILES.first().map_or(&[], |(_, content)| content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn installing_writes_what_is_missing_or_different_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        install_demo_models(folder.path()).unwrap();
        let generator = folder.path().join("poq-demo-strong.gguf");
        let weak = folder.path().join("poq-demo-weak.gguf");
        let content = fs::read(&generator).unwrap();
        let untouched = fs::metadata(&weak).unwrap().modified().unwrap();
        fs::write(&generator, "damaged").unwrap();
        install_demo_models(folder.path()).unwrap();
        assert_eq!(fs::read(&generator).unwrap(), content);
        assert_eq!(fs::metadata(&weak).unwrap().modified().unwrap(), untouched);
    }

    #[test]
    fn the_manifest_is_json() {
        serde_json::from_slice::<serde_json::Value>(manifest()).unwrap();
    }
}
