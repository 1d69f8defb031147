//! Settings of a server elsewhere: one `[[remote]]` table of a TOML file.

use super::RemoteError;
use crate::models::manifest::{is_sha256, Calibration};
use reqwest::Url;
use serde::Deserialize;
use std::{
    fmt, fs, io::Read as _, os::unix::fs::PermissionsExt as _, path::Path, path::PathBuf, time::Duration,
};

/// Longest token, in bytes.
const MAX_TOKEN_BYTES: u64 = 8192;

/// A server elsewhere that does the work of one model.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemoteConfig {
    /// Name in logs and metrics: 1 to 64 of `A-Z a-z 0-9 . _ -`.
    pub name: String,
    /// Its API.
    pub kind: RemoteKind,
    /// Its URL, `http` or `https`. For `openai` with the version (`http://127.0.0.1:8000/v1`), for `rerank`
    /// with or without it.
    pub url: String,
    /// The id that the engine and the chain call the model by: 64 lower-case hex digits.
    pub model: String,
    /// Name of the model at the server. When left out, an `openai` server is asked for its first model, and a
    /// `rerank` server is not told any.
    #[serde(default)]
    pub remote_model: Option<String>,
    /// File with a bearer token, of mode 0600 or stricter.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
    /// Name of the environment variable that holds a bearer token.
    #[serde(default)]
    pub token_env: Option<String>,
    /// Most milliseconds until a connection stands, 1 to 600,000.
    #[serde(default = "default_connect_timeout_ms")]
    pub connect_timeout_ms: u64,
    /// Most milliseconds of a whole call, with its retries and its wait for a free place: 1 to 86,400,000.
    #[serde(default = "default_timeout_ms")]
    pub timeout_ms: u64,
    /// Number of retries after a fault that may pass, 0 to 20.
    #[serde(default = "default_retries")]
    pub retries: usize,
    /// Milliseconds between two looks at its health, 100 to 86,400,000.
    #[serde(default = "default_health_interval_ms")]
    pub health_interval_ms: u64,
    /// Rerank only: how requests and answers are shaped; `jina` when left out.
    #[serde(default)]
    pub dialect: Option<RerankDialect>,
    /// Rerank only: the path of the call below `url`, from a `/` on. When left out: `/v1/rerank` with `jina`
    /// (`/rerank` if `url` ends with `/v1`), `/rerank` with `tei`.
    #[serde(default)]
    pub path: Option<String>,
    /// Rerank only: what the server's numbers are. When left out: `logit` with `raw_scores`, else `probability`.
    #[serde(default)]
    pub scores: Option<Scale>,
    /// Rerank only: ask the server for the network's own numbers (TEI, Infinity, vLLM).
    #[serde(default)]
    pub raw_scores: bool,
    /// Rerank only, and only for `scores = "logit"`: from the server's number to a score.
    #[serde(default)]
    pub calibration: Calibration,
    /// Most requests to the server at once, 1 to 4096.
    #[serde(default = "default_max_concurrent")]
    pub max_concurrent: usize,
    /// Rerank only: most texts of one request, 1 to 4096. Scores that are made alone go one by one anyway.
    #[serde(default = "default_batch")]
    pub batch: usize,
}

/// API of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RemoteKind {
    /// The chat API of OpenAI: a generator.
    Openai,
    /// A rerank API: an evaluator.
    Rerank,
}

/// Form of a rerank request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RerankDialect {
    /// As Text Embeddings Inference: `texts` in, a list out.
    Tei,
    /// As Jina and Cohere, and with them vLLM, SGLang, llama-server and Infinity: `documents` in, `results` out.
    #[default]
    Jina,
}

/// Meaning of a rerank server's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// 0 to 1, and taken as the score itself.
    Probability,
    /// The network's own number; the calibration makes a score of it.
    Logit,
}

fn default_connect_timeout_ms() -> u64 {
    5_000
}

fn default_timeout_ms() -> u64 {
    300_000
}

fn default_retries() -> usize {
    3
}

fn default_health_interval_ms() -> u64 {
    10_000
}

fn default_max_concurrent() -> usize {
    16
}

fn default_batch() -> usize {
    32
}

