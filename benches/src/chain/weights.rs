//! Weight of a whole request: the sum of all weights that the chain reserves, from the question until it is forgotten.

use super::{
    players::{self, Size, Work},
    sign::sign,
    world,
};
use anyhow::Result;
use comfy_table::{presets::NOTHING, CellAlignment, Table};
use frame_support::{dispatch::GetDispatchInfo as _, traits::Get as _, weights::Weight};
use pallet_proof_of_quality::{Config, Report as WorkReport, WeightInfo};
use poq_benches::report::{Figure, Report};
use poq_runtime::{AccountId, Hash, Runtime, RuntimeBlockWeights, RuntimeCall};

type W = <Runtime as Config>::WeightInfo;

/// Requests of the design's figures.
const SIZE: Size = Size { responders: 3, committee: 7 };

/// A part of a request's weight.
struct Part {
    what: String,
    each: f64,
    times: u32,
}

/// Adds up, and prints the parts as a table.
pub fn measure(report: &mut Report) -> Result<()> {
    let Size { responders: n, committee: k } = SIZE;
    let extrinsics = extrinsics()?;
    let steps = steps();
    let sum = |parts: &[Part]| parts.iter().map(|part| part.each * f64::from(part.times)).sum::<f64>();
    print(extrinsics.iter().chain(&steps));
    let name = |what: &str| format!("chain/weight of a request (n = {n}, k = {k}): {what}");
    for Part { what, each, times } in extrinsics.iter().chain(&steps) {
        let times_each = if *times == 1 { String::new() } else { format!(", {times} times") };
        report.add(Figure::new(name(&format!("{what}{times_each}")), each * f64::from(*times), "ms"));
    }
    report.add(Figure::new(name("its transactions, one report each"), sum(&extrinsics), "ms"));
    report.add(Figure::new(name("the chain's own steps"), sum(&steps), "ms"));
    report.add(Figure::new(name("all"), sum(&extrinsics) + sum(&steps), "ms"));
    report.add(Figure::new(name("settling"), millis(W::settle_of_one_model(n, k)), "ms").at_most(1.0));
    let room = millis(RuntimeBlockWeights::get().max_block);
    let most = room / (batched()? + sum(&steps)) / 2.0;
    report.add(
        Figure::new(name("most requests per second that fit, in full batches"), most, "requests/s")
            .at_least(100.0),
    );
    Ok(())
}

/// The transactions of a request, with what every transaction weighs.
fn extrinsics() -> Result<Vec<Part>> {
    let Size { responders: n, committee: k } = SIZE;
    let part = |what: &str, call: RuntimeCall, times| -> Part {
        Part { what: what.to_owned(), each: millis(weight(call)), times }
    };
    let reports = reports();
    let mut parts = vec![part("request_inference", players::request_call(1, SIZE, &world::models())?, 1)];
    for ((what, times), report) in [
        ("report_work: commit to an output", n),
        ("report_work: show an output", n),
        ("report_work: commit to scores", k),
        ("report_work: reveal scores", k),
    ]
    .into_iter()
    .zip(reports)
    {
        parts.push(part(what, players::report_call(vec![report]), times));
    }
    Ok(parts)
}

/// One report of each kind.
fn reports() -> Vec<pallet_proof_of_quality::ReportOf<Runtime>> {
    let operator = AccountId::from([0; 32]);
    let work = Work { genesis: &[0; 32], request: 0, operator: &operator };
    let n = SIZE.responders as usize;
    [work.commit_output(), work.reveal_output(), work.commit_scores(n), work.reveal_scores(n)]
        .map(|kind| WorkReport { request: 0, kind })
        .into()
}

/// Milliseconds of a request's transactions if operators always report in full batches, as they do under load.
fn batched() -> Result<f64> {
    let most: u32 = <Runtime as Config>::MaxReports::get();
    let request = millis(weight(players::request_call(1, SIZE, &world::models())?));
    let times = [SIZE.responders, SIZE.responders, SIZE.committee, SIZE.committee];
    let batch = |report: &pallet_proof_of_quality::ReportOf<Runtime>| {
        let full = vec![report.clone(); most as usize];
        millis(weight(players::report_call(full))) / f64::from(most)
    };
    Ok(request
        + reports().iter().zip(times).map(|(report, times)| batch(report) * f64::from(times)).sum::<f64>())
}

/// A transaction's weight in a block: its call, its extension, and what every one costs.
fn weight(call: RuntimeCall) -> Weight {
    let pair = super::cast::pair(super::cast::Part::Requester, 0);
    let info = sign(call, &pair, 0, Hash::default()).get_dispatch_info();
    let base = RuntimeBlockWeights::get().get(info.class).base_extrinsic;
    info.total_weight().saturating_add(base)
}

/// The steps that the agenda does, as it meters them, in the ordinary case: phases that only open the next end with the last
/// report.
fn steps() -> Vec<Part> {
    let Size { responders: n, committee: k } = SIZE;
    let roster: u32 = <Runtime as Config>::MaxOperatorsPerModel::get();
    let part = |what: &str, weight: Weight| Part { what: what.to_owned(), each: millis(weight), times: 1 };
    let look = W::agenda_item().saturating_sub(<Runtime as frame_system::Config>::DbWeight::get().reads(1));
    vec![
        part("step: draw inference nodes", W::draw_inference_nodes_of_one_model(roster, n, 0)),
        part("step: draw the committee", W::draw_committee(roster, k, 0)),
        part("step: settle", W::settle_of_one_model(n, k)),
        part("step: prune", W::prune(n)),
        Part { what: "agenda: look at the request".to_owned(), each: millis(look), times: 4 },
    ]
}

fn millis(weight: Weight) -> f64 {
    weight.ref_time() as f64 / 1e9
}

fn print<'a>(parts: impl Iterator<Item = &'a Part>) {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(["PART OF A REQUEST", "MS EACH", "TIMES", "MS"]);
    for part in parts {
        let whole = part.each * f64::from(part.times);
        table.add_row([
            part.what.clone(),
            format!("{:.3}", part.each),
            part.times.to_string(),
            format!("{whole:.3}"),
        ]);
    }
    for column in 1..4 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    println!("{}\n", table.trim_fmt());
}
