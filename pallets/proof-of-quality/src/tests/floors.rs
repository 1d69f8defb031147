//! The pallet has floors: a module imports only from those below it, and a stored value has one writer. Read from the sources,
//! because no type can say it.

use std::{fs, path::Path};

/// The modules, from below. A module may import from those before it.
const FLOORS: [&str; 30] = [
    // Formulas and words without storage.
    "consensus",
    "rendezvous",
    "weights",
    "standing",
    "unexpected",
    // Owners.
    "parameters",
    "money",
    "models",
    "duties",
    "callbacks",
    "congestion",
    "rosters",
    "operators",
    "agenda",
    "requests",
    // What acts on a request.
    "phases",
    "settlement",
    "draws",
    "asking",
    "inference",
    "reports",
    "audits",
    "lane",
    // What drives it and looks at it.
    "steps",
    "views",
    "invariants",
    "report_tags",
    "driver",
    "config_preludes",
    "migrations",
];

/// Who writes what. Migrations write everything.
const WRITERS: [(&str, &str); 22] = [
    ("EconomicParameters", "parameters"),
    ("Models", "models"),
    ("Spreads", "models"),
    ("Noises", "models"),
    ("Callbacks", "callbacks"),
    ("DueCallbacks", "callbacks"),
    ("Surcharges", "congestion"),
    ("Rosters", "rosters"),
    ("Operators", "operators"),
    ("Workers", "operators"),
    ("Forgone", "operators"),
    ("Agenda", "agenda"),
    ("AgendaCursor", "agenda"),
    ("NextRequest", "requests"),
    ("OpenRequests", "requests"),
    ("Requests", "requests"),
    ("Prompts", "requests"),
    ("Responses", "requests"),
    ("Outputs", "requests"),
    ("Committees", "requests"),
    ("Auditors", "audits"),
    ("LatestAuditSlashes", "audits"),
];

const WRITES: [&str; 11] = [
    "insert",
    "put",
    "set",
    "mutate",
    "mutate_extant",
    "mutate_exists",
    "try_mutate",
    "try_mutate_exists",
    "take",
    "remove",
    "kill",
];

/// The sources of each module, without their comments.
fn sources() -> Vec<(String, String)> {
    fn read(folder: &Path, module: Option<&str>, into: &mut Vec<(String, String)>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let module = module.unwrap_or(&stem);
            if ["lib", "mock", "tests", "benchmarking"].contains(&module) {
                continue;
            }
            if path.is_dir() {
                read(&path, Some(module), into);
            } else {
                let text = fs::read_to_string(&path).unwrap();
                let code = text.lines().map(|line| line.split("//").next().unwrap_or_default());
                into.push((module.to_owned(), code.collect::<Vec<_>>().join("\n")));
            }
        }
    }
    let mut found = Vec::new();
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), None, &mut found);
    found
}

/// The first names after each `crate::` in `code`: of `crate::{a::{b, c}, D}` these are `a` and `D`.
fn imports(code: &str) -> Vec<String> {
    let is_name = |c: &char| c.is_alphanumeric() || *c == '_';
    let mut found = Vec::new();
    for (at, mark) in code.match_indices("crate::") {
        let rest = &code[at + mark.len()..];
        let Some(list) = rest.strip_prefix('{') else {
            found.push(rest.chars().take_while(is_name).collect());
            continue;
        };
        // Names at depth 1, each up to its first `:`.
        let (mut depth, mut name, mut is_over) = (1, String::new(), false);
        for c in list.chars() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ':' => is_over |= depth == 1,
                _ if depth == 1 && is_name(&c) && !is_over => name.push(c),
                _ => {}
            }
            if depth == 0 || (depth == 1 && c == ',') {
                found.extend(Some(std::mem::take(&mut name)).filter(|name| !name.is_empty()));
                is_over = false;
            }
            if depth == 0 {
                break;
            }
        }
    }
    found
}

/// What `lib.rs` lets others import from the crate's root, and where it stands.
fn exported(name: &str) -> bool {
    let lib = include_str!("../lib.rs");
    let uses = lib.split("pub use ").skip(1).filter_map(|rest| rest.split(';').next());
    // Weights and the rules of consensus are configuration.
    let uses = uses
        .filter(|list| !["crate::pallet", "weights::", "consensus::"].iter().any(|of| list.starts_with(of)));
    uses.flat_map(|list| list.split(|c: char| !c.is_alphanumeric() && c != '_')).any(|word| word == name)
}

#[test]
fn imports_point_downwards() {
    let floor = |module: &str| FLOORS.iter().position(|known| *known == module);
    for (module, code) in sources() {
        let own = floor(&module).unwrap_or_else(|| panic!("`{module}` is on no floor"));
        for import in imports(&code) {
            match floor(&import) {
                Some(other) => assert!(other <= own, "`{module}` imports from `{import}`, which is above it"),
                // Configuration, errors, events and storage are declared in `lib.rs`; all else by its module.
                None => assert!(
                    ["config_preludes", "driver", "migrations"].contains(&module.as_str())
                        || !exported(&import),
                    "`{module}` imports `{import}` from the root and hides where that stands"
                ),
            }
        }
    }
}

#[test]
fn a_stored_value_has_one_writer() {
    for (module, code) in sources() {
        for (value, writer) in WRITERS {
            for write in WRITES {
                let write = format!("{value}::<T>::{write}(");
                // `OpenRequests` is not `Requests`.
                let is_written = code
                    .match_indices(&write)
                    .any(|(at, _)| !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'));
                assert!(
                    !is_written || module == writer || module == "migrations",
                    "`{module}` writes `{value}`, which is of `{writer}`"
                );
            }
        }
    }
}

#[test]
fn the_reader_of_sources_reads_them() {
    assert_eq!(
        imports("use crate::{a::{b, c}, d::e, F, G};\nlet x = crate::h::i();"),
        ["a", "d", "F", "G", "h"].map(str::to_owned).to_vec()
    );
    assert!(exported("Request") && !exported("Config") && !exported("WeightInfo"));
    assert!(sources()
        .iter()
        .any(|(module, code)| module == "operators" && code.contains(" Operators::<T>::insert(")));
}
