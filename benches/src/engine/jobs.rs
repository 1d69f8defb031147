//! The time of a job without its inference: HTTP, store, queue, and the pipe to a runner that is simulated.

use anyhow::Context as _;
use poq_benches::report::{Figure, Report};
use poq_primitives::job::{Job, JobState, JobStatus, ScoreJob};
use poq_worker::{
    config::{loopback, EngineConfig, Settings},
    models::manifest::{EvaluatorKind, Manifest},
    runner::Program,
    server,
    token::Token,
};
use std::{collections::BTreeMap, fs, path::Path, time::Instant};
use tokio::sync::oneshot;

const JOBS: usize = 2_000;

/// Puts jobs one after another, each until it is done.
pub async fn measure(report: &mut Report) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let model = write_evaluator(&folder.path().join("models/simulated"))?;
    let token = Token::random();
    let config = EngineConfig {
        listen: loopback(0),
        allow_remote: false,
        token: token.clone(),
        models: folder.path().join("models"),
        data: folder.path().join("data"),
        program: Program { path: std::env::current_exe()?, arguments: vec!["simulated-runner".into()] },
        remotes: Vec::new(),
        settings: Settings::default(),
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let (ready, address) = oneshot::channel();
    let served = tokio::spawn(server::serve(
        config,
        async move {
            let _ = stopped.await;
        },
        ready,
    ));
    let address = address.await.context("the engine does not start")?;
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::builder().no_proxy().build()?;

    let mut times = Vec::with_capacity(JOBS);
    for n in 0..JOBS.saturating_add(100) {
        let job = Job::Score(ScoreJob {
            model: model.clone(),
            prompt: format!("Question number {n}?"),
            responses: vec!["An answer of ordinary length.".to_owned(); 3],
        });
        let begun = Instant::now();
        let request = http.put(format!("http://{address}/v1/jobs/{n:064x}?wait_ms=1000"));
        let response = request.bearer_auth(token.expose()).json(&job).send().await?;
        let status: JobStatus = response.error_for_status()?.json().await?;
        anyhow::ensure!(matches!(status.state, JobState::Done { .. }), "not done: {status:?}");
        // The first ones load the model and warm everything up.
        if n >= 100 {
            times.push(begun.elapsed().as_secs_f64() * 1e3);
        }
    }
    let _ = stop.send(());
    served.await??;
    times.sort_by(f64::total_cmp);
    let p99 = times.get(JOBS * 99 / 100).copied().unwrap_or(f64::NAN);
    let name = "engine/job round trip without inference (simulated model)";
    report.add(Figure::of(format!("{name}, median"), &times, "ms"));
    report.add(Figure::new(format!("{name}, p99"), p99, "ms").at_most(2.0));
    Ok(())
}

/// An evaluator that the shelf takes for one; its id.
fn write_evaluator(folder: &Path) -> anyhow::Result<String> {
    fs::create_dir_all(folder)?;
    let mut files = BTreeMap::new();
    for name in ["model.onnx", "tokenizer.json"] {
        fs::write(folder.join(name), name)?;
        files.insert(name.to_owned(), sha256(name.as_bytes()));
    }
    let json = Manifest::new(EvaluatorKind::CrossEncoder, "model.onnx".to_owned(), files).to_json();
    fs::write(folder.join("poq.json"), &json)?;
    Ok(sha256(json.as_bytes()))
}

fn sha256(bytes: &[u8]) -> String {
    let digest = sp_io::hashing::sha2_256(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
