//! The database: API keys, money that is reserved and spent, and every order with its transaction and outcome.
//!
//! One file of SQLite, written through to the disk with each transaction. Whatever must agree is written in one transaction: an order is
//! taken together with its reservation and after its limits were read, so that no race overruns a limit.

use crate::{
    amount,
    keys::{self, Key, Limits, Secret},
    order::{Order, Outcome, Place, Record, Sent},
};
use poq_client::Prepared;
use rusqlite::{params, Connection, OptionalExtension as _, Row, Transaction, TransactionBehavior};
use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Version of the tables.
const VERSION: i64 = 1;

/// Milliseconds of a day.
const DAY: i64 = 86_400_000;

/// Milliseconds within which requests are counted.
const MINUTE: i64 = 60_000;

/// Longest wait for another program that writes, such as `poq-gateway keys`.
const BUSY: Duration = Duration::from_secs(10);

/// The key and the day of sums over all keys, and over all time.
const ALL: &str = "";
const EVER: i64 = -1;

const TABLES: &str = "
create table about (name text primary key, value text not null) without rowid;
create table keys (
    id text primary key, name text not null unique, hash blob not null, limits text not null, created integer not null, revoked integer
) without rowid;
create table spent (key text not null, day integer not null, amount integer not null, primary key (key, day)) without rowid;
create table orders (
    id text primary key, key text not null, idempotency text, digest blob not null, accepted integer not null, ordered text not null,
    counted integer not null, sent blob, nonce integer, born integer, request integer, block integer, fee integer,
    outcome text, is_final integer not null default 0, unique (key, idempotency)
);
create index orders_of_key on orders (key, accepted);
create index open_orders on orders (accepted) where is_final = 0;
";

/// A failure of the database. Each text is complete in itself.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// SQLite's own.
    #[error("the database fails: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// A value in it is not understood.
    #[error("the database holds a value that is not understood: {0}")]
    Value(#[from] serde_json::Error),
    /// The tables are of another release.
    #[error("the database is of version {0}, and this gateway knows version {VERSION}: use the release that wrote it, or another folder")]
    Version(i64),
    /// The folder or the file cannot be made.
    #[error("cannot use {0}: {1}")]
    Folder(String, io::Error),
    /// The system gives no randomness.
    #[error(transparent)]
    Randomness(#[from] poq_client::Error),
    /// A key of this name is there.
    #[error("there is a key named {0} already: choose another name")]
    NameTaken(String),
    /// The database belongs to another chain or account.
    #[error("the database belongs to {name} {known}, and this gateway has {name} {found}: give each its own folder with --data")]
    Other {
        /// `chain` or `account`.
        name: &'static str,
        /// Value of the first start.
        known: String,
        /// Value now.
        found: String,
    },
}

/// The caps of the operator, over all keys, in units.
#[derive(Clone, Copy, Debug, Default)]
pub struct Caps {
    /// Within a day (UTC).
    pub a_day: Option<u128>,
    /// Ever.
    pub ever: Option<u128>,
    /// Most orders that are not over.
    pub open: u32,
}

/// An order to be taken.
pub struct Offer<'a> {
    /// Its id.
    pub id: &'a str,
    /// The key that orders.
    pub key: &'a str,
    /// `Idempotency-Key` of the caller.
    pub idempotency: Option<&'a str>,
    /// SHA-256 of the request.
    pub digest: [u8; 32],
    /// Now, in milliseconds since 1970.
    pub now: i64,
    /// The order.
    pub order: &'a Order,
    /// Most that it can cost, in units.
    pub most: u128,
    /// Balance that the account can spend, in units, less what is on hold.
    pub spendable: u128,
}

/// Answer to an offer.
#[derive(Debug, PartialEq)]
pub enum Taken {
    /// It is in the database, and its money is reserved.
    New,
    /// The same request was taken before, as this order.
    Known(Box<Record>),
    /// Another request has this idempotency key.
    Mismatch,
    /// The key is revoked.
    Revoked,
    /// The key has as many requests a minute as it may; the next fits in so many seconds.
    TooOften {
        /// The limit.
        limit: u32,
        /// Seconds to wait.
        wait: u64,
    },
    /// The key's spending of the day would be above its limit.
    Spent {
        /// The limit, in units.
        limit: u128,
        /// Spent and reserved, in units.
        spent: u128,
    },
    /// All keys' spending would be above a cap.
    Capped {
        /// Whether it is the cap of a day.
        of_day: bool,
    },
    /// The account has not enough.
    Poor,
    /// Too many orders are open.
    Full,
}

