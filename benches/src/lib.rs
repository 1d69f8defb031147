//! What is claimed, measured. `make bench`: the programs under `src/`, each with rooms of its own in `benches/results.json`,
//! and `bench-report`, which makes `benches/RESULTS.md` of it. `make adversaries`: attacks on the pallet, under
//! `src/adversaries/`.

pub mod report;
pub mod samples;
