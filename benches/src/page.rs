//! `poq-bench page`: the page in Chromium by Lighthouse, as `poq web` serves it beside a development chain.

use anyhow::{ensure, Context as _, Result};
use harness::{programs, wait_until};
use poq_benches::report::{Figure, Report};
use serde::Deserialize;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// The pages, with their names in figures.
const PAGES: [(&str, &str); 2] = [("Ask", ""), ("Models", "#/models")];

/// Options of `poq-bench page`.
#[derive(clap::Args)]
pub struct Args {
    /// Folder with poq-node and poq [default: that of this program]
    #[arg(long, value_name = "DIR")]
    programs: Option<PathBuf>,

    /// The program Node.js
    #[arg(long, value_name = "FILE", default_value = "node")]
    node: PathBuf,

    /// The script that runs Lighthouse, beside its packages
    #[arg(long, value_name = "FILE")]
    measure: PathBuf,

    /// The browser
    #[arg(long, value_name = "FILE", default_value = "/usr/bin/chromium")]
    chromium: PathBuf,

    /// Runs of each page
    #[arg(long, default_value_t = 5)]
    turns: usize,

    /// File for the results
    #[arg(long, value_name = "FILE", default_value = "benches/results.json")]
    out: PathBuf,
}

/// What Lighthouse says of a page.
#[derive(Deserialize)]
struct Measured {
    runs: Vec<Run>,
    /// Bytes of all scripts, each compressed with gzip.
    scripts: f64,
}

/// One run. Scores are 0 to 100, times milliseconds.
#[derive(Deserialize)]
struct Run {
    performance: f64,
    accessibility: f64,
    first_paint: f64,
    largest_paint: f64,
    speed_index: f64,
    blocked: f64,
    shift: f64,
    /// Audits that failed.
    missed: Vec<String>,
}

/// Measures, prints a table and writes the results.
pub fn run(args: &Args) -> Result<()> {
    let mut report = Report::default();
    let program = |name: &str| match &args.programs {
        Some(folder) => Ok(folder.join(name)),
        None => programs::find(name),
    };
    let node = harness::Node::temporary(program("poq-node")?, ["--dev", "--reserved-only"])?;
    node.start()?;
    node.wait_for_rpc()?;
    let folder = tempfile::tempdir()?;
    let page = Page::start(&program("poq")?, &node.url(), folder.path())?;
    for (name, hash) in PAGES {
        let measured = measure(args, &format!("{}{hash}", page.address))?;
        add(name, &measured, &mut report);
    }
    report.print();
    report.write(&args.out)
}

fn measure(args: &Args, url: &str) -> Result<Measured> {
    let output = Command::new(&args.node)
        .arg(&args.measure)
        .args([url, &args.turns.to_string()])
        .env("CHROME_PATH", &args.chromium)
        // The page is on this machine, whatever proxy is set.
        .env("NO_PROXY", "127.0.0.1")
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot run {}", args.node.display()))?;
    ensure!(output.status.success(), "Lighthouse does not measure {url}");
    let said = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(said.lines().last().unwrap_or_default()).with_context(|| format!("it says {said}"))
}

fn add(page: &str, Measured { runs, scripts }: &Measured, report: &mut Report) {
    let figure = |what: &str, unit: &str, value: fn(&Run) -> f64| {
        let turns: Vec<f64> = runs.iter().map(value).collect();
        Figure::of(format!("page/{page}, {what}"), &turns, unit)
    };
    report.add(figure("performance", "of 100", |run| run.performance).at_least(95.0));
    report.add(figure("accessibility", "of 100", |run| run.accessibility).at_least(100.0));
    report.add(figure("first content", "ms", |run| run.first_paint).at_most(1_000.0));
    report.add(figure("largest content", "ms", |run| run.largest_paint).at_most(1_000.0));
    report.add(figure("speed index", "ms", |run| run.speed_index));
    report.add(figure("blocked in all", "ms", |run| run.blocked));
    report.add(figure("layout shift", "", |run| run.shift));
    report.add(Figure::new(format!("page/{page}, scripts, gzip"), scripts / 1024.0, "KiB").at_most(250.0));
    let mut missed: Vec<&str> = runs.iter().flat_map(|run| &run.missed).map(String::as_str).collect();
    missed.sort_unstable();
    missed.dedup();
    if !missed.is_empty() {
        eprintln!("{page}: Lighthouse's audits {missed:?} fail");
    }
}

/// `poq web`, which ends with this value.
struct Page {
    process: Child,
    address: String,
}

impl Drop for Page {
    fn drop(&mut self) {
        // An error says that it has ended.
        let _ended = self.process.kill();
        let _status = self.process.wait();
    }
}

impl Page {
    fn start(poq: &Path, url: &str, folder: &Path) -> Result<Self> {
        let said = folder.join("page.out");
        let process = Command::new(poq)
            .args(["web", "--url", url, "--listen", "127.0.0.1:0", "--json"])
            .stdin(Stdio::null())
            .stdout(fs::File::create(&said)?)
            .spawn()
            .with_context(|| format!("cannot run {}", poq.display()))?;
        let mut page = Self { process, address: String::new() };
        page.address = wait_until("the page", || {
            let told: Option<serde_json::Value> = serde_json::from_str(&fs::read_to_string(&said)?).ok();
            Ok(told.and_then(|told| told.get("page")?.as_str().map(str::to_owned)))
        })?;
        Ok(page)
    }
}
