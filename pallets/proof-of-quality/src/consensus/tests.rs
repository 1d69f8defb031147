//! Properties of every rule, written once; then those of single rules.

use super::*;
use alloc::{vec, vec::Vec};
use proptest::prelude::*;

fn millionths(parts: u32) -> Permill {
    Permill::from_parts(parts)
}

/// All of the range, and a few values that meet again and again.
fn score() -> impl Strategy<Value = Permill> {
    prop_oneof![0u32..=1_000_000, (0u32..=4).prop_map(|quarters| quarters * 250_000)].prop_map(millionths)
}

/// At times none, few, or all there can be.
fn weight() -> impl Strategy<Value = u64> {
    prop_oneof![2 => Just(0), 6 => 1u64..=1_000_000, 1 => 1u64..=3, 1 => Just(u64::MAX)]
}

fn scores() -> impl Strategy<Value = Vec<Weighted>> {
    prop::collection::vec((score(), weight()), 0..40)
}

fn some_scores() -> impl Strategy<Value = Vec<Weighted>> {
    prop::collection::vec((score(), weight()), 1..40)
}

fn shuffled() -> impl Strategy<Value = (Vec<Weighted>, Vec<Weighted>)> {
    scores().prop_flat_map(|scores| (Just(scores.clone()), Just(scores).prop_shuffle()))
}

/// Scores around the middle, so that a liar has room on either side. All have a voice.
fn honest() -> impl Strategy<Value = Vec<Weighted>> {
    prop::collection::vec(((400_000u32..=600_000).prop_map(millionths), 1u64..=1_000_000), 1..40)
}

/// Liars who mostly pull one way, and enough of them to outnumber the honest.
fn liars() -> impl Strategy<Value = Vec<Weighted>> {
    let side = |lies: std::ops::RangeInclusive<u32>| {
        prop::collection::vec((lies.prop_map(millionths), 1u64..=1_000_000), 40)
    };
    prop_oneof![side(0..=0), side(1_000_000..=1_000_000), side(0..=1_000_000)]
}

fn voiced(scores: &[Weighted]) -> Vec<Permill> {
    scores.iter().filter(|(_, weight)| *weight > 0).map(|(score, _)| *score).collect()
}

fn weight_of(scores: &[Weighted]) -> u128 {
    scores.iter().map(|(_, weight)| u128::from(*weight)).sum()
}

fn plain_mean(scores: &[Permill]) -> Option<Permill> {
    let sum: u128 = scores.iter().map(|score| u128::from(score.deconstruct())).sum();
    (!scores.is_empty()).then(|| millionths((sum / scores.len() as u128) as u32))
}

/// A rule and what is claimed of it.
trait Claimed: Aggregation {
    /// The rule by its definition, as slow and plain as can be.
    fn by_definition(scores: &[Weighted]) -> Option<Permill>;

    /// Whether the rule claims to hold with these liars among these honest.
    fn holds(honest: &[Weighted], liars: &[Weighted]) -> bool;
}

impl Claimed for Mean {
    fn by_definition(scores: &[Weighted]) -> Option<Permill> {
        plain_mean(&voiced(scores))
    }

    fn holds(_: &[Weighted], liars: &[Weighted]) -> bool {
        voiced(liars).is_empty()
    }
}

impl Claimed for Median {
    fn by_definition(scores: &[Weighted]) -> Option<Permill> {
        let voiced = voiced(scores);
        let upto = |score: &Permill| voiced.iter().filter(|other| *other <= score).count();
        voiced.iter().copied().filter(|score| 2 * upto(score) >= voiced.len()).min()
    }

    fn holds(honest: &[Weighted], liars: &[Weighted]) -> bool {
        voiced(liars).len() < voiced(honest).len()
    }
}

impl<const PERCENT: u32> Claimed for TrimmedMean<PERCENT> {
    fn by_definition(scores: &[Weighted]) -> Option<Permill> {
        let mut left = voiced(scores);
        let count = left.len();
        let mut dropped = 0;
        while dropped * 100 < count * PERCENT as usize && left.len() > 2 {
            for extreme in [left.iter().min().copied()?, left.iter().max().copied()?] {
                let place = left.iter().position(|score| *score == extreme)?;
                left.remove(place);
            }
            dropped += 1;
        }
        plain_mean(&left)
    }

