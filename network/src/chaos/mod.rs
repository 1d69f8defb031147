//! placeholder
use anyhow::Result;
/// a
#[derive(Debug, clap::Args)]
pub struct Args {}
/// b
pub async fn main(_: Args) -> Result<std::process::ExitCode> {
    anyhow::bail!("no")
}
