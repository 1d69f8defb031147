//! ONNX Runtime: finding its shared library and starting it, once per process.

use ort::environment::Environment;
use std::{
    env,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

/// Reason why ONNX Runtime cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OnnxError {
    /// No library was found.
    #[error(
        "ONNX Runtime's shared library is not on this machine; run scripts/setup.sh, or name it in ORT_DYLIB_PATH \
         (looked at {looked_at})"
    )]
    NotFound {
        /// Paths that were searched, for people.
        looked_at: String,
    },
    /// The library was found and does not load.
    #[error("ONNX Runtime does not start: {0}")]
    Broken(String),
}

/// File beside ONNX Runtime's library that adds OpenVINO to it.
const OPENVINO_PROVIDER: &str = "libonnxruntime_providers_openvino.so";

/// ONNX Runtime as this process has loaded it.
#[derive(Debug)]
pub struct Onnx {
    /// The environment that sessions are made in.
    pub environment: Environment,
    /// Whether the loaded library brings OpenVINO.
    pub openvino: bool,
}

/// The process's ONNX Runtime. The first call loads a library: the one with OpenVINO if `openvino` asks for it and it is
/// on this machine, else the plain one. Later calls get the same; a failure stays one until the process ends.
pub fn start(openvino: bool) -> Result<&'static Onnx, OnnxError> {
    static STARTED: OnceLock<Result<Onnx, OnnxError>> = OnceLock::new();
    let started = STARTED.get_or_init(|| {
        let library = openvino.then(find_openvino).flatten().map_or_else(find_library, Ok)?;
        let openvino = has_openvino(&library);
        Ok(Onnx { environment: load(&library)?, openvino })
    });
    started.as_ref().map_err(Clone::clone)
}

fn load(library: &Path) -> Result<Environment, OnnxError> {
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

/// Path of the library: the one in `ORT_DYLIB_PATH`, else beside the executable, else where `scripts/setup.sh` puts
/// it.
pub fn find_library() -> Result<PathBuf, OnnxError> {
    if let Some(path) = named_library() {
        // A wrong path is an error: another library would be a silent surprise.
        return match path.is_file() {
            true => Ok(path),
            false => Err(OnnxError::NotFound { looked_at: format!("ORT_DYLIB_PATH={}", path.display()) }),
        };
    }
    let beside = folder_of_executable();
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

/// Path of a library that brings OpenVINO: the one in `ORT_DYLIB_PATH` if that is set, else in the folder `openvino`
/// beside the executable, else where `scripts/setup.sh` puts it.
pub fn find_openvino() -> Option<PathBuf> {
    if let Some(path) = named_library() {
        return has_openvino(&path).then_some(path);
    }
    let beside = folder_of_executable().map(|folder| folder.join("openvino"));
    let cached = cache_folder().map(|cache| cache.join("onnxruntime-openvino"));
    let found = [beside, cached].into_iter().flatten().find_map(|folder| library_in(&folder));
    found.filter(|library| has_openvino(library))
}

/// Whether the provider for OpenVINO lies beside `library`, where ONNX Runtime looks for it.
fn has_openvino(library: &Path) -> bool {
    library.with_file_name(OPENVINO_PROVIDER).is_file()
}

fn named_library() -> Option<PathBuf> {
    env::var_os("ORT_DYLIB_PATH").filter(|path| !path.is_empty()).map(PathBuf::from)
}

fn folder_of_executable() -> Option<PathBuf> {
    env::current_exe().ok().and_then(|exe| exe.parent().map(Path::to_owned))
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

/// Folder for files that the project's set-up scripts fetch.
fn cache_folder() -> Option<PathBuf> {
    env::var_os("POQ_CACHE")
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache/proof-of-quality")))
}

/// A message of ONNX Runtime, in one line.
pub fn one_line(said: &impl std::fmt::Display) -> String {
    said.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}