    fn holds(honest: &[Weighted], liars: &[Weighted]) -> bool {
        let (honest, liars) = (voiced(honest).len(), voiced(liars).len());
        let heads = honest + liars;
        // Less than a whole head more than `PERCENT` %, and fewer than the honest.
        liars * 100 < heads * PERCENT as usize + 100 && liars < honest
    }
}

impl Claimed for WeightedMedian {
    fn by_definition(scores: &[Weighted]) -> Option<Permill> {
        let upto = |score: &Permill| {
            weight_of(&scores.iter().filter(|(other, _)| other <= score).copied().collect::<Vec<_>>())
        };
        voiced(scores).into_iter().filter(|score| 2 * upto(score) >= weight_of(scores)).min()
    }

    fn holds(honest: &[Weighted], liars: &[Weighted]) -> bool {
        weight_of(liars) < weight_of(honest)
    }
}

/// Of `liars` as many, and the last of them as heavy, as the rule claims to hold against.
fn worst_borne<R: Claimed>(honest: &[Weighted], liars: &[Weighted]) -> Vec<Weighted> {
    let mut borne: Vec<Weighted> = vec![];
    for liar in liars {
        borne.push(*liar);
        if !R::holds(honest, &borne) {
            borne.pop();
        }
    }
    if let Some(last) = borne.len().checked_sub(1) {
        borne[last].1 = 0;
        for bit in (0..u64::BITS).rev() {
            borne[last].1 |= 1 << bit;
            if !R::holds(honest, &borne) {
                borne[last].1 ^= 1 << bit;
            }
        }
    }
    borne
}

/// The fewest liars, all of weight 1 and all with this lie, that the rule does not claim to hold against.
fn fewest_not_borne<R: Claimed>(honest: &[Weighted], lie: Permill) -> Vec<Weighted> {
    let mut liars = vec![];
    while R::holds(honest, &liars) {
        liars.push((lie, 1));
    }
    liars
}

