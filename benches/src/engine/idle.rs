//! Memory and processor time of an idle engine.

use crate::engine::Args;
use anyhow::Context as _;
use harness::process;
use poq_benches::report::{Figure, Report};
use std::{process::Stdio, time::Duration};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Command,
    time::sleep,
};

/// Length of the measurement.
const WATCH: Duration = Duration::from_secs(10);

/// Starts the real program without models and measures it.
pub async fn measure(args: &Args, report: &mut Report) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut engine = Command::new(&args.worker)
        .args(["serve", "--listen", "127.0.0.1:0"])
        .env("POQ_MODELS", folder.path().join("models"))
        .env("POQ_ENGINE_DATA", folder.path().join("data"))
        .env("POQ_TOKEN_FILE", folder.path().join("token"))
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let pid = engine.id().context("no process")?;
    let mut log = BufReader::new(engine.stderr.take().context("no log")?).lines();
    while let Some(line) = log.next_line().await? {
        if line.contains("the engine is up") {
            break;
        }
    }
    sleep(Duration::from_secs(1)).await;
    let cpu_seconds = || process::cpu_seconds(pid).context("the engine is gone");
    let before = cpu_seconds()?;
    sleep(WATCH).await;
    let share = (cpu_seconds()? - before) / WATCH.as_secs_f64() * 100.0;
    let bytes = process::memory(pid) as f64;
    report.add(Figure::new("engine/idle memory", bytes / f64::from(1 << 20), "MiB").at_most(80.0));
    report.add(Figure::new("engine/idle processor", share, "%").at_most(0.5));
    Ok(())
}
