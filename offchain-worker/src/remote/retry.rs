//! When a request is sent again, and after how long.

use super::{config::RemoteConfig, http::Fault};
use backon::{ExponentialBuilder, Retryable as _};
use std::{
    future::Future,
    time::{Duration, Instant},
};

/// Wait before the first repetition; each further one waits twice as long, and all a little longer by chance, so
/// that the clients of a server that comes back do not all come at once.
const FIRST_WAIT: Duration = Duration::from_millis(200);

/// Longest wait of our own choice.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Longest wait that a server's `Retry-After` is granted.
const LONGEST_GRANTED: Duration = Duration::from_secs(60);

/// Number of retries after an answer that makes no sense.
const GARBAGE_RETRIES: u32 = 1;

/// Does `once` until it succeeds, fails for good, has been repeated as often as `config` says, would have to wait
/// beyond `deadline`, or `repeatable` says no.
pub(super) async fn retrying<T, Attempt: Future<Output = Result<T, Fault>>>(
    config: &RemoteConfig,
    deadline: Instant,
    repeatable: impl Fn() -> bool,
    once: impl FnMut() -> Attempt,
) -> Result<T, Fault> {
    let backoff = ExponentialBuilder::new()
        .with_min_delay(FIRST_WAIT)
        .with_max_delay(LONGEST_WAIT)
        .with_max_times(config.retries)
        .with_jitter();
    let mut garbage: u32 = 0;
    let again = |fault: &Fault| match fault {
        Fault::Final { .. } => false,
        Fault::Passing { .. } => repeatable(),
        Fault::Garbage(_) => {
            garbage = garbage.saturating_add(1);
            garbage <= GARBAGE_RETRIES && repeatable()
        }
    };
    once.retry(backoff)
        .when(again)
        .adjust(|fault, wait| granted(fault, wait?, deadline.saturating_duration_since(Instant::now())))
        .notify(|fault, wait| {
            let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            tracing::warn!(remote = config.name, wait_ms, fault = fault.message(), "trying again");
        })
        .await
}

/// The wait before the next try: our own, or the server's if that is longer; `None` if `left` ends before.
fn granted(fault: &Fault, own: Duration, left: Duration) -> Option<Duration> {
    let wait = match fault {
        Fault::Passing { after: Some(after), .. } => own.max((*after).min(LONGEST_GRANTED)),
        _ => own,
    };
    (wait < left).then_some(wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn busy(seconds: Option<u64>) -> Fault {
        let after = seconds.map(Duration::from_secs);
        Fault::Passing { message: "busy".into(), after, up: true }
    }

    #[test]
    fn a_servers_wish_is_granted_within_bounds() {
        let second = Duration::from_secs(1);
        let wait = |asked, left| granted(&busy(asked), second, Duration::from_secs(left));
        assert_eq!(wait(None, 100), Some(second));
        assert_eq!(wait(Some(0), 100), Some(second), "never sooner than our own wait");
        assert_eq!(wait(Some(7), 100), Some(7 * second));
        assert_eq!(wait(Some(u64::MAX), 100), Some(LONGEST_GRANTED));
        assert_eq!(wait(Some(7), 7), None, "no wait to the very end");
        assert_eq!(wait(None, 1), None);
        assert_eq!(granted(&Fault::Garbage(String::new()), second, 2 * second), Some(second));
    }

    /// Number of tries against `faults`, the last of which repeats.
    async fn tries(retries: usize, faults: &[Fault], repeatable: bool) -> usize {
        let mut config = RemoteConfig::new("x", super::super::RemoteKind::Openai, "http://h", "");
        config.retries = retries;
        let count = std::cell::Cell::new(0);
        let deadline = Instant::now() + Duration::from_secs(600);
        let outcome: Result<(), Fault> = retrying(
            &config,
            deadline,
            || repeatable,
            || {
                let fault = faults.get(count.get()).or(faults.last()).unwrap().clone();
                count.set(count.get() + 1);
                async { Err(fault) }
            },
        )
        .await;
        outcome.unwrap_err();
        count.get()
    }

    #[tokio::test]
    async fn faults_are_repeated_as_often_as_they_may() {
        assert_eq!(tries(0, &[busy(None)], true).await, 1);
        assert_eq!(tries(2, &[busy(None)], true).await, 3);
        assert_eq!(tries(2, &[busy(None)], false).await, 1);
        assert_eq!(tries(3, &[Fault::Garbage(String::new())], true).await, 2);
        assert_eq!(tries(0, &[Fault::Garbage(String::new())], true).await, 1);
        assert_eq!(tries(3, &[Fault::invalid("no")], true).await, 1);
        assert_eq!(tries(3, &[busy(None), Fault::unavailable("no")], true).await, 2);
    }
}
