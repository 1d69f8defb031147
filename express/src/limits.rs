//! Timeouts and bounds of a party.

use core::time::Duration;

/// Timeouts, each by the party's own clock, and bounds. Two parties may have different ones: they bound what a party waits for and
/// accepts, and never what a statement means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest time from the order to the last answer that the requester waits for.
    pub answers: Duration,
    /// Longest time from the commitments to the last output that the requester waits for before it asks the committee.
    pub outputs: Duration,
    /// Time that a responder gives the requester to bring its output to a member, before it brings it there itself.
    pub forward: Duration,
    /// Time that a member waits for outputs that were committed to and not shown.
    pub missing_outputs: Duration,
    /// Time from the quorum's commitment to the proposal of seat 0, for commitments that are late.
    pub propose: Duration,
    /// Time from the proposal of one seat to that of the next.
    pub next_seat: Duration,
    /// Time between two tries to reach a party that has not answered.
    pub retry: Duration,
    /// Longest time from the quorum's reveals to the certificate that goes to the settlers, for reveals that are late: a member is paid
    /// only if its reveal is in the certificate.
    pub late_reveals: Duration,
    /// Longest time from a party's own last step to the certificate. Then it escalates. Longer than `answers` for a responder, which
    /// waits for the slowest of the others.
    pub stalled: Duration,
    /// Orders that an operator works on at once. Beyond, it is busy.
    pub open_orders: usize,
    /// Bytes of a prompt or an output.
    pub text: usize,
    /// Messages that an operator keeps for orders which it has not been asked about yet.
    pub early_messages: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            answers: Duration::from_secs(60),
            outputs: Duration::from_secs(2),
            forward: Duration::from_millis(200),
            missing_outputs: Duration::from_secs(2),
            propose: Duration::from_millis(30),
            next_seat: Duration::from_millis(100),
            retry: Duration::from_millis(500),
            late_reveals: Duration::from_secs(2),
            stalled: Duration::from_secs(75),
            open_orders: 64,
            text: 1 << 20,
            early_messages: 4096,
        }
    }
}
