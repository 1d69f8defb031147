//! The fuzz targets without a fuzzer: every parser of bytes from elsewhere on noise and on damaged seeds, the same ones
//! in every run. Failures name the input.
#![allow(clippy::arithmetic_side_effects)]

#[path = "../../fuzz/src/lib.rs"]
mod bodies;

use rand::{rngs::StdRng, seq::IndexedRandom as _, Rng as _, SeedableRng as _};
use std::{fs, panic, path::Path};

const SEED: u64 = 7;

/// Words that parsers care about, to be put anywhere.
const WORDS: [&[u8]; 18] = [
    b"\0",
    b"\n",
    b"\r\n",
    b"\xff",
    b"\xc3",
    "\u{feff}".as_bytes(),
    "\u{10ffff}".as_bytes(),
    b"\"",
    b"\\u",
    b"{",
    b"[",
    b"null",
    b"-1",
    b"1e999",
    b"18446744073709551616",
    b"{%",
    b"}}",
    b"..",
];

/// The target's seeds.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    // The order of a folder is not the same everywhere.
    files.sort();
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

/// A seed with some damage, two seeds in one, or noise.
fn input(seeds: &[Vec<u8>], random: &mut StdRng) -> Vec<u8> {
    if random.random_ratio(1, 16) {
        return (0..random.random_range(0..64)).map(|_| random.random()).collect();
    }
    let mut bytes = seeds.choose(random).unwrap().clone();
    for _ in 0..random.random_range(0..5) {
        let at = random.random_range(0..=bytes.len());
        match random.random_range(0..6) {
            0 => bytes.truncate(at),
            1 => bytes.splice(at..at, WORDS.choose(random).unwrap().iter().copied()).for_each(drop),
            2 => drop(bytes.splice(at..(at + random.random_range(1..9)).min(bytes.len()), [])),
            3 => {
                let other = seeds.choose(random).unwrap();
                let from = random.random_range(0..=other.len());
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
            4 => {
                let part = bytes[at..(at + random.random_range(1..40)).min(bytes.len())].to_vec();
                drop(bytes.splice(at..at, part));
            }
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = if random.random() {
                        *byte ^ (1 << random.random_range(0..8))
                    } else {
                        random.random()
                    };
                }
            }
        }
    }
    bytes
}

fn try_out(target: &str, inputs: u32, body: fn(&[u8])) {
    let (seeds, mut random) = (seeds(target), StdRng::seed_from_u64(SEED));
    seeds.iter().for_each(|seed| body(seed));
    for _ in 0..inputs {
        let bytes = input(&seeds, &mut random);
        if let Err(cause) = panic::catch_unwind(|| body(&bytes)) {
            eprintln!("{target} fails on \"{}\"", bytes.escape_ascii());
            panic::resume_unwind(cause);
        }
    }
}

#[test]
fn jobs() {
    try_out("job_json", 20_000, bodies::job_json);
    try_out("job_record", 20_000, bodies::job_record);
}

#[test]
fn requests() {
    try_out("request", 20_000, bodies::request);
}

#[test]
fn manifests_and_configurations() {
    try_out("manifest", 20_000, bodies::manifest);
    try_out("config", 10_000, bodies::config);
}

#[test]
fn heads_of_models() {
    try_out("gguf", 5_000, bodies::gguf);
}

#[test]
fn judged_answers() {
    try_out("calibration", 10_000, bodies::calibration);
}

#[test]
fn events_and_texts() {
    try_out("events", 50_000, bodies::events);
    try_out("text", 50_000, bodies::text);
}

#[test]
fn sources() {
    try_out("source", 20_000, bodies::source);
}

#[test]
fn templates() {
    try_out("template", 10_000, bodies::template);
}

#[test]
fn schemas() {
    try_out("schema", 20_000, bodies::schema);
}

#[test]
fn model_files() {
    try_out("weights", 5_000, bodies::weights);
}