/// The database.
#[derive(Debug)]
pub struct Store {
    connection: Mutex<Connection>,
}

/// Today, as a number of days since 1970 (UTC).
pub fn day_of(now: i64) -> i64 {
    now.div_euclid(DAY)
}

/// Seconds until the next day (UTC) begins.
pub fn rest_of_day(now: i64) -> u64 {
    u64::try_from((DAY - now.rem_euclid(DAY)) / 1000 + 1).unwrap_or(1)
}

impl Store {
    /// Opens the database in `folder`, and makes both if they are not there. Only the owner can read them.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        let failed = |error| Error::Folder(folder.display().to_string(), error);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        let path = folder.join("gateway.sqlite");
        // A file that is there is never opened but by SQLite: closing it would give up the locks that this process has on it, and then
        // another program takes itself for the last one and removes the log that is in use.
        match fs::File::options().write(true).create_new(true).mode(0o600).open(&path) {
            Ok(_new) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
            }
            Err(error) => return Err(failed(error)),
        }
        Self::of(Connection::open(&path)?)
    }

    fn of(mut connection: Connection) -> Result<Self, Error> {
        connection.busy_timeout(BUSY)?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        // A transaction that is told is on the disk, also if the power fails.
        connection.pragma_update(None, "synchronous", "full")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        match transaction.pragma_query_value(None, "user_version", |row| row.get(0))? {
            0 => {
                transaction.execute_batch(TABLES)?;
                transaction.pragma_update(None, "user_version", VERSION)?;
            }
            VERSION => {}
            other => return Err(Error::Version(other)),
        }
        transaction.commit()?;
        Ok(Self { connection: Mutex::new(connection) })
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write<T>(&self, work: impl FnOnce(&Transaction<'_>) -> Result<T, Error>) -> Result<T, Error> {
        let mut connection = self.connection();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let done = work(&transaction)?;
        transaction.commit()?;
        Ok(done)
    }

    /// Remembers chain and account at the first call, and compares them at all others.
    pub fn bind(&self, genesis: &str, account: &str) -> Result<(), Error> {
        self.write(|transaction| {
            for (name, found) in [("chain", genesis), ("account", account)] {
                transaction.execute("insert or ignore into about values (?, ?)", params![name, found])?;
                let known: String =
                    transaction
                        .query_row("select value from about where name = ?", [name], |row| row.get(0))?;
                if known != found {
                    return Err(Error::Other { name, known, found: found.to_owned() });
                }
            }
            Ok(())
        })
    }

    /// Makes a key.
    pub fn create_key(&self, name: &str, limits: &Limits, now: i64) -> Result<Secret, Error> {
        let secret = Secret::random()?;
        let limits = serde_json::to_string(limits)?;
        self.write(|transaction| {
            let taken =
                transaction.query_row("select 1 from keys where name = ?", [name], |_| Ok(())).optional()?;
            if taken.is_some() {
                return Err(Error::NameTaken(name.to_owned()));
            }
            transaction.execute(
                "insert into keys (id, name, hash, limits, created) values (?, ?, ?, ?, ?)",
                params![secret.id, name, secret.hash(), limits, now],
            )?;
            Ok(())
        })?;
        Ok(secret)
    }

    /// All keys, the oldest first.
    pub fn keys(&self) -> Result<Vec<Key>, Error> {
        let connection = self.connection();
        let mut statement =
            connection.prepare("select id, name, limits, created, revoked from keys order by created, id")?;
        let keys = statement.query_map([], key_in)?.collect::<Result<Vec<_>, _>>()?;
        keys.into_iter()
            .map(|(key, limits)| Ok(Key { limits: serde_json::from_str(&limits)?, ..key }))
            .collect()
    }

    /// Revokes the key with this id or name. Whether there is one that was not revoked.
    pub fn revoke_key(&self, key: &str, now: i64) -> Result<bool, Error> {
        self.write(|transaction| {
            let changed = transaction.execute(
                "update keys set revoked = ?1 where (id = ?2 or name = ?2) and revoked is null",
                params![now, key],
            )?;
            Ok(changed > 0)
        })
    }

    /// The key that is offered, if it is one and is not revoked.
    pub fn find_key(&self, offered: &str) -> Result<Option<Key>, Error> {
        let Some(id) = keys::id_of(offered) else { return Ok(None) };
        let found = self
            .connection()
            .prepare_cached("select id, name, limits, created, revoked, hash from keys where id = ?")?
            .query_row([id], |row| Ok((key_in(row)?, row.get::<_, [u8; 32]>(5)?)))
            .optional()?;
        // The same work for an id that nobody has.
        let hash = found.as_ref().map_or([0; 32], |(_, hash)| *hash);
        let is_right = keys::same(&keys::hash(offered), &hash);
        match found {
            Some(((key, limits), _)) if is_right && key.revoked.is_none() => {
                Ok(Some(Key { limits: serde_json::from_str(&limits)?, ..key }))
            }
            _ => Ok(None),
        }
    }

    /// The date (UTC) of milliseconds since 1970.
    pub fn date(&self, time: i64) -> Result<String, Error> {
        Ok(self.connection().query_row("select date(?, 'unixepoch')", [time / 1000], |row| row.get(0))?)
    }

    /// Sum that a key spent and reserved on a day, in units.
    pub fn spent(&self, key: &str, day: i64) -> Result<u128, Error> {
        spent(&self.connection(), key, day)
    }

    /// Sum that all keys spent and reserved on a day, and ever, in units.
    pub fn spent_by_all(&self, day: i64) -> Result<(u128, u128), Error> {
        let connection = self.connection();
        Ok((spent(&connection, ALL, day)?, spent(&connection, ALL, EVER)?))
    }

    /// Takes an order, or says why not: reads the limits, writes the order and reserves its money in one transaction.
    pub fn take(&self, offer: &Offer<'_>, caps: &Caps) -> Result<Taken, Error> {
        let ordered = serde_json::to_string(offer.order)?;
        let day = day_of(offer.now);
        self.write(|transaction| {
            let key = transaction
                .query_row("select id, name, limits, created, revoked from keys where id = ?", [offer.key], key_in)
                .optional()?;
            let Some((Key { revoked: None, .. }, limits)) = key else { return Ok(Taken::Revoked) };
            let limits: Limits = serde_json::from_str(&limits)?;
            if let Some(known) = known(transaction, offer)? {
                return Ok(known);
            }
            if let Some(limit) = limits.per_minute {
                // The oldest of the requests that fill the minute has to leave it first.
                let oldest: Option<i64> = transaction
                    .query_row(
                        "select accepted from orders where key = ? and accepted > ? order by accepted desc limit 1 offset ?",
                        params![offer.key, offer.now - MINUTE, limit.saturating_sub(1)],
                        |row| row.get(0),
                    )
                    .optional()?;
                if let Some(oldest) = oldest {
                    let wait = u64::try_from(oldest + MINUTE - offer.now).unwrap_or(0).div_ceil(1000).max(1);
                    return Ok(Taken::TooOften { limit, wait });
                }
            }
            let fits = |sum: u128, limit: u128| sum.checked_add(offer.most).is_some_and(|sum| sum <= limit);
            if let Some(limit) = limits.per_day.map(u128::from) {
                let spent = spent(transaction, offer.key, day)?;
                if !fits(spent, limit) {
                    return Ok(Taken::Spent { limit, spent });
                }
            }
            for (day, cap) in [(day, caps.a_day), (EVER, caps.ever)] {
                if let Some(cap) = cap {
                    if !fits(spent(transaction, ALL, day)?, cap) {
                        return Ok(Taken::Capped { of_day: day != EVER });
                    }
                }
            }
            let open: i64 =
                transaction.query_row("select count(*) from orders where is_final = 0 and outcome is null", [], |row| row.get(0))?;
            if open >= i64::from(caps.open) {
                return Ok(Taken::Full);
            }
            // What is not in a block yet is not on hold yet.
            let waiting: i64 = transaction.query_row(
                "select coalesce(sum(counted), 0) from orders where is_final = 0 and outcome is null and request is null",
                [],
                |row| row.get(0),
            )?;
            if !fits(amount::read(waiting), offer.spendable) {
                return Ok(Taken::Poor);
            }
            transaction.execute(
                "insert into orders (id, key, idempotency, digest, accepted, ordered, counted) values (?, ?, ?, ?, ?, ?, ?)",
                params![
                    offer.id,
                    offer.key,
                    offer.idempotency,
                    offer.digest,
                    offer.now,
                    ordered,
                    amount::stored(offer.most)
                ],
            )?;
            book(transaction, offer.key, day, amount::stored(offer.most))?;
            Ok(Taken::New)
        })
    }

    /// The order that this idempotency key belongs to, and whether the request is the same.
    pub fn known(
        &self,
        key: &str,
        idempotency: &str,
        digest: [u8; 32],
    ) -> Result<Option<(Record, bool)>, Error> {
        let connection = self.connection();
        by_idempotency(&connection, key, idempotency)
            .map(|found| found.map(|(record, known)| (record, known == digest)))
    }

    /// Keeps a signed transaction, before it is sent.
    pub fn sign(&self, id: &str, prepared: &Prepared) -> Result<(), Error> {
        self.change(
            "update orders set sent = ?2, nonce = ?3, born = ?4, request = null, block = null, fee = null where id = ?1",
            params![id, prepared.encoded, amount::stored(prepared.nonce.into()), amount::stored(prepared.born.into())],
        )
    }

    /// Notes that an order's transaction can never be in a block.
    pub fn unsign(&self, id: &str) -> Result<(), Error> {
        self.change(
            "update orders set sent = null, nonce = null, born = null, request = null, block = null, fee = null where id = ?1",
            params![id],
        )
    }

    /// Notes where on the chain an order is, or that it is in no block any more.
    pub fn place(&self, id: &str, place: Option<Place>) -> Result<(), Error> {
        self.change(
            "update orders set request = ?2, block = ?3, fee = ?4 where id = ?1",
            params![
                id,
                place.map(|place| amount::stored(place.request.into())),
                place.map(|place| amount::stored(place.block.into())),
                place.map(|place| amount::stored(place.fee))
            ],
        )
    }

    fn change(&self, sql: &str, values: &[&dyn rusqlite::ToSql]) -> Result<(), Error> {
        self.connection().prepare_cached(sql)?.execute(values)?;
        Ok(())
    }

    /// Notes the end of an order, and counts what it cost in the place of what was reserved.
    pub fn close(&self, id: &str, outcome: &Outcome, is_final: bool) -> Result<(), Error> {
        let text = serde_json::to_string(outcome)?;
        self.write(|transaction| {
            let (key, accepted, counted): (String, i64, i64) = transaction.query_row(
                "select key, accepted, counted from orders where id = ?",
                [id],
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
            )?;
            let cost = outcome.cost().map_or(counted, amount::stored);
            transaction.execute(
                "update orders set outcome = ?2, is_final = ?3, counted = ?4 where id = ?1",
                params![id, text, is_final, cost],
            )?;
            book(transaction, &key, day_of(accepted), cost.saturating_sub(counted))
        })
    }

    /// Notes that the end of an order was in a block that is gone.
    pub fn reopen(&self, id: &str) -> Result<(), Error> {
        self.write(|transaction| {
            let (key, accepted, counted, ordered, fee): (String, i64, i64, String, Option<i64>) = transaction
                .query_row(
                    "select key, accepted, counted, ordered, fee from orders where id = ?",
                    [id],
                    |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)),
                )?;
            let order: Order = serde_json::from_str(&ordered)?;
            let most = amount::stored(order.terms.budget).saturating_add(fee.unwrap_or(0)).max(counted);
            transaction.execute(
                "update orders set outcome = null, is_final = 0, counted = ?2 where id = ?1",
                params![id, most],
            )?;
            book(transaction, &key, day_of(accepted), most.saturating_sub(counted))
        })
    }

    /// The orders whose end is not final, the oldest first.
    pub fn open_orders(&self) -> Result<Vec<Record>, Error> {
        records(&self.connection(), &format!("{RECORD} where is_final = 0 order by accepted, id"), &[])
    }

    /// An order.
    pub fn order(&self, id: &str) -> Result<Option<Record>, Error> {
        Ok(records(&self.connection(), &format!("{RECORD} where id = ?1"), &[&id])?.into_iter().next())
    }

    /// The newest orders of a key.
    pub fn orders_of(&self, key: &str, most: u32) -> Result<Vec<Record>, Error> {
        records(
            &self.connection(),
            &format!("{RECORD} where key = ?1 order by accepted desc, id limit ?2"),
            &[&key, &most],
        )
    }

    /// The order of a key with this idempotency key.
    pub fn order_by_idempotency(&self, key: &str, idempotency: &str) -> Result<Option<Record>, Error> {
        Ok(by_idempotency(&self.connection(), key, idempotency)?.map(|(record, _)| record))
    }

    /// Removes the orders that were taken before `time` and whose end is final; returns their number. What was spent stays counted.
    pub fn forget(&self, time: i64) -> Result<usize, Error> {
        Ok(self.connection().execute("delete from orders where is_final = 1 and accepted < ?", [time])?)
    }

    /// Lets the database grow by so many pages and no further, as a full disk does.
    #[cfg(test)]
    pub fn fill_up(&self, pages: i64) {
        let connection = self.connection();
        let used: i64 = connection.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
        connection.pragma_update(None, "max_page_count", used + pages).unwrap();
    }
}

