//! The database: SQLite or PostgreSQL, by one set of statements that both understand.
//!
//! A block is written in one transaction together with its number, and only after the one before it. So whatever ends the program, no block is
//! counted twice and none is left out, and of two programs on one database one gives up.

mod digest;
mod read;
#[cfg(test)]
mod tests;
pub mod write;

use crate::config::Database;
use sqlx::{
    any::{install_default_drivers, AnyPoolOptions},
    migrate::{Migration, MigrationType, Migrator},
    AnyPool, Executor as _, Row as _,
};
use std::{borrow::Cow, collections::HashMap, fs, time::Duration};

pub use read::{DayOf, Happened, Page, Ranked, Ranking, Which};

/// The tables, as they came about.
const MIGRATIONS: [(&str, &str); 1] = [("tables", include_str!("../../migrations/1_tables.sql"))];

/// Connections at a time.
const CONNECTIONS: u32 = 8;

/// Longest wait for a connection.
const PATIENCE: Duration = Duration::from_secs(10);

/// A failure of the database. Each text is complete in itself.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database's own.
    #[error("the database fails: {0}")]
    Sql(#[from] sqlx::Error),
    /// A database that cannot be opened.
    #[error("cannot use the database {0}: {1}")]
    Open(String, String),
    /// A value in it is not understood.
    #[error("the database holds a value that is not understood: {0}")]
    Value(String),
    /// A database that belongs to another chain.
    #[error(
        "the database holds the chain with genesis block {known}, and the node is of {found}: name another database, or empty this one with \
         `poq-history reindex`"
    )]
    OtherChain {
        /// Genesis of the first start.
        known: String,
        /// Genesis now.
        found: String,
    },
    /// The chain is not the one that was read.
    #[error(
        "block {0} of the node does not follow the newest block of the database: the chain was begun anew? Then empty the database with \
         `poq-history reindex`"
    )]
    OtherBlock(u64),
    /// Another program has written.
    #[error("another program writes to this database: stop one of them")]
    NotAlone,
}

impl From<Error> for String {
    fn from(error: Error) -> Self {
        error.to_string()
    }
}

/// The newest block that the database holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Hash of the genesis block, in hex with `0x`.
    pub genesis: String,
    /// First block that was read.
    pub first: u64,
    /// Number of the newest.
    pub number: u64,
    /// Its hash, in hex with `0x`; empty before the first.
    pub hash: String,
    /// Its time, in milliseconds since 1970.
    pub millis: i64,
}

/// A model as the registry names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Its name.
    pub name: String,
    /// `generator` or `evaluator`.
    pub kind: String,
}

/// Models by the hex of their ids.
pub type Names = HashMap<String, Named>;

/// The database. Clones share its connections.
#[derive(Clone)]
pub struct Store {
    pool: AnyPool,
}

impl Store {
    /// Opens the database, and makes its tables if need be.
    ///
    /// # Errors
    /// [`Error::Open`].
    pub async fn open(database: &Database) -> Result<Self, Error> {
        let failed = |reason: String| Error::Open(database.to_string(), reason);
        install_default_drivers();
        let url = match database {
            Database::Sqlite(file) => {
                if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
                    fs::create_dir_all(folder).map_err(|error| failed(error.to_string()))?;
                }
                format!("sqlite://{}?mode=rwc", file.display())
            }
            Database::Postgres(url) => url.clone(),
        };
        let is_sqlite = matches!(database, Database::Sqlite(_));
        let pool = AnyPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(PATIENCE)
            .after_connect(move |connection, _| {
                Box::pin(async move {
                    if is_sqlite {
                        // Readers do not wait for the writer; a crash of the machine can cost the newest blocks, which are read again.
                        connection
                            .execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA busy_timeout = 10000")
                            .await?;
                    }
                    Ok(())
                })
            })
            .connect(&url)
            .await
            .map_err(|error| failed(error.to_string()))?;
        let migrations = MIGRATIONS.iter().zip(1..).map(|((name, sql), version)| {
            Migration::new(
                version,
                Cow::Borrowed(*name),
                MigrationType::Simple,
                sqlx::SqlSafeStr::into_sql_str(*sql),
                false,
            )
        });
        Migrator::with_migrations(migrations.collect())
            .run(&pool)
            .await
            .map_err(|error| failed(error.to_string()))?;
        Ok(Self { pool })
    }

    /// The newest block, if the database has begun.
    ///
    /// # Errors
    /// [`Error::Sql`].
    pub async fn cursor(&self) -> Result<Option<Cursor>, Error> {
        let row = sqlx::query("SELECT genesis, first, number, hash, millis FROM chain")
            .fetch_optional(&self.pool)
            .await?;
        row.map(|row| {
            Ok(Cursor {
                genesis: row.try_get("genesis")?,
                first: number(row.try_get("first")?),
                number: number(row.try_get("number")?),
                hash: row.try_get("hash")?,
                millis: row.try_get("millis")?,
            })
        })
        .transpose()
    }

    /// Begins with the block after the genesis block, or with `from`; or goes on where it was.
    ///
    /// # Errors
    /// [`Error::OtherChain`], [`Error::Sql`].
    pub async fn begin(&self, genesis: &str, from: Option<u32>) -> Result<Cursor, Error> {
        let first = i64::from(from.unwrap_or(1));
        sqlx::query(
            "INSERT INTO chain (genesis, first, number, hash, millis) SELECT $1, $2, $3, '', 0 \
             WHERE NOT EXISTS (SELECT 1 FROM chain)",
        )
        .bind(genesis)
        .bind(first)
        .bind(first.saturating_sub(1))
        .execute(&self.pool)
        .await?;
        match self.cursor().await? {
            Some(cursor) if cursor.genesis == genesis => Ok(cursor),
            Some(cursor) => Err(Error::OtherChain { known: cursor.genesis, found: genesis.into() }),
            None => Err(Error::NotAlone),
        }
    }

    /// Empties all tables.
    ///
    /// # Errors
    /// [`Error::Sql`].
    pub async fn forget(&self) -> Result<(), Error> {
        let mut transaction = self.pool.begin().await?;
        for table in digest::TABLES {
            transaction.execute(sqlx::AssertSqlSafe(format!("DELETE FROM {}", table.name))).await?;
        }
        transaction.execute("DELETE FROM chain").await?;
        Ok(transaction.commit().await?)
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// [`Error::Sql`].
    pub async fn check(&self) -> Result<(), Error> {
        self.pool.execute("SELECT 1").await?;
        Ok(())
    }

    /// Models that requests name.
    ///
    /// # Errors
    /// [`Error::Sql`].
    pub async fn names(&self) -> Result<Names, Error> {
        let rows = sqlx::query("SELECT id, name, kind FROM models").fetch_all(&self.pool).await?;
        rows.iter()
            .map(|row| {
                Ok((row.try_get("id")?, Named { name: row.try_get("name")?, kind: row.try_get("kind")? }))
            })
            .collect()
    }
}

/// A number as the database has it: it has no larger ones and no negative ones.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn number(signed: i64) -> u64 {
    u64::try_from(signed).unwrap_or_default()
}

/// 32 bytes as the database has them.
pub fn hash(bytes: &[u8; 32]) -> String {
    format!("0x{}", hex::encode(bytes))
}
