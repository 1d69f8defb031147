//! Where the programs are.

use anyhow::{bail, Context as _, Result};
use std::{
    env,
    path::{Path, PathBuf},
};

/// The program `name`: in the folder `POQ_PROGRAMS`, or beside this one.
///
/// # Errors
/// If it is in neither.
pub fn find(name: &str) -> Result<PathBuf> {
    let folder = match env::var_os("POQ_PROGRAMS") {
        Some(folder) => PathBuf::from(folder),
        None => beside(&env::current_exe().context("this program does not know where it is")?),
    };
    let program = folder.join(name);
    if !program.is_file() {
        bail!(
            "there is no {}: run `make build`, or say where the programs are with POQ_PROGRAMS",
            program.display()
        );
    }
    Ok(program)
}

/// The folder of a program; tests lie one below, in `deps`.
fn beside(program: &Path) -> PathBuf {
    let folder = program.parent().unwrap_or(Path::new("."));
    let deps = folder.file_name().is_some_and(|name| name == "deps");
    if deps { folder.parent().unwrap_or(folder) } else { folder }.to_owned()
}

/// The folder with the demo's models, made absolute.
///
/// # Errors
/// If they are not there.
pub fn models(folder: &Path) -> Result<PathBuf> {
    if !folder.join("poq-demo-strong.gguf").is_file() {
        bail!(
            "there are no demo models in {}: run this in the repository's root, or say where they are with --models",
            folder.display()
        );
    }
    folder.canonicalize().with_context(|| format!("cannot use {}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_look_one_folder_up() {
        assert_eq!(beside(Path::new("/t/release/poq-testnet")), Path::new("/t/release"));
        assert_eq!(beside(Path::new("/t/release/deps/chaos-123")), Path::new("/t/release"));
    }

    #[test]
    fn missing_models_are_an_error_that_says_what_to_do() {
        assert!(models(Path::new("/no/such")).unwrap_err().to_string().contains("--models"));
    }
}