impl RemoteConfig {
    /// A server with the defaults for everything else.
    pub fn new(name: &str, kind: RemoteKind, url: &str, model: &str) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            url: url.to_owned(),
            model: model.to_owned(),
            remote_model: None,
            token_file: None,
            token_env: None,
            connect_timeout_ms: default_connect_timeout_ms(),
            timeout_ms: default_timeout_ms(),
            retries: default_retries(),
            health_interval_ms: default_health_interval_ms(),
            dialect: None,
            path: None,
            scores: None,
            raw_scores: false,
            calibration: Calibration::default(),
            max_concurrent: default_max_concurrent(),
            batch: default_batch(),
        }
    }

    /// Meaning of the server's numbers.
    pub fn scale(&self) -> Scale {
        self.scores.unwrap_or(if self.raw_scores { Scale::Logit } else { Scale::Probability })
    }

    /// Most time of a whole call.
    pub(super) fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }

    /// The error that says `problem` of this server.
    pub(super) fn wrong(&self, problem: impl Into<String>) -> RemoteError {
        RemoteError::Value { name: self.name.clone(), problem: problem.into() }
    }

    /// Checks every value; the server's address, without a slash at its end.
    pub(super) fn check(&self) -> Result<Url, RemoteError> {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if !((1..=64).contains(&self.name.len()) && self.name.bytes().all(good)) {
            return Err(self.wrong("name has to be 1 to 64 of A-Z a-z 0-9 . _ -"));
        }
        if !is_sha256(&self.model) {
            return Err(self.wrong("model is the id on the chain and has to be 64 lower-case hex digits"));
        }
        if self.remote_model.as_ref().is_some_and(String::is_empty) {
            return Err(self.wrong("remote_model is empty; leave it out to let the server choose"));
        }
        self.check_ranges()?;
        match self.kind {
            RemoteKind::Openai => self.check_openai()?,
            RemoteKind::Rerank => self.check_rerank()?,
        }
        self.check_url()
    }

    fn check_ranges(&self) -> Result<(), RemoteError> {
        let number = |value: usize| u64::try_from(value).unwrap_or(u64::MAX);
        let ranges = [
            ("connect_timeout_ms", self.connect_timeout_ms, 1, 600_000),
            ("timeout_ms", self.timeout_ms, 1, 86_400_000),
            ("retries", number(self.retries), 0, 20),
            ("health_interval_ms", self.health_interval_ms, 100, 86_400_000),
            ("max_concurrent", number(self.max_concurrent), 1, 4096),
            ("batch", number(self.batch), 1, 4096),
        ];
        for (name, value, least, most) in ranges {
            if !(least..=most).contains(&value) {
                return Err(self.wrong(format!("{name} is {value}, and has to be {least} to {most}")));
            }
        }
        Ok(())
    }

    fn check_openai(&self) -> Result<(), RemoteError> {
        let given = [
            ("dialect", self.dialect.is_some()),
            ("path", self.path.is_some()),
            ("scores", self.scores.is_some()),
            ("raw_scores", self.raw_scores),
            ("calibration", self.calibration != Calibration::default()),
        ];
        match given.iter().find(|(_, given)| *given) {
            Some((name, _)) => Err(self.wrong(format!("{name} is for kind = \"rerank\" only"))),
            None => Ok(()),
        }
    }

    fn check_rerank(&self) -> Result<(), RemoteError> {
        if self.path.as_ref().is_some_and(|path| !path.starts_with('/') || path.contains(['?', '#'])) {
            return Err(self.wrong("path has to begin with / and to have no ? or #"));
        }
        let Calibration { a, b } = self.calibration;
        if !(a.is_finite() && b.is_finite() && a > 0.0) {
            return Err(
                self.wrong(format!("calibration: a = {a} and b = {b}; both are finite and a is above 0"))
            );
        }
        if self.scale() == Scale::Logit {
            return Ok(());
        }
        if self.raw_scores {
            return Err(self.wrong("raw_scores asks for logits; set scores = \"logit\" or leave it out"));
        }
        if self.calibration != Calibration::default() {
            return Err(self.wrong("calibration is for scores = \"logit\"; a probability is taken as it is"));
        }
        Ok(())
    }

    fn check_url(&self) -> Result<Url, RemoteError> {
        let url = self.url.trim_end_matches('/');
        let url = Url::parse(url).map_err(|error| self.wrong(format!("url: {error}")))?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(self.wrong("url has to begin with http:// or https:// and to name a host"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(self.wrong("url holds a password; use token_file or token_env"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(self.wrong("url has a ? or a #; only scheme, host, port and path belong there"));
        }
        Ok(url)
    }

    /// The bearer token, if one is named.
    pub(super) fn secret(&self) -> Result<Option<Secret>, RemoteError> {
        let text = match (&self.token_file, &self.token_env) {
            (None, None) => return Ok(None),
            (Some(_), Some(_)) => return Err(self.wrong("token_file and token_env are both given; keep one")),
            (Some(path), None) => read_private(path)
                .map_err(|problem| self.wrong(format!("token_file {}: {problem}", path.display())))?,
            (None, Some(variable)) => std::env::var(variable)
                .map_err(|_| self.wrong(format!("token_env: there is no variable {variable}; set it")))?,
        };
        let text = text.trim();
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(self.wrong("the token is empty or has characters other than visible ASCII"));
        }
        Ok(Some(Secret(text.to_owned())))
    }
}

/// Reads a file that nobody else may read.
fn read_private(path: &Path) -> Result<String, String> {
    let file = fs::File::open(path).map_err(|error| error.to_string())?;
    // Of the open file, so that nobody can put another in its place in between.
    let mode = file.metadata().map_err(|error| error.to_string())?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(format!("other users may use it (mode {:03o}); `chmod 600` it", mode & 0o777));
    }
    let mut text = String::new();
    file.take(MAX_TOKEN_BYTES).read_to_string(&mut text).map_err(|error| error.to_string())?;
    Ok(text)
}

