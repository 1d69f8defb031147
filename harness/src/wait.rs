//! Waiting for a process to say or do something.

use anyhow::{ensure, Result};
use std::{
    thread::sleep,
    time::{Duration, Instant},
};

/// Longest wait for anything, in tests too. Far more than it takes, because machines are busy: tests never measure time.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);

/// Time between two looks.
const POLL: Duration = Duration::from_millis(100);

/// Calls `check` until it returns a value.
///
/// # Errors
/// The error of `check`, or that there was no value within 300 seconds.
pub fn wait_until<T>(what: &str, mut check: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let begun = Instant::now();
    loop {
        if let Some(found) = check()? {
            return Ok(found);
        }
        ensure!(begun.elapsed() < PATIENCE, "waited {} s in vain for {what}", PATIENCE.as_secs());
        sleep(POLL);
    }
}

/// [`wait_until`] for tests: panics if there is no value within 300 seconds.
#[track_caller]
#[allow(clippy::panic, reason = "for tests only: what fails here fails a test")]
pub fn wait_for<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    match wait_until(what, || Ok(check())) {
        Ok(found) => found,
        Err(error) => panic!("{error:#}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_returned_once_it_is_there() {
        let mut tries = 0;
        let found = wait_for("the third try", || {
            tries += 1;
            (tries == 3).then_some(tries)
        });
        assert_eq!(found, 3);
    }

    #[test]
    fn an_error_ends_the_wait() {
        let waited = wait_until::<()>("nothing", || anyhow::bail!("it ended"));
        assert_eq!(waited.unwrap_err().to_string(), "it ended");
    }
}
