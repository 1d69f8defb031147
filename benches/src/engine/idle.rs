//! What an engine costs that has nothing to do.

use crate::engine::Args;
use anyhow::Context as _;
use poq_benches::report::{Figure, Report};
use poq_worker::runner::child::resident_bytes;
use std::{fs, process::Stdio, time::Duration};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Command,
    time::sleep,
};

/// How long it is watched.
const WATCH: Duration = Duration::from_secs(10);

/// Starts the real program without models and looks at its memory and its processor time.
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
    let before = ticks(pid)?;
    sleep(WATCH).await;
    let spent = ticks(pid)?.saturating_sub(before);
    let bytes = resident_bytes(pid).context("no /proc")?;
    report.add(Figure::new("engine/idle memory", bytes as f64 / f64::from(1 << 20), "MiB").at_most(80.0));
    // A tick is a hundredth of a second.
    let share = spent as f64 / (WATCH.as_secs_f64() * 100.0) * 100.0;
    report.add(Figure::new("engine/idle processor", share, "%").at_most(0.5));
    Ok(())
}

/// Processor time that the process has used, in ticks.
fn ticks(pid: u32) -> anyhow::Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, after_name) = stat.rsplit_once(')').context("an unknown /proc")?;
    let mut fields = after_name.split_whitespace().skip(11);
    let mut next = || -> anyhow::Result<u64> { Ok(fields.next().context("an unknown /proc")?.parse()?) };
    Ok(next()?.saturating_add(next()?))
}
