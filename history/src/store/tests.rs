//! The database with blocks that are made up, on SQLite and on a real PostgreSQL server.

use super::*;
use crate::block::{Block, Happening, Kind, Seen};
use poq_client::{
    json::Rest,
    types::{Budget, FailureReason, MemberView, Phase, RequestView, ResponseView, Sampling, Work},
};
use serde_json::{json, Value};
use std::{
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::Instant,
};
use subxt::utils::AccountId32;
use tempfile::TempDir;

/// A PostgreSQL server of the test's own, which listens on a socket in its folder.
struct Postgres {
    server: Child,
    folder: TempDir,
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // At once: nobody needs the data.
        let _gone = command("kill").args(["-QUIT", &self.server.id().to_string()]).status();
        let _gone = self.server.wait();
    }
}

/// A command as a user that PostgreSQL accepts: it refuses root.
fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    if rustix::process::geteuid().is_root() {
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--pdeathsig=QUIT"])
            .arg(program);
        command
    } else {
        Command::new(program)
    }
}

impl Postgres {
    fn start() -> Self {
        let folders = fs::read_dir("/usr/lib/postgresql").expect("`make setup` installs PostgreSQL");
        let programs: PathBuf = folders.map(|folder| folder.unwrap().path().join("bin")).max().unwrap();
        let folder = tempfile::Builder::new().prefix("poq-postgres-").tempdir().unwrap();
        if rustix::process::geteuid().is_root() {
            let owned = Command::new("chown").arg("postgres:").arg(folder.path()).status().unwrap();
            assert!(owned.success());
        }
        let data = folder.path().join("data");
        // Not in a locale that would sort otherwise: what is told must not depend on it.
        let made = command(programs.join("initdb"))
            .args(["--auth=trust", "--username=poq", "--no-sync", "--locale=C.UTF-8", "--pgdata"])
            .arg(&data)
            .current_dir("/")
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        let server = command(programs.join("postgres"))
            .args(["-c", "listen_addresses=", "-c", "fsync=off", "-k"])
            .arg(folder.path())
            .arg("-D")
            .arg(&data)
            .current_dir("/")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let postgres = Self { server, folder };
        let end = Instant::now() + Duration::from_secs(120);
        while !postgres.folder.path().join(".s.PGSQL.5432").exists() {
            assert!(Instant::now() < end, "PostgreSQL does not start");
            thread::sleep(Duration::from_millis(50));
        }
        postgres
    }

    fn database(&self) -> Database {
        let folder = self.folder.path().display().to_string().replace('/', "%2F");
        Database::Postgres(format!("postgres://poq@localhost/postgres?host={folder}"))
    }
}

