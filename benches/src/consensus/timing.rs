//! Times of tasks that are too short for a clock: many rounds at a time, in turns.

use indicatif::{ProgressBar, ProgressStyle};
use std::time::{Duration, Instant};

/// Approximate length of the rounds of one turn.
const TURN: Duration = Duration::from_millis(20);

/// A task that runs a number of rounds and returns their time.
pub type Rounds<'a> = Box<dyn FnMut(u32) -> anyhow::Result<Duration> + 'a>;

/// Microseconds of one round of each task, by turn. Each turn runs all tasks one after another, so that other load of the
/// machine affects all alike.
pub fn in_turns(what: &str, all: &mut [Rounds<'_>], turns: usize) -> anyhow::Result<Vec<Vec<f64>>> {
    let style = ProgressStyle::with_template("{msg:40} {bar:30} {pos}/{len} turns")?;
    let progress = ProgressBar::new(turns as u64).with_style(style).with_message(what.to_owned());
    let rounds: Vec<u32> = all.iter_mut().map(enough).collect::<anyhow::Result<_>>()?;
    let mut times = vec![Vec::with_capacity(turns); all.len()];
    for _ in 0..turns {
        for ((run, rounds), times) in all.iter_mut().zip(&rounds).zip(&mut times) {
            times.push(run(*rounds)?.as_secs_f64() * 1e6 / f64::from(*rounds));
        }
        progress.inc(1);
    }
    progress.finish_and_clear();
    Ok(times)
}

/// A number of rounds that takes at least [`TURN`]. Finding it also warms up the caches.
fn enough(run: &mut Rounds<'_>) -> anyhow::Result<u32> {
    let mut rounds = 4u32;
    loop {
        let took = run(rounds)?;
        if took >= TURN || rounds >= 1 << 20 {
            return Ok(rounds);
        }
        let times = TURN.as_secs_f64() / took.as_secs_f64().max(1e-9);
        rounds = (f64::from(rounds) * times.clamp(1.5, 16.0)).ceil() as u32;
    }
}

/// Runs `what` and measures its time.
pub fn time<T>(what: impl FnOnce() -> T) -> (Duration, T) {
    let begun = Instant::now();
    let done = what();
    (begun.elapsed(), done)
}
