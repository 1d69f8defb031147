//! Copies of the dApp examples and of the packages that they use, for commands that write beside them.

use std::{fs, path::Path};

/// Copies the sources of `examples/dapp` into the folder `to`, without what `npm` may have put beside them.
pub fn copy(to: &Path) {
    copy_files("examples/dapp", to);
}

/// Copies the sources of `sdk/typescript` into the folder `to`, without what `npm` may have put beside them.
pub fn copy_package(to: &Path) {
    for part in ["", "src", ".papi"] {
        fs::create_dir_all(to.join(part)).unwrap();
        copy_files(&format!("sdk/typescript/{part}"), &to.join(part));
    }
}

/// Copies the files of a folder of this checkout, without the folders in it.
pub fn copy_files(from: &str, to: &Path) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(from);
    let sources = fs::read_dir(&from).expect("the folder is there").map(|entry| entry.unwrap());
    for source in sources.filter(|source| source.file_type().unwrap().is_file()) {
        fs::copy(source.path(), to.join(source.file_name())).unwrap();
    }
}
