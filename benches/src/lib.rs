//! What is claimed, measured: `make bench`. Each claim has a benchmark of its own under `benches/`.
