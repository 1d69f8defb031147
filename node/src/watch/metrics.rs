//! The metrics of the protocol and of this node's operators, for Prometheus. Every name is declared once, here.
//!
//! Metrics of operators show those whose worker keys are in this node's keystore, labelled by address. Amounts are in POQ. Counters of
//! requests begin with the node's start and count finalized blocks.

use super::faults::Fault;
use pallet_proof_of_quality::{ClosedDuty, Operator, Outcome, Phase, RefundReason, Role};
use poq_runtime::{currency::POQ, AccountId, Balance, BlockNumber, Runtime};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};
use substrate_prometheus_endpoint::{
    register, Counter, CounterVec, Gauge, GaugeVec, HistogramOpts, HistogramVec, Opts, PrometheusError,
    Registry, F64, U64,
};

/// Bucket bounds of the histogram of phases, in blocks of two seconds. The longest window is an hour.
const BLOCKS: [f64; 12] = [1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0, 40.0, 80.0, 200.0, 600.0, 1800.0];

/// The metrics.
#[derive(Clone)]
pub struct Metrics {
    problems: GaugeVec<U64>,
    engine_up: Gauge<U64>,
    worker_keys: Gauge<U64>,
    reports_in_flight: Gauge<U64>,
    reports_sent: Counter<U64>,
    reports_refused: Counter<U64>,
    reports_of_others: Counter<U64>,
    drawable: GaugeVec<U64>,
    stake: GaugeVec<F64>,
    earned: GaugeVec<F64>,
    slashed: GaugeVec<F64>,
    open_duties: GaugeVec<U64>,
    completed: GaugeVec<U64>,
    missed: GaugeVec<U64>,
    closed: CounterVec<U64>,
    roster: GaugeVec<U64>,
    requests_open: Gauge<U64>,
    requests_in_phase: GaugeVec<U64>,
    requests_closed: CounterVec<U64>,
    phase_blocks: HistogramVec,
    spec_version: Gauge<U64>,
    shown: Arc<Mutex<BTreeSet<AccountId>>>,
}

impl Metrics {
    /// All metrics at zero. Errors: two metrics of the node have one name.
    pub fn new(registry: &Registry) -> Result<Self, PrometheusError> {
        let r = registry;
        let operator = &["operator"];
        let metrics = Self {
            problems: gauges(r, "poq_problems", "What the node's log says is wrong, by kind.", &["kind"])?,
            engine_up: gauge(r, "poq_engine_up", "1 if the engine of this node's operators answers.")?,
            worker_keys: gauge(r, "poq_worker_keys", "Worker keys in the keystore.")?,
            reports_in_flight: gauge(
                r,
                "poq_reports_in_flight",
                "Worker keys with a report that was sent and is in no block yet.",
            )?,
            reports_sent: counter(r, "poq_reports_sent_total", "Reports that the pool took.")?,
            reports_refused: counter(r, "poq_reports_refused_total", "Reports that the pool refused.")?,
            reports_of_others: counter(
                r,
                "poq_reports_of_others_total",
                "Reports in blocks, signed by worker keys of this node, that another process sent.",
            )?,
            drawable: gauges(r, "poq_operator_drawable", "1 if the operator can be drawn.", operator)?,
            stake: amounts(r, "poq_operator_stake_poq", "Stake at work.", operator)?,
            earned: amounts(r, "poq_operator_earned_poq", "All that the operator was ever paid.", operator)?,
            slashed: amounts(r, "poq_operator_slashed_poq", "All that it was ever slashed.", operator)?,
            open_duties: gauges(r, "poq_operator_duties_open", "Duties that are not over.", operator)?,
            completed: gauges(r, "poq_operator_duties_done", "Duties ever done and over.", operator)?,
            missed: gauges(r, "poq_operator_duties_missed", "Duties ever over and not done.", operator)?,
            closed: counters(
                r,
                "poq_duties_closed_total",
                "Duties that came to an end, by part and by what came of them.",
                &["operator", "role", "outcome"],
            )?,
            roster: gauges(
                r,
                "poq_model_operators",
                "Operators that can be drawn for a model that this node's operators serve.",
                &["model"],
            )?,
            requests_open: gauge(r, "poq_requests_open", "Requests on the chain that are not over.")?,
            requests_in_phase: gauges(
                r,
                "poq_requests_in_phase",
                "Open requests that entered a phase since the node started.",
                &["phase"],
            )?,
            requests_closed: counters(
                r,
                "poq_requests_closed_total",
                "Requests that came to an end.",
                &["outcome"],
            )?,
            phase_blocks: register(
                HistogramVec::new(
                    HistogramOpts::new("poq_phase_blocks", "Blocks that requests spent in a phase.")
                        .buckets(BLOCKS.to_vec()),
                    &["phase"],
                )?,
                r,
            )?,
            spec_version: gauge(r, "poq_runtime_spec_version", "Version of the chain's runtime.")?,
            shown: Arc::default(),
        };
        // Dashboards and alerts then see zeros instead of nothing.
        metrics.set_problems([]);
        for phase in PHASES {
            metrics.requests_in_phase.with_label_values(&[phase]).set(0);
            let _shown = metrics.phase_blocks.with_label_values(&[phase]);
        }
        for outcome in CLOSED {
            metrics.requests_closed.with_label_values(&[outcome]).inc_by(0);
        }
        Ok(metrics)
    }

