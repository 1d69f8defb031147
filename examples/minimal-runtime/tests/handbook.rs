//! `docs/embed.md` shows the code of this example, and nothing that a chain decides is missing in it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{fs, path::Path};

const HANDBOOK: &str = "docs/embed.md";
const RUNTIME: &str = "examples/minimal-runtime/src/lib.rs";
const PALLET: &str = "pallets/proof-of-quality/src/lib.rs";

/// A whole runtime with the pallet in it has fewer lines of code than this.
const MOST_LINES: usize = 80;

/// Lines for a pallet that asks, which most chains have no use for.
const ASKING_LINES: usize = 9;

fn read(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A block of code in the handbook, and the comment right above it.
struct Block {
    language: String,
    above: String,
    code: String,
}

fn blocks(handbook: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = handbook.lines();
    let mut above = "";
    while let Some(line) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let code: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            blocks.push(Block { language: language.into(), above: above.into(), code: code.join("\n") });
        }
        above = line;
    }
    blocks
}

/// The lines of `file` between `// [name]` and `// [end]`, moved to the left edge.
fn region(file: &str, name: &str) -> String {
    let text = read(file);
    let begin = format!("// [{name}]");
    let lines: Vec<&str> = text
        .lines()
        .skip_while(|line| line.trim() != begin)
        .skip(1)
        .take_while(|line| line.trim() != "// [end]")
        .collect();
    assert!(!lines.is_empty(), "{file} has no `{begin}`");
    let indents =
        lines.iter().filter(|line| !line.is_empty()).map(|line| line.len() - line.trim_start().len());
    let indent = indents.min().unwrap();
    lines.iter().map(|line| line.get(indent..).unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_handbooks_code_is_the_examples() {
    let blocks = blocks(&read(HANDBOOK));
    let rust: Vec<&Block> = blocks.iter().filter(|block| block.language == "rust").collect();
    assert!(rust.len() >= 7, "only {} blocks of Rust", rust.len());
    for block in rust {
        let source = block.above.strip_prefix("<!-- ").and_then(|above| above.strip_suffix(" -->"));
        let source = source.unwrap_or_else(|| panic!("no source is named above\n{}", block.code));
        let (file, name) = source.split_once(' ').expect("a file and a region");
        assert_eq!(block.code, region(file, name), "{HANDBOOK} differs from {source}");
    }
}

#[test]
fn the_handbooks_dependencies_are_the_workspaces() {
    let workspace = read("Cargo.toml");
    let blocks = blocks(&read(HANDBOOK));
    let block = blocks.iter().find(|block| block.language == "toml").expect("there is one");
    let example = read("examples/minimal-runtime/Cargo.toml");
    let mut named = 0;
    for line in block.code.lines().filter(|line| line.contains(" = ")) {
        let (name, value) = line.split_once(" = ").unwrap();
        assert!(example.contains(&format!("\n{name} = ")), "the example does not use {name}");
        assert!(value.starts_with("{ git") || workspace.contains(line), "the workspace has another {name}");
        named += 1;
    }
    assert_eq!(named, 3);
}

#[test]
fn every_item_of_the_config_is_explained() {
    let pallet = read(PALLET);
    let config =
        pallet.split("pub trait Config").nth(1).expect("is there").split("\n    }\n").next().unwrap();
    let items: Vec<&str> =
        config.lines().filter_map(|line| line.strip_prefix("        type ")?.split(':').next()).collect();
    assert!(items.len() > 30, "{items:?}");
    let handbook = read(HANDBOOK);
    for item in items {
        assert!(handbook.contains(&format!("\n| `{item}` |")), "{HANDBOOK} does not explain `{item}`");
    }
}

#[test]
fn the_runtime_is_small() {
    let text = read(RUNTIME);
    let code = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//"));
    let lines = code.count();
    assert!(lines < MOST_LINES + ASKING_LINES, "{RUNTIME} has {lines} lines of code");
    let words: Vec<_> = read(HANDBOOK).split_whitespace().map(str::to_owned).collect();
    assert!(
        words.join(" ").contains(&format!("{lines} lines of code")),
        "{HANDBOOK} does not say {lines} lines"
    );
}
