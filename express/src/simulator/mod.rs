//! A deterministic simulator: many parties, good and bad, on a bad network, in virtual time.
//!
//! A run is given by its [`Plan`], and a plan by a seed: the same seed is the same run, event by event. Honest parties run the machines of
//! this crate and nothing else; what a driver would do for them is done by the simulator. Bad parties run them too, and change what they
//! say. After a run, and during it, these must hold:
//!
//! 1. Money: what is paid, kept and left is the deposit; no order costs more than its budget.
//! 2. A name is settled or escalated once.
//! 3. The second draw leaves the requester only after every honest answer of its order is committed to. Who has shown its output is in
//!    the certificate, so that there is one committee.
//! 4. Of members fewer than a third of which are bad, no score counts that was committed to after another's was seen, or else the member
//!    that did so is proven to have committed twice.
//! 5. An honest party that did its work is paid, or its order was escalated, or the requester is proven to have signed two orders. (A
//!    member that was late is not in the set; see `Plan::is_strict` for what the network excuses.)
//! 6. Every order of an honest requester, and every order for which an honest operator has signed, ends.
//! 7. No honest party signs two statements, or one before it is persisted, and nobody holds a proof against it.

mod chain;
mod faults;
mod toy;
mod world;

pub use faults::{Fault, Kind};
pub use toy::Toy;

use crate::{
    crypto::{Crypto, Sr25519},
    limits::Limits,
    scene::Scene,
    wire::Certificate,
};
use core::time::Duration;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sp_core::{sr25519, Pair};
use world::World;

/// What is wrong with a settler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settler {
    /// Nothing.
    Honest,
    /// It brings nothing to the chain.
    Drops,
    /// It brings everything twice.
    Doubles,
    /// It flips bytes of certificates.
    Corrupts,
}

/// A time during which some parties cannot reach the others.
#[derive(Clone, Debug)]
pub struct Partition {
    /// Its begin.
    pub from: Duration,
    /// Its end.
    pub until: Duration,
    /// Of each party, whether it is on the smaller side.
    pub side: Vec<bool>,
}

/// A run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Decides everything that is left to chance.
    pub seed: u64,
    /// Responders of an order.
    pub responders: u8,
    /// Members of a committee.
    pub committee: u8,
    /// Operators; each generates and evaluates.
    pub operators: usize,
    /// Orders, begun in the first second.
    pub orders: u32,
    /// Shortest and longest delay of a link: each has its own.
    pub delay: (Duration, Duration),
    /// Longest delay on top, of each message.
    pub jitter: Duration,
    /// Part of messages that is lost.
    pub loss: f64,
    /// Part of messages that comes twice.
    pub duplicates: f64,
    /// A partition of the network.
    pub partition: Option<Partition>,
    /// Chance that an honest party dies at an action, up to 3 times each.
    pub crashes: f64,
    /// Dies at this action of this party: party 0 is the requester.
    pub crash_at: Option<(usize, u32)>,
    /// Longest difference between two clocks.
    pub skew: Duration,
    /// Longest time of a job.
    pub job: Duration,
    /// Chance that a job fails.
    pub failures: f64,
    /// Orders that an operator has room for at once.
    pub room: usize,
    /// Whether the epoch changes during the run.
    pub epoch_ends: bool,
    /// What is wrong with the requester.
    pub requester: Option<Fault>,
    /// What is wrong with each operator.
    pub faults: Vec<Option<Fault>>,
    /// The settlers.
    pub settlers: [Settler; 2],
    /// Timeouts.
    pub limits: Limits,
    /// When the run is over.
    pub until: Duration,
    /// Print every event.
    pub is_verbose: bool,
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

impl Plan {
    /// Honest parties on links that all have this delay one way.
    pub fn honest(seed: u64, responders: u8, committee: u8, delay: Duration) -> Self {
        let operators = usize::from(responders).saturating_add(committee.into()).saturating_add(4);
        Self {
            seed,
            responders,
            committee,
            operators,
            orders: 1,
            delay: (delay, delay),
            jitter: Duration::ZERO,
            loss: 0.0,
            duplicates: 0.0,
            partition: None,
            crashes: 0.0,
            crash_at: None,
            skew: Duration::ZERO,
            job: millis(100),
            failures: 0.0,
            room: 64,
            epoch_ends: false,
            requester: None,
            faults: vec![None; operators],
            settlers: [Settler::Honest; 2],
            limits: Limits { answers: millis(3_000), stalled: millis(8_000), ..Limits::default() },
            until: Duration::from_secs(120),
            is_verbose: false,
        }
    }