macro_rules! every_rule_promises {
    ($($name:ident: $rule:ty = $called:literal;)*) => { $(mod $name {
        use super::*;

        type Rule = $rule;

        #[test]
        fn its_name() {
            assert_eq!(Rule::NAME, $called);
        }

        #[test]
        fn no_consensus_without_a_voice() {
            let (score, other) = (millionths(300_000), millionths(700_000));
            assert_eq!(Rule::consensus(&[]), None);
            assert_eq!(Rule::leave_one_out(&[]), vec![]);
            assert_eq!(Rule::consensus(&[(score, 0), (other, 0)]), None);
            assert_eq!(Rule::leave_one_out(&[(score, 0), (other, 0)]), vec![None, None]);
            assert_eq!(Rule::consensus(&[(score, 5)]), Some(score));
            assert_eq!(Rule::leave_one_out(&[(score, 5)]), vec![None]);
            assert_eq!(Rule::leave_one_out(&[(score, 5), (other, 0)]), vec![None, Some(score)]);
            assert_eq!(Rule::leave_one_out(&[(score, 5), (other, 1)]), vec![Some(other), Some(score)]);
        }

        #[test]
        fn many_and_heavy_do_not_overflow_it() {
            let scores = vec![(Permill::one(), u64::MAX); 10_000];
            assert_eq!(Rule::consensus(&scores), Some(Permill::one()));
            assert_eq!(Rule::leave_one_out(&scores), vec![Some(Permill::one()); 10_000]);
        }

        /// The stated fraction is not only borne, it is also all: one liar more moves the consensus of the honest. (From
        /// below, where a lower median is weakest.)
        #[test]
        fn breaks_just_beyond_what_it_claims_to_bear() {
            for count in 1..=40 {
                let honest = vec![(Permill::from_percent(50), 1); count];
                let liars = fewest_not_borne::<Rule>(&honest, Permill::zero());
                let consensus = Rule::consensus(&[honest, liars].concat()).unwrap();
                assert!(consensus < Permill::from_percent(50), "{count}: {consensus:?}");
            }
        }

        proptest! {
            #[test]
            fn is_what_its_definition_says(scores in scores()) {
                prop_assert_eq!(Rule::consensus(&scores), Rule::by_definition(&scores));
            }

            #[test]
            fn does_not_depend_on_the_order((scores, shuffled) in shuffled()) {
                prop_assert_eq!(Rule::consensus(&scores), Rule::consensus(&shuffled));
            }

            #[test]
            fn lies_between_the_scores(scores in scores()) {
                let voiced = voiced(&scores);
                let consensus = Rule::consensus(&scores);
                prop_assert!(voiced.iter().min().copied() <= consensus, "{:?}", consensus);
                prop_assert!(consensus <= voiced.iter().max().copied(), "{:?}", consensus);
            }

            #[test]
            fn rises_with_its_inputs(scores in some_scores(), which in any::<prop::sample::Index>(), to in score()) {
                let mut raised = scores.clone();
                let entry = &mut raised[which.index(scores.len())].0;
                *entry = to.max(*entry);
                prop_assert!(Rule::consensus(&raised) >= Rule::consensus(&scores));
            }

            #[test]
            fn is_deaf_to_who_has_no_voice(
                scores in scores(),
                mute in score(),
                at in any::<prop::sample::Index>(),
            ) {
                let mut with = scores.clone();
                let at = at.index(scores.len() + 1);
                with.insert(at, (mute, 0));
                prop_assert_eq!(Rule::consensus(&with), Rule::consensus(&scores));
                let mut others = Rule::leave_one_out(&with);
                prop_assert_eq!(others.remove(at), Rule::consensus(&scores));
                prop_assert_eq!(others, Rule::leave_one_out(&scores));
            }

            #[test]
            fn leave_one_out_is_the_consensus_of_the_others(scores in scores()) {
                let fast = Rule::leave_one_out(&scores);
                prop_assert_eq!(fast.len(), scores.len());
                for (index, result) in fast.into_iter().enumerate() {
                    let mut others = scores.clone();
                    others.remove(index);
                    prop_assert_eq!(result, Rule::consensus(&others));
                }
            }

            #[test]
            fn holds_against_as_many_as_it_claims(honest in honest(), liars in liars()) {
                let liars = worst_borne::<Rule>(&honest, &liars);
                let consensus = Rule::consensus(&[honest.clone(), liars].concat()).unwrap();
                let honest = voiced(&honest);
                prop_assert!(*honest.iter().min().unwrap() <= consensus, "{:?}", consensus);
                prop_assert!(consensus <= *honest.iter().max().unwrap(), "{:?}", consensus);
            }
        }
    })* };
}

every_rule_promises! {
    mean: Mean = "mean";
    median: Median = "median";
    trimmed_mean_of_all: TrimmedMean<0> = "trimmed-mean";
    trimmed_mean_of_most: TrimmedMean<20> = "trimmed-mean";
    trimmed_mean_of_the_middle: TrimmedMean<49> = "trimmed-mean";
    weighted_median: WeightedMedian = "weighted-median";
}

/// The default way of the trait: slow, but what every fast one must say.
struct Slow;

impl Aggregation for Slow {
    const NAME: &'static str = "slow";

    fn consensus(scores: &[Weighted]) -> Option<Permill> {
        WeightedMedian::consensus(scores)
    }
}