/// A bearer token. It does not show in `Debug`.
#[derive(Clone)]
pub(super) struct Secret(String);

impl Secret {
    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(<hidden>)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(kind: RemoteKind) -> RemoteConfig {
        RemoteConfig::new("there", kind, "http://127.0.0.1:8000/v1/", &"a".repeat(64))
    }

    fn refused(change: impl FnOnce(&mut RemoteConfig)) -> String {
        let mut config = config(RemoteKind::Rerank);
        change(&mut config);
        let error = config.check().map(drop).and_then(|()| config.secret().map(drop));
        error.unwrap_err().to_string()
    }

    #[test]
    fn a_table_reads_as_what_it_says() {
        let table = |lines: &str| {
            toml::from_str::<RemoteConfig>(&format!(
                "name = \"there\"\nurl = \"http://127.0.0.1:8000/v1/\"\nmodel = \"{}\"\n{lines}",
                "a".repeat(64)
            ))
        };
        assert_eq!(table("kind = \"openai\"").unwrap(), config(RemoteKind::Openai));
        let full = table(
            "kind = \"rerank\"\ndialect = \"tei\"\nscores = \"logit\"\nraw_scores = true\n\
             calibration = { a = 2.0, b = 1.0 }\nbatch = 1",
        );
        let full = full.unwrap();
        assert_eq!((full.dialect, full.scale(), full.batch), (Some(RerankDialect::Tei), Scale::Logit, 1));
        assert_eq!(full.calibration, Calibration { a: 2.0, b: 1.0 });
        assert!(table("kind = \"rerank\"\ncolour = 1").unwrap_err().to_string().contains("colour"));
        assert!(table("kind = \"grpc\"").unwrap_err().to_string().contains("openai"));
    }

