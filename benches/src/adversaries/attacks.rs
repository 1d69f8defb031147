//! The attacks: what each does instead of honest work.

use crate::world::{clamped, normal, Skill};
use rand::Rng;

/// Who attacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    QualityValidator,
    InferenceNode,
}

impl Role {
    pub fn name(self) -> &'static str {
        match self {
            Self::QualityValidator => "quality-validator",
            Self::InferenceNode => "inference-node",
        }
    }
}

/// What the attackers do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Attack {
    /// Nothing wrong.
    Honest,
    /// Always says 0.5, without running the evaluator.
    LazyConstant,
    /// Always says the mean of all consensus scores so far, without running the evaluator.
    LazyPrior,
    /// Says anything, without running the evaluator.
    LazyRandom,
    /// Says what the latest consensus was on the same inference node: commitments hide the scores of this request, so
    /// that there is nothing newer to copy.
    Copycat,
    /// Says 0.3 too much.
    Boosting,
    /// Says 0.3 too little.
    Sabotage,
    /// Adds an error with a standard deviation of 0.3.
    Noise,
    /// Says 0.3 too little in every second request.
    Intermittent,
    /// All attackers say the same lie, any number from 0 to 1.
    Collusion,
    /// Says 0.95 of the answers of five bad inference nodes that pay for it, and is honest on all others.
    Bribed,
    /// Is honest in the first half of the game and colludes in the second.
    Sleeper,
    /// Says 0.1 too much.
    MildBias,
    /// An inference node that runs a far worse model than it says.
    CheapModel,
    /// An inference node that gives the same answer to everything.
    CannedAnswer,
    /// An inference node that commits to an answer and never shows it.
    RefuseReveal,
}

/// What an attacker knows when it has to commit to a score.
pub struct Sight {
    /// What it would say if it were honest.
    pub honest: f64,
    /// The mean of all consensus scores so far.
    pub prior: f64,
    /// The latest consensus on the same inference node.
    pub latest: f64,
    /// What those who collude agreed on.
    pub plotted: f64,
    /// Whether the inference node pays for a good score.
    pub is_paid_for: bool,
    /// Whether the second half of the game has begun.
    pub is_late: bool,
}

const FAR: f64 = 0.3;
const NEAR: f64 = 0.1;
/// The least that a bribed quality validator says of who paid.
const PAID_FOR: f64 = 0.95;
/// What those who bribe are worth.
const BRIBING: Skill = Skill { mean: 0.2, spread: 0.15 };

impl Attack {
    pub const OF_VALIDATORS: [Self; 12] = [
        Self::LazyConstant,
        Self::LazyPrior,
        Self::LazyRandom,
        Self::Copycat,
        Self::Boosting,
        Self::Sabotage,
        Self::Noise,
        Self::Intermittent,
        Self::Collusion,
        Self::Bribed,
        Self::Sleeper,
        Self::MildBias,
    ];
    pub const OF_NODES: [Self; 3] = [Self::CheapModel, Self::CannedAnswer, Self::RefuseReveal];
    pub const LAZY: [Self; 3] = [Self::LazyConstant, Self::LazyPrior, Self::LazyRandom];

    pub fn name(self) -> &'static str {
        match self {
            Self::Honest => "honest",
            Self::LazyConstant => "lazy-constant",
            Self::LazyPrior => "lazy-prior",
            Self::LazyRandom => "lazy-random",
            Self::Copycat => "copycat",
            Self::Boosting => "boosting",
            Self::Sabotage => "sabotage",
            Self::Noise => "noise",
            Self::Intermittent => "intermittent",
            Self::Collusion => "collusion",
            Self::Bribed => "bribed",
            Self::Sleeper => "sleeper",
            Self::MildBias => "mild-bias",
            Self::CheapModel => "cheap-model",
            Self::CannedAnswer => "canned-answer",
            Self::RefuseReveal => "refuse-reveal",
        }
    }

    /// What an attacking quality validator says of an answer.
    pub fn score(self, sight: &Sight, is_second: bool, dice: &mut impl Rng) -> f64 {
        let honest = sight.honest;
        let score = match self {
            Self::LazyConstant => 0.5,
            Self::LazyPrior => sight.prior,
            Self::LazyRandom => dice.random(),
            Self::Copycat => sight.latest,
            Self::Boosting => honest + FAR,
            Self::Sabotage => honest - FAR,
            Self::Noise => honest + FAR * normal(dice),
            Self::Intermittent if is_second => honest - FAR,
            Self::Collusion => sight.plotted,
            Self::Bribed if sight.is_paid_for => PAID_FOR,
            Self::Sleeper if sight.is_late => sight.plotted,
            Self::MildBias => honest + NEAR,
            _ => honest,
        };
        clamped(score)
    }

    /// What an attacking inference node can do; `None` if as much as an honest one.
    pub fn skill(self) -> Option<Skill> {
        match self {
            Self::CheapModel => Some(Skill { mean: 0.15, spread: 0.15 }),
            Self::CannedAnswer => Some(Skill { mean: 0.05, spread: 0.02 }),
            _ => None,
        }
    }

    /// What the inference node at `place` can do if it pays for good scores.
    pub fn bribing(self, place: usize) -> Option<Skill> {
        (self == Self::Bribed && place.is_multiple_of(4)).then_some(BRIBING)
    }
}

/// Whether the operator at `place` of `count` attacks, where a part of `percent` of them does. Attackers stand between
/// honest ones, so that inference nodes of every quality are among them.
pub fn attacks(place: usize, count: usize, percent: u32) -> bool {
    // 7 and 20 have no common divisor, so that this is a shuffle.
    (place * 7) % count * 100 < percent as usize * count
}
