//! Hints of the program work as they are printed.

use std::{
    path::Path,
    process::{Command, Output},
};

fn run(program: &Path, arguments: &[&str]) -> Output {
    Command::new(program).args(arguments).env_remove("POQ_NETWORK").output().unwrap()
}

#[test]
fn a_hint_names_the_program_and_the_folder_as_they_were_given() {
    let program = Path::new(env!("CARGO_BIN_EXE_poq-testnet"));
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("a network; it's mine");
    let said = run(program, &["status", "--folder", folder.to_str().unwrap()]);
    assert!(!said.status.success());
    let said = String::from_utf8(said.stderr).unwrap();
    let hint = said.split('`').nth(1).unwrap_or_else(|| panic!("no hint: {said}"));

    // The words that a shell makes of it.
    let words = Command::new("sh").args(["-c", &format!("printf '%s\\n' {hint}")]).output().unwrap();
    let words = String::from_utf8(words.stdout).unwrap();
    let expected = [program.to_str().unwrap(), "up", "--folder", folder.to_str().unwrap()];
    assert_eq!(words.lines().collect::<Vec<_>>(), expected);

    let helped = Command::new("sh").args(["-c", &format!("{hint} --help")]).output().unwrap();
    assert!(helped.status.success(), "the program is found");
}

#[test]
fn without_a_folder_a_hint_is_short() {
    let program = Path::new(env!("CARGO_BIN_EXE_poq-testnet"));
    let cache = tempfile::tempdir().unwrap();
    let said = Command::new(program)
        .arg("status")
        .env_remove("POQ_NETWORK")
        .env("POQ_CACHE", cache.path())
        .output()
        .unwrap();
    let said = String::from_utf8(said.stderr).unwrap();
    assert!(said.contains(&format!("`{} up`", program.display())), "{said}");
}
