//! Lines and bars on the terminal, and the default folders.

use anyhow::{Context as _, Result};
use indicatif::{ProgressBar, ProgressStyle};
use std::{
    env,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

/// `folder` made absolute; without one, the folder `name` in the project's cache.
pub fn folder_or_cached(folder: Option<&Path>, name: &str) -> Result<PathBuf> {
    if let Some(folder) = folder {
        return Ok(std::path::absolute(folder)?);
    }
    let cache = env::var_os("POQ_CACHE").map(PathBuf::from);
    let home = || Some(PathBuf::from(env::var_os("HOME")?).join(".cache/proof-of-quality"));
    Ok(cache.or_else(home).context("there is no home folder: say --folder DIR")?.join(name))
}

/// A bar on standard error, shown on a terminal only.
pub fn bar(length: usize, template: &str) -> ProgressBar {
    let bar = ProgressBar::new(length as u64);
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

/// Writes one or more lines to standard output. A reader that has gone (`| head`) is no error.
pub fn say(text: &str) -> Result<()> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}
