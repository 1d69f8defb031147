//! The simulator's properties, over many seeds. `POQ_SEED=n` runs one seed and prints its events; `POQ_SEEDS=n` runs the first n.

use core::time::Duration;
use poq_express::simulator::{delays, run, run_sr25519, Fault, Plan, Report};

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

fn all(seeds: impl Iterator<Item = u64>) -> Report {
    let mut sum = Report::default();
    let mut broken = Vec::new();
    for seed in seeds {
        match run(&Plan::of(seed)) {
            Ok(report) => sum.add(&report),
            Err(property) => broken.push(property.to_string()),
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    sum
}

#[test]
fn no_seed_breaks_a_property() {
    if let Some(seed) = number("POQ_SEED") {
        let plan = Plan { is_verbose: true, ..Plan::of(seed) };
        println!("{plan:#?}");
        println!("{:?}", run(&plan).unwrap());
        return;
    }
    let sum = all(0..number("POQ_SEEDS").unwrap_or(300));
    println!("{:?}", Report { delays: vec![], ..sum.clone() });
    // The runs are about something: both ends of orders, deaths and proofs occur.
    assert!(sum.settled > 100 && sum.escalated > 30 && sum.restarts > 100 && sum.punished > 5, "{sum:?}");
}

#[test]
#[ignore = "minutes; the bar of the issue is 10,000 seeds"]
fn ten_thousand_seeds_break_no_property() {
    let sum = all(0..10_000);
    println!("{:?}", Report { delays: vec![], ..sum });
}

#[test]
fn a_seed_is_the_same_run_again() {
    for seed in 0..20 {
        assert_eq!(run(&Plan::of(seed)), run(&Plan::of(seed)));
    }
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[test]
fn real_keys_make_no_difference() {
    for seed in 0..3 {
        let plan = Plan { orders: 1, ..Plan::of(seed) };
        let (toy, real) = (run(&plan).unwrap(), run_sr25519(&plan).unwrap());
        assert!(toy.settled + toy.escalated <= 1 && real.settled + real.escalated <= 1);
    }
    let plan = Plan::honest(1, 3, 7, millis(20));
    let real = run_sr25519(&plan).unwrap();
    assert_eq!((real.settled, real.escalated, real.punished), (1, 0, 0));
}

#[test]
fn an_order_survives_the_death_of_any_party_at_any_step() {
    let plan = Plan::honest(7, 2, 3, millis(20));
    let mut deaths = 0;
    for party in 0..=plan.operators {
        for action in 1..80 {
            let plan = Plan { crash_at: Some((party, action)), ..plan.clone() };
            let report =
                run(&plan).unwrap_or_else(|broken| panic!("party {party}, action {action}: {broken}"));
            assert_eq!(report.settled + report.escalated, 1, "party {party}, action {action}");
            if report.restarts == 0 {
                break;
            }
            deaths += 1;
        }
    }
    assert!(deaths > 100, "{deaths}");
}

#[test]
fn every_fault_alone_breaks_nothing() {
    use Fault::*;
    let of_requester =
        [TwoOrders, DifferentAnswers, DifferentAsks, SecondCommittee, Racer, Garbage, BadSignature];
    let of_operators = [
        WrongOutput,
        FalseVrf,
        TwoAnswers,
        TwoCommits,
        TwoReveals,
        Copy,
        WrongCount,
        Late,
        Early,
        Racer,
        Garbage,
        BadSignature,
    ];
    let silent =
        poq_express::simulator::Kind::ALL.into_iter().flat_map(|kind| [Silent(kind), SilentFrom(kind)]);
    let silent: Vec<_> = silent.collect();
    for seed in 0..2 {
        let honest = Plan { jitter: millis(5), ..Plan::honest(seed, 2, 7, millis(20)) };
        for fault in of_requester.iter().chain(&silent) {
            let plan = Plan { requester: Some(*fault), ..honest.clone() };
            run(&plan).unwrap_or_else(|broken| panic!("requester {fault:?}: {broken}"));
        }
        for fault in of_operators.iter().chain(&silent) {
            for bad in 0..honest.operators {
                let mut plan = honest.clone();
                plan.faults[bad] = Some(*fault);
                let report = run(&plan).unwrap_or_else(|broken| panic!("{bad} {fault:?}: {broken}"));
                assert_eq!(report.settled + report.escalated, 1);
            }
        }
    }
}

/// Who equivocates towards others is proven to have.
#[test]
fn equivocation_is_proven() {
    for fault in [Fault::TwoAnswers, Fault::TwoCommits, Fault::TwoReveals] {
        let proven = (0..20u64).map(|seed| {
            let mut plan = Plan::honest(seed, 2, 7, millis(20));
            // Everybody else is honest; some of these are drawn.
            for bad in plan.faults.iter_mut().step_by(6) {
                *bad = Some(fault);
            }
            run(&plan).unwrap().punished
        });
        assert!(proven.sum::<u32>() > 0, "{fault:?}");
    }
    let plan = Plan { requester: Some(Fault::TwoOrders), ..Plan::honest(1, 2, 7, millis(20)) };
    assert_eq!(run(&plan).unwrap().punished, 1);
}

#[test]
fn a_certificate_takes_one_round_trip_from_the_last_score() {
    for (round_trip, most) in [(0, 0), (10, 10), (40, 40)] {
        let (p50, p99) = delays(7, millis(round_trip), 100).unwrap();
        println!("round trip {round_trip} ms: p50 {p50:?}, p99 {p99:?}");
        // Virtual time: commit and reveal are one way each. Where scores are far apart, there is the wait for the last and a proposal.
        assert!(p50 <= millis(most) && p99 <= millis(2 * most + 30), "{p50:?} {p99:?}");
    }
}
