//! Commands of the program, one file each.

pub mod calibrate;
pub mod check;
pub mod health;
mod judging;
pub mod models;
pub mod rank;
pub mod run;
pub mod score;
pub mod serve;

use anyhow::Context as _;
use poq_worker::{
    aborts::Aborts,
    backends::Backends,
    config::{ApiArgs, Configured, EngineArgs},
    demo,
    limits::Unfinished,
    metrics::Metrics,
    models::shelf::{self, Shelf},
    pool::Pool,
    runner::Program,
};
use std::{
    fmt::Display,
    io::{self, Write as _},
    sync::Arc,
};

/// An engine without a server: what a single command works with.
pub struct Bench {
    /// Flags and file together.
    pub configured: Configured,
    /// The files of the models.
    pub shelf: Arc<Shelf>,
    /// The one who does the work.
    pub backends: Backends,
}

impl Bench {
    /// Reads the configuration, makes the folders and looks at the models.
    pub fn open(api: ApiArgs, engine: EngineArgs) -> anyhow::Result<Self> {
        let configured = Configured::load(api, engine)?;
        install_demo_models_if_asked(&configured)?;
        let (models, data) = (configured.engine.models(), configured.engine.data());
        for folder in [&models, &data] {
            std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        }
        let shelf = Arc::new(Shelf::new(models, data.join(shelf::CACHE)));
        shelf.scan();
        let (settings, aborts) = (configured.settings.clone(), Aborts::open(&data));
        let pool = Pool::new(Arc::clone(&shelf), settings, Program::this()?, aborts, Metrics::new()?);
        let backends = Backends::new(pool, configured.remotes.clone())?;
        Ok(Self { configured, shelf, backends })
    }
}

/// Writes the bundled demo models into the models folder, if that was asked for.
pub fn install_demo_models_if_asked(configured: &Configured) -> anyhow::Result<()> {
    if configured.engine.demo_models {
        let models = configured.engine.models();
        demo::install_demo_models(&models).with_context(|| format!("demo models in {}", models.display()))?;
    }
    Ok(())
}

/// One line for people.
pub fn say(unfinished: Unfinished) -> String {
    match unfinished {
        Unfinished::Failed(error) => error.message,
        Unfinished::TooLong(long) => long.to_string(),
        Unfinished::Cancelled => "cancelled".to_owned(),
        Unfinished::Died(how) => format!("the model's process died: {how}"),
    }
}

/// Writes `text` to standard output. Whoever reads may have gone, as `head` does when it has enough: that is no error.
pub fn print(text: impl Display) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match write!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("standard output cannot be written"),
    }
}

/// Writes `text` and the end of a line to standard output, as [`print`] does.
pub fn print_line(text: impl Display) -> anyhow::Result<()> {
    print(format_args!("{text}\n"))
}
