//! `poq-bench gateway`: what the gateway adds to `poq ask`, and 500 requests in flight, on a development chain of real programs.

use anyhow::{ensure, Context as _, Result};
use futures::future::try_join_all;
use harness::{programs, wait_until};
use poq_benches::{
    report::{Figure, Report},
    samples::median,
};
use poq_client::Client;
use reqwest::Client as Http;
use serde_json::{json, Value};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// Clients that ask at once, and requests of each.
const CLIENTS: usize = 50;
const REQUESTS: usize = 10;

/// Looks at a receipt.
const LOOKS: usize = 20;

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(3_600);

const QUESTION: &str = "What is the capital of Peru?";

/// Options of `poq-bench gateway`.
#[derive(clap::Args)]
pub struct Args {
    /// Folder with poq-node, poq-gateway and poq [default: that of this program]
    #[arg(long, value_name = "DIR")]
    programs: Option<PathBuf>,

    /// Questions by each way of asking
    #[arg(long, default_value_t = 8)]
    turns: usize,

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
    let program = |name: &str| match &args.programs {
        Some(folder) => Ok(folder.join(name)),
        None => programs::find(name),
    };
    let node = harness::Node::temporary(program("poq-node")?, ["--dev", "--reserved-only"])?;
    node.start()?;
    node.wait_for_rpc()?;
    node.wait_for_engine(None)?;
    let url = node.url();
    let folder = tempfile::tempdir()?;
    let gateway = Gateway::start(&program("poq-gateway")?, &url, folder.path())?;
    let poq = program("poq")?;

    // Loads the models.
    gateway.ask(QUESTION).await?;
    one_request(args.turns, &gateway, &poq, &url, report).await.context("one request")?;
    receipts(&poq, &url, folder.path(), report).context("receipts")?;
    in_flight(&gateway, &url, report).await.context("many requests")
}

