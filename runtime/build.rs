//! Builds the runtime to Wasm when the native side is built with `std`.

fn main() {
    // The runtime includes this file from outside its folder, where wasm-builder does not look for changes.
    println!("cargo::rerun-if-changed=../models/manifest.json");
    #[cfg(feature = "std")]
    substrate_wasm_builder::WasmBuilder::build_using_defaults();
}