    /// The plan of a seed: anything may be wrong, and in some runs little is.
    pub fn of(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let responders = rng.random_range(1..=4);
        let committee = rng.random_range(3..=9);
        let mut plan = Self::honest(seed, responders, committee, millis(1));
        plan.orders = rng.random_range(1..=3);
        let slowest = rng.random_range(2..=300);
        plan.delay = (millis(1), millis(slowest));
        plan.jitter = millis(rng.random_range(0..=slowest / 2));
        plan.job = millis(rng.random_range(1..=400));
        plan.skew = Duration::from_secs(rng.random_range(0..=60));
        plan.epoch_ends = rng.random_bool(0.2);
        if rng.random_bool(0.3) {
            plan.room = rng.random_range(1..=2);
        }
        if rng.random_bool(0.3) {
            plan.operators = usize::from(responders).saturating_add(committee.into());
        }
        if rng.random_bool(0.5) {
            plan.loss = rng.random_range(0.0..0.2);
            plan.failures = 0.02;
        }
        if rng.random_bool(0.5) {
            plan.duplicates = rng.random_range(0.0..0.3);
        }
        if rng.random_bool(0.25) {
            let from = millis(rng.random_range(0..3_000));
            let until = from.saturating_add(millis(rng.random_range(100..5_000)));
            let side = (0..=plan.operators).map(|_| rng.random_bool(0.4)).collect();
            plan.partition = Some(Partition { from, until, side });
        }
        if rng.random_bool(0.5) {
            plan.crashes = rng.random_range(0.001..0.03);
        }
        if rng.random_bool(0.3) {
            plan.requester = Some(Fault::of_requester(&mut rng));
        }
        let bad = if rng.random_bool(0.3) { 0.0 } else { rng.random_range(0.05..0.4) };
        plan.faults =
            (0..plan.operators).map(|_| rng.random_bool(bad).then(|| Fault::of_operator(&mut rng))).collect();
        if rng.random_bool(0.3) {
            let all = [Settler::Honest, Settler::Drops, Settler::Doubles, Settler::Corrupts];
            plan.settlers =
                [0, 1].map(|_| all.get(rng.random_range(0..4)).copied().unwrap_or(Settler::Drops));
        }
        plan
    }

    /// Whether the network excuses nobody: nothing is lost, nobody dies, and settlers do their work.
    pub fn is_strict(&self) -> bool {
        let is_reliable = self.loss == 0.0 && self.partition.is_none() && self.failures == 0.0;
        let is_steady = self.crashes == 0.0 && self.crash_at.is_none();
        is_reliable && is_steady && self.settlers == [Settler::Honest; 2]
    }
}

/// What became of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Orders settled by certificate.
    pub settled: u32,
    /// Orders brought to the chain path.
    pub escalated: u32,
    /// Keys proven to have signed two statements.
    pub punished: u32,
    /// Restarts.
    pub restarts: u32,
    /// Messages delivered.
    pub messages: u32,
    /// Honest members that revealed and were not paid, since a bad party was first with a certificate of fewer reveals.
    pub outrun: u32,
    /// From the last score to the certificate at the requester, of each order that has one.
    pub delays: Vec<Duration>,
}

impl Report {
    /// Adds another's figures.
    pub fn add(&mut self, other: &Self) {
        let fields = [
            (&mut self.settled, other.settled),
            (&mut self.escalated, other.escalated),
            (&mut self.punished, other.punished),
            (&mut self.restarts, other.restarts),
            (&mut self.messages, other.messages),
            (&mut self.outrun, other.outrun),
        ];
        for (sum, more) in fields {
            *sum = sum.saturating_add(more);
        }
        self.delays.extend(&other.delays);
    }
}

/// A property that did not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("seed {seed}: {property} (again: POQ_SEED={seed})")]
pub struct Broken {
    /// The run.
    pub seed: u64,
    /// What did not hold.
    pub property: String,
}

/// Runs a plan with toy keys.
pub fn run(plan: &Plan) -> Result<Report, Broken> {
    run_with(plan, Toy::new, true)
}

fn sr25519_key(number: u64) -> Sr25519 {
    let mut seed = [0; 32];
    for (byte, of) in seed.iter_mut().zip(number.to_le_bytes()) {
        *byte = of;
    }
    Sr25519::new(sr25519::Pair::from_seed(&seed), seed)
}

/// Runs a plan with sr25519.
pub fn run_sr25519(plan: &Plan) -> Result<Report, Broken> {
    run_with(plan, sr25519_key, false)
}

fn run_with<C: Crypto>(
    plan: &Plan,
    key: impl Fn(u64) -> C,
    tells_statements_apart: bool,
) -> Result<Report, Broken> {
    let mut world = World::new(plan.clone(), key, tells_statements_apart);
    world.run().map_err(|property| Broken { seed: plan.seed, property })
}

/// From the last score to the certificate at the requester, in virtual time: (p50, p99) of `orders` orders among honest parties whose
/// links take half of `round_trip` one way. What computing takes comes on top.
pub fn delays(committee: u8, round_trip: Duration, orders: u64) -> Result<(Duration, Duration), Broken> {
    let mut delays = Vec::new();
    for seed in 0..orders {
        delays.extend(run(&Plan::honest(seed, 3, committee, round_trip / 2))?.delays);
    }
    delays.sort_unstable();
    let quantile = |of: usize| delays.get(delays.len().saturating_mul(of) / 100).copied().unwrap_or_default();
    Ok((quantile(50), quantile(99)))
}

/// The certificate of an order among honest parties with sr25519, and what it is checked against.
pub fn certificate(responders: u8, committee: u8) -> Result<(Scene, Certificate), Broken> {
    let plan = Plan::honest(1, responders, committee, Duration::ZERO);
    let mut world = World::new(plan.clone(), sr25519_key, false);
    let broken = |property| Broken { seed: plan.seed, property };
    world.run().map_err(broken)?;
    world.certificate().ok_or_else(|| broken("an order of honest parties is not settled".into()))
}
