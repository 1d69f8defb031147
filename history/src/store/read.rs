//! Questions to the database.

use super::{number, signed, write::units, Error, Named, Names, Store};
use crate::ranking::{self, Strength};
use serde_json::value::RawValue;
use sqlx::{AssertSqlSafe, Row as _};
use std::collections::BTreeMap;

/// Which requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Which {
    /// In this state.
    pub state: Option<String>,
    /// Of this account.
    pub requester: Option<String>,
    /// That this operator has worked for.
    pub operator: Option<String>,
    /// That this generator was drawn for, or this evaluator; in hex.
    pub model: Option<String>,
}

/// A part of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// Before this number: the last of the page before.
    pub before: Option<u64>,
    /// At most so many.
    pub limit: u32,
}

/// Sums of an operator's day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DayOf {
    /// Days since 1970.
    pub day: i64,
    /// Answers shown.
    pub answers: i64,
    /// Of them scored.
    pub scored: i64,
    /// Sum of their quality, in millionths.
    pub quality: i64,
    /// Requests whose answers it scored.
    pub scores: i64,
    /// Of them compared with others' scores.
    pub agreed: i64,
    /// Sum of its agreement, in millionths.
    pub agreement: i64,
    /// Duties missed.
    pub missed: i64,
    /// Units earned, compensation among them.
    pub earned: u128,
    /// Units of stake taken.
    pub slashed: u128,
}

/// Something that happened to an operator or a request.
#[derive(Clone, Debug)]
pub struct Happened {
    /// Block.
    pub block: u64,
    /// Time of the block, in milliseconds since 1970.
    pub millis: i64,
    /// Name of the kind.
    pub kind: String,
    /// The operator.
    pub operator: Option<String>,
    /// The request.
    pub request: Option<u64>,
    /// JSON.
    pub detail: Box<RawValue>,
}

/// A generator as an evaluator's duels rank it.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranked {
    /// Its id, in hex.
    pub model: String,
    /// Its name.
    pub name: Option<String>,
    /// By the duels.
    pub strength: Strength,
    /// Duels that it fought.
    pub duels: u64,
    /// Times that an operator was drawn to answer with it.
    pub drawn: u64,
    /// Answers shown.
    pub answered: u64,
    /// Times that its operator said that it cannot answer.
    pub failed: u64,
    /// Answers scored.
    pub scored: u64,
    /// Sum of their quality, in millionths.
    pub quality: u64,
    /// Sum of the latency of answers, in millionths of the time there was.
    pub latency: u64,
    /// Units paid for answers.
    pub paid: u128,
}

/// Generators by what an evaluator makes of them, the strongest first.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranking {
    /// The evaluator's id, in hex.
    pub evaluator: String,
    /// Its name.
    pub name: Option<String>,
    /// Duels in all.
    pub duels: u64,
    /// The number of equally weighed duels that would say as much.
    pub effective: f64,
    /// The generators.
    pub models: Vec<Ranked>,
}

