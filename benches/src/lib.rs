//! What is claimed, measured. Each claim has a benchmark under `benches/`; run one with `cargo bench --profile release -p
//! poq-benches --bench NAME`.
