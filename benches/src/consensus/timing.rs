//! Times of things too short for a clock: many rounds at a time, everything in turns.

use indicatif::{ProgressBar, ProgressStyle};
use std::time::{Duration, Instant};

/// How long the rounds of one turn take together, about.
const TURN: Duration = Duration::from_millis(20);

/// Something that can be done a number of times; says how long that took.
pub type Rounds<'a> = Box<dyn FnMut(u32) -> anyhow::Result<Duration> + 'a>;

/// Microseconds of one round of each, for each turn. In a turn all of them have their go, one after another, so that what
/// the machine does besides hurts all alike.
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

/// Rounds that take long enough for the clock; what they take besides warms everything up.
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

/// How long something takes.
pub fn time<T>(what: impl FnOnce() -> T) -> (Duration, T) {
    let begun = Instant::now();
    let done = what();
    (begun.elapsed(), done)
}