    #[test]
    fn what_is_wrong_is_said() {
        assert_eq!(config(RemoteKind::Rerank).check().unwrap().as_str(), "http://127.0.0.1:8000/v1");
        type Change = fn(&mut RemoteConfig);
        let cases: [(Change, &str); 24] = [
            (|c| c.name.clear(), "name has to be"),
            (|c| c.name = "a b".into(), "name has to be"),
            (|c| c.name = "x".repeat(65), "name has to be"),
            (|c| c.model = "short".into(), "64 lower-case hex digits"),
            (|c| c.remote_model = Some(String::new()), "remote_model is empty"),
            (|c| c.url = "there".into(), "url"),
            (|c| c.url = "ftp://host/".into(), "http://"),
            (|c| c.url = "http://me:secret@host/".into(), "token_file"),
            (|c| c.url = "http://host/?key=1".into(), "a ?"),
            (|c| c.connect_timeout_ms = 0, "connect_timeout_ms is 0"),
            (|c| c.connect_timeout_ms = 600_001, "connect_timeout_ms is 600001"),
            (|c| c.timeout_ms = 0, "timeout_ms is 0"),
            (|c| c.timeout_ms = 86_400_001, "timeout_ms is"),
            (|c| c.retries = 21, "retries is 21"),
            (|c| c.health_interval_ms = 99, "health_interval_ms is 99"),
            (|c| c.max_concurrent = 0, "max_concurrent is 0"),
            (|c| c.max_concurrent = 4097, "max_concurrent is 4097"),
            (|c| c.batch = 0, "batch is 0"),
            (|c| c.path = Some("rerank".into()), "path has to begin"),
            (|c| c.calibration.a = 0.0, "a is above 0"),
            (|c| c.calibration.b = 1.0, "calibration is for scores"),
            (|c| (c.raw_scores, c.scores) = (true, Some(Scale::Probability)), "raw_scores asks for logits"),
            (|c| (c.kind, c.raw_scores) = (RemoteKind::Openai, true), "raw_scores is for kind"),
            (|c| (c.kind, c.path) = (RemoteKind::Openai, Some("/x".into())), "path is for kind"),
        ];
        for (change, said) in cases {
            let error = refused(change);
            assert!(error.contains(said) && !error.contains("secret"), "{error}");
        }
        type Edge = fn(&mut RemoteConfig);
        let edges: [Edge; 4] = [
            |c| (c.connect_timeout_ms, c.timeout_ms, c.retries) = (1, 1, 0),
            |c| (c.connect_timeout_ms, c.timeout_ms, c.retries) = (600_000, 86_400_000, 20),
            |c| (c.health_interval_ms, c.max_concurrent, c.batch) = (100, 1, 1),
            |c| (c.health_interval_ms, c.max_concurrent, c.batch) = (86_400_000, 4096, 4096),
        ];
        for edge in edges {
            let mut config = config(RemoteKind::Rerank);
            edge(&mut config);
            assert!(config.check().is_ok(), "{config:?}");
        }
    }

    #[test]
    fn a_token_that_others_may_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        fs::write(&path, "  abc-123 \n").unwrap();
        let mut config = config(RemoteKind::Openai);
        config.token_file = Some(path.clone());
        for mode in [0o644, 0o640, 0o602, 0o601] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert!(config.secret().unwrap_err().to_string().contains("chmod 600"), "{mode:o}");
        }
        for mode in [0o600, 0o400] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let secret = config.secret().unwrap().unwrap();
            assert_eq!(secret.expose(), "abc-123");
            assert!(!format!("{secret:?}").contains("abc"));
        }
        fs::remove_file(&path).unwrap();
        assert!(config.secret().unwrap_err().to_string().contains("token_file"));
        let both = |c: &mut RemoteConfig| (c.token_file, c.token_env) = (Some("x".into()), Some("X".into()));
        assert!(refused(both).contains("keep one"));
        let unset = |c: &mut RemoteConfig| c.token_env = Some("POQ_TEST_NO_SUCH_VARIABLE".into());
        assert!(refused(unset).contains("set it"));
        // Every process has one; the content is a token like any other.
        let set = |c: &mut RemoteConfig| c.token_env = Some("CARGO_PKG_NAME".into());
        set(&mut config);
        config.token_file = None;
        assert!(config.secret().unwrap().is_some());
        assert!(self::config(RemoteKind::Openai).secret().unwrap().is_none());
    }

    #[test]
    fn an_empty_token_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        for text in ["", "\n", "two words", "umlaut-ä"] {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            let error = refused(|c| c.token_file = Some(path.clone()));
            assert!(error.contains("visible ASCII"), "{error}");
        }
    }
}
