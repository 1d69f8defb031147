//! Requests that one node settles per second under full load.
//!
//! A real node with one author makes blocks from transactions that this program signs: requests, and reports of simulated operators.
//! As many requests come with each block as just fill the blocks. The figure is the number settled per second of the chain's own
//! clock. Shares of the block weight and the author's processor time show the limiting resource.

use super::{
    cast::Cast,
    flame::Profile,
    node::Node,
    players::{Count, Message, Players, Size},
    rpc::{self, Block, Blocks},
    spec::Models,
    Args,
};
use anyhow::{ensure, Context as _, Result};
use frame_support::dispatch::DispatchClass;
use futures::{stream, StreamExt as _};
use indicatif::ProgressBar;
use poq_benches::report::{Figure, Report};
use poq_client::Client;
use poq_runtime::{Hash, RuntimeBlockWeights, RuntimeEvent};
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// Requesters and operators.
const CAST: Cast = Cast { requesters: 64, nodes: 32, validators: 64 };

/// Transactions sent to the pool at a time.
const AT_ONCE: usize = 32;

/// Most tries to send a transaction, and the pause between two: together the time that a full pool on a busy machine may need for a
/// new block.
const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(200);

/// Length of a window, in milliseconds of the chain's clock.
const WINDOW: u64 = 10_000;

/// Time before the measurement, in which requests reach their steady number and the first of them settle.
const WARM_UP: Duration = Duration::from_secs(50);

/// Sizes of requests, and the most open at a time, which is more than full blocks need. The first size is the smallest with several
/// scores, the last that of the design's figures.
const SIZES: [(Size, u64); 3] = [
    (Size { responders: 1, committee: 3 }, 2_800),
    (Size { responders: 2, committee: 5 }, 2_000),
    (Size { responders: 3, committee: 7 }, 1_500),
];

/// Blocks over which the first open requests are spread.
const SPREAD: u64 = 14;

/// Contents of a block, for the figures.
#[derive(Clone, Copy)]
struct Row {
    number: u32,
    millis: u64,
    extrinsics: usize,
    count: Count,
    /// Weight of the operators' reports, in per cent of a full block.
    reports: f64,
    /// Weight of requests, likewise.
    requests: f64,
    /// Weight of the agenda, other hooks and inherents, likewise.
    hooks: f64,
}

/// Measures all sizes.
pub async fn measure(args: &Args, report: &mut Report) -> Result<()> {
    for (size, open) in SIZES {
        if !args.sizes.is_empty() && !args.sizes.contains(&size.committee) {
            continue;
        }
        let node = Node::start(&args.node()?, &CAST)?;
        let open = args.open.unwrap_or(open);
        let run = run(args, &node, size, open, &args.bar("load")).await;
        let load = run.with_context(|| format!("the node's last words:\n{}", node.last_words()))?;
        add(report, &node, size, &load)?;
    }
    Ok(())
}

/// Drives a fresh node until the measured time is over.
async fn run(args: &Args, node: &Node, size: Size, open: u64, bar: &ProgressBar) -> Result<Load> {
    let client = rpc::connect(&node.url()).await?;
    let mut players = Players::new(&CAST, size, Models::of_the_demo()?, Hash::from(client.genesis()));
    let mut blocks = Blocks::best(&client).await?;
    let mut rows: Vec<Row> = Vec::new();
    let mut load = Load::default();
    let begun = Instant::now();
    let mut measuring: Option<(Instant, f64, Profile)> = None;
    let mut in_flight: u64 = 0;
    let mut pace = Pace(open as f64 / SPREAD as f64);
    loop {
        let (block, count, work) = turn(&mut blocks, &mut players).await?;
        in_flight = in_flight.saturating_sub(count.settled).saturating_sub(count.refunded);
        let row = Row::of(&block, count);
        let room = open.saturating_sub(in_flight).min(pace.next(row.used()));
        let asked = (0..room).map(|_| players.ask().map(|message| vec![message]));
        in_flight = in_flight.saturating_add(room);
        let asked: Vec<_> = asked.collect::<Result<_>>()?;
        load.again = load.again.saturating_add(send(&client, work.into_iter().chain(asked)).await?);
        bar.set_message(format!(
            "n={} k={}: block {}, {} settled, {in_flight} on their way",
            size.responders, size.committee, block.number, count.settled
        ));
        bar.tick();
        if measuring.is_some() || begun.elapsed() >= args.warm_up(WARM_UP) {
            rows.push(row);
        }
        match &measuring {
            None if !rows.is_empty() => {
                let cpu = node.cpu_seconds().context("the node is gone")?;
                measuring = Some((Instant::now(), cpu, Profile::start(args, node, size)?));
            }
            Some((since, _, _)) if since.elapsed() >= args.seconds() => break,
            _ => {}
        }
    }
    let (since, cpu, profile) = measuring.context("nothing was measured")?;
    load.cores = (node.cpu_seconds().context("the node is gone")? - cpu) / since.elapsed().as_secs_f64();
    load.rows = rows;
    profile.finish(args)?;
    Ok(load)
}

/// Number of requests sent with each block: it grows while blocks have room and shrinks when they are full. It changes slowly, because
/// the effect shows after ten blocks, and waiting requests form waves that go through their phases in step.
struct Pace(f64);

impl Pace {
    /// Requests for the next block; `used` is how full the latest was, in per cent.
    fn next(&mut self, used: f64) -> u64 {
        self.0 *= match used {
            ..97.0 => 1.005,
            99.5.. => 0.995,
            _ => 1.0,
        };
        self.0.round() as u64
    }
}

