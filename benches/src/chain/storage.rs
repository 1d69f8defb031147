//! What it costs to read and to write a value of the state, in a node's own database on disk: what the runtime's weights say of
//! it must hold.
//!
//! A chain is filled with many values; then blocks change some of them. What is timed for a write is what importing a block does
//! beyond executing it: the new root of the trie, and the block, the state and its finality written down. With the trie cache that
//! a node has by default, and without any, as if the state were far larger than memory.

use super::Args;
use anyhow::{anyhow, Context as _, Result};
use poq_benches::report::{Figure, Report};
use poq_runtime::{Block, Hash, Header, Runtime};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use sc_client_api::{Backend as _, BlockImportOperation as _, NewBlockState, TrieCacheContext};
use sc_client_db::{Backend, BlocksPruning, DatabaseSettings, DatabaseSource, PruningMode};
use sp_core::storage::{StateVersion, Storage};
use sp_runtime::{traits::Header as _, Digest};
use sp_state_machine::Backend as _;
use std::time::Instant;

/// Values in the state: of a chain that has run for long. An open request of the design's size has some thirty.
const VALUES: usize = 500_000;

/// Values of a block while the chain is filled.
const FILLING: usize = 25_000;

/// Values that a measured block changes: what some fifty settlements do.
const CHANGED: usize = 2_000;

/// Values that are read at a time.
const READ: usize = 2_000;

/// Blocks that are measured.
const TIMES: usize = 31;

/// Blocks of which the state is kept, as a node does by default.
const KEPT: u32 = 256;

/// Bytes of a node's trie cache by default.
const CACHE: usize = 1 << 30;

/// Bytes of a key: two hashed names, a hash and an account.
const KEY_BYTES: usize = 80;

/// Bytes of a value, at most; at least a tenth.
const VALUE_BYTES: usize = 600;

/// A chain of which only the state matters.
struct Chain {
    backend: Backend<Block>,
    head: Header,
    dice: ChaCha8Rng,
}

/// Measures both, with the cache and without.
pub fn measure(args: &Args, report: &mut Report) -> Result<()> {
    let weights = <Runtime as frame_system::Config>::DbWeight::get();
    for (cache, what) in [(Some(CACHE), "a node's cache"), (None, "no cache")] {
        let (reads, writes) = run(args, cache, what)?;
        let figure = |does: &str, took: &[f64], charged: u64| {
            let name = format!("chain/storage: {does} one of {VALUES} values, {what}");
            let figure = Figure::of(name, took, "µs");
            if cache.is_some() {
                // What the runtime charges.
                figure.at_most(charged as f64 / 1e6)
            } else {
                figure
            }
        };
        report.add(figure("reading", &reads, weights.read));
        report.add(figure("writing", &writes, weights.write));
    }
    Ok(())
}

/// Microseconds of each read and of each write, in blocks.
fn run(args: &Args, cache: Option<usize>, what: &str) -> Result<(Vec<f64>, Vec<f64>)> {
    let bar = args.bar("storage");
    let folder = tempfile::tempdir().context("cannot make a folder for the database")?;
    let mut chain = Chain::new(folder.path(), cache)?;
    let mut keys: Vec<Vec<u8>> = Vec::with_capacity(VALUES);
    while keys.len() < VALUES {
        bar.set_message(format!("{what}: {} of {VALUES} values", keys.len()));
        bar.tick();
        let new: Vec<_> = (0..FILLING).map(|_| chain.key()).collect();
        chain.change(&new)?;
        keys.extend(new);
    }
    let (mut reads, mut writes) = (Vec::with_capacity(TIMES), Vec::with_capacity(TIMES));
    for time in 0..TIMES {
        bar.set_message(format!("{what}: block {time} of {TIMES}"));
        bar.tick();
        let some = chain.pick(&keys, READ);
        let begun = Instant::now();
        chain.read(&some)?;
        reads.push(micros_each(begun, READ));
        let some = chain.pick(&keys, CHANGED);
        let begun = Instant::now();
        chain.change(&some)?;
        writes.push(micros_each(begun, CHANGED));
    }
    bar.finish_and_clear();
    Ok((reads, writes))
}

fn micros_each(begun: Instant, count: usize) -> f64 {
    begun.elapsed().as_secs_f64() * 1e6 / count as f64
}

impl Chain {
    fn new(folder: &std::path::Path, cache: Option<usize>) -> Result<Self> {
        let settings = DatabaseSettings {
            trie_cache_maximum_size: cache,
            state_pruning: Some(PruningMode::blocks_pruning(KEPT)),
            source: DatabaseSource::ParityDb { path: folder.into() },
            blocks_pruning: BlocksPruning::KeepFinalized,
            pruning_filters: Vec::new(),
            metrics_registry: None,
        };
        let backend = Backend::new(settings, 0).context("there is no database")?;
        let mut operation = backend.begin_operation()?;
        let root = operation.reset_storage(Storage::default(), StateVersion::V1)?;
        let head = Header::new(0, Hash::default(), root, Hash::default(), Digest::default());
        operation.set_block_data(head.clone(), None, None, None, NewBlockState::Final, true)?;
        backend.commit_operation(operation)?;
        Ok(Self { backend, head, dice: ChaCha8Rng::seed_from_u64(6) })
    }

    fn key(&mut self) -> Vec<u8> {
        (0..KEY_BYTES).map(|_| self.dice.random()).collect()
    }

    /// Some of these, each as likely.
    fn pick(&mut self, keys: &[Vec<u8>], count: usize) -> Vec<Vec<u8>> {
        let one = |dice: &mut ChaCha8Rng| keys.get(dice.random_range(0..keys.len())).cloned();
        (0..count).filter_map(|_| one(&mut self.dice)).collect()
    }

    /// Makes a block that gives these keys other values.
    fn change(&mut self, keys: &[Vec<u8>]) -> Result<()> {
        let parent = self.head.hash();
        let values: Vec<(&[u8], Vec<u8>)> = keys
            .iter()
            .map(|key| {
                let bytes = self.dice.random_range(VALUE_BYTES / 10..=VALUE_BYTES);
                (key.as_slice(), vec![self.dice.random(); bytes])
            })
            .collect();
        let mut operation = self.backend.begin_operation()?;
        self.backend.begin_state_operation(&mut operation, parent)?;
        let state = self.backend.state_at(parent, TrieCacheContext::Trusted)?;
        let changes = values.iter().map(|(key, value)| (*key, Some(value.as_slice())));
        let (root, nodes) = state.storage_root(changes, StateVersion::V1);
        self.head = Header::new(self.head.number + 1, Hash::default(), root, parent, Digest::default());
        operation.update_db_storage(nodes)?;
        operation.set_block_data(
            self.head.clone(),
            Some(Vec::new()),
            None,
            None,
            NewBlockState::Final,
            true,
        )?;
        self.backend.commit_operation(operation).context("a block cannot be written")
    }

    fn read(&self, keys: &[Vec<u8>]) -> Result<()> {
        let state = self.backend.state_at(self.head.hash(), TrieCacheContext::Trusted)?;
        for key in keys {
            let value = state.storage(key).map_err(|error| anyhow!("a value cannot be read: {error:?}"))?;
            value.context("a value is gone")?;
        }
        Ok(())
    }
}