impl Store {
    /// Summaries of requests, the newest first.
    ///
    /// # Errors
    /// [`Error::Sql`], [`Error::Value`].
    pub async fn requests(&self, which: &Which, page: Page) -> Result<Vec<(u64, Box<RawValue>)>, Error> {
        let mut values = vec![];
        let mut bind = |value: &str| {
            values.push(value.to_owned());
            // The first two are those of the page.
            format!("${}", values.len() + 2)
        };
        let (mut from, mut conditions) = ("requests r".to_owned(), vec![]);
        let by_duty = match (&which.operator, &which.model) {
            (Some(operator), Some(model)) => {
                Some(format!("d.operator = {} AND d.model = {}", bind(operator), bind(model)))
            }
            (Some(operator), None) => Some(format!("d.operator = {}", bind(operator))),
            (None, Some(model)) => Some(format!("d.model = {}", bind(model))),
            (None, None) => None,
        };
        // The numbers come from the index that is walked, so that a page costs what it holds.
        let id = if let Some(condition) = by_duty {
            from = "duties d JOIN requests r ON r.id = d.request".into();
            conditions.push(condition);
            "d.request"
        } else {
            "r.id"
        };
        for (column, wanted) in [("r.state", &which.state), ("r.requester", &which.requester)] {
            if let Some(wanted) = wanted {
                conditions.push(format!("{column} = {}", bind(wanted)));
            }
        }
        conditions.push(format!("{id} < $1"));
        let sql = format!(
            "SELECT DISTINCT {id} AS id, r.summary AS summary FROM {from} WHERE {} ORDER BY {id} DESC LIMIT $2",
            conditions.join(" AND ")
        );
        // Only the names of columns and the numbers of values were put together.
        let mut query = sqlx::query(AssertSqlSafe(sql))
            .bind(page.before.map_or(i64::MAX, signed))
            .bind(i64::from(page.limit));
        for value in values {
            query = query.bind(value);
        }
        let rows = query.fetch_all(&self.pool).await?;
        rows.iter().map(|row| Ok((number(row.try_get("id")?), raw(row.try_get("summary")?)?))).collect()
    }

