//! `poq-worker serve` under what the world does to it: kills, signals, a full disk, a model that hangs, damaged files.

use crate::common::{folder_with_models, job_id, ramble, score, shelf, Client};
use poq_primitives::job::{FailureReason, Job, JobState, JobStatus};
use poq_worker::{generator::GeneratorOptions, models::shelf::Shelf, runner::protocol::Load, token::Token};
use rand::{rngs::StdRng, Rng as _, SeedableRng as _};
use reqwest::StatusCode;
use rustix::process::{kill_process, Pid, Signal};
use serde_json::json;
use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::SocketAddr,
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_poq-worker");

/// The moments of the kills, and what is killed.
const SEED: u64 = 11;

/// Time between two looks at something that will be so.
const MOMENT: Duration = Duration::from_millis(20);

/// The real program, and who talks to it.
struct Serve {
    child: Child,
    client: Client,
}

impl Serve {
    /// Starts it on the folder's `data`, and waits until it answers.
    fn start(folder: &Path, more: &[&str]) -> Self {
        let mut command = Command::new(PROGRAM);
        command.args(arguments(folder, &folder.join("data"), more));
        Self::run(command, folder)
    }

    /// Runs a command that becomes the program.
    fn run(mut command: Command, folder: &Path) -> Self {
        let token = Token::random();
        command.env("XDG_CONFIG_HOME", folder).env("POQ_ENGINE_TOKEN", token.expose()).env_remove("POQ_LOG");
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let address = address_in_log(&mut child);
        Self { client: Client::new(address, token), child }
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// The processes of its models.
    fn runners(&self) -> Vec<Pid> {
        children_of(self.pid())
    }

    /// Stops it as a service manager does. It has to end well, and its models with it.
    fn stop(mut self) {
        let runners = self.runners();
        self.signal(Signal::TERM);
        assert!(self.child.wait().unwrap().success());
        wait_until_gone(&runners);
    }

    /// Kills it, and sees that its models end with it.
    fn kill(mut self) {
        let runners = self.runners();
        self.signal(Signal::KILL);
        assert_eq!(self.child.wait().unwrap().signal(), Some(9));
        wait_until_gone(&runners);
    }

    async fn put(&self, id: &str, job: &Job) {
        let response = self.client.put(id, job, 0).await;
        let status = response.status();
        assert!(status.is_success(), "{status}: {}", response.text().await.unwrap());
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        // A test that failed leaves nothing behind.
        let _already_gone = self.child.kill();
        let _ended = self.child.wait();
    }
}

fn arguments(folder: &Path, data: &Path, more: &[&str]) -> Vec<String> {
    let (models, data) = (folder.join("models"), data.to_owned());
    let fixed = ["serve", "--listen", "127.0.0.1:0", "--parallel", "2", "--threads", "1"].map(str::to_owned);
    let folders = [("--models", models), ("--data", data)];
    let folders = folders.map(|(name, path)| [name.to_owned(), path.to_str().unwrap().to_owned()]);
    fixed
        .into_iter()
        .chain(folders.into_iter().flatten())
        .chain(more.iter().map(|more| (*more).to_owned()))
        .collect()
}

/// Address of the engine, from its log; the rest of the log goes to the test's own output.
fn address_in_log(child: &mut Child) -> SocketAddr {
    let log = BufReader::new(child.stderr.take().unwrap());
    let (found, address) = mpsc::channel();
    thread::spawn(move || {
        for line in log.lines() {
            let Ok(line) = line else { return };
            if line.contains("the engine is up") {
                let address = line.split_whitespace().find_map(|word| word.strip_prefix("address="));
                found.send(address.unwrap().parse().unwrap()).unwrap();
            }
            eprintln!("{line}");
        }
    });
    address.recv().expect("the engine does not start")
}

/// The program's name in brackets may hold spaces, so the fields are counted from behind it.
fn stat(pid: &str) -> Option<(char, i32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

fn children_of(parent: Pid) -> Vec<Pid> {
    let processes = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().file_name());
    let numbers = processes.filter_map(|name| name.to_str()?.parse::<i32>().ok());
    let of_parent = numbers
        .filter(|pid| stat(&pid.to_string()).is_some_and(|(_, of)| of == parent.as_raw_nonzero().get()));
    of_parent.map(|pid| Pid::from_raw(pid).unwrap()).collect()
}

/// Whether the process still does anything: one that ended may wait for somebody to ask how.
fn lives(pid: Pid) -> bool {
    stat(&pid.as_raw_nonzero().to_string()).is_some_and(|(state, _)| !matches!(state, 'Z' | 'X'))
}

fn wait_until_gone(pids: &[Pid]) {
    while pids.iter().any(|pid| lives(*pid)) {
        thread::sleep(MOMENT);
    }
}

fn model(shelf: &Shelf, name: &str) -> String {
    shelf.named(name).unwrap().id.clone().unwrap()
}

/// Jobs of all kinds, told apart by their number.
struct Jobs {
    strong: String,
    weak: String,
    evaluator: String,
}

impl Jobs {
    fn of(folder: &Path) -> Self {
        let shelf = shelf(folder);
        let [strong, weak, evaluator] =
            ["poq-demo-strong", "poq-demo-weak", "poq-demo-evaluator"].map(|name| model(&shelf, name));
        Self { strong, weak, evaluator }
    }

