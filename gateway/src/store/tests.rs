use super::*;
use crate::order::{Bill, Form, Hash, Responder, Terms};
use std::thread;

const NOW: i64 = 1_000 * DAY + 5;

fn order(budget: u128) -> Order {
    let terms = Terms {
        generators: vec![Hash([1; 32])],
        evaluator: Hash([2; 32]),
        max_tokens: 64,
        temperature_milli: 0,
        seed: 0,
        responders: 2,
        committee: 5,
        min_quality: 0,
        budget,
        mark: Hash([3; 32]),
    };
    Order { form: Form::Chat, prompt: "What?".into(), terms, model: "auto".into() }
}

/// A database with one key, and that key's id.
fn store(limits: &Limits) -> (tempfile::TempDir, Store, String) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let key = store.create_key("one", limits, NOW).unwrap().id;
    (folder, store, key)
}

/// An offer of 100 units.
fn offer<'a>(id: &'a str, key: &'a str, order: &'a Order) -> Offer<'a> {
    Offer { id, key, idempotency: None, digest: [0; 32], now: NOW, order, most: 100, spendable: 1_000_000 }
}

fn open_caps() -> Caps {
    Caps { open: 1000, ..Caps::default() }
}

fn settled(cost: u128) -> Outcome {
    let bill = Bill { budget: 90, paid: cost, chain: 0, refund: 90 - cost, transaction_fee: 0 };
    Outcome::Settled {
        request: 7,
        block: 9,
        answer: "Lima.".into(),
        best: 0,
        responders: vec![Responder {
            operator: "5Grw".into(),
            model: "strong".into(),
            quality: Some(0.985),
            work: "revealed".into(),
            paid: cost,
        }],
        scorers: 5,
        bill,
    }
}

#[test]
fn a_key_is_known_until_it_is_revoked() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let limits = Limits { per_minute: Some(3), models: vec!["a".into()], ..Limits::default() };
    let secret = store.create_key("one", &limits, NOW).unwrap();
    assert!(matches!(store.create_key("one", &limits, NOW), Err(Error::NameTaken(_))));
    let found = store.find_key(&secret.text).unwrap().unwrap();
    assert_eq!((&*found.name, &found.limits), ("one", &limits));
    let mut other = secret.text.clone();
    other.replace_range(other.len() - 1.., if other.ends_with('0') { "1" } else { "0" });
    for wrong in [&*other, "", "sk-x", &secret.text[..20], &secret.id] {
        assert_eq!(store.find_key(wrong).unwrap(), None, "{wrong}");
    }
    let file = fs::read(folder.path().join("gateway.sqlite")).unwrap();
    let log = fs::read(folder.path().join("gateway.sqlite-wal")).unwrap_or_default();
    let tail = &secret.text.as_bytes()[secret.text.len() - 64..];
    assert!(![file, log].concat().windows(64).any(|window| window == tail), "the secret is on the disk");

    let again = Store::open(folder.path()).unwrap();
    assert!(again.revoke_key("one", NOW).unwrap());
    assert!(!again.revoke_key("one", NOW).unwrap());
    assert_eq!(store.find_key(&secret.text).unwrap(), None);
    let order = order(90);
    assert_eq!(store.take(&offer("a", &secret.id, &order), &open_caps()).unwrap(), Taken::Revoked);
    assert_eq!(store.keys().unwrap().len(), 1);
    assert_eq!(store.date(NOW).unwrap(), "1972-09-27");
}

#[test]
fn money_is_reserved_with_the_order_and_settled_to_its_cost() {
    let (_folder, store, key) = store(&Limits { per_day: Some(250), ..Limits::default() });
    let order = order(90);
    let take = |id| store.take(&offer(id, &key, &order), &open_caps()).unwrap();
    assert_eq!((take("a"), take("b")), (Taken::New, Taken::New));
    assert_eq!(take("c"), Taken::Spent { limit: 250, spent: 200 });
    store.close("a", &settled(30), false).unwrap();
    assert_eq!(store.spent(&key, day_of(NOW)).unwrap(), 130);
    store.close("a", &settled(30), true).unwrap();
    assert_eq!(store.spent(&key, day_of(NOW)).unwrap(), 130, "the second time changes nothing");
    assert_eq!(take("c"), Taken::New);
    assert_eq!(store.spent_by_all(day_of(NOW)).unwrap(), (230, 230));
    // What cannot be known counts in full.
    store.close("b", &Outcome::Forgotten { request: None }, true).unwrap();
    assert_eq!(store.spent(&key, day_of(NOW)).unwrap(), 230);
    store.reopen("a").unwrap();
    assert_eq!(store.spent(&key, day_of(NOW)).unwrap(), 290, "the budget is reserved again");
    assert_eq!(store.forget(NOW + 1).unwrap(), 1);
    assert_eq!(store.spent(&key, day_of(NOW)).unwrap(), 290, "spending is not forgotten with the order");
    // The next day begins at nothing.
    let tomorrow = Offer { now: NOW + DAY, ..offer("d", &key, &order) };
    assert_eq!(store.take(&tomorrow, &open_caps()).unwrap(), Taken::New);
}

