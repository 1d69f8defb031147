//! The token of the tests' engine, and the ids of its models.

use serde_json::Value;
use std::{fs, path::Path};

/// The token of the tests' engine.
pub const TOKEN: &str = "the-token-of-this-test-only";

/// The id of a demo model, as its manifest says.
pub fn model(name: &str) -> [u8; 32] {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/manifest.json");
    let manifest: Value = serde_json::from_slice(&fs::read(manifest).unwrap()).unwrap();
    let models = manifest["models"].as_array().unwrap();
    let model = models.iter().find(|model| model["name"] == name).expect("is a demo model");
    hex::decode(model["sha256"].as_str().unwrap()).unwrap().try_into().unwrap()
}