proptest! {
    #[test]
    fn the_default_leave_one_out_says_the_same(scores in scores()) {
        prop_assert_eq!(Slow::leave_one_out(&scores), WeightedMedian::leave_one_out(&scores));
    }

    #[test]
    fn a_lower_median_is_a_median_where_all_have_a_voice(values in prop::collection::vec(score(), 0..40)) {
        let heads: Vec<Weighted> = values.iter().map(|value| (*value, 1)).collect();
        prop_assert_eq!(lower_median(values), Median::by_definition(&heads));
    }

    #[test]
    fn a_trimmed_mean_that_trims_nothing_is_a_mean(scores in scores()) {
        prop_assert_eq!(TrimmedMean::<0>::consensus(&scores), Mean::consensus(&scores));
    }

    #[test]
    fn among_equals_weight_makes_no_difference(scores in scores(), weight in 1..=u64::MAX) {
        let equals: Vec<Weighted> = voiced(&scores).into_iter().map(|score| (score, weight)).collect();
        prop_assert_eq!(WeightedMedian::consensus(&equals), Median::consensus(&scores));
    }

    #[test]
    fn agreement_falls_with_distance(score in score(), a in score(), b in score()) {
        let closeness = |other: Permill| agreement(&[score], &[Some(other)], Permill::from_percent(25));
        let distance = |other: Permill| deviation(&[score], &[Some(other)]);
        if distance(a) <= distance(b) {
            prop_assert!(closeness(a) >= closeness(b));
        }
    }

    #[test]
    fn deviation_is_the_mean_distance_where_there_are_others(
        pairs in prop::collection::vec((score(), prop::option::of(score())), 0..20),
    ) {
        let (scores, others): (Vec<_>, Vec<_>) = pairs.iter().copied().unzip();
        let distances: Vec<Permill> = pairs
            .iter()
            .filter_map(|(score, other)| other.map(|other| (*score).max(other) - (*score).min(other)))
            .collect();
        prop_assert_eq!(deviation(&scores, &others), plain_mean(&distances).unwrap_or(Permill::zero()));
    }
}

/// Scores in millionths with a weight of 1 each.
fn heads(scores: &[u32]) -> Vec<Weighted> {
    scores.iter().map(|score| (millionths(*score), 1)).collect()
}

#[test]
fn one_liar_moves_a_mean_and_no_other_rule() {
    let honest = heads(&[500_000; 9]);
    for lie in [Permill::zero(), Permill::one()] {
        let all = [honest.clone(), vec![(lie, 1)]].concat();
        let mean = Mean::consensus(&all).unwrap();
        assert_eq!(mean, if lie.is_zero() { millionths(450_000) } else { millionths(550_000) });
        for rule in [Median::consensus, TrimmedMean::<10>::consensus, WeightedMedian::consensus] {
            assert_eq!(rule(&all), Some(millionths(500_000)));
        }
    }
}

#[test]
fn only_the_weighted_median_weighs() {
    let scores = [(millionths(100_000), 1), (millionths(200_000), 1), (millionths(900_000), 3)];
    assert_eq!(WeightedMedian::consensus(&scores), Some(millionths(900_000)));
    assert_eq!(Median::consensus(&scores), Some(millionths(200_000)));
    assert_eq!(TrimmedMean::<40>::consensus(&scores), Some(millionths(200_000)));
    assert_eq!(Mean::consensus(&scores), Some(millionths(400_000)));
}

#[test]
fn of_an_even_number_the_lower_one_is_the_median() {
    assert_eq!(Median::consensus(&heads(&[4, 1, 3, 2])), Some(millionths(2)));
    assert_eq!(WeightedMedian::consensus(&heads(&[4, 1, 3, 2])), Some(millionths(2)));
    assert_eq!(lower_median(vec![]), None);
}

#[test]
fn means_are_rounded_down() {
    assert_eq!(Mean::consensus(&heads(&[1, 1, 0])), Some(millionths(0)));
    assert_eq!(Mean::leave_one_out(&heads(&[1, 1, 1, 0]))[0], Some(millionths(0)));
    assert_eq!(TrimmedMean::<20>::consensus(&heads(&[9, 2, 2, 1, 0])), Some(millionths(1)));
}

