//! `poq-worker models` as people meet it, with a hub and a web server of this test's own.

use crate::common::gguf;
use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, Method, Response, Uri},
    Router,
};
use futures::stream;
use poq_worker::{
    demo::{self, install_demo_models},
    models::{digest::sha256_of_bytes, manifest::Manifest, shelf::Shelf},
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, VecDeque},
    fs, io,
    net::SocketAddr,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{Arc, Mutex},
};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// The token that opens the gated repository.
const TOKEN: &str = "hf_secret-of-the-test";

/// The commit of every revision of every repository.
const COMMIT: &str = "c0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ff";

/// The server's reaction to the next request for a file's content.
enum Plan {
    /// Sends so many bytes and cuts the connection.
    Cut(usize),
    /// Refuses.
    Status(u16),
    /// Knows no ranges: sends everything.
    Everything,
    /// Knows ranges, but not `If-Range`: sends the rest of whatever there is now.
    RestOfAnything,
    /// Says that an exbibyte is coming.
    Huge,
}

#[derive(Default)]
struct Site {
    address: String,
    /// By path: `owner/repo/file` of the hub, or `files/name` of the web server.
    files: BTreeMap<String, Vec<u8>>,
    /// Hashes that the hub says, where they are not the file's.
    wrong: BTreeMap<String, String>,
    plans: VecDeque<Plan>,
    /// First byte and number of bytes of each answer with content.
    sent: Vec<(usize, usize)>,
    /// Requests of any kind.
    requests: usize,
}

/// A server of files that behaves like the hub (`/OWNER/REPO/resolve/REVISION/FILE`, which sends on to `/cdn/`
/// for large files), and like a plain web server (`/files/NAME`).
struct Server {
    site: Arc<Mutex<Site>>,
    address: SocketAddr,
    _runtime: Runtime,
}

impl Server {
    fn start() -> Self {
        let runtime = Runtime::new().unwrap();
        let site = Arc::new(Mutex::new(Site::default()));
        let router = Router::new().fallback(answer).with_state(site.clone());
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        site.lock().unwrap().address = format!("http://{address}");
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self { site, address, _runtime: runtime }
    }

    fn put(&self, path: &str, content: &[u8]) {
        self.site.lock().unwrap().files.insert(path.to_owned(), content.to_owned());
    }

    fn plan(&self, plans: impl IntoIterator<Item = Plan>) {
        self.site.lock().unwrap().plans = plans.into_iter().collect();
    }

    /// Requests since the last call.
    fn sent(&self) -> Vec<(usize, usize)> {
        std::mem::take(&mut self.site.lock().unwrap().sent)
    }

    fn url(&self, name: &str) -> String {
        format!("http://{}/files/{name}", self.address)
    }
}