    /// Sets the problems that the log has named and that still hold.
    pub fn set_problems<'a>(&self, problems: impl IntoIterator<Item = &'a Fault>) {
        let mut counts = BTreeMap::from(Fault::KINDS.map(|kind| (kind, 0u64)));
        for problem in problems {
            let count = counts.entry(problem.kind()).or_default();
            *count = count.saturating_add(1);
        }
        for (kind, count) in counts {
            self.problems.with_label_values(&[kind]).set(count);
        }
    }

    /// Sets whether the engine answers.
    pub fn set_engine(&self, up: bool) {
        self.engine_up.set(u64::from(up));
    }

    /// Sets the number of worker keys, and of those with a report in flight.
    pub fn set_keys(&self, keys: usize, in_flight: usize) {
        self.worker_keys.set(keys as u64);
        self.reports_in_flight.set(in_flight as u64);
    }

    /// Sets the numbers of reports that the pool took and refused.
    pub fn set_sent(&self, taken: u64, refused: u64) {
        self.reports_sent.inc_by(taken.saturating_sub(self.reports_sent.get()));
        self.reports_refused.inc_by(refused.saturating_sub(self.reports_refused.get()));
    }

    /// Counts a report that another process sent.
    pub fn report_of_another(&self) {
        self.reports_of_others.inc();
    }

    /// Sets the operators shown. One whose worker key was removed from this node disappears.
    pub fn show_operators(&self, operators: BTreeSet<AccountId>) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if *shown == operators {
            return;
        }
        for gauges in [&self.drawable, &self.open_duties, &self.completed, &self.missed, &self.roster] {
            gauges.reset();
        }
        for amounts in [&self.stake, &self.earned, &self.slashed] {
            amounts.reset();
        }
        // A counter that begins at 1 shows no increase, so each begins at 0.
        for operator in operators.iter().map(ToString::to_string) {
            for role in [Role::InferenceNode, Role::QualityValidator].map(role) {
                for outcome in OUTCOMES {
                    self.closed.with_label_values(&[&operator, role, outcome]).inc_by(0);
                }
            }
        }
        *shown = operators;
    }

    /// Sets the figures of an operator of this node.
    pub fn set_operator(&self, account: &AccountId, operator: &Operator<Runtime>, drawable: bool) {
        let account = account.to_string();
        let label = &[account.as_str()];
        self.drawable.with_label_values(label).set(u64::from(drawable));
        self.stake.with_label_values(label).set(poq(operator.stake));
        self.earned.with_label_values(label).set(poq(operator.earned));
        self.slashed.with_label_values(label).set(poq(operator.slashed));
        self.open_duties.with_label_values(label).set(operator.duties.count().into());
        self.completed.with_label_values(label).set(operator.completed.into());
        self.missed.with_label_values(label).set(operator.missed.into());
    }

    /// Sets the number of operators that can be drawn for a model.
    pub fn set_roster(&self, model: &str, operators: usize) {
        self.roster.with_label_values(&[model]).set(operators as u64);
    }

    /// Counts a duty of an operator of this node that is over.
    pub fn duty_closed(&self, operator: &AccountId, duty: &ClosedDuty<Balance>) {
        let (role, outcome) = (role(duty.role), outcome(&duty.outcome));
        self.closed.with_label_values(&[&operator.to_string(), role, outcome]).inc();
    }

    /// Sets the number of open requests and the version of the runtime.
    pub fn set_chain(&self, open: u32, spec_version: u32) {
        self.requests_open.set(open.into());
        self.spec_version.set(spec_version.into());
    }

    /// Counts a request that entered an open phase.
    pub fn phase_entered(&self, phase: &Phase<BlockNumber>) {
        self.requests_in_phase.with_label_values(&[phase_name(phase)]).inc();
    }

    /// Counts a request that left an open phase after `blocks` blocks.
    pub fn phase_left(&self, phase: &Phase<BlockNumber>, blocks: BlockNumber) {
        let name = phase_name(phase);
        self.requests_in_phase.with_label_values(&[name]).dec();
        self.phase_blocks.with_label_values(&[name]).observe(blocks.into());
    }

    /// Forgets a request whose phase is not known any more.
    pub fn phase_lost(&self, phase: &Phase<BlockNumber>) {
        self.requests_in_phase.with_label_values(&[phase_name(phase)]).dec();
    }

    /// Counts a request that is over.
    pub fn request_closed(&self, phase: &Phase<BlockNumber>) {
        if let Some(outcome) = closed_name(phase) {
            self.requests_closed.with_label_values(&[outcome]).inc();
        }
    }
}

