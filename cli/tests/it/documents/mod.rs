//! README and the handbooks are true: their own commands lead from a clone to the first answer, the first node, the first answer of a
//! dApp and the first payment. CONTRIBUTING.md, "Documents that run", describes the marks by which the commands are found.

mod blocks;
mod links;
mod walk;

use blocks::{Block, Mark, Run};
use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The walks, each a test below.
const WALKS: [&str; 4] = ["first-answer", "own-node", "dapp", "first-payment"];

/// The folders whose documents are for users and operators, besides README.md. CONTRIBUTING.md comes last.
const HANDBOOKS: [&str; 5] = ["docs", "docker", "examples/dapp", "sdk/python", "sdk/typescript"];

/// Folders without documents of this project.
const NOT_OURS: [&str; 4] = [".git", "node_modules", "target", "venv"];

fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The blocks of shell of all handbooks, README's first.
fn blocks() -> Vec<Block> {
    let of_folder = |folder: &str| {
        let mut files = documents(folder);
        files.retain(|file| Path::new(file).parent() == Some(Path::new(folder)));
        files
    };
    let mut files = vec!["README.md".to_owned()];
    files.extend(HANDBOOKS.iter().flat_map(|folder| of_folder(folder)));
    files.push("CONTRIBUTING.md".to_owned());
    let text = |file: &String| fs::read_to_string(checkout().join(file)).unwrap();
    files.iter().flat_map(|file| blocks::of(file, &text(file))).collect()
}

/// All documents in a folder and below, in order; "" is the checkout.
fn documents(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(checkout().join(folder)).unwrap().map(|entry| entry.unwrap()) {
        let name = entry.file_name().into_string().unwrap();
        let path = Path::new(folder).join(&name).into_os_string().into_string().unwrap();
        match entry.file_type().unwrap() {
            kind if kind.is_dir() && !NOT_OURS.contains(&name.as_str()) => found.extend(documents(&path)),
            kind if kind.is_file() && name.ends_with(".md") => found.push(path),
            _ => {}
        }
    }
    found.sort();
    found
}

/// The blocks of one walk, in order.
fn steps<'a>(blocks: &'a [Block], walk: &str) -> Vec<(&'a Block, &'a Run)> {
    let run = |block: &'a Block| match &block.mark {
        Ok(Mark::Run(run)) if run.walks.iter().any(|name| name == walk) => Some((block, run)),
        _ => None,
    };
    blocks.iter().filter_map(run).collect()
}

fn take(walk: &str) {
    let blocks = blocks();
    walk::take(walk, &steps(&blocks, walk));
}

#[test]
fn a_clone_answers_a_question() {
    take("first-answer");
}

#[test]
fn a_node_of_ones_own_answers_questions() {
    take("own-node");
}

#[test]
fn a_dapp_asks_and_gets_an_answer() {
    take("dapp");
}

#[test]
fn an_operator_earns_its_first_payment() {
    take("first-payment");
}

#[test]
fn every_block_of_shell_is_run_or_says_why_not() {
    let blocks = blocks();
    let mut wrong = Vec::new();
    for block in &blocks {
        let said = match &block.mark {
            Err(error) => Some(error.clone()),
            Ok(Mark::NotRun) => None,
            Ok(Mark::Run(run)) => {
                let unknown = run.walks.iter().find(|walk| !WALKS.contains(&walk.as_str()));
                unknown.map(|walk| format!("is a part of `{walk}`, which is none of the walks {WALKS:?}"))
            }
        };
        wrong.extend(
            said.or_else(|| mistake(&block.code)).map(|said| format!("{}: the block {said}", block.place)),
        );
    }
    for walk in WALKS {
        let arrives = steps(&blocks, walk).last().is_some_and(|(_, run)| run.says.is_some());
        if !arrives {
            wrong
                .push(format!("the last block of the walk `{walk}` says nothing that shows that it arrives"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Checks a block without running it: a shell can parse it, and its `make` targets exist.
fn mistake(code: &str) -> Option<String> {
    let mut shell =
        Command::new("bash").arg("-n").stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    shell.stdin.take().unwrap().write_all(code.as_bytes()).unwrap();
    let read = shell.wait_with_output().unwrap();
    if !read.status.success() {
        return Some(format!("is no shell: {}", String::from_utf8_lossy(&read.stderr).trim()));
    }
    let makefile = fs::read_to_string(checkout().join("Makefile")).unwrap();
    let target = |line: &str| {
        line.strip_prefix("make ")?.split_whitespace().find(|word| !word.contains('=')).map(str::to_owned)
    };
    let unknown = code.lines().filter_map(target).find(|target| !makefile.contains(&format!("\n{target}:")));
    unknown.map(|target| format!("makes `{target}`, which the Makefile does not know"))
}

#[test]
fn every_link_leads_somewhere() {
    let documents = documents("");
    assert!(documents.iter().any(|document| document == "docs/operate.md"), "{documents:?}");
    let broken: Vec<_> = documents.iter().flat_map(|document| links::broken(&checkout(), document)).collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn mistakes_are_seen() {
    assert_eq!(mistake("make demo ASK=\"Is it?\"\nmake X=1 test # both\n"), None);
    assert!(mistake("make nothing\n").unwrap().contains("`nothing`"));
    assert!(mistake("echo \"open\n").unwrap().contains("is no shell"));
}
