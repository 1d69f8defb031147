//! A copy of the dApp examples, for commands that write beside them.

use std::{fs, path::Path};

/// The file that says how types are made; what is made of it lies beside it.
const TYPES: &str = ".papi/polkadot-api.json";

/// Copies the sources of `examples/dapp` into the folder `to`, without what `npm` may have put beside them.
pub fn copy(to: &Path) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/dapp");
    let sources = fs::read_dir(&from).expect("there are examples").map(|entry| entry.unwrap());
    for source in sources.filter(|source| source.file_type().unwrap().is_file()) {
        fs::copy(source.path(), to.join(source.file_name())).unwrap();
    }
    fs::create_dir(to.join(".papi")).unwrap();
    fs::copy(from.join(TYPES), to.join(TYPES)).unwrap();
}