/// The open phases, in their order.
const PHASES: [&str; 6] =
    ["requested", "answering", "revealing_answers", "selecting", "scoring", "revealing_scores"];

/// The ends of a request.
const CLOSED: [&str; 7] = [
    "settled",
    "no_randomness",
    "no_inference_node",
    "no_commitment",
    "no_output",
    "no_committee",
    "no_quorum",
];

fn phase_name(phase: &Phase<BlockNumber>) -> &'static str {
    match phase {
        Phase::Requested => "requested",
        Phase::Answering { .. } => "answering",
        Phase::RevealingAnswers { .. } => "revealing_answers",
        Phase::Selecting => "selecting",
        Phase::Scoring { .. } => "scoring",
        Phase::RevealingScores { .. } => "revealing_scores",
        Phase::Settled { .. } => "settled",
        Phase::Refunded { .. } => "refunded",
    }
}

fn closed_name(phase: &Phase<BlockNumber>) -> Option<&'static str> {
    match phase {
        Phase::Settled { .. } => Some("settled"),
        Phase::Refunded { reason, .. } => Some(match reason {
            RefundReason::NoRandomness => "no_randomness",
            RefundReason::NoInferenceNode => "no_inference_node",
            RefundReason::NoCommitment => "no_commitment",
            RefundReason::NoOutput => "no_output",
            RefundReason::NoCommittee => "no_committee",
            RefundReason::NoQuorum => "no_quorum",
            RefundReason::Busy => "busy",
            RefundReason::Cancelled => "cancelled",
        }),
        _ => None,
    }
}

fn role(role: Role) -> &'static str {
    match role {
        Role::InferenceNode => "inference_node",
        Role::QualityValidator => "quality_validator",
    }
}

/// The outcomes of a duty.
const OUTCOMES: [&str; 10] = [
    "paid",
    "below_min_quality",
    "disagreed",
    "too_slow",
    "failed",
    "not_committed",
    "not_revealed",
    "refunded",
    "dismissed",
    "not_payable",
];

/// The outcome in the words of `poq operators --json`.
fn outcome(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Paid(_) => "paid",
        Outcome::BelowMinQuality(_) => "below_min_quality",
        Outcome::Disagreed => "disagreed",
        Outcome::TooSlow(_) => "too_slow",
        Outcome::Failed(_) => "failed",
        Outcome::NotCommitted => "not_committed",
        Outcome::NotRevealed => "not_revealed",
        Outcome::Refunded(_) => "refunded",
        Outcome::Dismissed => "dismissed",
        Outcome::NotPayable => "not_payable",
    }
}

/// An amount in POQ, rounded to what a float holds.
fn poq(amount: Balance) -> f64 {
    amount as f64 / POQ as f64
}

fn counter(registry: &Registry, name: &str, help: &str) -> Result<Counter<U64>, PrometheusError> {
    register(Counter::new(name, help)?, registry)
}

fn counters(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<CounterVec<U64>, PrometheusError> {
    register(CounterVec::new(Opts::new(name, help), labels)?, registry)
}

fn gauge(registry: &Registry, name: &str, help: &str) -> Result<Gauge<U64>, PrometheusError> {
    register(Gauge::new(name, help)?, registry)
}

fn gauges(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<GaugeVec<U64>, PrometheusError> {
    register(GaugeVec::new(Opts::new(name, help), labels)?, registry)
}

fn amounts(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<GaugeVec<F64>, PrometheusError> {
    register(GaugeVec::new(Opts::new(name, help), labels)?, registry)
}
