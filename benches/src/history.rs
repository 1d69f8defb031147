//! `poq-bench history`: how fast the history writes what a chain settles, and how fast its API answers when it holds a million requests. Its blocks are
//! made up, because a chain would take hours to settle as many; reading them from a node is not in the figures.

use anyhow::{ensure, Context as _, Result};
use harness::{programs, wait_until};
use poq_benches::{
    report::{Figure, Report},
    samples,
};
use poq_client::{
    json::Rest,
    types::{Budget, MemberView, Phase, RequestView, ResponseView, Sampling, Work},
};
use poq_history::{
    block::{Block, Seen},
    config::Database,
    store::{Named, Names, Store},
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

/// Answers and scores of a request.
const ANSWERS: u8 = 3;
const SCORES: u8 = 7;

/// Operators and generators that there are.
const OPERATORS: u64 = 200;
const GENERATORS: u8 = 20;
const EVALUATOR: [u8; 32] = [250; 32];

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
    let names = names();
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

fn names() -> Names {
    let named = |id: u8, kind: &str| {
        (hex::encode([id; 32]), Named { name: format!("model {id}"), kind: kind.into() })
    };
    (0..GENERATORS).map(|id| named(id, "generator")).chain([named(EVALUATOR[0], "evaluator")]).collect()
}

fn account(n: u64) -> subxt::utils::AccountId32 {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&n.to_le_bytes());
    subxt::utils::AccountId32(bytes)
}

fn block(number: u64, dice: &mut StdRng) -> Block {
    let hash = |number: u64| account(number).0;
    let requests = (0..IN_A_BLOCK).map(|place| Seen {
        view: request((number - 1) * IN_A_BLOCK + place, number as u32, dice),
        end: Some(Rest { fee: 1_000_000_000, refund: 2_000_000_000 }),
    });
    Block {
        number,
        hash: hash(number),
        parent: hash(number - 1),
        millis: number as i64 * 2_000,
        requests: requests.collect(),
        happenings: vec![],
    }
}

fn request(id: u64, at: u32, dice: &mut StdRng) -> RequestView {
    let first = dice.random_range(0..OPERATORS);
    let responses = (0..ANSWERS).map(|place| ResponseView {
        operator: account((first + u64::from(place)) % OPERATORS),
        model: [dice.random_range(0..GENERATORS); 32],
        work: Work::Revealed,
        output: format!("An answer of some sentences to question {id}, by place {place}. ")
            .repeat(5)
            .into_bytes(),
        latency: 100_000,
        quality: Some(dice.random_range(0..1_000_000)),
        paid: 100_000_000_000,
    });
    let responses: Vec<_> = responses.collect();
    let members = (0..SCORES).map(|place| MemberView {
        operator: account((first + u64::from(ANSWERS + place)) % OPERATORS),
        weight: 1_000_000,
        work: Work::Revealed,
        scores: responses.iter().filter_map(|response| response.quality).collect(),
        latency: 100_000,
        agreement: Some(990_000),
        paid: 5_000_000_000,
    });
    RequestView {
        id,
        requester: account(OPERATORS + id % 1_000),
        prompt: format!("Question {id}: what is it that people ask?").into_bytes(),
        generators: (0..3).map(|place| [(id as u8 + place) % GENERATORS; 32]).collect(),
        evaluator: EVALUATOR,
        sampling: Sampling { max_tokens: 256, temperature_milli: 0, seed: 0 },
        responders: ANSWERS.into(),
        committee_size: SCORES.into(),
        min_quality: 0,
        budget: Budget { inference: 300_000_000_000, scoring: 40_000_000_000, fee: 1_000_000_000 },
        bonus: 0,
        tries: 0,
        created: at.saturating_sub(3),
        phase: Phase::Settled { at, best: 0 },
        since: at,
        round: 0,
        audited: false,
        committees: vec![members.collect()],
        responses,
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
                account(dice.random_range(0..OPERATORS))
            )
        }),
        ("a page of 100 of a requester", &|dice| {
            format!(
                "requests?limit=100&state=settled&requester={}",
                account(OPERATORS + dice.random_range(0..1_000))
            )
        }),
        ("a page of 100 of a model", &|dice| {
            let model = hex::encode([dice.random_range(0..GENERATORS); 32]);
            format!("requests?limit=100&model={model}&before={}", dice.random_range(requests / 2..requests))
        }),
        ("a request", &|dice| format!("requests/{}", dice.random_range(0..requests))),
        ("an operator", &|dice| format!("operators/{}", account(dice.random_range(0..OPERATORS)))),
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