/// The same question by `poq ask` and by the gateway in turn, each right after a new block: an answer comes with a block.
async fn one_request(
    turns: usize,
    gateway: &Gateway,
    poq: &Path,
    url: &str,
    report: &mut Report,
) -> Result<()> {
    let client = Client::connect(url).await?;
    let (mut by_poq, mut by_gateway) = (Vec::new(), Vec::new());
    for _ in 0..turns {
        new_block(&client).await?;
        let begun = Instant::now();
        let asked = ask(poq, url).await?;
        by_poq.push(begun.elapsed().as_secs_f64() * 1e3);
        ensure!(asked.get("state").is_some_and(|state| state == "settled"), "poq ask: {asked}");
        new_block(&client).await?;
        let begun = Instant::now();
        gateway.ask(QUESTION).await?;
        by_gateway.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    let (alone, through) = (median(&by_poq), median(&by_gateway));
    report.add(Figure::of("gateway/one request, poq ask", &by_poq, "ms"));
    report.add(Figure::of("gateway/one request, gateway", &by_gateway, "ms"));
    report.add(Figure::new("gateway/one request, gateway less poq ask", through - alone, "ms").at_most(5.0));
    report.add(Figure::new("gateway/one request, gateway over poq ask", through / alone, "x").at_most(1.05));
    Ok(())
}

/// Waits for the next block.
async fn new_block(client: &Client) -> Result<()> {
    let mut blocks = client.best_blocks().await?;
    // The first is the one that there is.
    blocks.next().await?;
    blocks.next().await?;
    Ok(())
}

async fn ask(poq: &Path, url: &str) -> Result<Value> {
    let mut command = programs::command(poq);
    // Not Alice's account, with which the gateway asks.
    command.args(["--url", url, "--json", "ask", QUESTION, "--from", "bob", "--yes"]);
    let output = tokio::task::spawn_blocking(move || command.output()).await??;
    ensure!(output.status.success(), "poq ask: {}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Size of a receipt of the first request, and the time of looking at it, which has the start of a program in it.
fn receipts(poq: &Path, url: &str, folder: &Path, report: &mut Report) -> Result<()> {
    let file = folder.join("receipt.json");
    let receipt = wait_until("the receipt", || {
        let output = programs::command(poq).args(["--url", url, "receipt", "0"]).output()?;
        Ok(output.status.success().then_some(output.stdout))
    })?;
    fs::write(&file, &receipt)?;
    let mut times = Vec::new();
    for _ in 0..LOOKS {
        let mut command = programs::command(poq);
        command.args(["--url", url, "verify"]).arg(&file);
        let begun = Instant::now();
        let output = command.output()?;
        times.push(begun.elapsed().as_secs_f64() * 1e3);
        ensure!(output.status.success(), "poq verify: {}", String::from_utf8_lossy(&output.stderr));
    }
    report.add(Figure::of("gateway/poq verify, start of the program included", &times, "ms").at_most(20.0));
    let size = receipt.len() as f64 / 1024.0;
    report.add(Figure::new("gateway/receipt of two answers and five scores", size, "KiB").at_most(64.0));
    Ok(())
}

/// Asks by many clients at once, and holds what they got against the chain.
async fn in_flight(gateway: &Gateway, url: &str, report: &mut Report) -> Result<()> {
    let client = Client::connect(url).await?;
    let before = requests(&client).await?;
    let begun = Instant::now();
    let asks = (0..CLIENTS * REQUESTS).map(|number| async move {
        let answer = gateway.ask(&format!("What is {} plus {}?", number / 50, number % 50)).await?;
        answer.pointer("/poq/request").and_then(Value::as_u64).context("an answer without its request")
    });
    let got: Vec<u64> = try_join_all(asks).await?;
    let took = begun.elapsed().as_secs_f64();
    let asked = got.len();
    let distinct: BTreeSet<u64> = got.into_iter().collect();
    let made = requests(&client).await? - before;
    let name = format!("gateway/{asked} requests in flight of {CLIENTS} clients");
    report.add(Figure::new(format!("{name}, answered"), distinct.len() as f64, "").at_least(asked as f64));
    report.add(Figure::new(format!("{name}, paid for on the chain"), made as f64, "").at_most(asked as f64));
    report.add(Figure::new(name, asked as f64 / took, "requests/s"));
    Ok(())
}

/// Requests that the chain has.
async fn requests(client: &Client) -> Result<u64> {
    let at = client.best().await?;
    let mut number = 0;
    while at.request(number).await?.is_some() {
        number += 1;
    }
    Ok(number)
}

/// A gateway. It ends with this value.
struct Gateway {
    process: Child,
    url: String,
    key: String,
    http: Http,
}

impl Gateway {
    fn start(program: &Path, node: &str, folder: &Path) -> Result<Self> {
        let said = fs::File::create(folder.join("gateway.out"))?;
        let process = Command::new(program)
            .args(["--dev", "--url", node, "--listen", "127.0.0.1:0", "--timeout", "3600", "--data"])
            .arg(folder.join("gateway"))
            .stdin(Stdio::null())
            .stdout(said)
            .stderr(fs::File::create(folder.join("gateway.log"))?)
            .spawn()?;
        let http = Http::builder().no_proxy().timeout(PATIENCE).build()?;
        let mut gateway = Self { process, url: String::new(), key: String::new(), http };
        (gateway.url, gateway.key) = wait_until("the gateway", || {
            let said = fs::read_to_string(folder.join("gateway.out"))?;
            let after =
                |start: &str| said.lines().find_map(|line| line.strip_prefix(start)).map(str::to_owned);
            Ok(after("poq-gateway: ").zip(after("API key: ")))
        })?;
        Ok(gateway)
    }

    /// Asks, and returns the answer as OpenAI's clients see it.
    async fn ask(&self, question: &str) -> Result<Value> {
        let body = json!({ "model": "auto", "messages": [{ "role": "user", "content": question }], "max_tokens": 32 });
        let ask = self.http.post(format!("{}/chat/completions", self.url)).bearer_auth(&self.key).json(&body);
        let response = ask.send().await?;
        let status = response.status();
        let text = response.text().await?;
        ensure!(status.is_success(), "the gateway says {status}: {text}");
        Ok(serde_json::from_str(&text)?)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _dead = self.process.kill();
        let _gone = self.process.wait();
    }
}
