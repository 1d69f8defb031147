//! Builds the runtime to Wasm when the native side is built with `std`.

fn main() {
    // The runtime includes this file from outside its folder, where wasm-builder does not look for changes.
    println!("cargo::rerun-if-changed=../models/manifest.json");
    #[cfg(feature = "std")]
    {
        // clippy sets itself before the compiler, and is meant for the native side: the Wasm is the one that a build makes, so
        // that lints and tests share it.
        std::env::remove_var("RUSTC_WORKSPACE_WRAPPER");
        substrate_wasm_builder::WasmBuilder::build_using_defaults();
    }
}
