//! `poq key`: accounts and worker keys in files. Needs no node.

use crate::{
    account,
    args::Key,
    failure::{Failure, Outcome},
    render,
};
use bip39::Mnemonic;
use serde_json::json;
use std::{
    fs::File,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

/// Words of a new phrase: 128 bits of randomness.
const WORDS: usize = 12;

/// `poq key`.
pub fn run(command: &Key, as_json: bool) -> Result<Outcome, Failure> {
    let file = match command {
        Key::New { file } => {
            write_new(file)?;
            file
        }
        Key::Address { file } => file,
    };
    let address = account::keypair_in(file)?.public_key().to_account_id().to_string();
    if as_json {
        render::json(&json!({ "address": address, "file": file }))?;
    } else {
        render::line(address)?;
    }
    Ok(Outcome::Done)
}

/// Makes a key in `file` if there is no such file; whether it did.
pub fn make_missing(file: &Path) -> Result<bool, Failure> {
    let is_missing = !file.exists();
    if is_missing {
        write_new(file)?;
    }
    Ok(is_missing)
}

/// Writes a new phrase into a new file that only its owner can read.
fn write_new(file: &Path) -> Result<(), Failure> {
    let failed = |error: io::Error| {
        let hint = if error.kind() == io::ErrorKind::AlreadyExists {
            "; it is left as it is: name a new file"
        } else {
            ""
        };
        Failure::Input(format!("cannot make {}: {error}{hint}", file.display()))
    };
    let phrase = Mnemonic::generate(WORDS)
        .map_err(|error| Failure::Input(format!("cannot make a phrase: {error}")))?;
    let mut written = File::options().write(true).create_new(true).mode(0o600).open(file).map_err(failed)?;
    writeln!(written, "{phrase}").and_then(|()| written.sync_all()).map_err(failed)
}
