//! The page: its files are those of its sources, and a real browser uses it on a real node.

use crate::common::{examples, parse, text, wait_for, Node};
use harness::{process::send, Signal};
use poq_history::{block::Block, config::Database, made_up, store::Store};
use rand::{rngs::StdRng, SeedableRng as _};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    env, fs,
    io::{BufRead as _, BufReader},
    net::TcpListener,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};
use tempfile::TempDir;

/// Folder of the tools that checkouts share.
fn cache() -> PathBuf {
    let home =
        || PathBuf::from(env::var_os("HOME").expect("there is a home")).join(".cache/proof-of-quality");
    env::var_os("POQ_CACHE").map_or_else(home, PathBuf::from)
}

/// A copy of the sources in web/app, with their packages.
struct App {
    folder: TempDir,
}

impl App {
    fn new() -> Self {
        let packages = cache().join("web/node_modules");
        assert!(
            packages.is_dir() && cache().join("web/recipe").is_file(),
            "{} is not complete; run scripts/setup-web.sh",
            packages.display()
        );
        let app = Self { folder: tempfile::Builder::new().prefix("poq-web-").tempdir().unwrap() };
        for part in ["", "src", "src/lib", "src/pages", "src/parts", "public", "tests", "tests/wallet"] {
            let to = app.path().join(part);
            fs::create_dir_all(&to).unwrap();
            examples::copy_files(&format!("web/app/{part}"), &to);
        }
        symlink(packages, app.path().join("node_modules")).unwrap();
        symlink(cache().join("web/wallet/node_modules"), app.path().join("tests/wallet/node_modules"))
            .unwrap();
        app
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("app")
    }

    /// The results of a test in the browser.
    fn results(&self) -> PathBuf {
        let results = self.folder.path().join("results");
        fs::create_dir_all(&results).unwrap();
        results
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(cache().join("dapp/bin/node"));
        command.current_dir(self.path()).args(args).stdin(Stdio::null()).env_remove("NODE_OPTIONS");
        // Nodes and pages are on this machine, whatever proxy is set.
        command.env("NO_PROXY", "127.0.0.1").env("no_proxy", "127.0.0.1");
        command
    }

    fn run(&self, args: &[&str]) {
        succeeded(args, &self.command(args).output().expect("Node.js runs"));
    }

    /// A file of tests in a real browser. They print as they go: who ends a test that hangs has to see where it was.
    fn test(&self, name: &str, page: &Page, node: &Node) {
        let status = self.tests(name, page, node).status().expect("Node.js runs");
        assert!(status.success(), "{name}: {status}");
    }

    fn tests(&self, name: &str, page: &Page, node: &Node) -> Command {
        let file = format!("tests/{name}.test.ts");
        let mut command = self.command(&["--test", "--test-concurrency=1", &file]);
        let chromium = env::var_os("CHROMIUM").unwrap_or_else(|| "/usr/bin/chromium".into());
        command
            .env("PAGE", &page.address)
            .env("NODE_URL", node.url())
            .env("CHROMIUM", chromium)
            .env("RESULTS", self.results())
            .env("DIST", repository("web/dist/assets"));
        command
    }
}

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn succeeded(args: &[&str], output: &Output) {
    let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{args:?}: {said}");
}

/// `poq web`, which ends with this.
struct Page {
    process: Child,
    address: String,
}

impl Page {
    fn of(node: &Node) -> Self {
        let mut process = node.poq_in_background(&["web", "--listen", "127.0.0.1:0", "--json"]);
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let told: Value = parse(line.as_bytes());
        assert_eq!(told["endpoint"], node.url());
        Self { process, address: told["page"].as_str().unwrap().to_owned() }
    }

    /// Asks it to end, and waits until it has.
    fn end(mut self, signal: Signal) {
        send(self.process.id(), signal);
        let end = wait_for("the end of the page's server", || self.process.try_wait().unwrap());
        assert_eq!(end.code(), Some(0));
    }
}

/// Name of a history's database in its folder.
const DATABASE: &str = "history.db";

/// `poq-history` with the page, which ends with this.
struct Kept {
    page: Page,
    // Of the database.
    _folder: TempDir,
}

impl Kept {
    /// With an empty database.
    fn of(node: &Node) -> Self {
        Self::with(tempfile::tempdir().unwrap(), node)
    }

    /// With a database that holds so many requests as of the chain's first block: more than a chain would make in the time of a test.
    async fn filled(node: &Node, requests: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let client = node.client().await;
        let mut finalized = client.finalized_blocks().await.unwrap();
        while finalized.next().await.unwrap().number() == 0 {}
        let first = client.hash(1).await.unwrap().unwrap();
        let store = Store::open(&Database::Sqlite(folder.path().join(DATABASE))).await.unwrap();
        let names = made_up::names();
        store.learn(&names).await.unwrap();
        let mut dice = StdRng::seed_from_u64(1);
        let block = Block {
            number: 1,
            hash: first.0,
            parent: client.genesis(),
            millis: client.millis(first).await.unwrap().unwrap().try_into().unwrap(),
            requests: (0..requests).map(|id| made_up::ended(id, 1, &mut dice)).collect(),
            happenings: vec![],
        };
        let begun = store.begin(&format!("0x{}", hex::encode(client.genesis())), None).await.unwrap();
        store.write(&begun, &block, &names).await.unwrap();
        Self::with(folder, node)
    }