#[test]
fn no_race_overruns_a_cap() {
    let (folder, _store, key) = store(&Limits::default());
    let caps = Caps { ever: Some(1_050), ..open_caps() };
    let order = order(90);
    let taken: usize = thread::scope(|scope| {
        let workers: Vec<_> = (0..4)
            .map(|worker| {
                let (folder, key, order) = (folder.path(), &key, &order);
                scope.spawn(move || {
                    // A connection of its own, as another process has.
                    let store = Store::open(folder).unwrap();
                    (0..10)
                        .filter(|number| {
                            let id = format!("{worker}-{number}");
                            store.take(&offer(&id, key, order), &caps).unwrap() == Taken::New
                        })
                        .count()
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).sum()
    });
    assert_eq!(taken, 10);
}

#[test]
fn every_limit_has_its_answer() {
    let (_folder, store, key) = store(&Limits { per_minute: Some(2), ..Limits::default() });
    let order = order(90);
    let at = |id, now, caps: Caps| store.take(&Offer { now, ..offer(id, &key, &order) }, &caps).unwrap();
    assert_eq!(at("a", NOW, open_caps()), Taken::New);
    assert_eq!(at("b", NOW + 20_000, open_caps()), Taken::New);
    assert_eq!(at("c", NOW + 30_000, open_caps()), Taken::TooOften { limit: 2, wait: 30 });
    assert_eq!(at("c", NOW + 59_999, open_caps()), Taken::TooOften { limit: 2, wait: 1 });
    assert_eq!(at("c", NOW + 60_000, open_caps()), Taken::New);
    let later = NOW + 200_000;
    assert_eq!(at("d", later, Caps { a_day: Some(399), ..open_caps() }), Taken::Capped { of_day: true });
    assert_eq!(at("d", later, Caps { ever: Some(399), ..open_caps() }), Taken::Capped { of_day: false });
    assert_eq!(at("d", later, Caps { open: 3, ..Caps::default() }), Taken::Full);
    let poor = Offer { now: later, spendable: 399, ..offer("d", &key, &order) };
    assert_eq!(store.take(&poor, &open_caps()).unwrap(), Taken::Poor);
    assert_eq!(at("d", later, Caps { ever: Some(400), ..open_caps() }), Taken::New);
}

#[test]
fn an_idempotency_key_is_one_order() {
    let (_folder, store, key) = store(&Limits { per_minute: Some(1), ..Limits::default() });
    let other = store.create_key("two", &Limits::default(), NOW).unwrap().id;
    let order = order(90);
    let first = Offer { idempotency: Some("x"), ..offer("a", &key, &order) };
    assert_eq!(store.take(&first, &open_caps()).unwrap(), Taken::New);
    let again = Offer { id: "b", ..first };
    match store.take(&again, &open_caps()).unwrap() {
        Taken::Known(record) => assert_eq!((&*record.id, &record.order), ("a", &order)),
        other => panic!("{other:?}"),
    }
    let changed = Offer { id: "b", digest: [1; 32], ..first };
    assert_eq!(store.take(&changed, &open_caps()).unwrap(), Taken::Mismatch);
    let of_other = Offer { id: "b", key: &other, ..first };
    assert_eq!(store.take(&of_other, &open_caps()).unwrap(), Taken::New, "each key has its own");
    assert_eq!(store.spent(&key, day_of(NOW)).unwrap(), 100);
    assert_eq!(store.order_by_idempotency(&key, "x").unwrap().unwrap().id, "a");
}

#[test]
fn an_order_is_found_again_as_it_was_left() {
    let (folder, store, key) = store(&Limits::default());
    let order = order(90);
    store.take(&offer("a", &key, &order), &open_caps()).unwrap();
    let prepared = Prepared { encoded: vec![1, 2, 3], nonce: 4, born: 5 };
    store.sign("a", &prepared).unwrap();
    let reopened = || {
        let store = Store::open(folder.path()).unwrap();
        store.open_orders().unwrap().into_iter().next().unwrap()
    };
    let record = reopened();
    assert_eq!(record.sent, Some(Sent { transaction: vec![1, 2, 3], nonce: 4, born: 5 }));
    assert_eq!((record.place, record.counted, &record.order), (None, 100, &order));
    let place = Place { request: 7, block: 8, fee: 9 };
    store.place("a", Some(place)).unwrap();
    assert_eq!(reopened().place, Some(place));
    store.close("a", &settled(30), false).unwrap();
    assert_eq!(reopened().outcome, Some(settled(30)));
    store.close("a", &settled(30), true).unwrap();
    assert!(store.open_orders().unwrap().is_empty());
    assert_eq!(store.orders_of(&key, 10).unwrap().len(), 1);
    assert_eq!(store.order("a").unwrap().unwrap().outcome, Some(settled(30)));
}

#[test]
fn a_full_disk_takes_nothing_and_loses_nothing() {
    let (_folder, store, key) = store(&Limits::default());
    let long = Order { prompt: "x".repeat(1 << 20), ..order(90) };
    let short = order(90);
    store.take(&offer("a", &key, &short), &open_caps()).unwrap();
    store.fill_up(8);
    let full = store.take(&offer("b", &key, &long), &open_caps());
    assert!(matches!(full, Err(Error::Sqlite(_))), "{full:?}");
    assert_eq!(store.order("b").unwrap(), None);
    assert_eq!(store.spent(&key, day_of(NOW)).unwrap(), 100, "nothing is reserved for what was not taken");
    store.close("a", &settled(30), true).unwrap();
    store.fill_up(1 << 20);
    assert_eq!(store.take(&offer("b", &key, &long), &open_caps()).unwrap(), Taken::New);
}

#[test]
fn a_database_belongs_to_one_chain_and_one_account() {
    let (_folder, store, _key) = store(&Limits::default());
    store.bind("0x01", "5Grw").unwrap();
    store.bind("0x01", "5Grw").unwrap();
    let said = store.bind("0x02", "5Grw").unwrap_err().to_string();
    assert!(said.contains("belongs to chain 0x01") && said.contains("--data"), "{said}");
    assert!(store.bind("0x01", "5Fxx").is_err());
}

#[test]
fn tables_of_another_release_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    Store::open(folder.path()).unwrap().connection().pragma_update(None, "user_version", 9).unwrap();
    assert!(matches!(Store::open(folder.path()), Err(Error::Version(9))));
}