#[test]
fn what_is_trimmed_is_whole_heads_of_those_with_a_voice() {
    // 20 % of two is nobody, because one from either end would leave nobody; of three to five it is one, of six it is two.
    assert_eq!(TrimmedMean::<20>::consensus(&heads(&[0, 90])), Some(millionths(45)));
    assert_eq!(TrimmedMean::<20>::consensus(&heads(&[0, 10, 90])), Some(millionths(10)));
    assert_eq!(TrimmedMean::<20>::consensus(&heads(&[0, 10, 20, 90])), Some(millionths(15)));
    assert_eq!(TrimmedMean::<20>::consensus(&heads(&[0, 10, 20, 30, 90])), Some(millionths(20)));
    assert_eq!(TrimmedMean::<20>::consensus(&heads(&[0, 10, 20, 40, 50, 90])), Some(millionths(30)));
    let mute = [heads(&[0, 10, 20, 30, 90]), vec![(millionths(90), 0)]].concat();
    assert_eq!(TrimmedMean::<20>::consensus(&mute), Some(millionths(20)));
}

#[test]
fn one_liar_of_a_committee_of_five_does_not_move_what_the_others_are_measured_against() {
    let scores = heads(&[0, 500_000, 500_000, 500_000, 500_000]);
    let others = TrimmedMean::<20>::leave_one_out(&scores);
    assert_eq!(others, vec![Some(millionths(500_000)); 5]);
}

#[test]
fn a_trimmed_mean_bears_its_percentage_from_the_stated_count_on() {
    fn bears<const PERCENT: u32>() {
        let percent = PERCENT as usize;
        let bears = |count: usize| TrimmedMean::<PERCENT>::dropped(count) * 100 >= count * percent;
        let from = 100usize.div_ceil(50 - percent);
        assert!((from..10 * from + 100).all(bears), "{PERCENT}");
        // And not before: the last even count below does not.
        let before = (from - 1) / 2 * 2;
        assert!(before == 0 || percent == 0 || !bears(before), "{PERCENT}");
        assert_eq!(TrimmedMean::<PERCENT>::dropped(0), 0);
        for count in 1..200 {
            assert!(2 * TrimmedMean::<PERCENT>::dropped(count) < count, "nothing is left");
        }
    }
    bears::<0>();
    bears::<1>();
    bears::<10>();
    bears::<20>();
    bears::<25>();
    bears::<33>();
    bears::<49>();
}

#[test]
fn the_greatest_weights_do_not_overflow_a_weighted_median() {
    let scores = [(Permill::one(), u64::MAX), (Permill::zero(), u64::MAX), (Permill::one(), u64::MAX)];
    assert_eq!(WeightedMedian::consensus(&scores), Some(Permill::one()));
}

#[test]
fn agreement_at_its_edges() {
    let tolerance = Permill::from_percent(25);
    let agree = |score: u32, other: u32| {
        agreement(&[Permill::from_percent(score)], &[Some(Permill::from_percent(other))], tolerance)
    };
    assert_eq!(agree(50, 50), Permill::one());
    assert_eq!(agree(50, 75), Permill::zero());
    assert_eq!(agree(60, 50), Permill::from_percent(60));
    assert_eq!(agreement(&[Permill::one()], &[None], tolerance), Permill::one());
    assert_eq!(agreement(&[], &[], tolerance), Permill::zero());
}

#[test]
fn deviation_at_its_edges() {
    let (zero, one) = (Permill::zero(), Permill::one());
    assert_eq!(deviation(&[], &[]), zero);
    assert_eq!(deviation(&[one], &[None]), zero);
    assert_eq!(deviation(&[one, one], &[None, Some(zero)]), one);
    assert_eq!(deviation(&[one, zero], &[Some(zero), Some(zero)]), Permill::from_percent(50));
}

#[test]
fn an_error_is_the_worst_of_all_and_honest_scores_do_not_dilute_it() {
    let (zero, half, one) = (Permill::zero(), Permill::from_percent(50), Permill::one());
    assert_eq!(worst_error(&[], &[]), zero);
    assert_eq!(worst_error(&[half, half], &[half, half]), zero);
    assert_eq!(worst_error(&[half, one, half], &[half, half, half]), half);
    assert_eq!(worst_error(&[zero, one], &[one, half]), one);
}