async fn answer(
    State(site): State<Arc<Mutex<Site>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Response<Body> {
    let mut site = site.lock().unwrap();
    site.requests += 1;
    let probe = method == Method::HEAD;
    let parts: Vec<&str> = uri.path().trim_start_matches('/').split('/').collect();
    match parts.as_slice() {
        [owner, repo, "resolve", _revision, file @ ..] => {
            let path = format!("{owner}/{repo}/{}", file.join("/"));
            resolve(&mut site, &path, &headers, probe)
        }
        ["cdn", path @ ..] => content(&mut site, &path.join("/"), &headers, !probe),
        ["files", name] => content(&mut site, &format!("files/{name}"), &headers, !probe),
        _ => status(404),
    }
}

fn status(code: u16) -> Response<Body> {
    Response::builder().status(code).body(Body::empty()).unwrap()
}

/// The hub's own answer. Large files are those of models; the rest comes at once.
fn resolve(site: &mut Site, path: &str, headers: &HeaderMap, probe: bool) -> Response<Body> {
    // A repository that was renamed.
    if let Some(path) = path.strip_prefix("moved/repo/") {
        let there = format!("/gated/repo/resolve/main/{path}");
        return Response::builder().status(307).header("location", there).body(Body::empty()).unwrap();
    }
    let bearer = headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
    if path.starts_with("gated/") && bearer != Some(format!("Bearer {TOKEN}")) {
        return status(401);
    }
    let Some(file) = site.files.get(path) else { return status(404) };
    let hash = site.wrong.get(path).cloned().unwrap_or_else(|| sha256_of_bytes(file));
    if path.ends_with(".gguf") || path.ends_with(".onnx") {
        return Response::builder()
            .status(302)
            .header("location", format!("{}/cdn/{path}", site.address))
            .header("x-repo-commit", COMMIT)
            .header("x-linked-etag", format!("\"{hash}\""))
            .header("x-linked-size", file.len())
            .header("etag", "\"of-the-pointer\"")
            .body(Body::empty())
            .unwrap();
    }
    let known = site.sent.len();
    let mut response = content(site, path, headers, false);
    if probe {
        site.sent.truncate(known);
    }
    response.headers_mut().insert("x-repo-commit", COMMIT.parse().unwrap());
    response.headers_mut().insert("etag", format!("\"{}\"", &hash[..40]).parse().unwrap());
    response
}

/// A file's content, or the part of it that is asked for.
fn content(site: &mut Site, path: &str, headers: &HeaderMap, planned: bool) -> Response<Body> {
    let Some(file) = site.files.get(path).cloned() else { return status(404) };
    let header = |name: &str| headers.get(name).map(|value| value.to_str().unwrap());
    let etag = format!("\"{}\"", sha256_of_bytes(&file));
    let range = header("range").map(|range| {
        let (first, last) = range.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
        (first.parse::<usize>().unwrap(), last.parse().unwrap_or(file.len().saturating_sub(1)))
    });
    let plan = if planned { site.plans.pop_front() } else { None };
    let same = header("if-range").is_none_or(|wanted| wanted == etag);
    let range = match plan {
        Some(Plan::Status(code)) => return status(code),
        Some(Plan::Huge) => {
            let start = stream::iter([Ok::<_, io::Error>(file)]);
            let body = Body::from_stream(start);
            return Response::builder().header("content-length", 1_u64 << 60).body(body).unwrap();
        }
        Some(Plan::Everything) => None,
        Some(Plan::RestOfAnything) => range,
        Some(Plan::Cut(_)) | None => range.filter(|_| same),
    };
    if range.is_some_and(|(first, _)| first >= file.len()) {
        let of = format!("bytes */{}", file.len());
        return Response::builder().status(416).header("content-range", of).body(Body::empty()).unwrap();
    }
    let (first, last) = range.unwrap_or((0, file.len() - 1));
    let wanted = file[first..=last].to_vec();
    let (send, cut) = match plan {
        Some(Plan::Cut(bytes)) => (wanted[..bytes.min(wanted.len())].to_vec(), true),
        _ => (wanted.clone(), false),
    };
    site.sent.push((first, send.len()));
    let mut response = Response::builder().header("etag", etag).header("content-length", wanted.len());
    if range.is_some() {
        let of = format!("bytes {first}-{last}/{}", file.len());
        response = response.status(206).header("content-range", of);
    }
    let cutting = cut.then(|| Err(io::Error::other("cut")));
    // In pieces, so that what comes before the cut is really on its way.
    let pieces: Vec<io::Result<Vec<u8>>> = send.chunks(64 * 1024).map(|piece| Ok(piece.to_vec())).collect();
    let slowly = stream::unfold(pieces.into_iter().chain(cutting), |mut pieces| async {
        let piece = pieces.next()?;
        if piece.is_err() {
            // The connection is closed only when what was written has gone out.
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
        Some((piece, pieces))
    });
    response.body(Body::from_stream(slowly)).unwrap()
}

/// A machine with a store, and a server.
struct World {
    folder: TempDir,
    server: Server,
    demo: PathBuf,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let demo = folder.path().join("demo");
        install_demo_models(&demo).unwrap();
        Self { folder, server: Server::start(), demo }
    }

    fn store(&self) -> PathBuf {
        self.folder.path().join("models")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_poq-worker"));
        for name in
            ["HF_TOKEN", "http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"]
        {
            command.env_remove(name);
        }
        command
            .arg("models")
            .args(arguments)
            .env("POQ_MODELS", self.store())
            .env("POQ_ENGINE_DATA", self.folder.path().join("data"))
            .env("HOME", self.folder.path())
            .env("HF_HOME", self.folder.path().join("hub"))
            .env("HF_ENDPOINT", format!("http://{}/", self.server.address))
            .current_dir(self.folder.path())
            .stdin(std::process::Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Standard output of a command that works.
    fn works(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// The error, in one line, of a command that does not.
    fn fails(&self, arguments: &[&str]) -> String {
        failed(&self.run(arguments))
    }

    fn list(&self) -> Vec<Value> {
        serde_json::from_str(&self.works(&["list", "--json"])).unwrap()
    }

    fn demo(&self, path: &str) -> Vec<u8> {
        fs::read(self.demo.join(path)).unwrap()
    }

    /// Names in the store, hidden ones too.
    fn stored(&self) -> Vec<String> {
        let Ok(listed) = fs::read_dir(self.store()) else { return Vec::new() };
        let mut names: Vec<_> =
            listed.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// The demo evaluator as its author would lay it out on the hub.
    fn put_evaluator_on_hub(&self, repo: &str) {
        let config =
            br#"{"architectures": ["BertForSequenceClassification"], "max_position_embeddings": 128}"#;
        self.server.put(&format!("{repo}/onnx/model.onnx"), &self.demo("poq-demo-evaluator/model.onnx"));
        self.server.put(&format!("{repo}/tokenizer.json"), &self.demo("poq-demo-evaluator/tokenizer.json"));
        self.server.put(&format!("{repo}/config.json"), config);
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn failed(output: &Output) -> String {
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}{}", text(&output.stdout));
    assert_eq!(error.trim_end().lines().count(), 1, "{error}");
    error
}

fn said_in(output: &str, key: &str) -> String {
    let line = output.lines().find(|line| line.starts_with(key)).unwrap_or_else(|| panic!("{output}"));
    line[key.len()..].trim().to_owned()
}

#[test]
fn the_demo_models_are_what_their_list_says() {
    let world = World::new();
    let shelf = Shelf::new(world.demo.clone(), world.folder.path().join("cache.json"));
    shelf.scan();
    let manifest: Value = serde_json::from_slice(demo::manifest()).unwrap();
    let models = manifest["models"].as_array().unwrap();
    // The development chain knows the judge; it does not come with the program.
    let (brought, others): (Vec<_>, Vec<_>) = models.iter().partition(|model| model["name"] != "poq-judge");
    assert_eq!((brought.len(), others.len()), (shelf.list().len(), 1));
    let judge =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../models").join(others[0]["file"].as_str().unwrap());
    assert_eq!(sha256_of_bytes(&fs::read(judge).unwrap()), others[0]["sha256"]);
    for model in brought {
        let entry = shelf.named(model["name"].as_str().unwrap()).unwrap();
        assert_eq!(entry.id.as_deref(), Ok(model["sha256"].as_str().unwrap()));
        assert_eq!(entry.kind.as_str(), model["kind"]);
        assert_eq!(sha256_of_bytes(&world.demo(model["file"].as_str().unwrap())), model["sha256"]);
        shelf.verify(&entry).unwrap();
    }
    let judge = shelf.named("poq-demo-evaluator").unwrap();
    let manifest = judge.manifest.clone().unwrap();
    assert_eq!((manifest.max_tokens, manifest.calibration.a, manifest.calibration.b), (128, 0.9182, 1.1011));
    // It is what the engine itself would write.
    assert_eq!(manifest.to_json().as_bytes(), world.demo("poq-demo-evaluator/poq.json"));
}

#[test]
fn a_generator_comes_from_the_hub_and_is_checked() {
    let world = World::new();
    let content = world.demo("poq-demo-strong.gguf");
    let id = sha256_of_bytes(&content);
    world.server.put("owner/repo/q8/strong.gguf", &content);
    let output = world.works(&["add", "hf:owner/repo/q8/strong.gguf", "--sha256", &format!("0x{id}")]);
    assert_eq!(said_in(&output, "name"), "strong");
    assert_eq!(said_in(&output, "kind"), "generator");
    assert_eq!(said_in(&output, "id"), id);
    assert_eq!(said_in(&output, "size"), "1.19 MiB");
    assert_eq!(said_in(&output, "state"), "added");
    assert_eq!(fs::read(world.store().join("strong.gguf")).unwrap(), content);
    assert_eq!(world.server.sent(), [(0, content.len())]);

    let again = world.works(&["add", "hf:owner/repo/q8/strong.gguf"]);
    assert_eq!(said_in(&again, "state"), "was in the store already");
    assert!(world.server.sent().is_empty(), "nothing is fetched twice");
    // Under another name it comes from the hub's cache.
    world.works(&["add", "hf:owner/repo@v1/q8/strong.gguf", "--name", "other", "--link"]);
    assert!(world.server.sent().is_empty());
    assert!(world.store().join("other.gguf").is_symlink());
    // Other programs find it in the cache.
    let cache = world.folder.path().join("hub/hub/models--owner--repo");
    assert_eq!(text(&fs::read(cache.join("refs/v1")).unwrap()), COMMIT);
    let snapshot = cache.join("snapshots").join(COMMIT).join("q8/strong.gguf");
    assert_eq!(fs::read_link(&snapshot).unwrap(), Path::new("../../../blobs").join(&id));
    assert_eq!(fs::read(snapshot).unwrap(), content);
    assert_eq!(world.list()[0]["id"], id);
    assert_eq!(world.stored(), ["other.gguf", "strong.gguf"], "nothing else is left");
}

#[test]
fn a_gated_repository_wants_a_token_which_is_never_shown() {
    let world = World::new();
    world.server.put("gated/repo/m.gguf", &world.demo("poq-demo-weak.gguf"));
    let arguments = ["add", "hf:gated/repo/m.gguf"];
    let error = world.fails(&arguments);
    assert!(error.contains("401") && error.contains("HF_TOKEN"), "{error}");
    let wrong = world.command(&arguments).env("HF_TOKEN", "hf_wrong-secret").output().unwrap();
    assert!(!failed(&wrong).contains("hf_wrong-secret"));

    let with_token = world.command(&arguments).env("HF_TOKEN", TOKEN).output().unwrap();
    assert!(with_token.status.success(), "{}", text(&with_token.stderr));
    assert!(!(text(&with_token.stdout) + &text(&with_token.stderr)).contains(TOKEN));

    fs::write(world.folder.path().join("hub/token"), TOKEN).unwrap();
    world.works(&["add", "hf:gated/repo/m.gguf", "--name", "by-file"]);
    world.works(&["add", "hf:moved/repo/m.gguf", "--name", "by-its-old-name"]);
}

#[test]
fn what_the_hub_does_not_have_is_said() {
    let world = World::new();
    world.server.put("owner/repo/m.gguf", b"GGUF");
    let error = world.fails(&["add", "hf:owner/repo@v2/other.gguf"]);
    assert!(error.contains("the hub has no other.gguf in owner/repo at revision v2"), "{error}");
    let output =
        world.command(&["add", "hf:owner/repo/m.gguf"]).env("HF_ENDPOINT", "nowhere").output().unwrap();
    assert!(failed(&output).contains("HF_ENDPOINT"));
    let usage = world.run(&["add", "hf:owner/repo"]);
    assert!(usage.status.code() == Some(2) && text(&usage.stderr).contains("hf:OWNER/REPO/FILE"));
}

#[test]
fn a_broken_transfer_from_the_hub_goes_on_where_it_was() {
    let world = World::new();
    let content = world.demo("poq-demo-strong.gguf");
    let (whole, half) = (content.len(), content.len() / 2);
    world.server.put("owner/repo/m.gguf", &content);
    // It breaks off, and what comes then does not pass by itself.
    world.server.plan([Plan::Cut(half), Plan::Status(403)]);
    let error = world.fails(&["add", "hf:owner/repo/m.gguf"]);
    assert!(error.contains("403"), "{error}");
    assert!(world.stored().is_empty());
    assert_eq!(world.server.sent(), [(0, half)]);
    world.works(&["add", "hf:owner/repo/m.gguf"]);
    assert_eq!(world.server.sent(), [(half, whole - half)], "the first half does not come again");
    assert_eq!(fs::read(world.store().join("m.gguf")).unwrap(), content);

    // What passes is waited for.
    world.server.put("owner/repo/n.gguf", &world.demo("poq-demo-weak.gguf"));
    world.server.plan([Plan::Status(503), Plan::Cut(1000), Plan::Status(429)]);
    world.works(&["add", "hf:owner/repo/n.gguf"]);
    assert_eq!(world.server.sent()[..2].iter().map(|sent| sent.0).collect::<Vec<_>>(), [0, 1000]);
}

#[test]
fn a_hub_without_ranges_and_one_with_a_changed_file_do_no_harm() {
    let world = World::new();
    let (strong, weak) = (world.demo("poq-demo-strong.gguf"), world.demo("poq-demo-weak.gguf"));
    world.server.put("owner/repo/m.gguf", &strong);
    world.server.plan([Plan::Cut(strong.len() / 2), Plan::Everything]);
    world.works(&["add", "hf:owner/repo/m.gguf"]);
    assert_eq!(fs::read(world.store().join("m.gguf")).unwrap(), strong);

    world.server.put("owner/repo/n.gguf", &strong[..strong.len() - 8]);
    world.server.plan([Plan::Cut(500_000), Plan::Status(403)]);
    world.fails(&["add", "hf:owner/repo/n.gguf"]);
    world.server.put("owner/repo/n.gguf", &weak);
    world.works(&["add", "hf:owner/repo/n.gguf"]);
    assert_eq!(fs::read(world.store().join("n.gguf")).unwrap(), weak);
}

#[test]
fn a_file_that_is_not_what_the_hub_says_is_removed() {
    let world = World::new();
    let content = world.demo("poq-demo-strong.gguf");
    let (here, there) = (sha256_of_bytes(&content), "ab".repeat(32));
    world.server.put("owner/repo/m.gguf", &content);
    world.server.site.lock().unwrap().wrong.insert("owner/repo/m.gguf".to_owned(), there.clone());
    let error = world.fails(&["add", "hf:owner/repo/m.gguf"]);
    assert!(error.contains(&here) && error.contains(&there) && error.contains("removed"), "{error}");
    assert!(world.stored().is_empty());
    let blobs = world.folder.path().join("hub/hub/models--owner--repo/blobs");
    assert!(!blobs.join(&there).exists() && !blobs.join(&there).with_extension("part").exists());

    // What the registry says can be compared before anything comes.
    world.server.sent();
    world.server.site.lock().unwrap().wrong.clear();
    let error = world.fails(&["add", "hf:owner/repo/m.gguf", "--sha256", &there]);
    assert!(error.contains(&here) && error.contains(&there), "{error}");
    assert!(world.server.sent().is_empty());
}

#[test]
fn an_evaluator_from_the_hub_has_the_id_of_the_same_files_in_a_folder() {
    let world = World::new();
    world.put_evaluator_on_hub("owner/judge");
    let output = world.works(&["add", "hf:owner/judge/onnx/model.onnx"]);
    assert_eq!(said_in(&output, "name"), "judge");
    assert_eq!(said_in(&output, "kind"), "evaluator (cross-encoder)");
    let id = said_in(&output, "id");
    assert_eq!(id, sha256_of_bytes(&fs::read(world.store().join("judge/poq.json")).unwrap()));
    let manifest = Manifest::parse(&fs::read(world.store().join("judge/poq.json")).unwrap()).unwrap();
    assert_eq!((manifest.model.as_str(), manifest.max_tokens), ("onnx/model.onnx", 128));
    assert_eq!(manifest.files.keys().collect::<Vec<_>>(), ["onnx/model.onnx", "tokenizer.json"]);
    assert!(world.store().join("judge/config.json").is_file(), "what describes it is kept");

    let local = world.folder.path().join("local");
    fs::create_dir_all(local.join("onnx")).unwrap();
    fs::copy(world.demo.join("poq-demo-evaluator/model.onnx"), local.join("onnx/model.onnx")).unwrap();
    fs::copy(world.demo.join("poq-demo-evaluator/tokenizer.json"), local.join("tokenizer.json")).unwrap();
    let error = world.fails(&["add", "local"]);
    assert!(error.contains("--kind cross-encoder"), "{error}");
    for (source, name) in [("local", "folder"), ("local/onnx/model.onnx", "file")] {
        let arguments = ["add", source, "--name", name, "--kind", "cross-encoder", "--max-tokens", "128"];
        assert_eq!(said_in(&world.works(&arguments), "id"), id);
    }
    let linked = world.works(&["add", "hf:owner/judge/onnx/model.onnx", "--name", "linked", "--link"]);
    assert_eq!(said_in(&linked, "id"), id);
    assert!(world.store().join("linked/onnx/model.onnx").is_symlink());
    assert_eq!(world.stored(), ["file", "folder", "judge", "linked"]);
    assert!(world.works(&["check"]).lines().skip(1).all(|line| line.ends_with("ok")));
}

#[test]
fn an_evaluator_with_weights_apart_and_one_with_a_manifest_come_whole() {
    let world = World::new();
    world.put_evaluator_on_hub("owner/judge");
    let network =
        with_weights_in(&world.demo("poq-demo-evaluator/model.onnx"), &["model.onnx_data", "odd.bin"]);
    world.server.put("owner/judge/onnx/model.onnx", &network);
    world.server.put("owner/judge/onnx/model.onnx_data", b"weights");
    world.server.put("owner/judge/onnx/model.onnx_data_1", b"of another network");
    let error = world.fails(&["add", "hf:owner/judge/onnx/model.onnx"]);
    assert!(error.contains("odd.bin"), "{error}");
    world.server.put("owner/judge/onnx/odd.bin", b"more weights");
    world.works(&["add", "hf:owner/judge/onnx/model.onnx"]);
    let manifest = Manifest::parse(&fs::read(world.store().join("judge/poq.json")).unwrap()).unwrap();
    assert_eq!(manifest.files["onnx/model.onnx_data"], sha256_of_bytes(b"weights"));
    assert_eq!(manifest.files["onnx/odd.bin"], sha256_of_bytes(b"more weights"));
    assert_eq!(manifest.files.len(), 4, "and what the network does not name stays there");

    for name in ["model.onnx", "tokenizer.json", "poq.json"] {
        world.server.put(&format!("owner/ours/{name}"), &world.demo(&format!("poq-demo-evaluator/{name}")));
    }
    let id = sha256_of_bytes(&world.demo("poq-demo-evaluator/poq.json"));
    let output = world.works(&["add", "hf:owner/ours/poq.json", "--sha256", &id]);
    assert_eq!(said_in(&output, "id"), id, "calibration and all");
    let error = world.fails(&["add", "hf:owner/ours/poq.json", "--name", "x", "--max-tokens", "64"]);
    assert!(error.contains("comes with a poq.json"), "{error}");
    world.server.put("owner/ours/tokenizer.json", b"{}");
    let error = world.fails(&["add", "hf:owner/ours/poq.json", "--name", "x"]);
    assert!(error.contains("tokenizer.json is not the file"), "{error}");
    assert_eq!(world.stored(), ["judge", "ours"]);
}

#[test]
fn a_broken_transfer_from_the_web_goes_on_where_it_was() {
    let world = World::new();
    let content = world.demo("poq-demo-strong.gguf");
    let (whole, half) = (content.len(), content.len() / 2);
    let url = world.server.url("m.gguf");
    world.server.put("files/m.gguf", &content);
    world.server.plan([Plan::Cut(half), Plan::Status(403)]);
    let error = world.fails(&["add", &format!("{url}?key=secret")]);
    assert!(error.contains("403") && !error.contains("secret"), "{error}");
    assert!(world.list().is_empty(), "a part is no model");
    assert_eq!(world.server.sent(), [(0, half)]);
    assert!(!text(&fs::read(world.store().join("m.gguf.part.json")).unwrap()).contains("secret"));
    world.works(&["add", &format!("{url}?key=secret")]);
    assert_eq!(world.server.sent(), [(half, whole - half)], "the first half does not come again");
    assert_eq!(fs::read(world.store().join("m.gguf")).unwrap(), content);
    assert_eq!(world.stored(), ["m.gguf"]);

    world.server.plan([Plan::Status(503), Plan::Cut(1000), Plan::Status(500)]);
    world.works(&["add", &url, "--name", "n"]);
    assert_eq!(world.server.sent()[..2].iter().map(|sent| sent.0).collect::<Vec<_>>(), [0, 1000]);
    assert_eq!(fs::read(world.store().join("n.gguf")).unwrap(), content);
}

#[test]
fn parts_of_two_versions_are_never_put_together() {
    let world = World::new();
    let (strong, weak) = (world.demo("poq-demo-strong.gguf"), world.demo("poq-demo-weak.gguf"));
    let url = world.server.url("m.gguf");
    let broken = |content: &[u8]| {
        world.server.put("files/m.gguf", content);
        world.server.plan([Plan::Cut(500_000), Plan::Status(404)]);
        world.fails(&["add", &url]);
    };
    let comes = |plans: Vec<Plan>, content: &[u8]| {
        world.server.put("files/m.gguf", content);
        world.server.plan(plans);
        world.works(&["add", &url]);
        assert_eq!(fs::read(world.store().join("m.gguf")).unwrap(), content);
        assert_eq!(world.stored(), ["m.gguf"]);
        world.works(&["remove", "m", "--yes"]);
    };
    // The server knows no ranges.
    broken(&strong);
    comes(vec![Plan::Everything], &strong);
    // The file changed: `If-Range` brings the new one.
    broken(&strong);
    comes(vec![], &weak);
    // The server does not know `If-Range`: its marks give it away, and the size does.
    broken(&strong);
    comes(vec![Plan::RestOfAnything], &weak);
    // The file became shorter than what there is of it.
    broken(&strong);
    let mut short = strong[..400_000].to_vec();
    short[10] ^= 1;
    comes(vec![Plan::RestOfAnything], &short);
    // What there is belongs to another address.
    broken(&strong);
    world.server.put("files/other.gguf", &weak);
    world.works(&["add", &world.server.url("other.gguf"), "--name", "m"]);
    assert_eq!(fs::read(world.store().join("m.gguf")).unwrap(), weak);
}

#[test]
fn a_wrong_file_from_the_web_is_removed() {
    let world = World::new();
    let content = world.demo("poq-demo-weak.gguf");
    world.server.put("files/m.gguf", &content);
    world.server.put("files/page.gguf", b"<html>not here</html>");
    let wanted = "cd".repeat(32);
    let url = world.server.url("m.gguf");
    let error = world.fails(&["add", &url, "--sha256", &wanted]);
    assert!(error.contains(&wanted) && error.contains(&sha256_of_bytes(&content)), "{error}");
    assert!(world.stored().is_empty(), "{:?}", world.stored());
    let error = world.fails(&["add", &world.server.url("page.gguf")]);
    assert!(error.contains("is not a GGUF file"), "{error}");
    assert!(world.stored().is_empty());
    let error = world.fails(&["add", &world.server.url("missing.gguf")]);
    assert!(error.contains("404"), "{error}");
    assert!(world.fails(&["add", &url, "--link"]).contains("--link"));
    assert!(world.fails(&["add", &url, "--max-tokens", "64"]).contains("for evaluators"));
}

#[test]
fn a_full_disk_is_said() {
    let world = World::new();
    world.server.put("files/m.gguf", &world.demo("poq-demo-weak.gguf"));
    let url = world.server.url("m.gguf");
    world.server.plan([Plan::Huge]);
    let error = world.fails(&["add", &url]);
    assert!(error.contains("has no room: 1.00 EiB are needed"), "{error}");
    // A device on which every byte is one too many.
    fs::remove_file(world.store().join("m.gguf.part")).unwrap();
    symlink("/dev/full", world.store().join("m.gguf.part")).unwrap();
    let error = world.fails(&["add", &url]);
    assert!(error.contains("is full; make room"), "{error}");
    fs::remove_file(world.store().join("m.gguf.part")).unwrap();
    world.works(&["add", &url]);
}

#[test]
fn a_generator_in_parts_is_one_from_everywhere() {
    let world = World::new();
    let content = world.demo("poq-demo-strong.gguf");
    let id = sha256_of_bytes(&[content.as_slice(), b"GGUF two"].concat());
    let parts = [content.as_slice(), b"GGUF two"];
    for (number, part) in (1..).zip(parts) {
        let name = format!("m-{number:05}-of-00002.gguf");
        world.server.put(&format!("files/{name}"), part);
        world.server.put(&format!("owner/repo/{name}"), part);
        fs::write(world.folder.path().join(name), part).unwrap();
    }
    let url = world.server.url("m-00002-of-00002.gguf");
    for (source, name) in [
        (url.as_str(), "web"),
        ("hf:owner/repo/m-00001-of-00002.gguf", "hub"),
        ("m-00002-of-00002.gguf", "local"),
    ] {
        let output = world.works(&["add", source, "--name", name, "--sha256", &id]);
        assert_eq!((said_in(&output, "name"), said_in(&output, "id")), (name.to_owned(), id.clone()));
    }
    assert_eq!(world.stored().len(), 6);
    fs::remove_file(world.folder.path().join("m-00001-of-00002.gguf")).unwrap();
    assert!(world.fails(&["add", "m-00002-of-00002.gguf"]).contains("m-00001-of-00002.gguf"));
    world.works(&["remove", "hub", "--yes"]);
    assert_eq!(world.stored().len(), 4);
}

#[test]
fn local_models_are_copied_or_linked_and_never_overwritten() {
    let world = World::new();
    let strong = world.demo.join("poq-demo-strong.gguf");
    world.works(&["add", strong.to_str().unwrap()]);
    world.works(&["add", strong.to_str().unwrap(), "--name", "linked", "--link"]);
    assert!(!world.store().join("poq-demo-strong.gguf").is_symlink());
    assert!(world.store().join("linked.gguf").is_symlink());
    let again = world.works(&["add", strong.to_str().unwrap()]);
    assert_eq!(said_in(&again, "state"), "was in the store already");
    let weak = world.demo.join("poq-demo-weak.gguf");
    let error = world.fails(&["add", weak.to_str().unwrap(), "--name", "linked"]);
    assert!(error.contains("is there already") && error.contains("--name"), "{error}");
    assert_eq!(fs::read(world.store().join("linked.gguf")).unwrap(), fs::read(&strong).unwrap());
    for name in ["", "a/b", ".hidden", "..", "x.gguf", "x.part", "x-00001-of-00002", &"n".repeat(201)] {
        let error = world.fails(&["add", weak.to_str().unwrap(), &format!("--name={name}")]);
        assert!(error.contains("cannot name a model"), "{name}: {error}");
    }
    world.works(&["add", weak.to_str().unwrap(), "--name", &"n".repeat(200)]);
    let error = world.fails(&["add", "nothing.gguf"]);
    assert!(error.contains("is not there") && error.contains("hf:"), "{error}");
    fs::write(world.folder.path().join("readme.md"), "x").unwrap();
    assert!(world.fails(&["add", "readme.md"]).contains("is no model"));
    // Several at once: what works is added, and the rest is said.
    let output = world.run(&["add", weak.to_str().unwrap(), "readme.md"]);
    assert!(text(&output.stdout).contains("poq-demo-weak") && text(&output.stderr).contains("1 of 2"));
    assert!(world.fails(&["add", "a", "b", "--name", "x"]).contains("one by one"));
}

#[test]
fn an_evaluator_keeps_its_manifest_and_one_in_the_store_gets_one() {
    let world = World::new();
    let demo = world.demo.join("poq-demo-evaluator");
    let id = sha256_of_bytes(&world.demo("poq-demo-evaluator/poq.json"));
    assert_eq!(said_in(&world.works(&["add", demo.to_str().unwrap()]), "id"), id);
    let model = demo.join("model.onnx");
    let other = world.works(&["add", model.to_str().unwrap(), "--name", "b", "--link"]);
    assert_eq!(said_in(&other, "id"), id);
    fs::write(demo.join("tokenizer.json"), "{}").unwrap();
    let error = world.fails(&["add", demo.to_str().unwrap(), "--name", "c"]);
    assert!(error.contains("tokenizer.json is not the file"), "{error}");

    let bare = world.store().join("bare");
    fs::create_dir_all(&bare).unwrap();
    fs::copy(&model, bare.join("model.onnx")).unwrap();
    fs::write(bare.join("tokenizer.json"), "{}").unwrap();
    fs::write(bare.join("modules.json"), "[]").unwrap();
    assert!(world.works(&["list"]).contains("has no poq.json; `poq-worker models add FOLDER` writes one"));
    let output = world.works(&["add", bare.to_str().unwrap()]);
    assert_eq!(said_in(&output, "kind"), "evaluator (bi-encoder)");
    assert_eq!(said_in(&world.works(&["add", bare.to_str().unwrap()]), "state"), "was in the store already");
    fs::remove_file(bare.join("tokenizer.json")).unwrap();
    fs::remove_file(bare.join("poq.json")).unwrap();
    assert!(world.fails(&["add", bare.to_str().unwrap()]).contains("has no tokenizer.json"));
    fs::remove_file(bare.join("model.onnx")).unwrap();
    assert!(world.fails(&["add", bare.to_str().unwrap()]).contains("neither a poq.json nor an .onnx"));
}

/// Remains of a command that Ctrl-C ended go with the next command; those that another command works on stay.
#[test]
fn what_was_left_half_made_is_cleared_away() {
    let world = World::new();
    let [left, fresh, locked] =
        [".tmp-left", ".tmp-fresh", ".tmp-locked"].map(|name| world.store().join(name));
    for folder in [&left, &fresh, &locked] {
        fs::create_dir_all(folder).unwrap();
        fs::write(folder.join("half.gguf"), "GGUF").unwrap();
    }
    fs::write(world.store().join(".tmp-file"), "half").unwrap();
    let hour_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    for old in [&left, &locked, &world.store().join(".tmp-file")] {
        fs::File::open(old).unwrap().set_modified(hour_ago).unwrap();
    }
    let lock = fs::File::open(&locked).unwrap();
    lock.try_lock().unwrap();
    world.works(&["add", world.demo.join("poq-demo-weak.gguf").to_str().unwrap()]);
    assert_eq!(world.stored(), [".tmp-fresh", ".tmp-locked", "poq-demo-weak.gguf"]);
}

#[test]
fn the_list_is_a_table_or_json() {
    let world = World::new();
    assert!(world.works(&["list"]).contains("models add --help"));
    assert!(world.list().is_empty());
    install_demo_models(&world.store()).unwrap();
    fs::create_dir(world.store().join("half")).unwrap();
    fs::write(world.store().join("half/poq.json"), "{}").unwrap();
    let table = world.works(&["list"]);
    let column = table.lines().next().unwrap().find("STATE").unwrap();
    assert!(table
        .lines()
        .skip(1)
        .all(|line| line[column..].starts_with("ok") || line[column..].starts_with("BROKEN")));
    let id = sha256_of_bytes(&world.demo("poq-demo-weak.gguf"));
    assert!(table.contains(&id[..12]) && !table.contains(&id), "{table}");
    assert!(world.works(&["list", "--full"]).contains(&id));
    let list = world.list();
    assert_eq!(list.iter().filter(|model| model["error"].is_null()).count(), 3);
    assert!(list[0]["name"] == "half" && list[0]["id"].is_null());
    assert_eq!((&list[1]["kind"], &list[1]["manifest"]["max_tokens"]), (&"evaluator".into(), &128.into()));
}

#[test]
fn removing_wants_a_yes_and_takes_everything() {
    let world = World::new();
    install_demo_models(&world.store()).unwrap();
    let error = world.fails(&["remove", "poq-demo-weak"]);
    assert!(error.contains("--yes") && world.store().join("poq-demo-weak.gguf").exists(), "{error}");
    assert!(world.fails(&["remove", "nobody", "--yes"]).contains("models list"));
    let id = sha256_of_bytes(&world.demo("poq-demo-weak.gguf"));
    assert!(world.fails(&["remove", &id[..5], "--yes"]).contains("models list"), "five digits are too few");
    world.works(&["remove", &id[..6], "--yes"]);
    world.works(&["remove", "poq-demo-evaluator", "--yes"]);
    // Of a link the link goes.
    let linked = world.demo.join("poq-demo-evaluator");
    symlink(&linked, world.store().join("linked")).unwrap();
    world.works(&["remove", "linked", "--yes"]);
    assert!(linked.join("model.onnx").is_file());
    assert_eq!(world.stored(), ["manifest.json", "poq-demo-strong.gguf"]);
}

#[test]
fn a_check_finds_damage_that_size_and_time_do_not_show() {
    let world = World::new();
    install_demo_models(&world.store()).unwrap();
    assert!(world.works(&["check"]).lines().skip(1).all(|line| line.ends_with("ok")));
    let damage = |path: &Path| {
        let time = fs::metadata(path).unwrap().modified().unwrap();
        let mut content = fs::read(path).unwrap();
        let last = content.len() - 1;
        content[last] ^= 1;
        fs::write(path, content).unwrap();
        fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
    };
    damage(&world.store().join("poq-demo-evaluator/model.onnx"));
    assert!(!world.works(&["list"]).contains("BROKEN"), "a list trusts size and time");
    world.works(&["check", "poq-demo-strong", "poq-demo-weak"]);
    let output = world.run(&["check"]);
    assert!(failed(&output).contains("1 of 3"));
    let table = text(&output.stdout);
    assert!(table.contains("DAMAGED: has another model.onnx"), "{table}");
    damage(&world.store().join("poq-demo-weak.gguf"));
    let id = sha256_of_bytes(&world.demo("poq-demo-weak.gguf"));
    let output = world.run(&["check", &id[..8]]);
    assert!(failed(&output).contains("1 of 1"));
    assert!(text(&output.stdout).contains(&id), "{}", text(&output.stdout));
    assert!(world.fails(&["check", "nobody"]).contains("models list"));
    // What is damaged is not what it was: the list knows it now.
    assert!(world.list().iter().all(|model| model["id"] != id));
}

/// An ONNX file whose network has weights in these files, too.
fn with_weights_in(model: &[u8], names: &[&str]) -> Vec<u8> {
    let field =
        |number: u8, content: &[u8]| [&[(number << 3) | 2, content.len() as u8][..], content].concat();
    let tensor = |name: &&str| {
        let entry = field(13, &[field(1, b"location"), field(2, name.as_bytes())].concat());
        // Messages of protocol buffers are put together by putting their bytes together.
        field(7, &field(5, &[entry, vec![14 << 3, 1]].concat()))
    };
    [model.to_vec(), names.iter().flat_map(tensor).collect()].concat()
}

#[test]
fn weights_beside_a_network_come_with_it_whatever_their_name() {
    let world = World::new();
    let shape = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/external-odd-name");
    let folder = world.folder.path().join("odd");
    fs::create_dir(&folder).unwrap();
    for name in ["config.json", "model.onnx", "tokenizer.json"] {
        fs::copy(shape.join(name), folder.join(name)).unwrap();
    }
    let error = world.fails(&["add", "odd", "--kind", "cross-encoder"]);
    assert!(error.contains("weights.bin") && world.stored().is_empty(), "{error}");
    fs::copy(shape.join("weights.bin"), folder.join("weights.bin")).unwrap();
    world.works(&["add", "odd", "--kind", "cross-encoder"]);
    assert!(world.store().join("odd/weights.bin").is_file());
    // A manifest that leaves it out describes no network that could be loaded.
    let manifest = world.store().join("odd/poq.json");
    let mut json: serde_json::Value = serde_json::from_slice(&fs::read(&manifest).unwrap()).unwrap();
    json["files"].as_object_mut().unwrap().remove("weights.bin");
    fs::write(&manifest, json.to_string()).unwrap();
    let error = world.fails(&["add", world.store().join("odd").to_str().unwrap(), "--name", "other"]);
    assert!(error.contains("weights.bin"), "{error}");
    let outside = with_weights_in(&fs::read(shape.join("model.onnx")).unwrap(), &["../up.bin"]);
    fs::write(folder.join("model.onnx"), outside).unwrap();
    let error = world.fails(&["add", "odd", "--kind", "cross-encoder", "--name", "outside"]);
    assert!(error.contains("not in its folder"), "{error}");
}

#[test]
fn a_network_that_does_not_answer_is_no_generator() {
    let world = World::new();
    let strong = world.demo("poq-demo-strong.gguf");
    for (number, (key, value)) in [
        ("llama.attention.causal", gguf::Value::Bool(false)),
        ("llama.pooling_type", gguf::Value::U32(1)),
        ("general.architecture", gguf::Value::Text("nomic-bert")),
    ]
    .into_iter()
    .enumerate()
    {
        let file = world.folder.path().join(format!("{number}.gguf"));
        fs::write(&file, gguf::with(&strong, &[(key, value)])).unwrap();
        let error = world.fails(&["add", file.to_str().unwrap()]);
        assert!(error.contains("is no generator") && error.contains("not added"), "{key}: {error}");
        assert!(world.stored().is_empty(), "{key}");
        // Put there by hand, it shows.
        let placed = world.store().join(format!("{number}.gguf"));
        fs::copy(&file, &placed).unwrap();
        let listed = text(&world.run(&["list"]).stdout);
        assert!(listed.contains("BROKEN: is no generator"), "{listed}");
        fs::remove_file(placed).unwrap();
    }
}

#[test]
fn a_template_that_does_not_work_is_said_when_its_model_is_added() {
    let world = World::new();
    let strong = world.demo("poq-demo-strong.gguf");
    let long = " ".repeat(256 * 1024 + 1);
    for (name, template) in [("broken", "{% nonsense %}"), ("long", long.as_str())] {
        let file = world.folder.path().join(format!("{name}.gguf"));
        fs::write(&file, gguf::with(&strong, &[("tokenizer.chat_template", gguf::Value::Text(template))]))
            .unwrap();
        let error = world.fails(&["add", file.to_str().unwrap()]);
        assert!(error.contains("chat template") && error.contains("chat_template_file"), "{error}");
    }
    assert_eq!(world.stored(), ["broken.gguf", "long.gguf"], "another template can be given for them");
    let file = world.folder.path().join("tagged.gguf");
    let tagged = "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}";
    fs::write(&file, gguf::with(&strong, &[("tokenizer.chat_template", gguf::Value::Text(tagged))])).unwrap();
    world.works(&["add", file.to_str().unwrap()]);
}
