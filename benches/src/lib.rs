//! What is claimed, measured. `make bench`: each claim has a benchmark of its own under `benches/`. `make adversaries`: attacks on
//! the pallet, under `src/adversaries/`.
