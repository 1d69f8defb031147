//! Targets of the design, set before anything was measured.

use crate::results::{
    tables::{self, verdict},
    Results,
};
use poq_benches::report::{number, Figure};

/// Each target, and the beginnings of the names of its figures.
const TARGETS: [(&str, &[&str]); 9] = [
    (
        "score one pair of 512 tokens, MiniLM-L6: <= 45 ms fp32, <= 25 ms int8",
        &["engine/one pair of 512 tokens, MiniLM-L6 fp32", "engine/one pair of 512 tokens, MiniLM-L6 int8"],
    ),
    (
        "the same in bf16: <= 0.65x of fp32 (a ratio of 1.54), where the processor has bf16",
        &["engine/one pair of 512 tokens, MiniLM-L6 bf16"],
    ),
    (
        "scoring throughput: >= 2x sentence-transformers, >= 0.95x onnxruntime from Python",
        &[
            "engine/256 pairs of mixed length, fp32, against sentence-transformers",
            "engine/256 pairs of mixed length, fp32, against onnxruntime",
        ],
    ),
    ("generation: >= 0.98x of llama.cpp's own tokens per second", &["engine/generation, one stream"]),
    (
        "consensus of 1,000 scores: <= 100 µs native, <= 1 ms in Wasm",
        &[
            "consensus/weighted-median, consensus, 1000 scores, native",
            "consensus/weighted-median, consensus, 1000 scores, Wasm",
        ],
    ),
    (
        "settle a request (n = 3, k = 7) on chain: <= 1 ms of ref time",
        &["chain/weight of a request (n = 3, k = 7): settling"],
    ),
    (
        "from the last output revealed to settled: <= 4 blocks",
        &[
            "latency/last output revealed to settled, committee of 3: blocks",
            "latency/last output revealed to settled, committee of 7: blocks",
            "latency/last output revealed to settled, committee of 15: blocks",
            "latency/last output revealed to settled, committee of 63: blocks",
        ],
    ),
    ("requests settled per second, one node: >= 100", &["chain/requests settled per second, one node"]),
    ("a driver run with nothing to do: <= 5 ms", &["driver/run with 0 duties"]),
];

/// The table of targets. Without a figure a target is "not measured".
pub fn table(results: &Results) -> String {
    let rows = TARGETS.iter().flat_map(|(target, names)| {
        names.iter().enumerate().map(move |(at, name)| {
            let target = if at == 0 { *target } else { "" };
            row(target, name, results.begins(name))
        })
    });
    let heads = ["target", "figure", ">measured", "ratio", "met"];
    tables::table(&heads, &rows.collect::<Vec<_>>())
}

fn row(target: &str, name: &str, figure: Option<&Figure>) -> Vec<String> {
    let Some(figure) = figure else {
        return [target, name, "", "", "not measured"].map(str::to_owned).to_vec();
    };
    let ratio = figure.ratio.map(number).zip(figure.compared_with.as_ref());
    vec![
        target.to_owned(),
        figure.name.clone(),
        format!("{} {}", number(figure.value), figure.unit),
        ratio.map(|(ratio, other)| format!("{ratio}x {other}")).unwrap_or_default(),
        verdict(figure).unwrap_or_else(|| "no target".to_owned()),
    ]
}
