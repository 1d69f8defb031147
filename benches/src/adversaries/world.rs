//! The world outside the chain: the true quality of answers, and the scores of honest quality validators.
//!
//! Every number is a function of the seed, the request and whose it is, so that two cells with one seed live through the
//! same world whatever happens in them.

use codec::Encode;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sp_io::hashing::blake2_256;

/// The quality of the worst and the best inference node; the others stand between them at equal steps.
const QUALITY: (f64, f64) = (0.35, 0.9);
/// Standard deviation of the quality of one inference node's answers.
const ANSWER_SPREAD: f64 = 0.15;
/// The error of the evaluator, common to all who run it.
const COMMON_ERROR: f64 = 0.05;
/// Error of each honest quality validator: another machine, another rounding.
const OWN_ERROR: f64 = 0.03;
/// Scores of the evaluator for a right and for a wrong answer to an audit.
const AUDIT_SEEN: (f64, f64) = (0.9, 0.1);
/// Standard deviation of these scores.
const AUDIT_SPREAD: f64 = 0.05;
/// Scores that right and wrong answers deserve by the answer key.
const AUDIT_TRUTH: (f64, f64) = (0.9, 0.1);

/// Purpose of a random number.
#[derive(Encode)]
enum Purpose {
    Request,
    Answer(u64),
    View(u64),
    Attack(u64),
    Plot,
}

/// Skill of an inference node.
#[derive(Clone, Copy, Debug)]
pub struct Skill {
    /// Mean quality of its answers; in an audit, the chance that one is right.
    pub mean: f64,
    /// Standard deviation of the quality.
    pub spread: f64,
}

impl Skill {
    /// The skill of the honest inference node at `place` of `count`.
    pub fn honest(place: usize, count: usize) -> Self {
        let step = place as f64 / count.saturating_sub(1).max(1) as f64;
        Self { mean: QUALITY.0 + (QUALITY.1 - QUALITY.0) * step, spread: ANSWER_SPREAD }
    }
}

/// An answer, as only this program can know it.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    /// True quality.
    pub truth: f64,
    /// Score of the evaluator without a validator's own error.
    pub seen: f64,
    /// Whether it gives the answer that an audit asks for.
    pub is_right: bool,
}

/// Facts that all random numbers depend on.
#[derive(Clone, Copy, Debug)]
pub struct World {
    pub seed: u64,
    /// The part of requests that are known-answer audits.
    pub audits: f64,
}

impl World {
    fn numbers(&self, request: u64, purpose: Purpose) -> ChaCha8Rng {
        ChaCha8Rng::from_seed((self.seed, request, purpose).using_encoded(blake2_256))
    }

    /// The 32 bytes that a request carries, and whether it is an audit.
    pub fn request(&self, request: u64) -> ([u8; 32], bool) {
        let mut numbers = self.numbers(request, Purpose::Request);
        (numbers.random(), numbers.random::<f64>() < self.audits)
    }

    /// Answer of the inference node at `place`.
    pub fn answer(&self, request: u64, place: usize, skill: Skill, is_audit: bool) -> Answer {
        let mut numbers = self.numbers(request, Purpose::Answer(place as u64));
        let (own, common) = (normal(&mut numbers), normal(&mut numbers));
        let is_right = numbers.random::<f64>() < skill.mean;
        if is_audit {
            let pick = |(right, wrong): (f64, f64)| if is_right { right } else { wrong };
            let seen = clamped(pick(AUDIT_SEEN) + own * AUDIT_SPREAD) + common * COMMON_ERROR;
            Answer { truth: pick(AUDIT_TRUTH), seen, is_right }
        } else {
            let truth = clamped(skill.mean + own * skill.spread);
            Answer { truth, seen: truth + common * COMMON_ERROR, is_right }
        }
    }

    /// The scores that the quality validator at `place` would give if it were honest.
    pub fn honest_scores(&self, request: u64, place: usize, answers: &[Answer]) -> Vec<f64> {
        let mut numbers = self.numbers(request, Purpose::View(place as u64));
        answers.iter().map(|answer| clamped(answer.seen + normal(&mut numbers) * OWN_ERROR)).collect()
    }

    /// Random numbers of the attacker at `place`.
    pub fn dice(&self, request: u64, place: usize) -> ChaCha8Rng {
        self.numbers(request, Purpose::Attack(place as u64))
    }

    /// The lies that colluders agreed on, one for each answer.
    pub fn plot(&self, request: u64, answers: usize) -> Vec<f64> {
        let mut numbers = self.numbers(request, Purpose::Plot);
        (0..answers).map(|_| numbers.random()).collect()
    }
}

/// `value`, limited to 0 to 1.
pub fn clamped(value: f64) -> f64 {
    value.clamp(0.0, 1.0)
}

/// A number from the standard normal distribution (Box and Muller).
pub fn normal(numbers: &mut impl Rng) -> f64 {
    let radius = (-2.0 * (1.0 - numbers.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * numbers.random::<f64>()).cos()
}
