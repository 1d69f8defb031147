//! Output on terminals of all widths: nothing is wider than the terminal, and no name or id is broken.

use crate::common::{text, wait_for, Node};
use console::measure_text_width;
use std::process::{Command, Stdio};

/// Standard output of `poq` where the terminal is so wide.
fn poq(node: &Node, columns: &str, args: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_poq"));
    command.env_remove("POQ_SURI").env("POQ_URL", node.url()).env("COLUMNS", columns);
    let output = command.args(args).stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{args:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// Standard output of `poq` on a terminal of its own that says this size, or 0 by 0.
fn on_a_terminal(node: &Node, columns: Option<usize>, args: &str) -> String {
    let resize = columns.map_or_else(String::new, |columns| format!("stty rows 24 columns {columns} && "));
    let run = format!("{resize}'{}' {args}", env!("CARGO_BIN_EXE_poq"));
    let mut command = Command::new("script");
    command.env_remove("COLUMNS").env("NO_COLOR", "1").env("POQ_URL", node.url());
    let output = command.args(["-qec", &run, "/dev/null"]).stdin(Stdio::null()).output();
    let output = output.expect("`script`, of the packages bsdutils or util-linux");
    assert!(output.status.success(), "{}", text(&output.stdout));
    text(&output.stdout).replace('\r', "")
}

fn words(output: &str) -> Vec<&str> {
    output.split_whitespace().collect()
}

#[test]
fn tables_fit_into_terminals_of_any_width() {
    let node = Node::start();
    let asked = node.json(&["ask", "What is the capital of Peru?"]);
    assert_eq!(asked["state"], "settled");
    wait_for("finality", || (node.json(&["request", "0"])["finalized"] == true).then_some(()));
    let url = node.url();
    let commands: &[(&[&str], &[&str])] = &[
        (&["status"], &["Blocks", "Invariants"]),
        (&["models"], &["poq-demo-evaluator", "poq-demo-strong", "poq-demo-weak"]),
        (&["operators"], &["operator-0", "operator-6"]),
        (&["operators", "operator-2"], &["operator-2", "Stake"]),
        (&["requests"], &["settled", "Peru?"]),
        (&["request", "0"], &["operator-0", "operator-1", "operator-6"]),
        (&["why", "operator-2", "--node", &url], &["poq-demo-evaluator", "scores"]),
        (&["parameters"], &["min_stake", "tolerance_spreads"]),
        (&["balance"], &["POQ"]),
        (&["author"], &["authors"]),
        (&["audit", "auditors"], &[]),
    ];
    for (args, whole) in commands {
        for columns in [40, 80, 120] {
            let output = poq(&node, &columns.to_string(), args);
            for line in output.lines() {
                assert!(measure_text_width(line) <= columns, "{args:?} at {columns}: {line}\n{output}");
            }
            for name in *whole {
                assert!(
                    words(&output).contains(name),
                    "{args:?} at {columns} has no whole {name}:\n{output}"
                );
            }
        }
    }
    // 0 is no limit, as a pipe has none, which is no terminal.
    for args in ["models", "parameters", "requests"] {
        assert_eq!(poq(&node, "0", &[args]), text(&node.poq(&[args]).stdout));
    }
    let ids = node.json(&["models"]);
    let whole = poq(&node, "0", &["models"]);
    for model in ids.as_array().unwrap() {
        assert!(words(&whole).contains(&model["id"].as_str().unwrap()), "{whole}");
    }

    for (columns, args) in [(40, "models"), (80, "operators")] {
        let shown = on_a_terminal(&node, Some(columns), args);
        assert_eq!(words(&shown), words(&poq(&node, &columns.to_string(), &[args])));
    }
    // A terminal that does not know its size.
    assert_eq!(words(&on_a_terminal(&node, None, "models")), words(&whole));
}
