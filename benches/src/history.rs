//! `poq-bench history`: how fast the history writes what a chain settles, and how fast its API answers when it holds a million requests. Its blocks are
//! made up, because a chain would take hours to settle as many; reading them from a node is not in the figures.

use anyhow::{ensure, Context as _, Result};
use harness::{programs, wait_until};
use poq_benches::{
    report::{Figure, Report},
    samples,
};
use poq_history::{
    block::Block,
    config::Database,
    made_up::{self, ANSWERS, GENERATORS, OPERATORS, REQUESTERS, SCORES},
    store::Store,
};
use rand::{rngs::StdRng, Rng as _, SeedableRng as _};
use reqwest::Client as Http;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Instant,
};

/// Settled in one block: five times what the chain settles in 2 seconds.
const IN_A_BLOCK: u64 = 500;

/// Questions of each kind to the API.
const QUESTIONS: usize = 400;

/// Options of `poq-bench history`.
#[derive(clap::Args)]
pub struct Args {
    /// Folder with poq-history [default: that of this program]
    #[arg(long, value_name = "DIR")]
    programs: Option<PathBuf>,

    /// Requests in the database when the API is asked
    #[arg(long, default_value_t = 1_000_000)]
    requests: u64,

    /// File for the results
    #[arg(long, value_name = "FILE", default_value = "benches/results.json")]
    out: PathBuf,
}

/// Measures, prints a table and writes the results.
pub fn run(args: &Args) -> Result<()> {
    let mut report = Report::default();
    tokio::runtime::Runtime::new()?.block_on(measure(args, &mut report))?;
    report.print();
    report.write(&args.out)
}

async fn measure(args: &Args, report: &mut Report) -> Result<()> {
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("history.db");
    fill(&file, args.requests, report).await.context("writing")?;
    let size = fs::metadata(&file)?.len() as f64 / args.requests as f64 / 1024.0;
    report.add(Figure::new(
        format!("history/SQLite, a request of {ANSWERS} answers and {SCORES} scores"),
        size,
        "KiB",
    ));
    let program = match &args.programs {
        Some(folder) => folder.join("poq-history"),
        None => programs::find("poq-history")?,
    };
    let history = History::start(&program, &file, folder.path())?;
    ask(&history, args.requests, report).await.context("asking")
}

/// Writes blocks as the history does when it follows a chain.
async fn fill(file: &Path, requests: u64, report: &mut Report) -> Result<()> {
    let store = Store::open(&Database::Sqlite(file.to_owned())).await?;
    let names = made_up::names();
    store.learn(&names).await?;
    let mut cursor = store.begin("0x00", None).await?;
    let mut dice = StdRng::seed_from_u64(1);
    let mut rates = Vec::new();
    for number in 1..=requests.div_ceil(IN_A_BLOCK) {
        let block = block(number, &mut dice);
        let begun = Instant::now();
        cursor = store.write(&cursor, &block, &names).await?;
        rates.push(IN_A_BLOCK as f64 / begun.elapsed().as_secs_f64());
    }
    // The last tenth: a database is slower when it is large.
    let late = rates.split_off(rates.len() - rates.len().div_ceil(10));
    let name = format!("history/settled requests written to SQLite, at {requests} requests");
    report.add(Figure::of(name, &late, "requests/s").at_least(1_000.0));
    Ok(())
}

fn block(number: u64, dice: &mut StdRng) -> Block {
    let hash = |number: u64| {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_le_bytes());
        bytes
    };
    let ids = (number - 1) * IN_A_BLOCK..number * IN_A_BLOCK;
    Block {
        number,
        hash: hash(number),
        parent: hash(number - 1),
        millis: number as i64 * 2_000,
        requests: ids.map(|id| made_up::ended(id, number as u32, dice)).collect(),
        happenings: vec![],
    }
}

/// Makes a question, as a path.
type Question<'a> = &'a dyn Fn(&mut StdRng) -> String;

/// Asks each kind of question at random places, one after the other.
async fn ask(history: &History, requests: u64, report: &mut Report) -> Result<()> {
    let mut dice = StdRng::seed_from_u64(2);
    let kinds: [(&str, Question<'_>); 7] = [
        ("a page of 100", &|dice| format!("requests?limit=100&before={}", dice.random_range(100..requests))),
        ("a page of 100 of an operator", &|dice| {
            let before = dice.random_range(requests / 2..requests);
            format!(
                "requests?limit=100&operator={}&before={before}",
                made_up::operator(dice.random_range(0..OPERATORS))
            )
        }),
        ("a page of 100 of a requester", &|dice| {
            format!(
                "requests?limit=100&state=settled&requester={}",
                made_up::requester(dice.random_range(0..REQUESTERS))
            )
        }),
        ("a page of 100 of a model", &|dice| {
            let model = hex::encode(made_up::generator(dice.random_range(0..GENERATORS)));
            format!("requests?limit=100&model={model}&before={}", dice.random_range(requests / 2..requests))
        }),
        ("a request", &|dice| format!("requests/{}", dice.random_range(0..requests))),
        ("an operator", &|dice| format!("operators/{}", made_up::operator(dice.random_range(0..OPERATORS)))),
        ("the ranking", &|_| "models".to_owned()),
    ];
    for (kind, question) in kinds {
        let mut times = Vec::new();
        for _ in 0..QUESTIONS {
            let url = format!("{}/{}", history.url, question(&mut dice));
            let begun = Instant::now();
            let response = history.http.get(&url).send().await?;
            let status = response.status();
            let length = response.bytes().await?.len();
            times.push(begun.elapsed().as_secs_f64() * 1e3);
            ensure!(status == 200 && length > 20, "{url}: {status}");
        }
        times.sort_by(f64::total_cmp);
        let late = times.get(times.len() * 99 / 100).copied().unwrap_or(f64::INFINITY);
        report.add(Figure::new(
            format!("history/{kind} of {requests} requests, median"),
            samples::median(&times),
            "ms",
        ));
        report.add(
            Figure::new(format!("history/{kind} of {requests} requests, p99"), late, "ms").at_most(50.0),
        );
    }
    Ok(())
}

/// A history without a node. It ends with this value.
struct History {
    process: Child,
    url: String,
    http: Http,
}

impl Drop for History {
    fn drop(&mut self) {
        // An error says that it has ended.
        let _ended = self.process.kill();
        let _status = self.process.wait();
    }
}

impl History {
    fn start(program: &Path, file: &Path, folder: &Path) -> Result<Self> {
        let said = folder.join("history.out");
        let process = Command::new(program)
            // Nobody listens there.
            .args(["--url", "ws://127.0.0.1:1", "--listen", "127.0.0.1:0", "--database"])
            .arg(format!("sqlite://{}", file.display()))
            .stdin(Stdio::null())
            .stdout(fs::File::create(&said)?)
            .stderr(fs::File::create(folder.join("history.log"))?)
            .spawn()?;
        let http = Http::builder().no_proxy().build()?;
        let mut history = Self { process, url: String::new(), http };
        history.url = wait_until("the history", || {
            let text = fs::read_to_string(&said)?;
            Ok(text.lines().next().and_then(|line| line.strip_prefix("poq-history: ")).map(str::to_owned))
        })?;
        Ok(history)
    }
}