    fn with(folder: TempDir, node: &Node) -> Self {
        let mut process = Command::new(harness::programs::find("poq-history").unwrap())
            .args(["--url", &node.url(), "--page", &node.url(), "--listen", "127.0.0.1:0", "--database"])
            .arg(format!("sqlite://{}", folder.path().join(DATABASE).display()))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("poq-history runs");
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let api = line.trim_end().strip_prefix("poq-history: ").unwrap_or_else(|| panic!("{line}"));
        let address = api.strip_suffix("v1").unwrap().to_owned();
        Self { page: Page { process, address }, _folder: folder }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // An error says that it has ended.
        let _ended = self.process.kill();
        let _status = self.process.wait();
    }
}

/// Files below a folder, with their contents.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let (mut all, mut folders) = (BTreeMap::new(), vec![folder.to_owned()]);
    while let Some(at) = folders.pop() {
        for entry in fs::read_dir(at).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else {
                let name = entry.path().strip_prefix(folder).unwrap().to_owned();
                all.insert(name, fs::read(entry.path()).unwrap());
            }
        }
    }
    all
}

#[test]
fn the_files_of_the_page_are_those_of_its_sources() {
    let app = App::new();
    app.run(&["node_modules/typescript/bin/tsc"]);
    let printable = repository("examples/dapp/printable.ts").canonicalize().unwrap();
    let args = ["--test", "tests/unit.test.ts"];
    let unit = app.command(&args).env("EXAMPLE", format!("file://{}", printable.display())).output();
    succeeded(&args, &unit.expect("Node.js runs"));
    app.run(&["build.mjs", "../dist"]);
    let (built, committed) = (files(&app.folder.path().join("dist")), files(&repository("web/dist")));
    let names = |of: &BTreeMap<PathBuf, Vec<u8>>| of.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&built), names(&committed), "scripts/build-web.sh builds web/dist anew");
    for (name, contents) in &built {
        assert!(Some(contents) == committed.get(name), "{}: run scripts/build-web.sh", name.display());
    }
}

#[tokio::test]
async fn a_browser_asks_watches_and_compares() {
    let app = App::new();
    let node = Node::start();
    let page = Page::of(&node);
    // From the first block on: later, the node has forgotten that.
    let kept = Kept::of(&node);
    app.test("page", &page, &node);
    node.assert_invariants();
    app.test("history", &kept.page, &node);

    // The receipt that the page has made is one for `poq`, too.
    let receipt = app.results().join("receipt.json");
    let anchor = format!("0x{}", hex::encode(node.client().await.genesis()));
    let proven = node.json(&["verify", receipt.to_str().unwrap(), "--anchor", &anchor]);
    assert_eq!(proven["request"], parse(&fs::read(app.results().join("asked.json")).unwrap())["request"]);
    assert_eq!(proven["state"], "settled");
}

#[test]
fn a_wallet_signs_and_a_node_that_went_comes_back() {
    let app = App::new();
    let node = Node::start();
    let page = Page::of(&node);
    app.test("wallet", &page, &node);
    node.assert_invariants();

    let mut gone = app.tests("gone", &page, &node).spawn().expect("Node.js runs");
    let mut told = |what: &str| {
        let file = app.results().join(what);
        wait_for(what, || file.exists().then_some(true).or_else(|| gone.try_wait().unwrap().map(|_| false)))
    };
    if told("connected") {
        node.stop().unwrap();
    }
    if told("lost") {
        node.restart();
    }
    assert!(gone.wait().unwrap().success());
    page.end(Signal::INT);
}

#[tokio::test]
async fn a_page_shows_what_the_chain_has_forgotten() {
    let app = App::new();
    let node = Node::start();
    // The test in the browser lets the chain count on from there.
    let kept = Kept::filled(&node, 10_000).await;
    app.test("forgotten", &kept.page, &node);
    node.assert_invariants();
}

#[test]
fn a_page_follows_the_chain_by_itself() {
    let app = App::new();
    let node = Node::start_for_peers();
    let page = Page::of(&node);
    app.test("alone", &page, &node);
    node.assert_invariants();
}

#[test]
fn the_page_is_served_where_it_can_be() {
    let serve = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_poq"));
        command.env_remove("POQ_URL").arg("web").args(args).stdin(Stdio::null()).output().expect("poq runs")
    };
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = serve(&["--listen", &address]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.starts_with(&format!("error: cannot listen at {address}: ")) && said.lines().count() == 1,
        "{said}"
    );

    let output = serve(&["--listen", "127.0.0.1:0", "--url", "http://127.0.0.1:9944"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("is no address that a browser can ask"));
    assert_eq!(serve(&["--listen", "somewhere"]).status.code(), Some(2));
}

#[test]
fn the_address_is_one_line_and_a_signal_ends_it() {
    for signal in [Signal::INT, Signal::TERM] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_poq"));
        command.args(["web", "--listen", "127.0.0.1:0", "--url", "ws://127.0.0.1:9944"]);
        let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("poq runs");
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.strip_prefix("The page is at ").and_then(|line| line.split(' ').next()).unwrap();
        assert!(line.contains(" asks the node at ws://127.0.0.1:9944. "), "{line}");
        let page = Page { process, address: address.to_owned() };
        assert!(page.address.starts_with("http://127.0.0.1:") && page.address.ends_with('/'), "{line}");
        page.end(signal);
    }
}