/// Opens it: a server whose socket is there may still refuse while it starts.
async fn open(database: &Database) -> Store {
    let end = Instant::now() + Duration::from_secs(120);
    loop {
        match Store::open(database).await {
            Ok(store) => return store,
            Err(error) => assert!(Instant::now() < end, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

const GENESIS: &str = "0x00";
const DAY: i64 = 86_400_000;
const STRONG: [u8; 32] = [1; 32];
const WEAK: [u8; 32] = [2; 32];
const JUDGE: [u8; 32] = [3; 32];

fn account(n: u8) -> AccountId32 {
    AccountId32([n; 32])
}

fn response(n: u8, model: [u8; 32], quality: u32) -> ResponseView {
    ResponseView {
        operator: account(n),
        model,
        work: Work::Revealed,
        output: format!("answer of {n}").into_bytes(),
        latency: 100_000,
        quality: Some(quality),
        paid: 1_000,
    }
}

fn member(n: u8) -> MemberView {
    MemberView {
        operator: account(n),
        weight: 1,
        work: Work::Revealed,
        scores: vec![900_000, 300_000],
        latency: 200_000,
        agreement: Some(800_000),
        paid: 10,
    }
}

fn request(id: u64, created: u32, phase: Phase) -> RequestView {
    RequestView {
        id,
        requester: account(100 + (id % 2) as u8),
        prompt: format!("question {id}").into_bytes(),
        generators: vec![STRONG, WEAK],
        evaluator: JUDGE,
        sampling: Sampling { max_tokens: 1, temperature_milli: 0, seed: 0 },
        responders: 2,
        committee_size: 1,
        min_quality: 0,
        budget: Budget { inference: 3_000, scoring: 50, fee: 7 },
        bonus: 0,
        tries: 0,
        created,
        phase,
        since: created,
        round: 0,
        audited: false,
        responses: vec![],
        committees: vec![],
    }
}

/// A request that ends: the strong generator wins.
fn settled(id: u64, at: u32) -> RequestView {
    RequestView {
        responses: vec![response(1, STRONG, 900_000), response(2, WEAK, 300_000)],
        committees: vec![vec![member(3)]],
        ..request(id, at - 2, Phase::Settled { at, best: 0 })
    }
}

fn block(number: u64, requests: Vec<Seen>) -> Block {
    let hash = |number: u64| [number as u8; 32];
    let millis = number as i64 * DAY / 2;
    Block { number, hash: hash(number), parent: hash(number - 1), millis, requests, happenings: vec![] }
}

fn made(id: u64, at: u32) -> Seen {
    Seen { view: request(id, at, Phase::Requested), end: None }
}

fn ended(view: RequestView) -> Seen {
    Seen { view, end: Some(Rest { fee: 7, refund: 1_040 }) }
}

fn names() -> Names {
    let names = [(STRONG, "strong", "generator"), (WEAK, "weak", "generator"), (JUDGE, "judge", "evaluator")];
    names
        .into_iter()
        .map(|(id, name, kind)| (hex::encode(id), Named { name: name.into(), kind: kind.into() }))
        .collect()
}

/// Nine blocks: requests 0 to 3, of which 2 is refunded and 3 is open; then an audit of request 0.
fn chain() -> Vec<Block> {
    let refunded = RequestView {
        phase: Phase::Refunded { at: 6, reason: poq_client::types::RefundReason::NoOutput },
        responses: vec![
            ResponseView { work: Work::NotRevealed, quality: None, paid: 0, ..response(1, STRONG, 0) },
            ResponseView {
                work: Work::Failed(FailureReason::InvalidJob),
                quality: None,
                paid: 0,
                ..response(2, WEAK, 0)
            },
        ],
        committees: vec![],
        ..settled(2, 6)
    };
    let happening = |place, kind, operator: Option<u8>, amount, detail| Happening {
        place,
        kind,
        operator: operator.map(|n| account(n).to_string()),
        request: 0,
        amount,
        detail,
    };
    let audit = Block {
        happenings: vec![
            happening(4, Kind::AuditRevealed, None, 0, json!({ "reference": "x", "truth": [1.0, 0.0] })),
            happening(5, Kind::Slashed, Some(3), 500, json!({ "reason": "GrossError" })),
            happening(6, Kind::Compensated, Some(1), 40, json!({})),
        ],
        ..block(8, vec![Seen { view: RequestView { audited: true, ..settled(0, 3) }, end: None }])
    };
    vec![
        block(1, vec![made(0, 1)]),
        block(2, vec![made(1, 2)]),
        block(3, vec![ended(settled(0, 3))]),
        block(4, vec![ended(settled(1, 4)), made(2, 4)]),
        block(5, vec![]),
        block(6, vec![ended(refunded)]),
        block(7, vec![made(3, 7)]),
        audit,
        block(9, vec![]),
    ]
}

async fn fill(store: &Store, blocks: &[Block]) -> Cursor {
    store.learn(&names()).await.unwrap();
    let mut cursor = store.begin(GENESIS, None).await.unwrap();
    for block in blocks.iter().filter(|block| block.number > cursor.number).collect::<Vec<_>>() {
        cursor = store.write(&cursor, block, &names()).await.unwrap();
    }
    cursor
}

async fn list(store: &Store, which: Which, before: Option<u64>, limit: u32) -> Vec<u64> {
    let found = store.requests(&which, Page { before, limit }).await.unwrap();
    for (id, summary) in &found {
        let summary: Value = serde_json::from_str(summary.get()).unwrap();
        assert_eq!(summary["request"], *id);
    }
    found.into_iter().map(|(id, _)| id).collect()
}

/// Everything that a history does, on either database.
async fn serves(store: Store) -> Vec<(&'static str, String)> {
    assert_eq!(store.cursor().await.unwrap(), None);
    let cursor = fill(&store, &chain()).await;
    assert_eq!((cursor.number, &*cursor.hash), (9, &*hash(&[9; 32])));
    assert_eq!(store.cursor().await.unwrap(), Some(cursor.clone()));
    assert_eq!(store.begin(GENESIS, Some(5)).await.unwrap(), cursor, "it goes on where it was");

    let all = Which::default();
    assert_eq!(list(&store, all.clone(), None, 10).await, [3, 2, 1, 0]);
    assert_eq!(list(&store, all.clone(), None, 2).await, [3, 2]);
    assert_eq!(list(&store, all.clone(), Some(2), 2).await, [1, 0]);
    let some = |text: &str| Some(text.to_owned());
    for (which, ids) in [
        (Which { state: some("settled"), ..all.clone() }, vec![1, 0]),
        (Which { state: some("requested"), ..all.clone() }, vec![3]),
        (Which { requester: some(&account(100).to_string()), ..all.clone() }, vec![2, 0]),
        (Which { operator: some(&account(1).to_string()), ..all.clone() }, vec![2, 1, 0]),
        (Which { operator: some(&account(3).to_string()), ..all.clone() }, vec![1, 0]),
        (Which { model: Some(hex::encode(JUDGE)), ..all.clone() }, vec![1, 0]),
        (
            Which {
                operator: some(&account(2).to_string()),
                state: some("refunded"),
                model: Some(hex::encode(WEAK)),
                requester: some(&account(100).to_string()),
            },
            vec![2],
        ),
        (Which { operator: some("' OR 1=1 --"), ..all.clone() }, vec![]),
    ] {
        assert_eq!(list(&store, which.clone(), None, 10).await, ids, "{which:?}");
    }

    let detail = |id| {
        let store = store.clone();
        async move { serde_json::from_str::<Value>(&store.request(id).await.unwrap().unwrap()).unwrap() }
    };
    let first = detail(0).await;
    assert_eq!(
        (&first["state"], &first["fee"], &first["refund"]),
        (&json!("settled"), &json!("7"), &json!("1040"))
    );
    assert_eq!((&first["audited"], &first["paid"]), (&json!(true), &json!("2010")), "as the audit left it");
    assert_eq!(first["times"], json!({ "created": DAY / 2, "closed": 3 * DAY / 2 }));
    assert_eq!(
        (&first["evaluator"]["name"], &first["responses"][0]["model_name"]),
        (&json!("judge"), &json!("strong"))
    );
    assert_eq!(
        (&detail(3).await["state"], &detail(3).await["times"]["closed"]),
        (&json!("requested"), &Value::Null)
    );
    assert!(store.request(4).await.unwrap().is_none());

    let told = store.ended_since(3, None, 10).await.unwrap();
    assert_eq!(told.iter().map(|(block, id, _)| (*block, *id)).collect::<Vec<_>>(), [(3, 0), (4, 1), (6, 2)]);
    assert_eq!(store.ended_since(3, Some(0), 1).await.unwrap()[0].1, 1, "none is told twice");

    // Blocks 2 and 3 are of one day, 4 of the next, 6 and 8 of days of their own.
    let days = store.days(&account(1).to_string(), 10).await.unwrap();
    let sums = |day: &DayOf| (day.day, day.answers, day.scored, day.quality, day.missed, day.earned);
    assert_eq!(
        days.iter().map(sums).collect::<Vec<_>>(),
        [(4, 0, 0, 0, 0, 40), (3, 0, 0, 0, 1, 0), (2, 1, 1, 900_000, 0, 1_000), (1, 1, 1, 900_000, 0, 1_000)]
    );
    let judge = store.days(&account(3).to_string(), 10).await.unwrap();
    assert_eq!(
        (judge[0].slashed, judge[0].scores, judge[1].scores, judge[1].agreement),
        (500, 0, 1, 800_000)
    );
    let happened = store.happened_to(&account(3).to_string(), 10).await.unwrap();
    assert_eq!(happened.len(), 1);
    assert_eq!(
        (&*happened[0].kind, happened[0].detail.get()),
        ("slashed", r#"{"amount":"500","reason":"GrossError"}"#)
    );
    assert_eq!(store.happened_in(0).await.unwrap().len(), 3);

    let rankings = store.rankings().await.unwrap();
    assert_eq!((rankings.len(), rankings[0].duels, rankings[0].effective), (1, 2, 2.0));
    let [strong, weak] = &rankings[0].models[..] else { panic!("{rankings:?}") };
    assert_eq!((strong.name.as_deref(), weak.name.as_deref()), (Some("strong"), Some("weak")));
    assert!(strong.strength.value > weak.strength.value && strong.duels == 2, "{strong:?}");
    assert_eq!((weak.drawn, weak.answered, weak.failed, weak.paid), (3, 2, 1, 2_000));

    // Neither twice, nor with a gap, nor after another block.
    let again = |after: Cursor, block: Block| {
        let store = store.clone();
        async move { store.write(&after, &block, &names()).await.unwrap_err().to_string() }
    };
    let tenth = block(10, vec![made(4, 10)]);
    assert!(again(cursor.clone(), block(9, vec![])).await.contains("block 9 of the node does not follow"));
    assert!(again(cursor.clone(), block(11, vec![])).await.contains("block 11"));
    let forked = Block { parent: [77; 32], ..tenth.clone() };
    assert!(again(cursor.clone(), forked).await.contains("block 10"));
    let before = store.digests().await.unwrap();
    store.write(&cursor, &tenth, &names()).await.unwrap();
    assert!(again(cursor.clone(), tenth).await.contains("another program writes"));
    assert_ne!(store.digests().await.unwrap(), before);
    let other = store.begin("0x01", None).await.unwrap_err().to_string();
    assert!(other.contains("0x00") && other.contains("0x01") && other.contains("reindex"), "{other}");

    // Anew, and in two goes: equal.
    store.forget().await.unwrap();
    assert_eq!((store.cursor().await.unwrap(), list(&store, all, None, 10).await), (None, vec![]));
    fill(&store, &chain()[..4]).await;
    fill(&store, &chain()).await;
    assert_eq!(store.digests().await.unwrap(), before);
    before
}

#[tokio::test]
async fn a_history_in_sqlite_and_one_in_postgresql_are_equal() {
    let folder = tempfile::tempdir().unwrap();
    let file = Database::Sqlite(folder.path().join("new/history.db"));
    let sqlite = serves(open(&file).await).await;
    assert_eq!(open(&file).await.digests().await.unwrap(), sqlite, "it is on the disk");
    let server = Postgres::start();
    let postgres = serves(open(&server.database()).await).await;
    assert_eq!(sqlite, postgres);
}

#[tokio::test]
async fn a_history_that_begins_late_knows_what_ends_since_then() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&Database::Sqlite(folder.path().join("history.db"))).await;
    let mut cursor = store.begin(GENESIS, Some(4)).await.unwrap();
    assert_eq!((cursor.first, cursor.number), (4, 3));
    for block in &chain()[3..] {
        cursor = store.write(&cursor, block, &names()).await.unwrap();
    }
    assert_eq!(list(&store, Which::default(), None, 10).await, [3, 2, 1, 0]);
    let detail = |id| {
        let store = store.clone();
        async move { serde_json::from_str::<Value>(&store.request(id).await.unwrap().unwrap()).unwrap() }
    };
    assert_eq!(detail(1).await["times"], json!({ "created": null, "closed": 2 * DAY }));
    // Of the audited request it saw the audit only.
    assert_eq!(detail(0).await["fee"], Value::Null);
}

#[tokio::test]
async fn a_database_that_cannot_be_used_is_named_without_its_password() {
    let blocked = tempfile::NamedTempFile::new().unwrap();
    let file = Database::Sqlite(blocked.path().join("history.db"));
    let error = Store::open(&file).await.err().unwrap().to_string();
    assert!(error.starts_with("cannot use the database sqlite://"), "{error}");
    let server = Database::Postgres("postgres://poq:secret@127.0.0.1:1/history".into());
    let error = Store::open(&server).await.err().unwrap().to_string();
    assert!(error.contains("127.0.0.1:1/history") && !error.contains("secret"), "{error}");
}
