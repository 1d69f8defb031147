//! Standing: what the chain remembers of how well an operator worked, and what weight that gives it. (Construction: ours.)
//!
//! Agreement, veracity and reliability are moving averages that fall fast and rise slowly, and begin at the floor below which they
//! do not count: a good name takes long to make and little to lose, and a new account is worth no more than one with the worst name.
//! Quality is an even average, because a weak model is no fault.
//!
//! The trust update that was published (arXiv 2601.21189) is not used: it compares a score with a consensus that contains
//! it, and its weight climbs to the maximum for everybody who is on average less than half of the range away, which is
//! everybody but the crudest saboteur. `tests/standing.rs` shows both rules on the same scores.

use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use core::ops::Mul;
use scale_info::TypeInfo;
use sp_runtime::Permill;

/// The chain's record of an operator's work: moving averages, each 0 to 1.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Standing {
    /// As a quality validator: average closeness of its scores to the consensus of the others. A duty that was not done
    /// counts as none.
    pub agreement: Permill,
    /// As a quality validator: average closeness of its scores to the truth, where audits showed it.
    pub veracity: Permill,
    /// As an inference node: average part of its duties that it did.
    pub reliability: Permill,
    /// As an inference node: average consensus score of its responses.
    pub quality: Permill,
}

/// Result of a duty, as far as standing is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Experience {
    /// An inference node showed an output, which was worth this much, if it came to that.
    Answered(Option<Permill>),
    /// An inference node did not.
    NotAnswered,
    /// A quality validator revealed its scores, which were this close to the others', if it came to that.
    Scored(Option<Permill>),
    /// A quality validator did not.
    NotScored,
    /// It refused, as most others did: evidence about the request, not about the operator.
    Refused,
}

/// Speed at which quality and spread follow observations: a sixteenth of the way each time.
const PACE: Permill = Permill::from_parts(62_500);

impl Standing {
    /// All four parts.
    pub(crate) fn parts(&self) -> [Permill; 4] {
        [self.agreement, self.veracity, self.reliability, self.quality]
    }

    /// Trust in a quality validator: agreement times veracity squared, each at least what it is in `floor`.
    ///
    /// Truth counts twice, because a majority can make up agreement but no truth.
    pub fn trust(&self, floor: &Standing) -> Permill {
        let veracity = self.veracity.max(floor.veracity);
        self.agreement.max(floor.agreement).mul(veracity.mul(veracity))
    }

    /// Expectation of an inference node's work: reliability times quality, each at least its value in `floor`.
    pub fn promise(&self, floor: &Standing) -> Permill {
        self.reliability.max(floor.reliability).mul(self.quality.max(floor.quality))
    }

    /// Takes in what came of a duty: agreement and reliability go up by the part `rise` of the way, and down by the part `fall`.
    pub fn learn(&mut self, experience: Experience, rise: Permill, fall: Permill) {
        let learn = |average: &mut Permill, value: Permill| *average = moved(*average, value, rise, fall);
        match experience {
            Experience::Answered(quality) => {
                learn(&mut self.reliability, Permill::one());
                if let Some(quality) = quality {
                    self.learn_quality(quality);
                }
            }
            Experience::NotAnswered => learn(&mut self.reliability, Permill::zero()),
            Experience::Scored(Some(agreement)) => learn(&mut self.agreement, agreement),
            Experience::Scored(None) => {}
            Experience::NotScored => learn(&mut self.agreement, Permill::zero()),
            Experience::Refused => {}
        }
    }

    /// Takes in what a response was worth.
    pub fn learn_quality(&mut self, quality: Permill) {
        self.quality = followed(self.quality, quality);
    }

    /// Takes in how close scores were to the truth: veracity goes up by the part `rise` of the way, and down by the part `fall`.
    pub fn learn_truth(&mut self, closeness: Permill, rise: Permill, fall: Permill) {
        self.veracity = moved(self.veracity, closeness, rise, fall);
    }
}

/// A moving average that goes up and down at the same pace.
pub(crate) fn followed(average: Permill, value: Permill) -> Permill {
    moved(average, value, PACE, PACE)
}

/// A moving average after one more `value`.
fn moved(average: Permill, value: Permill, rise: Permill, fall: Permill) -> Permill {
    let (from, to) = (average.deconstruct(), value.deconstruct());
    let parts = if to >= from {
        from.saturating_add(rise.mul_floor(to.saturating_sub(from)))
    } else {
        // Rounded up, so that the last bit goes too.
        from.saturating_sub(fall.mul_ceil(from.saturating_sub(to)))
    };
    Permill::from_parts(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn averages_fall_fast_and_rise_slowly_and_reach_both_ends() {
        let (rise, fall) = (Permill::from_percent(5), Permill::from_percent(25));
        let half = Permill::from_percent(50);
        assert_eq!(moved(half, Permill::one(), rise, fall), Permill::from_parts(525_000));
        assert_eq!(moved(half, Permill::zero(), rise, fall), Permill::from_parts(375_000));
        assert_eq!(moved(half, half, rise, fall), half);
        let mut low = Permill::from_parts(3);
        for _ in 0..3 {
            low = moved(low, Permill::zero(), rise, fall);
        }
        assert_eq!(low, Permill::zero());
    }
}
