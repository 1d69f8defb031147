//! The attacks, and the scores and answers of each.

use crate::adversaries::world::{clamped, normal, Skill};
use rand::Rng;

/// Role of the attackers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    QualityValidator,
    InferenceNode,
    /// Asks, and may own operators.
    Requester,
}

impl Role {
    pub fn name(self) -> &'static str {
        match self {
            Self::QualityValidator => "quality-validator",
            Self::InferenceNode => "inference-node",
            Self::Requester => "requester",
        }
    }
}

/// Behaviour of the attackers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Attack {
    /// Nothing wrong.
    Honest,
    /// Always scores 0.5, without running the evaluator.
    LazyConstant,
    /// Always scores the mean of all consensus scores so far, without running the evaluator.
    LazyPrior,
    /// Scores at random, without running the evaluator.
    LazyRandom,
    /// Copies the latest consensus on the same inference node: commitments hide the scores of this request, so
    /// that there is nothing newer to copy.
    Copycat,
    /// Scores 0.3 too much.
    Boosting,
    /// Scores 0.3 too little.
    Sabotage,
    /// Adds an error with a standard deviation of 0.3.
    Noise,
    /// Scores 0.3 too little in every second request.
    Intermittent,
    /// All attackers give the same false score, any number from 0 to 1.
    Collusion,
    /// Scores 0.95 for the answers of five bad inference nodes that pay for it, and is honest on all others.
    Bribed,
    /// Is honest in the first half of the game and colludes in the second.
    Sleeper,
    /// Scores 0.1 too much.
    MildBias,
    /// Commits to its work like one who is lazy (a quality validator: the mean of all consensus scores so far; an inference node: a cheap
    /// model's answer), waits for what the others reveal, and reveals only if its own is close to that, or no worse. If not, it tries to
    /// report a failure, which is refused, and stays silent.
    Folder,
    /// Lies like those who collude, but only where its friends have more than half of the weight of its committee; else it is
    /// honest.
    ConditionalLiar,
    /// Colludes until an audit slashes it; then takes its stake out and comes back as a fresh account with as much stake as at first.
    /// Income and losses of all its accounts are counted together.
    Whitewash,
    /// Owns all places of a full roster with the least stake each and reports a failure for every duty, so that others find no place. Played
    /// by itself.
    Squatter,
    /// An inference node that runs a far worse model than it says.
    CheapModel,
    /// An inference node that gives the same answer to everything.
    CannedAnswer,
    /// An inference node that commits to an answer and never reveals it.
    RefuseReveal,
    /// A requester that asks for a quality of 100%, which no answer has.
    FreeAnswers,
    /// A requester that owns three of the five quality validators of an evaluator, asks for all five and takes its own out of the draws
    /// before the committee is drawn.
    FreeCommittee,
    /// A requester that asks for far more than operators have room for, for what the estimate says, as honest requesters.
    Overload,
    /// A requester that asks for what nobody can answer: all inference nodes refuse.
    Unanswerable,
    /// A requester that owns operators. It knows that its own requests are no audits: where its quality validators have most of the weight of
    /// the committee, they say 1 of its own inference nodes and 0 of all others.
    SelfDealing,
    /// A requester that asks for far more than operators have room for, at the least budget; honest requesters pay what the estimate says.
    Busy,
    /// A requester that owns the weakest of several generators and wants it to lead the history's ranking. It asks for duels against each of
    /// the others, answers these questions with the best model that there is, and where its quality validators have most of the weight of the
    /// committee, they say 1 of its own generator and 0 of the other.
    Climber,
    /// The same, which also owns two of five operators of each other generator and has them answer its questions badly.
    ClimberWithShams,
}

/// Knowledge of an attacker when it commits to a score.
pub struct Sight {
    /// Its honest score.
    pub honest: f64,
    /// The mean of all consensus scores so far.
    pub prior: f64,
    /// The latest consensus on the same inference node.
    pub latest: f64,
    /// The score that colluders agreed on.
    pub plotted: f64,
    /// Whether the inference node pays for a good score.
    pub is_paid_for: bool,
    /// Whether the answer is that of a friend.
    pub is_friends: bool,
    /// Whether friends have more than half of the weight of the committee.
    pub is_majority: bool,
    /// Whether its own party has asked.
    pub is_own_request: bool,
    /// Whether the second half of the game has begun.
    pub is_late: bool,
}

const FAR: f64 = 0.3;
const NEAR: f64 = 0.1;
/// Least score of a bribed quality validator for an answer that was paid for.
const PAID_FOR: f64 = 0.95;
/// Skill of inference nodes that bribe.
const BRIBING: Skill = Skill { mean: 0.2, spread: 0.15 };

