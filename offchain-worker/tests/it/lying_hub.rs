//! `poq-worker models add` against servers that lie: a bad mirror of the hub, or whoever is in between.

use axum::{
    body::Body,
    extract::Request,
    http::{header, Method, Response},
    Router,
};
use futures::stream;
use poq_worker::models::digest::sha256_of_bytes;
use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{Arc, Mutex},
};
use tempfile::TempDir;
use tokio::runtime::Runtime;

const TOKEN: &str = "hf_secret-of-the-test";
const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const CONTENT: &[u8] = b"GGUF and what a liar sends";

/// A request as a server saw it.
#[derive(Clone, Debug)]
struct Seen {
    /// 0 of the first request.
    number: usize,
    method: Method,
    path: String,
    range: Option<String>,
    authorization: Option<String>,
}

/// A server that answers as it is told.
struct Server {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    _runtime: Runtime,
}

impl Server {
    fn start(answer: impl Fn(&Seen) -> Response<Body> + Send + Sync + 'static) -> Self {
        let runtime = Runtime::new().unwrap();
        let (seen, answer) = (Arc::new(Mutex::new(Vec::new())), Arc::new(answer));
        let noted = Arc::clone(&seen);
        let router = Router::new().fallback(move |request: Request| {
            let (noted, answer) = (Arc::clone(&noted), Arc::clone(&answer));
            async move {
                let header =
                    |name| request.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
                let mut noted = noted.lock().unwrap();
                let seen = Seen {
                    number: noted.len(),
                    method: request.method().clone(),
                    path: request.uri().path().to_owned(),
                    range: header(header::RANGE),
                    authorization: header(header::AUTHORIZATION),
                };
                noted.push(seen.clone());
                answer(&seen)
            }
        });
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self { address, seen, _runtime: runtime }
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// The content, or the part of it that is asked for, with these names.
fn content(seen: &Seen, etag: &str, commit: &str) -> Response<Body> {
    let first = seen.range.as_deref().and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
    let first = first.map(|(first, last)| (first.parse::<usize>().unwrap(), last.parse::<usize>()));
    let answer = Response::builder().header("etag", format!("\"{etag}\"")).header("x-repo-commit", commit);
    let Some((first, last)) = first else { return answer.body(Body::from(CONTENT)).unwrap() };
    let last = last.unwrap_or(CONTENT.len() - 1);
    let of = format!("bytes {first}-{last}/{}", CONTENT.len());
    let part = CONTENT.get(first..=last).unwrap_or_default();
    answer.status(206).header("content-range", of).body(Body::from(part)).unwrap()
}

fn redirect(to: &str) -> Response<Body> {
    Response::builder()
        .status(302)
        .header("location", to)
        .header("x-repo-commit", COMMIT)
        .header("x-linked-etag", format!("\"{}\"", sha256_of_bytes(CONTENT)))
        .header("x-linked-size", CONTENT.len())
        .body(Body::empty())
        .unwrap()
}

/// A user's folder.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// `models add` with this hub, and a token for it.
    fn add(&self, hub: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_poq-worker"));
        for name in ["http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
            command.env_remove(name);
        }
        command
            .args(["models", "add"])
            .args(arguments)
            .env("POQ_MODELS", self.path("models"))
            .env("POQ_ENGINE_DATA", self.path("data"))
            .env("HOME", self.0.path())
            .env("HF_HOME", self.path("hf"))
            .env("HF_ENDPOINT", hub)
            .env("HF_TOKEN", TOKEN)
            .output()
            .unwrap()
    }

    fn works(&self, hub: &str, arguments: &[&str]) {
        let output = self.add(hub, arguments);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    }

    /// The error, in one line and without the token.
    fn fails(&self, hub: &str, arguments: &[&str]) -> String {
        let output = self.add(hub, arguments);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{error}{}", text(&output.stdout));
        assert!(error.trim_end().lines().count() == 1 && !error.contains(TOKEN), "{error}");
        error
    }

    /// Everything in the folder that is no folder itself.
    fn files(&self) -> Vec<PathBuf> {
        let (mut found, mut folders) = (Vec::new(), vec![self.0.path().to_owned()]);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
                match entry.file_type().unwrap().is_dir() {
                    true => folders.push(entry.path()),
                    false => found.push(entry.path()),
                }
            }
        }
        found
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn one_answer_decides_where_a_file_goes() {
    let home = Home::new();
    let victim = home.path("diary.txt");
    fs::write(&victim, "dear diary").unwrap();
    let (good, evil) = (sha256_of_bytes(CONTENT), victim.to_str().unwrap().to_owned());
    let hub = Server::start(move |seen| match seen.number {
        0 => content(seen, &good, COMMIT),
        _ => content(seen, &evil, &evil),
    });
    home.works(&hub.url(), &["hf:o/r/m.gguf"]);
    assert_eq!(fs::read_to_string(&victim).unwrap(), "dear diary");
    assert_eq!(fs::read(home.path("models/m.gguf")).unwrap(), CONTENT);
    let inside =
        |path: &PathBuf| ["hf", "models", "data"].iter().any(|name| path.starts_with(home.path(name)));
    assert!(home.files().iter().all(|path| inside(path) || *path == victim), "{:?}", home.files());
    // The content is that of the commit that the first answer named.
    let asked = hub.seen();
    let path = |commit: &str| format!("/o/r/resolve/{commit}/m.gguf");
    assert_eq!(asked.iter().map(|seen| seen.path.clone()).collect::<Vec<_>>(), [path("main"), path(COMMIT)]);
}

#[test]
fn names_that_are_no_hashes_become_no_paths() {
    let home = Home::new();
    let evil = home.path("evil");
    let absolute = evil.to_str().unwrap();
    let good = sha256_of_bytes(CONTENT);
    for name in [absolute, "../../../../evil", "..", "", "c0ffee", &"A".repeat(40), &"0/".repeat(32)] {
        let wrong = [(name.to_owned(), COMMIT.to_owned(), "ETag"), (good.clone(), name.to_owned(), "commit")];
        for (etag, commit, said) in wrong {
            let hub = Server::start(move |seen| content(seen, &etag, &commit));
            let error = home.fails(&hub.url(), &["hf:o/r/m.gguf"]);
            assert!(error.contains("does not answer as the hub does") && error.contains(said), "{error}");
        }
    }
    assert!(!evil.exists());
    // What the engine itself keeps.
    assert!(home.files().iter().all(|path| path.starts_with(home.path("data"))), "{:?}", home.files());
}

#[test]
fn a_token_goes_to_the_hub_and_nowhere_else() {
    let cdn = Server::start(|seen| content(seen, "of-the-cdn", COMMIT));
    for host in ["127.0.0.1", "localhost"] {
        let home = Home::new();
        let there = format!("http://{host}:{}/m", cdn.address.port());
        let hub = Server::start(move |_| redirect(&there));
        home.works(&hub.url(), &["hf:o/r/m.gguf"]);
        let bearer = Some(format!("Bearer {TOKEN}"));
        assert!(hub.seen().iter().all(|seen| seen.authorization == bearer), "{:?}", hub.seen());
    }
    assert!(cdn.seen().len() >= 2);
    assert!(cdn.seen().iter().all(|seen| seen.authorization.is_none()), "{:?}", cdn.seen());
}

#[test]
fn a_token_does_not_come_back_by_a_detour() {
    let home = Home::new();
    // The other server may choose a path on the hub at which others read what is sent.
    let hub_address = Arc::new(Mutex::new(String::new()));
    let known = Arc::clone(&hub_address);
    let detour = Server::start(move |_| redirect(&format!("{}/public", known.lock().unwrap())));
    let there = format!("{}/m", detour.url());
    let hub = Server::start(move |seen| match seen.path.as_str() {
        "/public" => content(seen, "x", COMMIT),
        _ => redirect(&there),
    });
    *hub_address.lock().unwrap() = hub.url();
    home.works(&hub.url(), &["hf:o/r/m.gguf"]);
    for seen in hub.seen() {
        assert_eq!(seen.authorization.is_some(), seen.path != "/public", "{seen:?}");
    }
    assert!(hub.seen().iter().any(|seen| seen.path == "/public"));
}

#[test]
fn redirects_that_lead_nowhere_are_errors() {
    let home = Home::new();
    let nowhere = Server::start(|_| {
        let etag = format!("\"{}\"", sha256_of_bytes(CONTENT));
        let answer = Response::builder().status(302).header("x-repo-commit", COMMIT);
        answer.header("x-linked-etag", etag).body(Body::empty()).unwrap()
    });
    let error = home.fails(&nowhere.url(), &["hf:o/r/m.gguf"]);
    assert!(error.contains("302"), "{error}");
    let round = Server::start(|_| redirect("/again"));
    let error = home.fails(&round.url(), &["hf:o/r/m.gguf"]);
    assert!(error.contains("without end"), "{error}");
    let file = Server::start(|_| redirect("file:///etc/hostname"));
    let error = home.fails(&file.url(), &["hf:o/r/m.gguf"]);
    assert!(error.contains("no web address"), "{error}");
}

/// 0.0.0.0 is reached like this machine, and is none of its loopback addresses.
#[test]
fn unencrypted_http_needs_a_flag() {
    let home = Home::new();
    let good = sha256_of_bytes(CONTENT);
    let etag = good.clone();
    let hub = Server::start(move |seen| content(seen, &etag, COMMIT));
    let exposed = format!("http://0.0.0.0:{}", hub.address.port());
    for endpoint in [exposed.clone(), exposed.to_ascii_uppercase(), exposed.replace("//", "//localhost@")] {
        let error = home.fails(&endpoint, &["hf:o/r/m.gguf"]);
        assert!(error.contains("--allow-http"), "{error}");
    }
    let file = format!("{exposed}/m.gguf");
    assert!(home.fails(&hub.url(), &[&file]).contains("--allow-http"));
    assert!(hub.seen().is_empty(), "{:?}", hub.seen());

    home.works(&exposed, &["hf:o/r/m.gguf", "--allow-http"]);
    home.works(&hub.url(), &["hf:o/r/m.gguf", "--name", "loopback"]);
    home.works(&hub.url(), &[&file, "--name", "flag", "--allow-http"]);
    home.works(&hub.url(), &[&file, "--name", "known", "--sha256", &good]);

    let there = file.clone();
    let leads_there = Server::start(move |_| redirect(&there));
    let error = home.fails(&leads_there.url(), &["hf:o/other/n.gguf"]);
    assert!(error.contains("--allow-http"), "{error}");
}

#[test]
fn a_server_that_never_stops_sending_is_left() {
    let home = Home::new();
    let hub = Server::start(|seen| {
        if seen.method == Method::HEAD {
            return redirect("/endless");
        }
        let endless = stream::repeat_with(|| Ok::<_, io::Error>(vec![b'x'; 1 << 16]));
        Response::builder().body(Body::from_stream(endless)).unwrap()
    });
    let error = home.fails(&hub.url(), &["hf:o/r/m.gguf"]);
    assert!(error.contains(&format!("more than the {} bytes", CONTENT.len())), "{error}");
    let large = |path: &PathBuf| fs::metadata(path).is_ok_and(|file| file.len() > 1 << 16);
    assert!(!home.files().iter().any(large));
}

#[test]
fn a_file_that_is_not_what_its_name_says_is_not_kept() {
    let home = Home::new();
    let wanted = "ab".repeat(32);
    let etag = wanted.clone();
    let hub = Server::start(move |seen| content(seen, &etag, COMMIT));
    let error = home.fails(&hub.url(), &["hf:o/r/m.gguf"]);
    assert!(error.contains(&wanted) && error.contains("removed"), "{error}");
    assert!(!home.files().iter().any(|path| path.starts_with(home.path("hf")) && is_file(path)));
}

fn is_file(path: &Path) -> bool {
    path.is_file()
}
