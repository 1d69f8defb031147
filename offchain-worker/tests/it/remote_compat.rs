//! Servers elsewhere, against real ones: llama-server and Infinity, with the bundled demo models.
//!
//! They are not there unless `scripts/compat/llama.sh` and `scripts/compat/infinity.sh` put them there, so these tests
//! run only when asked for: `make compat`.

use poq_primitives::job::FailureReason;
use poq_worker::{
    limits::Unfinished,
    models::manifest::Calibration,
    remote::{Remote, RemoteConfig, RemoteKind},
    work::{Extras, Finish, Generation, Message, Role, Scoring},
};
use serde_json::Value;
use std::{
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};
use tempfile::TempDir;
use tokio::sync::mpsc;

/// Longest start of a server, in half seconds.
const PATIENCE: usize = 600;

fn cache() -> PathBuf {
    std::env::var_os("POQ_CACHE").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache/proof-of-quality"),
        PathBuf::from,
    )
}

fn models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models")
}

/// A server that ends with the test.
struct Server {
    process: Child,
    port: u16,
    log: PathBuf,
    _folder: TempDir,
}

impl Server {
    fn start(program: &Path, script: &str, arguments: &[&str]) -> Self {
        assert!(program.exists(), "{} is not there: run scripts/compat/{script}", program.display());
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let port = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let file = std::fs::File::create(&log).unwrap();
        let process = Command::new(program)
            .args(arguments)
            .args(["--host", "127.0.0.1", "--port", &port.to_string()])
            // Infinity: no word to others, nothing from a hub.
            .envs([("DO_NOT_TRACK", "1"), ("INFINITY_ANONYMOUS_USAGE_STATS", "0"), ("HF_HUB_OFFLINE", "1")])
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        Self { process, port, log, _folder: folder }
    }

    fn llama(more: &[&str]) -> Self {
        let model = models().join("poq-demo-strong.gguf");
        let arguments =
            ["--model", model.to_str().unwrap(), "--threads", "1", "--parallel", "1", "--offline"];
        let program = cache().join("llama/bin/llama-server");
        Self::start(&program, "llama.sh", &[&arguments, more].concat())
    }

    fn infinity() -> Self {
        let model = cache().join("compat/reranker");
        let program = cache().join("compat/infinity/bin/infinity_emb");
        let arguments =
            ["v2", "--model-id", model.to_str().unwrap(), "--served-model-name", "demo", "--device", "cpu"];
        let plain = ["--engine", "torch", "--no-bettertransformer", "--no-compile", "--no-model-warmup"];
        Self::start(&program, "infinity.sh", &[&arguments[..], &plain].concat())
    }

    fn remote(&self, kind: RemoteKind, change: impl FnOnce(&mut RemoteConfig)) -> Remote {
        let path = if kind == RemoteKind::Openai { "/v1" } else { "" };
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        let mut config = RemoteConfig::new("there", kind, &url, &"a".repeat(64));
        change(&mut config);
        Remote::new(config).unwrap()
    }

