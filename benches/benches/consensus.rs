//! The consensus function: how long every rule takes, alone and with all its leave-one-out results, by number of scores.

#![allow(missing_docs)]

use criterion::{criterion_group, criterion_main, BenchmarkId, Criterion};
use pallet_proof_of_quality::{consensus::Weighted, Aggregation, Mean, Median, TrimmedMean, WeightedMedian};
use sp_runtime::Permill;
use std::hint::black_box;

/// Scores and weights from a small linear congruential generator: the same in every run.
fn scores(count: usize) -> Vec<Weighted> {
    let mut state = 1u64;
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    (0..count).map(|_| (Permill::from_parts((next() % 1_000_001) as u32), 1_000 + next() % 9_000)).collect()
}

fn rule<R: Aggregation>(c: &mut Criterion) {
    let mut group = c.benchmark_group(R::NAME);
    for count in [10usize, 100, 1_000, 10_000] {
        let scores = scores(count);
        group.bench_with_input(BenchmarkId::new("consensus", count), &scores, |b, scores| {
            b.iter(|| R::consensus(black_box(scores)))
        });
        group.bench_with_input(BenchmarkId::new("leave_one_out", count), &scores, |b, scores| {
            b.iter(|| R::leave_one_out(black_box(scores)))
        });
    }
    group.finish();
}

criterion_group!(benches, rule::<Mean>, rule::<Median>, rule::<TrimmedMean<20>>, rule::<WeightedMedian>);
criterion_main!(benches);