/// A key without its limits, and these as text.
fn key_in(row: &Row<'_>) -> rusqlite::Result<(Key, String)> {
    let key = Key {
        id: row.get(0)?,
        name: row.get(1)?,
        limits: Limits::default(),
        created: row.get(3)?,
        revoked: row.get(4)?,
    };
    Ok((key, row.get(2)?))
}

fn spent(connection: &Connection, key: &str, day: i64) -> Result<u128, Error> {
    let sum = connection
        .prepare_cached("select amount from spent where key = ? and day = ?")?
        .query_row(params![key, day], |row| row.get(0))
        .optional()?;
    Ok(amount::read(sum.unwrap_or(0)))
}

/// Adds to what a key and all keys spent.
fn book(transaction: &Transaction<'_>, key: &str, day: i64, amount: i64) -> Result<(), Error> {
    for (key, day) in [(key, day), (ALL, day), (ALL, EVER)] {
        let sum = amount::stored(spent(transaction, key, day)?).saturating_add(amount).max(0);
        transaction
            .prepare_cached("insert or replace into spent values (?, ?, ?)")?
            .execute(params![key, day, sum])?;
    }
    Ok(())
}

/// The order that an offer repeats, if it does.
fn known(transaction: &Transaction<'_>, offer: &Offer<'_>) -> Result<Option<Taken>, Error> {
    let Some(idempotency) = offer.idempotency else { return Ok(None) };
    let found = by_idempotency(transaction, offer.key, idempotency)?;
    Ok(found.map(
        |(record, digest)| {
            if digest == offer.digest {
                Taken::Known(Box::new(record))
            } else {
                Taken::Mismatch
            }
        },
    ))
}