    async fn ready(&mut self, remote: &Remote) {
        for _ in 0..PATIENCE {
            if remote.probe().await.is_ok() {
                return;
            }
            assert_eq!(self.process.try_wait().unwrap(), None, "the server ended: {}", self.words());
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        panic!("the server does not answer: {}", self.words());
    }

    fn words(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The engine's own program with the demo models.
struct Own(TempDir);

impl Own {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn run(&self, model: &str, question: &str, answers: &[String]) -> String {
        let folder = |name| self.0.path().join(name);
        let done = Command::new(env!("CARGO_BIN_EXE_poq-worker"))
            .args(["run", "--demo-models", "--model", model, "--prompt", question])
            .arg("--models")
            .arg(folder("models"))
            .arg("--data")
            .arg(folder("data"))
            .args(answers.iter().flat_map(|answer| ["--response", answer]))
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    }

    fn answer(&self, question: &str) -> String {
        self.run("poq-demo-strong", question, &[]).trim_end_matches('\n').to_owned()
    }

    fn scores(&self, question: &str, answers: &[String]) -> Vec<f64> {
        let printed = self.run("poq-demo-evaluator", question, answers);
        printed.lines().map(|line| line.split_whitespace().next().unwrap().parse().unwrap()).collect()
    }
}

/// The questions that come with the demo models, and their answers.
fn questions() -> Vec<(String, String)> {
    let text = std::fs::read_to_string(models().join("questions.json")).unwrap();
    let questions: Vec<Value> = serde_json::from_str(&text).unwrap();
    let field = |value: &Value, name: &str| value[name].as_str().unwrap().to_owned();
    questions.iter().map(|value| (field(value, "question"), field(value, "answer"))).collect()
}

fn ask(question: &str) -> Generation {
    Generation {
        model: "a".repeat(64),
        messages: vec![Message::new(Role::User, question.to_owned())],
        max_tokens: 256,
        max_bytes: 4096,
        temperature: 0.0,
        top_p: 1.0,
        seed: 0,
        stop: vec![],
        extras: Extras::default(),
    }
}

fn failure<T: std::fmt::Debug>(outcome: Result<T, Unfinished>) -> (FailureReason, String) {
    match outcome.unwrap_err() {
        Unfinished::Failed(error) => (error.code, error.message),
        other => panic!("{other:?}"),
    }
}

async fn streamed(remote: &Remote, work: &Generation) -> (String, usize) {
    let (sender, mut receiver) = mpsc::channel::<String>(1);
    let listen = async {
        let (mut text, mut pieces) = (String::new(), 0);
        while let Some(piece) = receiver.recv().await {
            text.push_str(&piece);
            pieces += 1;
        }
        (text, pieces)
    };
    let (generated, (text, pieces)) = tokio::join!(remote.generate(work, Some(sender)), listen);
    assert_eq!(generated.unwrap().text, text);
    (text, pieces)
}

#[tokio::test]
#[ignore = "needs scripts/compat/llama.sh"]
async fn llama_server_answers_as_the_engine_does() {
    let mut server = Server::llama(&[]);
    let remote = server.remote(RemoteKind::Openai, |_| {});
    server.ready(&remote).await;
    let (own, questions) = (Own::new(), questions());
    let mut equal = 0;
    for (question, _) in &questions {
        let plain = remote.generate(&ask(question), None).await.unwrap();
        let (text, pieces) = streamed(&remote, &ask(question)).await;
        assert_eq!(text, plain.text, "{question}");
        assert!(plain.prompt_tokens > 0 && plain.tokens > 0 && pieces > 1, "{plain:?}");
        assert_eq!(plain.finish, Finish::Stop);
        let here = own.answer(question);
        equal += usize::from(here == text);
        if here != text {
            println!("{question}\n  here:  {here}\n  there: {text}");
        }
    }
    println!("{equal} of {} answers are equal", questions.len());
    // The same network and the same arithmetic, but other batches: a near tie may fall otherwise.
    assert!(equal * 100 >= questions.len() * 95);
}

#[tokio::test]
#[ignore = "needs scripts/compat/llama.sh"]
async fn llama_server_keeps_limits_and_says_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "a-key").unwrap();
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600)).unwrap();
    let mut server = Server::llama(&["--api-key", "a-key"]);
    let remote = server.remote(RemoteKind::Openai, |config| config.token_file = Some(token));
    server.ready(&remote).await;

    let (question, answer) = questions().remove(0);
    let whole = remote.generate(&ask(&question), None).await.unwrap().text;
    assert!(whole.contains(' '), "{answer}");
    let two = remote.generate(&Generation { max_tokens: 2, ..ask(&question) }, None).await.unwrap();
    assert_eq!((two.tokens, two.finish), (2, Finish::Length));
    let bytes = Generation { max_bytes: 5, ..ask(&question) };
    assert_eq!(streamed(&remote, &bytes).await.0, whole[..5].trim_end());
    let last = whole.rsplit(' ').next().unwrap().to_owned();
    let stop = Generation { stop: vec![last.clone()], ..ask(&question) };
    assert_eq!(streamed(&remote, &stop).await.0, whole.split(&last).next().unwrap().trim_end());
    let seeded = Generation { temperature: 1.5, seed: 7, ..ask(&question) };
    let drawn = remote.generate(&seeded, None).await.unwrap();
    assert_eq!(remote.generate(&seeded, None).await.unwrap().text, drawn.text);

    let (code, message) = failure(remote.generate(&ask(&"why ".repeat(3_000)), None).await);
    assert_eq!(code, FailureReason::InvalidJob);
    assert!(message.contains("context"), "{message}");
    let stranger = server.remote(RemoteKind::Openai, |config| config.remote_model = Some("x".into()));
    let (code, message) = failure(stranger.generate(&ask(&question), None).await);
    assert_eq!(code, FailureReason::ModelUnavailable);
    assert!(message.contains("refuses the token"), "{message}");
    let reranker =
        server.remote(RemoteKind::Rerank, |config| config.token_env = Some("CARGO_PKG_NAME".into()));
    let scoring = Scoring { model: "a".repeat(64), question, answers: vec![answer], alone: false };
    assert_eq!(failure(reranker.score(&scoring).await).0, FailureReason::ModelUnavailable);
}

