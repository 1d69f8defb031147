//! Programs of this project: where they are, and running one to its end.

use anyhow::{bail, ensure, Context as _, Result};
use std::{
    env,
    ffi::OsStr,
    fs::File,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Environment variables by which a caller chooses engine and models of a node: not those of a test.
const FOREIGN: [&str; 4] = ["POQ_ENGINE", "POQ_ENGINE_TOKEN_FILE", "POQ_MODELS", "POQ_CONFIG"];

/// The program `name`: in the folder `POQ_PROGRAMS`, or beside this one.
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

/// The folder with the demo models, made absolute.
pub fn models(folder: &Path) -> Result<PathBuf> {
    if !folder.join("poq-demo-strong.gguf").is_file() {
        bail!(
            "there are no demo models in {}: run this in the repository's root, or say where they are with --models",
            folder.display()
        );
    }
    folder.canonicalize().with_context(|| format!("cannot use {}", folder.display()))
}

/// A command without the environment variables by which the caller chooses engine and models.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for name in FOREIGN {
        command.env_remove(name);
    }
    command
}

/// Runs a program to its end, without standard input; returns its standard output.
///
/// # Errors
/// If it does not start, or fails: with what it says on standard error.
pub fn run(program: impl AsRef<OsStr>, arguments: &[impl AsRef<OsStr>]) -> Result<Vec<u8>> {
    let name = program.as_ref().to_string_lossy();
    let output = command(&program).args(arguments).stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("cannot run {name}"))?;
    let arguments: Vec<_> = arguments.iter().map(|argument| argument.as_ref().to_string_lossy()).collect();
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`{name} {}` failed: {}", arguments.join(" "), error.trim());
    Ok(output.stdout)
}

/// The specification of a chain that comes with the node, as JSON: raw, or with the genesis in words.
pub fn chain_spec(node: &Path, chain: &str, raw: bool) -> Result<Vec<u8>> {
    let raw = raw.then_some("--raw");
    let arguments: Vec<&str> = ["export-chain-spec", "--chain", chain].into_iter().chain(raw).collect();
    run(node, &arguments).context("the chain's specification cannot be made")
}

/// Writes a file that only its owner can read.
pub fn write_secret(path: &Path, secret: &str) -> Result<()> {
    let file = File::options().create(true).truncate(true).write(true).mode(0o600).open(path);
    let written = file.and_then(|mut file| file.write_all(secret.as_bytes()));
    written.with_context(|| format!("cannot write {}", path.display()))
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

    #[test]
    fn a_program_that_fails_is_quoted() {
        assert_eq!(run("echo", &["a", "b"]).unwrap(), b"a b\n");
        let error = run("sh", &["-c", "echo too bad >&2; exit 1"]).unwrap_err().to_string();
        assert_eq!(error, "`sh -c echo too bad >&2; exit 1` failed: too bad");
        assert!(run("/no/such", &["a"]).unwrap_err().to_string().contains("cannot run /no/such"));
    }
}