    fn number(&self, n: u32) -> Job {
        match n % 4 {
            0 => Job::Generate(ramble(&self.weak, n)),
            1 => Job::Score(score(
                &self.evaluator,
                "What is the capital of France?",
                &["Paris.", &n.to_string()],
            )),
            _ => Job::Generate(ramble(&self.strong, n)),
        }
    }
}

/// Puts jobs one after the other until the engine is gone; the numbers of those that it took.
async fn put_until_gone(client: Client, first: u32, jobs: Vec<Job>) -> Vec<u32> {
    let mut taken = Vec::new();
    for (n, job) in (first..).zip(jobs) {
        let request = client.http.put(format!("{}/v1/jobs/{}", client.base, job_id(n))).json(&job);
        match request.bearer_auth(client.token.expose()).send().await {
            Ok(response) if response.status().is_success() => taken.push(n),
            Ok(response) => panic!("job {n}: {}", response.status()),
            Err(_) => break,
        }
    }
    taken
}

/// Finished jobs stay as they are, and each job that was taken is known under its id.
async fn see_that_all_are_known(
    client: &Client,
    jobs: &Jobs,
    taken: &[u32],
    results: &mut BTreeMap<u32, JobState>,
) {
    for &n in taken {
        let response = client.get(&job_id(n), 0).await;
        assert_eq!(response.status(), StatusCode::OK, "job {n} was taken");
        let status: JobStatus = response.json().await.unwrap();
        assert_eq!(status.id, job_id(n));
        assert!(!matches!(status.state, JobState::Failed { .. }), "job {n}: {:?}", status.state);
        if let Some(known) = results.get(&n) {
            assert_eq!(status.state, *known, "the result of job {n} changed");
        }
        if matches!(status.state, JobState::Done { .. }) {
            results.insert(n, status.state);
        }
    }
    // An id that belonged to another job would be refused.
    if let Some(&n) = taken.last() {
        let again = client.put(&job_id(n), &jobs.number(n), 0).await;
        assert!(again.status().is_success(), "job {n}: {}", again.status());
    }
}

/// Files that only a crash leaves behind, or a record that was broken by one.
fn leftovers(jobs: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(jobs).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|file| file.extension().is_none_or(|end| end != "json")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn whenever_it_is_killed_nothing_that_was_taken_is_lost_or_done_twice() {
    let folder = folder_with_models();
    let jobs = Jobs::of(folder.path());
    let mut random = StdRng::seed_from_u64(SEED);
    let (mut taken, mut results) = (Vec::new(), BTreeMap::new());
    let mut next = 0;
    for _ in 0..12 {
        let engine = Serve::start(folder.path(), &[]);
        see_that_all_are_known(&engine.client, &jobs, &taken, &mut results).await;
        let batch: Vec<Job> = (next..next + 30).map(|n| jobs.number(n)).collect();
        let putting = tokio::spawn(put_until_gone(engine.client.clone(), next, batch));
        tokio::time::sleep(Duration::from_millis(random.random_range(0..400))).await;
        engine.kill();
        taken.extend(putting.await.unwrap());
        next += 30;
    }
    assert!(!taken.is_empty());

    let engine = Serve::start(folder.path(), &[]);
    for &n in &taken {
        let state = engine.client.finished(&job_id(n)).await;
        assert!(matches!(state, JobState::Done { .. }), "job {n}: {state:?}");
    }
    see_that_all_are_known(&engine.client, &jobs, &taken, &mut results).await;
    engine.stop();
    let engine = Serve::start(folder.path(), &[]);
    see_that_all_are_known(&engine.client, &jobs, &taken, &mut results).await;
    assert_eq!(results.len(), taken.len());
    engine.stop();
    assert_eq!(leftovers(&folder.path().join("data/jobs")), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn a_signal_or_many_stop_it_and_the_next_start_goes_on() {
    let folder = folder_with_models();
    let jobs = Jobs::of(folder.path());
    let all: Vec<u32> = (0..40).collect();
    let engine = Serve::start(folder.path(), &[]);
    for &n in &all {
        engine.put(&job_id(n), &jobs.number(n)).await;
    }
    engine.stop();

    let mut results = BTreeMap::new();
    for signals in [&[Signal::TERM, Signal::TERM][..], &[Signal::INT, Signal::TERM, Signal::INT]] {
        let mut engine = Serve::start(folder.path(), &[]);
        see_that_all_are_known(&engine.client, &jobs, &all, &mut results).await;
        let runners = engine.runners();
        for signal in signals {
            // It may be gone before the last of them.
            let _gone = kill_process(engine.pid(), *signal);
        }
        assert!(engine.child.wait().unwrap().success());
        wait_until_gone(&runners);
    }
    let engine = Serve::start(folder.path(), &[]);
    for &n in &all {
        assert!(matches!(engine.client.finished(&job_id(n)).await, JobState::Done { .. }));
    }
    see_that_all_are_known(&engine.client, &jobs, &all, &mut results).await;
    engine.stop();
    assert_eq!(leftovers(&folder.path().join("data/jobs")), Vec::<PathBuf>::new());
}

async fn metrics(client: &Client) -> String {
    let request = client.http.get(format!("{}/metrics", client.base)).bearer_auth(client.token.expose());
    request.send().await.unwrap().text().await.unwrap()
}

/// Answers to a chat whose model or time fails: the status that clients of OpenAI's API know, and a reason.
#[tokio::test]
async fn a_chat_hears_why_it_got_no_answer() {
    let folder = folder_with_models();
    let models = folder.path().join("models");
    let whole = fs::read(models.join("poq-demo-strong.gguf")).unwrap();
    fs::write(models.join("cut.gguf"), &whole[..whole.len() / 2]).unwrap();
    let engine = Serve::start(folder.path(), &["--job-seconds", "5"]);
    let chat = |model: &str, stream: bool| {
        let client = &engine.client;
        let body = json!({
            "model": model, "messages": [{ "role": "user", "content": "Tell me a story." }],
            "temperature": 100, "max_tokens": 3000, "stream": stream,
        });
        let request = client.http.post(format!("{}/v1/chat/completions", client.base)).json(&body);
        request.bearer_auth(client.token.expose()).send()
    };
    let error = |response: reqwest::Response| async {
        let status = response.status().as_u16();
        let body: serde_json::Value = response.json().await.unwrap();
        assert!(body["error"]["message"].is_string(), "{body}");
        (status, body["error"]["code"].as_str().unwrap().to_owned())
    };

    let broken = chat("cut", false).await.unwrap();
    assert_eq!(error(broken).await, (503, "model_unavailable".to_owned()));

    // Stopped, a model answers nobody: one that is killed then dies with the work in its hands, the other runs out of time.
    for (killed, status, code) in [(true, 502, "engine_aborted"), (false, 504, "deadline_exceeded")] {
        let mut shown = chat("poq-demo-weak", true).await.unwrap();
        while shown.chunk().await.unwrap().is_some() {}
        let [model] = engine.runners()[..] else { panic!("one model is loaded") };
        kill_process(model, Signal::STOP).unwrap();
        let waiting = tokio::spawn(chat("poq-demo-weak", false));
        // The other one is the request for the metrics.
        while !metrics(&engine.client).await.contains("poq_http_requests_in_flight 2") {
            tokio::time::sleep(MOMENT).await;
        }
        if killed {
            // The request was counted; give it the time to reach the model, or it finds a dead one and loads another.
            tokio::time::sleep(MOMENT * 10).await;
            kill_process(model, Signal::KILL).unwrap();
        }
        assert_eq!(error(waiting.await.unwrap().unwrap()).await, (status, code.to_owned()));
    }
    engine.kill();
}

/// Whoever waits for a turn gets the head of its stream at once and signs of life after it, so that no proxy cuts it off.
#[tokio::test]
async fn a_stream_that_waits_for_its_turn_shows_signs_of_life() {
    let folder = folder_with_models();
    let engine = Serve::start(folder.path(), &[]);
    let ask = |question: &str, more: serde_json::Value| {
        let client = &engine.client;
        let mut body = json!({ "model": "poq-demo-weak", "stream": true,
                               "messages": [{ "role": "user", "content": question }] });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let request = client.http.post(format!("{}/v1/chat/completions", client.base)).json(&body);
        request.bearer_auth(client.token.expose()).send()
    };
    // All turns at the model are taken, and it does nothing.
    let mut taken = Vec::new();
    for seed in 0..2 {
        // All tokens, and not the likely ones only, which soon end the text.
        let long = json!({ "temperature": 100, "top_p": 1, "max_tokens": 3000, "seed": seed });
        let mut stream = ask("Tell me a story.", long).await.unwrap();
        while !String::from_utf8_lossy(&stream.chunk().await.unwrap().unwrap()).contains("\"content\":\"") {}
        taken.push(stream);
    }
    let [model] = engine.runners()[..] else { panic!("one model is loaded") };
    kill_process(model, Signal::STOP).unwrap();
    let mut waiting = ask("What is the capital of France?", json!({ "temperature": 0 })).await.unwrap();
    assert_eq!(waiting.status(), StatusCode::OK);
    let mut seen = String::new();
    while !seen.contains("\n: working") {
        seen.push_str(&String::from_utf8_lossy(&waiting.chunk().await.unwrap().unwrap()));
    }
    assert!(seen.starts_with("data: ") && !seen.contains("finish_reason\":\"stop"), "{seen}");

    // What goes wrong now is an event of the stream.
    kill_process(model, Signal::KILL).unwrap();
    for mut stream in taken {
        let mut rest = String::new();
        while let Some(piece) = stream.chunk().await.unwrap() {
            rest.push_str(&String::from_utf8_lossy(&piece));
        }
        assert!(rest.contains("data: {\"error\":{") && rest.contains("engine_aborted"), "{rest}");
        assert!(!rest.contains("[DONE]"), "{rest}");
    }
    let rest = waiting.text().await.unwrap();
    assert!(rest.trim_end().ends_with("data: [DONE]"), "{rest}");
    engine.stop();
}

/// A client with a token that sends half of a request and then nothing holds its place for so long and no longer.
#[tokio::test]
async fn a_body_that_never_comes_is_not_waited_for() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let folder = folder_with_models();
    let engine = Serve::start(folder.path(), &["--request-seconds", "1"]);
    let address = engine.client.base.strip_prefix("http://").unwrap();
    let mut slow = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: 1000\r\n\r\n{{\"model\":",
        engine.client.token.expose(),
    );
    slow.write_all(request.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    let length = slow.read(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer[..length]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("too_slow"), "{answer}");
    engine.stop();
}

/// Whoever sends half of a request and no token keeps nobody else out, even where few files may be open.
#[tokio::test]
async fn half_sent_requests_lock_nobody_out() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let folder = folder_with_models();
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -Sn 100 && exec \"$0\" \"$@\"", PROGRAM]);
    command.args(arguments(folder.path(), &folder.path().join("data"), &["--request-seconds", "2"]));
    let engine = Serve::run(command, folder.path());
    let limits = fs::read_to_string(format!("/proc/{}/limits", engine.child.id())).unwrap();
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let [.., soft, hard, _files] = files.split_whitespace().collect::<Vec<_>>()[..] else {
        panic!("{files}")
    };
    assert_eq!(soft, hard);

    let address = engine.client.base.strip_prefix("http://").unwrap();
    let mut half = Vec::new();
    for sent in
        ["", "GET /health HTTP/1.1\r\nhost:", "POST /v1/rerank HTTP/1.1\r\ncontent-length: 9\r\n\r\n{"]
    {
        for _ in 0..60 {
            let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
            stream.write_all(sent.as_bytes()).await.unwrap();
            half.push(stream);
        }
    }
    let health = engine.client.http.get(format!("{}/health", engine.client.base)).send().await.unwrap();
    assert_eq!(health.status(), StatusCode::OK);
    for mut stream in half {
        let mut answer = Vec::new();
        let _reset = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 401 "), "{answer}");
    }
    engine.stop();
}

/// Native code that reads files of strangers gets to know nothing that it does not need.
#[tokio::test]
async fn the_models_processes_do_not_inherit_the_engines_secrets() {
    let folder = folder_with_models();
    let mut command = Command::new(PROGRAM);
    command.args(arguments(folder.path(), &folder.path().join("data"), &[]));
    command.env("HF_TOKEN", "secret-of-the-hub").env("SOME_API_KEY", "secret-of-a-server");
    command.env("OMP_WAIT_POLICY", "passive");
    let engine = Serve::run(command, folder.path());
    let jobs = Jobs::of(folder.path());
    for n in 0..3 {
        engine.put(&job_id(n), &jobs.number(n)).await;
        let state = engine.client.finished(&job_id(n)).await;
        assert!(matches!(state, JobState::Done { .. }), "{state:?}");
    }
    let runners = engine.runners();
    assert_eq!(runners.len(), 3, "two generators and an evaluator");
    for runner in runners {
        let environment = fs::read(format!("/proc/{}/environ", runner.as_raw_nonzero())).unwrap();
        let environment = String::from_utf8_lossy(&environment).replace('\0', "\n");
        for secret in
            [engine.client.token.expose(), "POQ_ENGINE_TOKEN", "secret-of-the-hub", "secret-of-a-server"]
        {
            assert!(!environment.contains(secret), "{environment}");
        }
        assert!(environment.contains("OMP_WAIT_POLICY=passive"), "{environment}");
    }
    engine.stop();
}

/// A process that is stopped does nothing on its own, and still goes when its engine does.
#[tokio::test]
async fn a_stopped_model_goes_with_the_engine() {
    let folder = folder_with_models();
    let jobs = Jobs::of(folder.path());
    let engine = Serve::start(folder.path(), &[]);
    engine.put(&job_id(2), &jobs.number(2)).await;
    engine.client.finished(&job_id(2)).await;
    kill_process(engine.runners()[0], Signal::STOP).unwrap();
    engine.kill();
}

/// Loading takes as long as it takes; here for ever, since nobody writes into the pipe that is the model's file.
#[test]
fn a_model_that_is_being_loaded_goes_with_the_engine() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    let options =
        GeneratorOptions { context: 64, parallel: 1, threads: 1, gpu_layers: None, chat_template: None };
    let mut load = serde_json::to_vec(&Load::Generator { path, options }).unwrap();
    load.push(b'\n');
    let mut runner = Command::new(PROGRAM)
        .arg("model-runner")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut orders = runner.stdin.take().unwrap();
    orders.write_all(&load).unwrap();
    // An engine that ends closes the pipe.
    drop(orders);
    assert!(runner.wait().unwrap().success());
}

/// Memory as a disk, so that it can be full: a mount in a namespace that only the engine sees. Needs user namespaces,
/// or root; where there are neither (some containers), the test cannot be made and says so.
fn on_a_small_disk(folder: &Path, data: &Path) -> Option<Serve> {
    const MOUNT: &str = "mount -t tmpfs -o size=512k poq-test \"$0\" && exec \"$@\"";
    let in_namespace = |command: &[String]| {
        let mut unshare = Command::new("unshare");
        unshare.args(["--map-root-user", "--mount", "sh", "-c", MOUNT]).arg(data).args(command);
        unshare
    };
    let possible = in_namespace(&["true".to_owned()]).stderr(Stdio::null()).status();
    if !possible.is_ok_and(|status| status.success()) {
        eprintln!("NOT TESTED: this machine lets nobody mount a file system in a namespace");
        return None;
    }
    let command: Vec<String> = [PROGRAM.to_owned()].into_iter().chain(arguments(folder, data, &[])).collect();
    Some(Serve::run(in_namespace(&command), folder))
}

/// Writes until nothing more goes onto the disk.
fn fill(disk: &Path) -> PathBuf {
    let path = disk.join("ballast");
    let full = fs::write(&path, vec![1; 1 << 20]).unwrap_err();
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    path
}

/// State of job number `n` in its file.
fn state_on_disk(jobs: &Path, n: u32) -> String {
    let json = fs::read(jobs.join(format!("{}.json", job_id(n)))).unwrap();
    let record: serde_json::Value = serde_json::from_slice(&json).unwrap();
    record["state"]["state"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_full_disk_is_said_and_survived() {
    let folder = folder_with_models();
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    let Some(engine) = on_a_small_disk(folder.path(), &data) else { return };
    let jobs = Jobs::of(folder.path());
    let disk = Path::new("/proc")
        .join(engine.child.id().to_string())
        .join("root")
        .join(data.strip_prefix("/").unwrap());
    let client = &engine.client;
    // Loads the model, and tells its process.
    engine.put(&job_id(2), &jobs.number(2)).await;
    client.finished(&job_id(2)).await;
    let runner = engine.runners()[0];

    kill_process(runner, Signal::STOP).unwrap();
    let accepted = [3, 6, 7, 10];
    for n in accepted {
        engine.put(&job_id(n), &jobs.number(n)).await;
    }
    let ballast = fill(&disk);
    let refused = client.put(&job_id(11), &jobs.number(11), 0).await;
    assert_eq!(refused.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let body: serde_json::Value = refused.json().await.unwrap();
    assert_eq!(body["error"]["code"], "store", "{body}");
    let health = client.http.get(format!("{}/health", client.base)).send().await.unwrap();
    assert_eq!(health.status(), StatusCode::OK);
    assert_eq!(
        client.get(&job_id(11), 0).await.status(),
        StatusCode::NOT_FOUND,
        "what was refused is not known"
    );

    kill_process(runner, Signal::CONT).unwrap();
    let mut results = BTreeMap::new();
    for n in accepted {
        results.insert(n, client.finished(&job_id(n)).await);
        assert!(matches!(results[&n], JobState::Done { .. }), "{:?}", results[&n]);
        assert_eq!(state_on_disk(&disk.join("jobs"), n), "queued", "there was no room for more");
    }

    fs::remove_file(ballast).unwrap();
    engine.put(&job_id(11), &jobs.number(11)).await;
    results.insert(11, client.finished(&job_id(11)).await);
    for n in accepted {
        while state_on_disk(&disk.join("jobs"), n) != "done" {
            tokio::time::sleep(MOMENT).await;
        }
    }

    // The disk goes with the engine; another one goes on with a copy of it.
    let copy = folder.path().join("copy");
    fs::create_dir_all(copy.join("data/jobs")).unwrap();
    for entry in fs::read_dir(disk.join("jobs")).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.join("data/jobs").join(entry.file_name())).unwrap();
    }
    engine.stop();
    fs::rename(folder.path().join("models"), copy.join("models")).unwrap();
    let engine = Serve::start(&copy, &[]);
    for (n, result) in results {
        assert_eq!(engine.client.state(&job_id(n)).await, result, "job {n}");
    }
    engine.stop();
}

#[tokio::test]
async fn a_model_that_hangs_fails_its_jobs_and_is_replaced() {
    let folder = folder_with_models();
    let jobs = Jobs::of(folder.path());
    let engine = Serve::start(folder.path(), &["--job-seconds", "2"]);
    let client = &engine.client;
    engine.put(&job_id(2), &jobs.number(2)).await;
    client.finished(&job_id(2)).await;
    let hung = engine.runners()[0];
    kill_process(hung, Signal::STOP).unwrap();
    for n in [3, 6] {
        engine.put(&job_id(n), &jobs.number(n)).await;
    }
    for n in [3, 6] {
        let JobState::Failed { error } = client.finished(&job_id(n)).await else { panic!("done by whom?") };
        assert_eq!(error.code, FailureReason::DeadlineExceeded, "{}", error.message);
    }
    // The other models go on.
    engine.put(&job_id(0), &jobs.number(0)).await;
    assert!(matches!(client.finished(&job_id(0)).await, JobState::Done { .. }));

    wait_until_gone(&[hung]);
    let others = engine.runners();
    engine.put(&job_id(7), &jobs.number(7)).await;
    let state = client.finished(&job_id(7)).await;
    assert!(matches!(state, JobState::Done { .. }), "{state:?}");

    // One that only paused is kept.
    let of_strong = *engine.runners().iter().find(|runner| !others.contains(runner)).unwrap();
    kill_process(of_strong, Signal::STOP).unwrap();
    engine.put(&job_id(10), &jobs.number(10)).await;
    assert!(matches!(client.finished(&job_id(10)).await, JobState::Failed { .. }));
    kill_process(of_strong, Signal::CONT).unwrap();
    engine.put(&job_id(11), &jobs.number(11)).await;
    assert!(matches!(client.finished(&job_id(11)).await, JobState::Done { .. }));
    assert!(lives(of_strong));
    engine.stop();
}

/// The program's end, for one that is not expected to go on.
fn outcome(folder: &Path) -> Output {
    Command::new(PROGRAM)
        .args(arguments(folder, &folder.join("data"), &[]))
        .env("XDG_CONFIG_HOME", folder)
        .env("POQ_ENGINE_TOKEN", Token::random().expose())
        .output()
        .unwrap()
}

#[tokio::test]
async fn damaged_files_are_no_reason_not_to_start() {
    let folder = folder_with_models();
    let data = folder.path().join("data");
    let mut random = StdRng::seed_from_u64(SEED);
    let mut noise = || (0..300).map(|_| random.random()).collect::<Vec<u8>>();
    fs::create_dir_all(data.join("jobs/.tmp-folder/with")).unwrap();
    fs::create_dir_all(data.join(format!("jobs/{}.json/with", job_id(1)))).unwrap();
    fs::write(data.join(format!("jobs/{}.json", job_id(2))), noise()).unwrap();
    fs::write(data.join(format!("jobs/{}.json", job_id(3))), "").unwrap();
    fs::write(data.join("jobs/readme.txt"), "not a job").unwrap();
    // Pipes that nobody writes to: whoever reads them waits for ever.
    for pipe in [format!("jobs/{}.json", job_id(4)), "jobs/.tmp-pipe".to_owned()] {
        assert!(Command::new("mkfifo").arg(data.join(pipe)).status().unwrap().success());
    }
    fs::write(data.join("aborts.json"), noise()).unwrap();
    fs::write(data.join("digests.json"), noise()).unwrap();
    fs::write(data.join("lock"), noise()).unwrap();
    fs::create_dir(folder.path().join("models/folder.gguf")).unwrap();

    let jobs = Jobs::of(folder.path());
    for round in 0..2 {
        let engine = Serve::start(folder.path(), &[]);
        for n in 1..6 {
            engine.put(&job_id(n), &jobs.number(n)).await;
            let state = engine.client.finished(&job_id(n)).await;
            assert!(matches!(state, JobState::Done { .. }), "round {round}, job {n}: {state:?}");
        }
        engine.stop();
        // And once more with folders in their places.
        for file in ["aborts.json", "digests.json"].map(|file| data.join(file)) {
            let _may_lack = fs::remove_file(&file);
            let _is_there = fs::create_dir(&file);
        }
    }
    for file in ["aborts.json", "digests.json"].map(|file| data.join(file)) {
        fs::remove_dir(&file).unwrap();
        assert!(Command::new("mkfifo").arg(&file).status().unwrap().success());
    }
    let engine = Serve::start(folder.path(), &[]);
    engine.put(&job_id(9), &jobs.number(9)).await;
    assert!(matches!(engine.client.finished(&job_id(9)).await, JobState::Done { .. }));
    engine.stop();
    assert!(data.join(format!("jobs/{}.json.corrupt", job_id(1))).is_dir(), "set aside, not thrown away");
}

#[test]
fn what_it_cannot_start_with_is_named() {
    for place in ["data/lock", "data/jobs", "data"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(place);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        match place {
            "data/lock" => fs::create_dir(&path).unwrap(),
            _ => fs::write(&path, "a file").unwrap(),
        }
        let output = outcome(folder.path());
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success());
        assert!(said.lines().last().unwrap().contains(path.to_str().unwrap()), "{place}: {said}");
    }
}