impl Attack {
    pub const OF_VALIDATORS: [Self; 15] = [
        Self::LazyConstant,
        Self::LazyPrior,
        Self::LazyRandom,
        Self::Copycat,
        Self::Boosting,
        Self::Sabotage,
        Self::Noise,
        Self::Intermittent,
        Self::Collusion,
        Self::ConditionalLiar,
        Self::Bribed,
        Self::Sleeper,
        Self::Whitewash,
        Self::MildBias,
        Self::Folder,
    ];
    pub const OF_NODES: [Self; 4] = [Self::CheapModel, Self::CannedAnswer, Self::RefuseReveal, Self::Folder];
    pub const OF_REQUESTERS: [Self; 6] = [
        Self::FreeAnswers,
        Self::FreeCommittee,
        Self::Overload,
        Self::Unanswerable,
        Self::SelfDealing,
        Self::Busy,
    ];
    pub const OF_CLIMBERS: [Self; 2] = [Self::Climber, Self::ClimberWithShams];
    pub const LAZY: [Self; 3] = [Self::LazyConstant, Self::LazyPrior, Self::LazyRandom];
    /// Attacks that are also played with unequal stakes.
    pub const OF_FEW: [Self; 8] = [
        Self::LazyConstant,
        Self::LazyPrior,
        Self::Boosting,
        Self::Sabotage,
        Self::Collusion,
        Self::ConditionalLiar,
        Self::Bribed,
        Self::MildBias,
    ];

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
            Self::Folder => "folder",
            Self::ConditionalLiar => "conditional-liar",
            Self::Whitewash => "whitewash",
            Self::Squatter => "squatter",
            Self::CheapModel => "cheap-model",
            Self::CannedAnswer => "canned-answer",
            Self::RefuseReveal => "refuse-reveal",
            Self::FreeAnswers => "free-answers",
            Self::FreeCommittee => "free-committee",
            Self::Overload => "overload",
            Self::Unanswerable => "unanswerable",
            Self::SelfDealing => "self-dealing",
            Self::Busy => "busy",
            Self::Climber => "climber",
            Self::ClimberWithShams => "climber-with-shams",
        }
    }

    /// Score of an attacking quality validator for an answer.
    pub fn score(self, sight: &Sight, is_second: bool, dice: &mut impl Rng) -> f64 {
        let honest = sight.honest;
        let score = match self {
            Self::LazyConstant => 0.5,
            Self::LazyPrior | Self::Folder => sight.prior,
            Self::LazyRandom => dice.random(),
            Self::Copycat => sight.latest,
            Self::Boosting => honest + FAR,
            Self::Sabotage => honest - FAR,
            Self::Noise => honest + FAR * normal(dice),
            Self::Intermittent if is_second => honest - FAR,
            Self::Collusion | Self::Whitewash => sight.plotted,
            Self::ConditionalLiar if sight.is_majority => sight.plotted,
            Self::SelfDealing | Self::Climber | Self::ClimberWithShams
                if sight.is_own_request && sight.is_majority =>
            {
                f64::from(u8::from(sight.is_friends))
            }
            Self::Bribed if sight.is_paid_for => PAID_FOR,
            Self::Sleeper if sight.is_late => sight.plotted,
            Self::MildBias => honest + NEAR,
            _ => honest,
        };
        clamped(score)
    }

    /// Skill of an attacking inference node; `None` if that of an honest one.
    pub fn skill(self) -> Option<Skill> {
        match self {
            Self::CheapModel | Self::Folder => Some(Skill { mean: 0.15, spread: 0.15 }),
            Self::CannedAnswer => Some(Skill { mean: 0.05, spread: 0.02 }),
            _ => None,
        }
    }

    /// Whether the attack does as well without attackers: whether its world is that of all others then.
    pub fn is_plain_without_attackers(self) -> bool {
        // Those who bribe are there whether somebody takes the bribe or not, and so are a requester's own operators.
        !matches!(self, Self::Bribed | Self::Squatter | Self::FreeCommittee | Self::SelfDealing)
            && !self.is_climbing()
    }

    /// Whether it is about the ranking of generators.
    pub fn is_climbing(self) -> bool {
        matches!(self, Self::Climber | Self::ClimberWithShams)
    }

    /// Skill of the inference node at `place` if it pays for good scores.
    pub fn bribing(self, place: usize) -> Option<Skill> {
        (self == Self::Bribed && place.is_multiple_of(4)).then_some(BRIBING)
    }
}