#[tokio::test]
#[ignore = "needs scripts/compat/infinity.sh"]
async fn infinity_scores_as_the_engine_does() {
    let mut server = Server::infinity();
    let manifest = std::fs::read_to_string(models().join("poq-demo-evaluator/poq.json")).unwrap();
    let manifest: Value = serde_json::from_str(&manifest).unwrap();
    let calibration: Calibration = serde_json::from_value(manifest["calibration"].clone()).unwrap();
    let logits = server.remote(RemoteKind::Rerank, |config| {
        (config.path, config.raw_scores, config.calibration) = (Some("/rerank".into()), true, calibration);
        config.remote_model = Some("demo".into());
    });
    let plain = server.remote(RemoteKind::Rerank, |config| config.path = Some("/rerank".into()));
    server.ready(&logits).await;

    let (own, questions) = (Own::new(), questions());
    let answers: Vec<&String> = questions.iter().map(|(_, answer)| answer).collect();
    let mut furthest: f64 = 0.0;
    for (number, (question, _)) in questions.iter().enumerate() {
        // Its own answer and those of the questions after it.
        let some: Vec<String> =
            answers.iter().cycle().skip(number).take(5).map(|answer| (*answer).clone()).collect();
        let work = |alone| Scoring {
            model: "a".repeat(64),
            question: question.clone(),
            answers: some.clone(),
            alone,
        };
        let together = logits.score(&work(false)).await.unwrap();
        let alone = logits.score(&work(true)).await.unwrap();
        assert!(together.tokens > 0 && alone.tokens > 0);
        for ((here, there), raw) in own.scores(question, &some).iter().zip(&alone.scores).zip(&together.raw) {
            furthest = furthest.max((here - f64::from(*there) / 1e6).abs());
            let again = calibration.apply(*raw).unwrap();
            assert!((again - f64::from(*there) / 1e6).abs() < 1e-4, "in a batch {again}, alone {there}");
        }
        // Without raw_scores the server gives probabilities: of the same logits, without our calibration.
        let probabilities = plain.score(&work(false)).await.unwrap();
        for (probability, logit) in probabilities.raw.iter().zip(&together.raw) {
            let own = Calibration::default().apply(*logit).unwrap();
            assert!((own - probability).abs() < 1e-4, "{own} {probability}");
        }
    }
    println!("{} questions with 5 answers each: scores differ by at most {furthest:.6}", questions.len());
    // The engine prints four digits.
    assert!(furthest <= 1e-4, "{furthest}");
}
