//! `poq-bench consensus`: every rule, alone and with all its leave-one-out results, by number of scores, natively and in
//! Wasm; and the consensus of a settlement, beside an epoch of Bittensor's Yuma.
//!
//! `scripts/bench.sh` compiles the Wasm and calls this. Results go into `benches/results.json`.

mod timing;
mod wasm;

use anyhow::ensure;
use poq_bench_consensus::{Case, Rule, Task};
use poq_benches::{
    report::{Figure, Report},
    samples::median,
};
use std::path::PathBuf;
use timing::{in_turns, time, Rounds};
use wasm::Module;

/// Options of `poq-bench consensus`.
#[derive(clap::Args)]
pub struct Args {
    /// The Wasm of poq-bench-consensus, as scripts/bench.sh makes it
    #[arg(long, value_name = "FILE")]
    wasm: PathBuf,

    /// Turns of each measurement
    #[arg(long, default_value_t = 15)]
    turns: usize,

    /// File for the results
    #[arg(long, value_name = "FILE", default_value = "benches/results.json")]
    out: PathBuf,
}

/// Numbers of scores, or of quality validators.
const SIZES: [usize; 4] = [10, 100, 1_000, 10_000];

/// Numbers of answers that are settled, and of servers in Yuma's subnet.
const ANSWERS: [usize; 2] = [1, 16];

/// The number of scores with a target, and the target natively and in Wasm, in microseconds.
const TARGET: (usize, f64, f64) = (1_000, 100.0, 1_000.0);

/// Measures, prints a table and writes the results.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let module = Module::read(&args.wasm)?;
    let mut report = Report::default();
    for rule in Rule::ALL {
        for (what, task) in [("consensus", Task::Consensus(rule)), ("leave-one-out", Task::LeaveOneOut(rule))]
        {
            for size in SIZES {
                one_rule(
                    &format!("{}, {what}, {size} scores", rule.name()),
                    task,
                    size,
                    &module,
                    args,
                    &mut report,
                )?;
            }
        }
    }
    a_whole_call(&module, args, &mut report)?;
    for answers in ANSWERS {
        for size in SIZES {
            beside_yuma(size, answers, &module, args, &mut report)?;
        }
    }
    report.print();
    report.write(&args.out)
}

/// A rule natively and in Wasm.
fn one_rule(
    name: &str,
    task: Task,
    size: usize,
    module: &Module,
    args: &Args,
    report: &mut Report,
) -> anyhow::Result<()> {
    let case = Case::new(size, 1);
    let times = in_turns(name, &mut both_ways(task, &case, module)?, args.turns)?;
    let [native, wasm] = times.as_slice() else { return Ok(()) };
    let (mut ours, mut in_wasm) = (
        Figure::of(format!("consensus/{name}, native"), native, "µs"),
        Figure::of(format!("consensus/{name}, Wasm"), wasm, "µs")
            .against("native", median(native) / median(wasm)),
    );
    if matches!(task, Task::Consensus(_)) && size == TARGET.0 {
        (ours, in_wasm) = (ours.at_most(TARGET.1), in_wasm.at_most(TARGET.2));
    }
    report.add(ours);
    report.add(in_wasm);
    Ok(())
}

/// A whole call into Wasm, with the parts that other figures leave out: a fresh instance, passing and decoding the scores.
fn a_whole_call(module: &Module, args: &Args, report: &mut Report) -> anyhow::Result<()> {
    let case = Case::new(TARGET.0, 1);
    let task = Task::Consensus(Rule::WeightedMedian);
    let whole = |_| -> Vec<f64> {
        let times = (0..20).filter_map(|_| match time(|| module.run(task, &case, 1)) {
            (took, Ok(_)) => Some(took.as_secs_f64() * 1e6),
            _ => None,
        });
        times.collect()
    };
    let times: Vec<f64> = (0..args.turns).flat_map(whole).collect();
    let name = format!(
        "consensus/a whole call into Wasm: instance, {} scores, {}",
        TARGET.0,
        Rule::WeightedMedian.name()
    );
    report.add(Figure::of(name, &times, "µs"));
    Ok(())
}

/// The consensus of a settlement, and an epoch of Yuma with as many validators and servers.
fn beside_yuma(
    size: usize,
    answers: usize,
    module: &Module,
    args: &Args,
    report: &mut Report,
) -> anyhow::Result<()> {
    let case = Case::new(size, answers);
    let name = format!("{size} validators x {answers}");
    let mut all = both_ways(Task::Settle, &case, module)?;
    all.extend(both_ways(Task::Yuma, &case, module)?);
    let times = in_turns(&name, &mut all, args.turns)?;
    let [ours, ours_in_wasm, yuma, yuma_in_wasm] = times.as_slice() else { return Ok(()) };
    for (way, ours, yuma) in [("native", ours, yuma), ("Wasm", ours_in_wasm, yuma_in_wasm)] {
        let ratio = median(yuma) / median(ours);
        let figure = Figure::of(format!("consensus/settling, {name}, {way}"), ours, "µs");
        report.add(figure.against("an epoch of Yuma, written by us", ratio));
        let epoch = format!("consensus/Yuma, {name}, {way}");
        report.add(Figure::of(epoch, yuma, "µs"));
    }
    Ok(())
}

/// The task natively and in Wasm, after a check that both give the same result.
fn both_ways<'a>(task: Task, case: &'a Case, module: &'a Module) -> anyhow::Result<Vec<Rounds<'a>>> {
    let prepared = case.prepared();
    let said = prepared.run(task, 1);
    ensure!(!said.is_empty() && said == module.run(task, case, 1)?, "{task:?}: Wasm says something else");
    let empty = module.empty_call(task, case)?;
    Ok(vec![
        Box::new(move |rounds| Ok(time(|| prepared.run(task, rounds)).0)),
        Box::new(move |rounds| Ok(module.time(task, case, rounds)?.saturating_sub(empty))),
    ])
}
