//! Builds the runtime to Wasm when the native side is built with `std`.

/// Hash of the runtime's metadata (RFC-78) as hex, which `CheckMetadataHash` in the Wasm compares with the one under a signature.
///
/// wasm-builder can compute it (`enable_metadata_hash`), but then compiles the runtime twice in every build, and a Wasm executor for this
/// script. So the test `client/tests/metadata.rs` computes it, fails when this file is stale, and writes it anew on demand. A file of
/// this folder and not a variable in `.cargo/config.toml`: cargo finds that file only from the working directory upwards.
#[cfg(feature = "std")]
const METADATA_HASH: &str = include_str!("metadata-hash");

fn main() {
    // The runtime includes this file from outside its folder, where wasm-builder does not look for changes.
    println!("cargo::rerun-if-changed=../models/manifest.json");
    #[cfg(feature = "std")]
    {
        // clippy sets itself before the compiler, and is meant for the native side: the Wasm is the one that a build makes, so
        // that lints and tests share it.
        std::env::remove_var("RUSTC_WORKSPACE_WRAPPER");
        // The cargo that compiles the Wasm inherits it; the native runtime, which no node executes, has no hash.
        std::env::set_var("RUNTIME_METADATA_HASH", METADATA_HASH.trim_end());
        substrate_wasm_builder::WasmBuilder::build_using_defaults();
    }
}
