//! Digests of the tables: equal for equal contents, whatever the database and the order of its rows.

use super::{Error, Store};
use futures::TryStreamExt as _;
use sha2::{Digest as _, Sha256};
use sqlx::{any::AnyRow, AssertSqlSafe, Row as _};

/// A table with the names of its columns by type.
pub struct Table {
    /// Its name.
    pub name: &'static str,
    texts: &'static [&'static str],
    numbers: &'static [&'static str],
    fractions: &'static [&'static str],
}

/// All tables but the one that holds the newest block.
pub const TABLES: [Table; 7] = [
    Table {
        name: "requests",
        texts: &["state", "requester", "evaluator", "summary", "detail"],
        numbers: &["id", "created", "created_millis", "closed", "closed_millis"],
        fractions: &[],
    },
    Table {
        name: "duties",
        texts: &["role", "operator", "model"],
        numbers: &["request", "place"],
        fractions: &[],
    },
    Table {
        name: "happenings",
        texts: &["kind", "operator", "detail"],
        numbers: &["block", "place", "millis", "request"],
        fractions: &[],
    },
    Table {
        name: "operator_days",
        texts: &["operator", "earned", "slashed"],
        numbers: &["day", "answers", "scored", "quality", "scores", "agreed", "agreement", "missed"],
        fractions: &[],
    },
    Table {
        name: "model_totals",
        texts: &["evaluator", "model", "paid"],
        numbers: &["drawn", "answered", "failed", "scored", "quality", "latency"],
        fractions: &[],
    },
    Table {
        name: "duels",
        texts: &["evaluator", "one", "other"],
        numbers: &["number"],
        fractions: &["won", "lost", "squares"],
    },
    Table { name: "models", texts: &["id", "name", "kind"], numbers: &[], fractions: &[] },
];

impl Table {
    /// SHA-256 of a row: each value with its length before it, so that no two rows look alike.
    fn digest(&self, row: &AnyRow) -> Result<[u8; 32], Error> {
        let mut hasher = Sha256::new();
        let mut add = |value: Option<&[u8]>| {
            hasher.update(value.map_or(u64::MAX, |value| value.len() as u64).to_le_bytes());
            hasher.update(value.unwrap_or_default());
        };
        for column in self.texts {
            add(row.try_get::<Option<String>, _>(*column)?.as_deref().map(str::as_bytes));
        }
        for column in self.numbers {
            add(row
                .try_get::<Option<i64>, _>(*column)?
                .map(i64::to_le_bytes)
                .as_ref()
                .map(|bytes| &bytes[..]));
        }
        for column in self.fractions {
            add(Some(&row.try_get::<f64, _>(*column)?.to_le_bytes()));
        }
        Ok(hasher.finalize().into())
    }
}

impl Store {
    /// SHA-256 of each table, in hex, by its name.
    ///
    /// # Errors
    /// [`Error::Sql`].
    pub async fn digests(&self) -> Result<Vec<(&'static str, String)>, Error> {
        let mut all = Vec::new();
        for table in &TABLES {
            let columns = [table.texts, table.numbers, table.fractions].concat().join(", ");
            let mut rows =
                sqlx::query(AssertSqlSafe(format!("SELECT {columns} FROM {}", table.name))).fetch(&self.pool);
            let mut digests = Vec::new();
            while let Some(row) = rows.try_next().await? {
                digests.push(table.digest(&row)?);
            }
            digests.sort_unstable();
            all.push((table.name, hex::encode(Sha256::digest(digests.concat()))));
        }
        Ok(all)
    }
}