    /// Summaries of requests that ended in this block or later, the oldest first, each with the block of its end.
    ///
    /// # Errors
    /// [`Error::Sql`], [`Error::Value`].
    pub async fn ended_since(
        &self,
        block: u64,
        after: Option<u64>,
        limit: u32,
    ) -> Result<Vec<(u64, u64, Box<RawValue>)>, Error> {
        let rows = sqlx::query(
            "SELECT closed, id, summary FROM requests WHERE closed > $1 OR (closed = $1 AND id > $2) ORDER BY closed, id LIMIT $3",
        )
        .bind(signed(block))
        .bind(after.map_or(-1, signed))
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| {
                let ended = number(row.try_get("closed")?);
                Ok((ended, number(row.try_get("id")?), raw(row.try_get("summary")?)?))
            })
            .collect()
    }

    /// All that is known of a request.
    ///
    /// # Errors
    /// [`Error::Sql`], [`Error::Value`].
    pub async fn request(&self, id: u64) -> Result<Option<String>, Error> {
        let row = sqlx::query("SELECT detail FROM requests WHERE id = $1").bind(signed(id));
        let row = row.fetch_optional(&self.pool).await?;
        row.map(|row| Ok(row.try_get("detail")?)).transpose()
    }

    /// What happened to a request beside its end.
    ///
    /// # Errors
    /// [`Error::Sql`], [`Error::Value`].
    pub async fn happened_in(&self, request: u64) -> Result<Vec<Happened>, Error> {
        let rows = sqlx::query(
            "SELECT block, millis, kind, operator, request, detail FROM happenings WHERE request = $1 ORDER BY block, place",
        )
        .bind(signed(request))
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(happened).collect()
    }

    /// The newest things that happened to an operator.
    ///
    /// # Errors
    /// [`Error::Sql`], [`Error::Value`].
    pub async fn happened_to(&self, operator: &str, limit: u32) -> Result<Vec<Happened>, Error> {
        let rows = sqlx::query(
            "SELECT block, millis, kind, operator, request, detail FROM happenings WHERE operator = $1 \
             ORDER BY block DESC, place DESC LIMIT $2",
        )
        .bind(operator)
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(happened).collect()
    }

    /// An operator's newest days on which anything was, the newest first.
    ///
    /// # Errors
    /// [`Error::Sql`], [`Error::Value`].
    pub async fn days(&self, operator: &str, limit: u32) -> Result<Vec<DayOf>, Error> {
        let rows = sqlx::query(
            "SELECT day, answers, scored, quality, scores, agreed, agreement, missed, earned, slashed FROM operator_days \
             WHERE operator = $1 ORDER BY day DESC LIMIT $2",
        )
        .bind(operator)
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(DayOf {
                    day: row.try_get("day")?,
                    answers: row.try_get("answers")?,
                    scored: row.try_get("scored")?,
                    quality: row.try_get("quality")?,
                    scores: row.try_get("scores")?,
                    agreed: row.try_get("agreed")?,
                    agreement: row.try_get("agreement")?,
                    missed: row.try_get("missed")?,
                    earned: units(row.try_get("earned")?)?,
                    slashed: units(row.try_get("slashed")?)?,
                })
            })
            .collect()
    }

    /// Generators ranked, by evaluator, in the order of the evaluators' names.
    ///
    /// # Errors
    /// [`Error::Sql`], [`Error::Value`].
    pub async fn rankings(&self) -> Result<Vec<Ranking>, Error> {
        let names = self.names().await?;
        let mut models: BTreeMap<String, Vec<Ranked>> = BTreeMap::new();
        let rows = sqlx::query(
            "SELECT evaluator, model, drawn, answered, failed, scored, quality, latency, paid FROM model_totals ORDER BY evaluator, model",
        );
        for row in rows.fetch_all(&self.pool).await? {
            let model: String = row.try_get("model")?;
            let count = |column: &str| row.try_get(column).map(number);
            models.entry(row.try_get("evaluator")?).or_default().push(Ranked {
                name: name_of(&names, &model),
                strength: Strength { value: 0.0, low: 0.0, high: 0.0 },
                duels: 0,
                drawn: count("drawn")?,
                answered: count("answered")?,
                failed: count("failed")?,
                scored: count("scored")?,
                quality: count("quality")?,
                latency: count("latency")?,
                paid: units(row.try_get("paid")?)?,
                model,
            });
        }
        let rows =
            sqlx::query("SELECT evaluator, one, other, number, won, lost, squares FROM duels ORDER BY evaluator, one, other");
        let rows = rows.fetch_all(&self.pool).await?;
        let mut rankings = Vec::new();
        for (evaluator, mut models) in models {
            let mut duels = Vec::new();
            let mut fought = 0;
            for row in &rows {
                if row.try_get::<String, _>("evaluator")? != evaluator {
                    continue;
                }
                let place = |model: String| models.iter().position(|ranked| ranked.model == model);
                let Some((one, other)) = place(row.try_get("one")?).zip(place(row.try_get("other")?)) else {
                    continue;
                };
                let number = number(row.try_get("number")?);
                fought += number;
                for place in [one, other] {
                    if let Some(ranked) = models.get_mut(place) {
                        ranked.duels += number;
                    }
                }
                let (won, lost) = (row.try_get("won")?, row.try_get("lost")?);
                duels.push(ranking::Duels { one, other, won, lost, squares: row.try_get("squares")? });
            }
            let strengths = ranking::rank(models.len(), &duels);
            for (ranked, strength) in models.iter_mut().zip(strengths) {
                ranked.strength = strength;
            }
            models.sort_by(|one, other| other.strength.value.total_cmp(&one.strength.value));
            rankings.push(Ranking {
                name: name_of(&names, &evaluator),
                evaluator,
                duels: fought,
                effective: ranking::effective(&duels),
                models,
            });
        }
        rankings.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(rankings)
    }
}

fn name_of(names: &Names, id: &str) -> Option<String> {
    names.get(id).map(|Named { name, .. }| name.clone())
}

fn raw(json: String) -> Result<Box<RawValue>, Error> {
    RawValue::from_string(json).map_err(|error| Error::Value(error.to_string()))
}

fn happened(row: &sqlx::any::AnyRow) -> Result<Happened, Error> {
    Ok(Happened {
        block: number(row.try_get("block")?),
        millis: row.try_get("millis")?,
        kind: row.try_get("kind")?,
        operator: row.try_get("operator")?,
        request: row.try_get::<Option<i64>, _>("request")?.map(number),
        detail: raw(row.try_get("detail")?)?,
    })
}