fn by_idempotency(
    connection: &Connection,
    key: &str,
    idempotency: &str,
) -> Result<Option<(Record, [u8; 32])>, Error> {
    let sql = format!("{RECORD} where key = ?1 and idempotency = ?2");
    let found = records(connection, &sql, &[&key, &idempotency])?.into_iter().next();
    let Some(record) = found else { return Ok(None) };
    let digest =
        connection.query_row("select digest from orders where id = ?", [&record.id], |row| row.get(0))?;
    Ok(Some((record, digest)))
}

/// The columns of a record.
const RECORD: &str =
    "select id, key, accepted, ordered, counted, sent, nonce, born, request, block, fee, outcome, is_final from orders";

/// The records that a query for [`RECORD`] finds.
fn records(
    connection: &Connection,
    sql: &str,
    values: &[&dyn rusqlite::ToSql],
) -> Result<Vec<Record>, Error> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(values)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let number = |column: usize| {
            row.get::<_, Option<i64>>(column).map(|value| value.and_then(|value| u64::try_from(value).ok()))
        };
        let ordered: String = row.get(3)?;
        let outcome: Option<String> = row.get(11)?;
        let sent = match (row.get(5)?, number(6)?, number(7)?) {
            (Some(transaction), Some(nonce), Some(born)) => Some(Sent { transaction, nonce, born }),
            _ => None,
        };
        let place = match (number(8)?, number(9)?) {
            (Some(request), Some(block)) => {
                Some(Place { request, block, fee: number(10)?.unwrap_or(0).into() })
            }
            _ => None,
        };
        found.push(Record {
            id: row.get(0)?,
            key: row.get(1)?,
            accepted: row.get(2)?,
            order: serde_json::from_str(&ordered)?,
            counted: amount::read(row.get(4)?),
            sent,
            place,
            outcome: outcome.map(|text| serde_json::from_str(&text)).transpose()?,
            is_final: row.get(12)?,
        });
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
