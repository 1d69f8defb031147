//! ONNX Runtime: finding its shared library and starting it, once per process.

use ort::environment::Environment;
use std::{
    env,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

/// Why ONNX Runtime cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OnnxError {
    /// The library is nowhere to be found.
    #[error(
        "ONNX Runtime's shared library is not on this machine; run scripts/setup.sh, or name it in ORT_DYLIB_PATH \
         (looked at {looked_at})"
    )]
    NotFound {
        /// The places, for people.
        looked_at: String,
    },
    /// The library is there and does not work.
    #[error("ONNX Runtime does not start: {0}")]
    Broken(String),
}

/// The process's environment of ONNX Runtime. The first call loads the library; a failure stays one until the
/// process ends.
pub fn environment() -> Result<&'static Environment, OnnxError> {
    static ENVIRONMENT: OnceLock<Result<Environment, OnnxError>> = OnceLock::new();
    ENVIRONMENT.get_or_init(|| start(&find_library()?)).as_ref().map_err(Clone::clone)
}

fn start(library: &Path) -> Result<Environment, OnnxError> {
    tracing::debug!(library = %library.display(), "loading ONNX Runtime");
    let broken = |error: &dyn std::fmt::Display| OnnxError::Broken(error.to_string());
    let environment = ort::init_from(library)
        .map_err(|error| broken(&error))?
        .with_name("poq-worker")
        .with_telemetry(false)
        .with_logger(Arc::new(|level, category, _, _, message| {
            use ort::logging::LogLevel;
            match level {
                LogLevel::Verbose | LogLevel::Info => tracing::trace!(category, "{message}"),
                LogLevel::Warning => tracing::debug!(category, "{message}"),
                LogLevel::Error | LogLevel::Fatal => tracing::warn!(category, "{message}"),
            }
        }))
        .build()
        .map_err(|error| broken(&error))?;
    environment.set_log_level(ort::logging::LogLevel::Warning);
    Ok(environment)
}

/// Looks for the library: `ORT_DYLIB_PATH`, then beside the executable, then where `scripts/setup.sh` puts
/// it.
pub fn find_library() -> Result<PathBuf, OnnxError> {
    if let Some(path) = env::var_os("ORT_DYLIB_PATH").filter(|path| !path.is_empty()).map(PathBuf::from) {
        // Named outright: if it is wrong, say so rather than take another one.
        return match path.is_file() {
            true => Ok(path),
            false => Err(OnnxError::NotFound { looked_at: format!("ORT_DYLIB_PATH={}", path.display()) }),
        };
    }
    let beside = env::current_exe().ok().and_then(|exe| exe.parent().map(Path::to_owned));
    let cached = cache_folder().map(|cache| cache.join("onnxruntime").join("libonnxruntime.so"));
    if let Some(found) =
        beside.as_deref().and_then(library_in).or_else(|| cached.clone().filter(|path| path.is_file()))
    {
        return Ok(found);
    }
    let looked_at =
        [beside, cached].into_iter().flatten().map(|path| path.display().to_string()).collect::<Vec<_>>();
    Err(OnnxError::NotFound { looked_at: looked_at.join(", ") })
}

/// `libonnxruntime.so` or one with a version behind it, in `folder`.
fn library_in(folder: &Path) -> Option<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("libonnxruntime.so"))
        })
        .filter(|path| path.is_file())
        .collect();
    found.sort();
    found.into_iter().next()
}

/// Where the project's set-up scripts keep what they fetch.
fn cache_folder() -> Option<PathBuf> {
    env::var_os("POQ_CACHE")
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache/proof-of-quality")))
}

/// What ONNX Runtime says, in one line.
pub fn one_line(said: &impl std::fmt::Display) -> String {
    said.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}