/// Results of a run.
#[derive(Default)]
struct Load {
    rows: Vec<Row>,
    /// Processors that the node kept busy.
    cores: f64,
    /// Number of transactions sent again.
    again: u64,
}

async fn turn(blocks: &mut Blocks, players: &mut Players) -> Result<(Block, Count, Vec<Vec<Message>>)> {
    let block = blocks.next().await?;
    let ours = block.events.iter().filter_map(|event| match event {
        RuntimeEvent::ProofOfQuality(event) => Some(event.clone()),
        _ => None,
    });
    let (count, work) = players.hear(ours)?;
    Ok((block, count, work))
}

/// Sends transactions, those of one signer in order; returns the number of refusals by the pool.
///
/// A report is free from the block in which it is due, and the pool learns of a block a moment later than this program. It refuses and
/// bans earlier transactions, so a repeated one is signed anew. It may also refuse a transaction that it keeps for a block it does not
/// know yet: then a copy is outdated, because the first one is in a block.
async fn send(client: &Client, signers: impl Iterator<Item = Vec<Message>>) -> Result<u64> {
    let sending = signers.map(|messages| async move {
        let mut again = 0u64;
        for message in &messages {
            let mut tries = 0;
            while let Err(error) = rpc::submit(client, &message.sign(tries)?).await {
                if tries > 0 && error.to_string().contains("outdated") {
                    break;
                }
                tries += 1;
                if tries > TRIES {
                    return Err(error).context("the pool refuses a transaction");
                }
                again = again.saturating_add(1);
                sleep(PAUSE).await;
            }
        }
        Ok(again)
    });
    let sent: Vec<Result<u64>> = stream::iter(sending).buffer_unordered(AT_ONCE).collect().await;
    sent.into_iter().sum()
}

impl Row {
    fn of(block: &Block, count: Count) -> Self {
        let most = RuntimeBlockWeights::get().max_block.ref_time();
        let part = |class| block.weight.get(class).ref_time() as f64 / most as f64 * 100.0;
        Self {
            number: block.number,
            millis: block.millis,
            extrinsics: block.extrinsics,
            count,
            reports: part(DispatchClass::Operational),
            requests: part(DispatchClass::Normal),
            hooks: part(DispatchClass::Mandatory),
        }
    }

    /// Weight used, in per cent of a full block.
    fn used(&self) -> f64 {
        self.reports + self.requests + self.hooks
    }
}

/// Requests settled per second in windows of [`WINDOW`]. The first row only marks the beginning of the first window.
fn windows(rows: &[Row]) -> Vec<f64> {
    let mut rates = Vec::new();
    let Some(first) = rows.first() else { return rates };
    let (mut begins, mut settled) = (first.millis, 0u64);
    for row in rows.iter().skip(1) {
        settled = settled.saturating_add(row.count.settled);
        let millis = row.millis.saturating_sub(begins);
        if millis >= WINDOW {
            rates.push(settled as f64 * 1e3 / millis as f64);
            (begins, settled) = (row.millis, 0);
        }
    }
    rates
}

fn add(report: &mut Report, node: &Node, size: Size, load: &Load) -> Result<()> {
    let Size { responders, committee } = size;
    let name = |what: &str| format!("chain/{what} (n = {responders}, k = {committee})");
    let rows = load.rows.get(1..).unwrap_or_default();
    let rates = windows(&load.rows);
    ensure!(!rates.is_empty(), "no window of {WINDOW} ms was full: measure for longer with --seconds");
    let refunded: u64 = rows.iter().map(|row| row.count.refunded).sum();
    ensure!(refunded == 0, "{refunded} requests were refunded: what was measured is not what was meant");
    report
        .add(Figure::of(name("requests settled per second, one node"), &rates, "requests/s").at_least(100.0));
    let per_block = |value: fn(&Row) -> f64| rows.iter().map(value).collect::<Vec<_>>();
    let figures: [(&str, Vec<f64>, &str); 6] = [
        ("under load: block weight used", per_block(Row::used), "%"),
        ("under load: of it by reports of work", per_block(|r| r.reports), "%"),
        ("under load: of it by requests", per_block(|r| r.requests), "%"),
        ("under load: of it by the agenda and inherents", per_block(|r| r.hooks), "%"),
        ("under load: extrinsics in a block", per_block(|r| r.extrinsics as f64), "extrinsics"),
        ("under load: reports in a block", per_block(|r| r.count.reported as f64), "reports"),
    ];
    for (what, values, unit) in figures {
        report.add(Figure::of(name(what), &values, unit));
    }
    let (from, to) = (rows.first().map_or(0, |row| row.number), rows.last().map_or(0, |row| row.number));
    let proposals = node.proposals()?.into_iter().filter(|(number, _)| (from..=to).contains(number));
    let proposals: Vec<f64> = proposals.map(|(_, millis)| millis).collect();
    ensure!(!proposals.is_empty(), "the node's log does not say how long its blocks took to make");
    report.add(Figure::of(name("under load: time to make a block, of 1,000 ms"), &proposals, "ms"));
    report.add(Figure::new(name("under load: processors that the node keeps busy"), load.cores, "cores"));
    let settled: u64 = rows.iter().map(|row| row.count.settled).sum();
    eprintln!(
        "{settled} settled in {} blocks; the database is {} MiB; {} times a transaction had to be sent again",
        rows.len(),
        node.disk() >> 20,
        load.again
    );
    Ok(())
}
