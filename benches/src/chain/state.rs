//! Keys and bytes of a request in the state: while it is open, when it is settled, and after it is pruned.

use super::{
    cast::Cast,
    players::{Size, OUTPUT_BYTES, PROMPT_BYTES},
    world::{Stage, World},
    Args,
};
use anyhow::{ensure, Result};
use frame_support::traits::Get as _;
use poq_benches::report::{Figure, Report};
use poq_runtime::Runtime;

/// Requests of the design's figures.
const SIZE: Size = Size { responders: 3, committee: 7 };

/// Requests that are counted together.
const COUNT: u64 = 100;

/// What is left when nothing that a request wrote may be: its place in the operators' records and in the moving averages is
/// overwritten, not added to.
const NOTHING: f64 = 1.0;

/// Keys and bytes.
#[derive(Clone, Copy, Debug)]
struct Held {
    keys: u64,
    bytes: u64,
}

/// Counts.
pub fn measure(args: &Args, report: &mut Report) -> Result<()> {
    let bar = args.bar("state");
    let cast = Cast { requesters: 16, nodes: 5, validators: 12 };
    let mut world = World::new(&cast, SIZE)?;
    // Before: each operator's record of its latest duties is full, and nothing is retained.
    bar.set_message("filling the operators' records");
    world.ask(COUNT, Stage::Settled)?;
    prune(&mut world)?;
    let before = Held::of(&mut world);
    let mut add = |when: &str, now: Held| {
        let each = |now: u64, before: u64| (now as f64 - before as f64) / COUNT as f64;
        let name = |what: &str| format!("chain/state of a request, {when}: {what}");
        let (keys, bytes) = (each(now.keys, before.keys), each(now.bytes, before.bytes));
        let of = format!("n = 3, k = 7, a prompt of {PROMPT_BYTES} B, outputs of {OUTPUT_BYTES} B");
        report.add(Figure::new(format!("{} ({of})", name("keys")), keys, "keys"));
        report.add(Figure::new(format!("{} ({of})", name("bytes")), bytes, "B"));
        (keys, bytes)
    };
    for (when, stage) in [
        ("answers awaited", Stage::Answering),
        ("scores awaited", Stage::Scoring),
        ("one reveal before the end", Stage::LastReveal),
        ("settled", Stage::Settled),
    ] {
        bar.set_message(when);
        let ids = world.ask(COUNT, stage)?;
        add(when, Held::of(&mut world));
        world.advance(&ids, Stage::Settled)?;
        if stage < Stage::Settled {
            prune(&mut world)?;
        }
    }
    bar.set_message("pruned");
    prune(&mut world)?;
    let (keys, _) = add("pruned", Held::of(&mut world));
    ensure!(keys.abs() < NOTHING, "a pruned request leaves {keys} keys behind");
    bar.finish_and_clear();
    Ok(())
}

/// Waits until all that is retained has been forgotten.
fn prune(world: &mut World) -> Result<()> {
    let retention: u32 = <Runtime as pallet_proof_of_quality::Config>::Retention::get();
    let until = world.number().saturating_add(retention).saturating_add(2);
    world.skip_to(until);
    // The agenda looks at each block that was skipped, and has room for some thousands of them in one.
    for _ in 0..100 {
        world.next_block();
    }
    world.commit()
}

impl Held {
    /// All that is in the state but what the system keeps of the block that is being made.
    fn of(world: &mut World) -> Self {
        let system = sp_io::hashing::twox_128(b"System");
        let account = frame_support::storage::storage_prefix(b"System", b"Account");
        world.state.execute_with(|| {
            let mut held = Self { keys: 0, bytes: 0 };
            let mut key = Vec::new();
            while let Some(next) = sp_io::storage::next_key(&key) {
                if !next.starts_with(&system) || next.starts_with(&account) {
                    let value = sp_io::storage::get(&next).map_or(0, |value| value.len());
                    held.keys = held.keys.saturating_add(1);
                    held.bytes = held.bytes.saturating_add((next.len().saturating_add(value)) as u64);
                }
                key = next;
            }
            held
        })
    }
}
