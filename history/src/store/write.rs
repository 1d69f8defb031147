//! What a block changes.

use super::{hash, signed, Cursor, Error, Named, Names, Store};
use crate::{
    block::{Block, Kind, Seen},
    ranking,
};
use poq_client::{
    json::{self, Rest},
    types::{ModelId, ModelKind, ModelView, Phase, RequestView, ResponseView, Role, Work},
};
use serde_json::Value;
use sqlx::{Any, AssertSqlSafe, Row as _, Transaction};
use std::collections::BTreeMap;
use subxt::utils::AccountId32;

/// Milliseconds of a day.
const DAY: i64 = 86_400_000;

/// Columns of a duty.
const DUTY: usize = 5;

/// What a block adds to an operator's day.
#[derive(Default)]
struct Day {
    answers: i64,
    scored: i64,
    quality: i64,
    scores: i64,
    agreed: i64,
    agreement: i64,
    missed: i64,
    earned: u128,
    slashed: u128,
}

/// What a block adds to a generator's sums with an evaluator.
#[derive(Default)]
struct Totals {
    drawn: i64,
    answered: i64,
    failed: i64,
    scored: i64,
    quality: i64,
    latency: i64,
    paid: u128,
}

/// What a block adds to the duels of two generators.
#[derive(Default)]
struct Duels {
    number: i64,
    won: f64,
    lost: f64,
    squares: f64,
}

/// What a block adds, by the keys of the rows: sums are written once a block, and always in the same order.
#[derive(Default)]
struct Sums {
    days: BTreeMap<String, Day>,
    totals: BTreeMap<(String, String), Totals>,
    duels: BTreeMap<(String, String, String), Duels>,
}

/// Names of models for JSON. Accounts have none that all would agree on.
struct ByModel<'a>(&'a Names);

impl json::Names for ByModel<'_> {
    fn model(&self, id: &ModelId) -> Option<String> {
        self.0.get(&hex::encode(id)).map(|named| named.name.clone())
    }

    fn account(&self, _: &AccountId32) -> Option<String> {
        None
    }
}

/// Ids of the models that requests name, in hex.
pub fn models_of(requests: &[Seen]) -> impl Iterator<Item = String> + use<'_> {
    requests
        .iter()
        .flat_map(|seen| seen.view.generators.iter().chain([&seen.view.evaluator]))
        .map(hex::encode)
}

/// Models as the registry has them, in the form of [`Names`].
pub fn named(models: Vec<ModelView>) -> Names {
    let kind = |kind| match kind {
        ModelKind::Generator => "generator",
        ModelKind::Evaluator => "evaluator",
    };
    models
        .into_iter()
        .map(|model| {
            let name = String::from_utf8_lossy(&model.name).into_owned();
            (hex::encode(model.id), Named { name, kind: kind(model.kind).into() })
        })
        .collect()
}

impl Store {
    /// Writes the names of models that are not there yet.
    ///
    /// # Errors
    /// [`Error::Sql`].
    pub async fn learn(&self, names: &Names) -> Result<(), Error> {
        for (id, Named { name, kind }) in names {
            sqlx::query(
                "INSERT INTO models (id, name, kind) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING",
            )
            .bind(id)
            .bind(name)
            .bind(kind)
            .execute(&self.pool)
            .await?;
        }
        Ok(())
    }

    /// Writes the block after the newest one.
    ///
    /// # Errors
    /// [`Error::OtherBlock`] if it is not that; [`Error::NotAlone`] if another program has written it; [`Error::Sql`].
    pub async fn write(&self, after: &Cursor, block: &Block, names: &Names) -> Result<Cursor, Error> {
        let is_next = block.number == after.number.saturating_add(1);
        if !is_next || !after.hash.is_empty() && after.hash != hash(&block.parent) {
            return Err(Error::OtherBlock(block.number));
        }
        let cursor =
            Cursor { number: block.number, hash: hash(&block.hash), millis: block.millis, ..after.clone() };
        let mut transaction = self.pool.begin().await?;
        let moved = sqlx::query(
            "UPDATE chain SET number = $1, hash = $2, millis = $3 WHERE genesis = $4 AND number = $5 AND hash = $6",
        )
        .bind(signed(cursor.number))
        .bind(&cursor.hash)
        .bind(cursor.millis)
        .bind(&cursor.genesis)
        .bind(signed(after.number))
        .bind(&after.hash)
        .execute(&mut *transaction)
        .await?;
        if moved.rows_affected() != 1 {
            return Err(Error::NotAlone);
        }
        let mut sums = Sums::default();
        for seen in &block.requests {
            put_request(&mut transaction, block, seen, names).await?;
            if let Some(rest) = seen.end {
                put_duties(&mut transaction, &seen.view).await?;
                sums.add(&seen.view, rest);
            }
        }
        for happening in &block.happenings {
            let mut detail = happening.detail.clone();
            if let Some(fields) = detail.as_object_mut().filter(|_| happening.amount > 0) {
                fields.insert("amount".into(), json::amount(happening.amount));
            }
            sqlx::query(
                "INSERT INTO happenings (block, place, millis, kind, operator, request, detail) VALUES ($1, $2, $3, $4, $5, $6, $7)",
            )
            .bind(signed(block.number))
            .bind(i64::from(happening.place))
            .bind(block.millis)
            .bind(happening.kind.name())
            .bind(happening.operator.as_deref())
            .bind(signed(happening.request))
            .bind(detail.to_string())
            .execute(&mut *transaction)
            .await?;
            if let Some(operator) = &happening.operator {
                let day = sums.days.entry(operator.clone()).or_default();
                match happening.kind {
                    Kind::Slashed => day.slashed = day.slashed.saturating_add(happening.amount),
                    Kind::Compensated => day.earned = day.earned.saturating_add(happening.amount),
                    Kind::Audited | Kind::AuditRevealed => {}
                }
            }
        }
        sums.put(&mut transaction, block.millis.div_euclid(DAY)).await?;
        transaction.commit().await?;
        Ok(cursor)
    }
}

async fn put_request(
    transaction: &mut Transaction<'_, Any>,
    block: &Block,
    seen: &Seen,
    names: &Names,
) -> Result<(), Error> {
    let view = &seen.view;
    let known = sqlx::query("SELECT created_millis, closed_millis, detail FROM requests WHERE id = $1")
        .bind(signed(view.id))
        .fetch_optional(&mut **transaction)
        .await?;
    let is_new = u64::from(view.created) == block.number;
    let (mut created, mut closed) = (is_new.then_some(block.millis), seen.end.map(|_| block.millis));
    let mut rest = seen.end;
    if let Some(known) = known {
        created = created.or(known.try_get("created_millis")?);
        closed = closed.or(known.try_get("closed_millis")?);
        if rest.is_none() {
            rest = rest_of(&known.try_get::<String, _>("detail")?)?;
        }
    }
    let times = serde_json::json!({ "created": created, "closed": closed });
    let [mut summary, mut detail] = [json::summary(view), json::request(view, rest, &ByModel(names))];
    for value in [&mut summary, &mut detail] {
        if let Some(fields) = value.as_object_mut() {
            fields.insert("times".into(), Value::clone(&times));
        }
    }
    sqlx::query(
        "INSERT INTO requests (id, state, requester, evaluator, created, created_millis, closed, closed_millis, summary, detail) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (id) DO UPDATE SET state = excluded.state, \
         closed = excluded.closed, closed_millis = excluded.closed_millis, summary = excluded.summary, detail = excluded.detail",
    )
    .bind(signed(view.id))
    .bind(view.phase.name())
    .bind(view.requester.to_string())
    .bind(hex::encode(view.evaluator))
    .bind(i64::from(view.created))
    .bind(created)
    .bind(view.phase.closed_at().map(signed))
    .bind(closed)
    .bind(summary.to_string())
    .bind(detail.to_string())
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// Where the budget went, by what is stored of the request.
fn rest_of(detail: &str) -> Result<Option<Rest>, Error> {
    let detail: Value = serde_json::from_str(detail).map_err(|error| Error::Value(error.to_string()))?;
    let units = |field: &str| detail.get(field)?.as_str()?.parse().ok();
    Ok(units("fee").zip(units("refund")).map(|(fee, refund)| Rest { fee, refund }))
}

async fn put_duties(transaction: &mut Transaction<'_, Any>, view: &RequestView) -> Result<(), Error> {
    let answers = view
        .responses
        .iter()
        .map(|response| (Role::InferenceNode, response.operator.to_string(), hex::encode(response.model)));
    let members = view
        .committees
        .last()
        .into_iter()
        .flatten()
        .map(|member| (Role::QualityValidator, member.operator.to_string(), hex::encode(view.evaluator)));
    let duties: Vec<_> = (0i64..).zip(answers.chain(members)).collect();
    if duties.is_empty() {
        return Ok(());
    }
    // All in one statement: each is a way to the database and back.
    let row = |first: usize| {
        let values: Vec<_> = (first..first.saturating_add(DUTY)).map(|value| format!("${value}")).collect();
        format!("({})", values.join(", "))
    };
    let rows: Vec<_> =
        (0..duties.len()).map(|place| row(place.saturating_mul(DUTY).saturating_add(1))).collect();
    let sql =
        format!("INSERT INTO duties (request, place, role, operator, model) VALUES {}", rows.join(", "));
    // Only numbers of values were put together.
    let mut query = sqlx::query(AssertSqlSafe(sql));
    for (place, (role, operator, model)) in duties {
        query = query.bind(signed(view.id)).bind(place).bind(role.name()).bind(operator).bind(model);
    }
    query.execute(&mut **transaction).await?;
    Ok(())
}

impl Sums {
    /// Adds a request that has ended.
    fn add(&mut self, view: &RequestView, rest: Rest) {
        let evaluator = hex::encode(view.evaluator);
        let is_missed = |work: &Work| i64::from(matches!(work, Work::NotCommitted | Work::NotRevealed));
        for response in &view.responses {
            let is_answer = i64::from(response.work == Work::Revealed);
            let quality = response.quality.map(i64::from);
            let day = self.days.entry(response.operator.to_string()).or_default();
            day.answers += is_answer;
            day.scored += i64::from(quality.is_some());
            day.quality += quality.unwrap_or_default();
            day.missed += is_missed(&response.work);
            day.earned = day.earned.saturating_add(response.paid);
            let totals = self.totals.entry((evaluator.clone(), hex::encode(response.model))).or_default();
            totals.drawn += 1;
            totals.answered += is_answer;
            totals.failed += i64::from(matches!(response.work, Work::Failed(_)));
            totals.scored += i64::from(quality.is_some());
            totals.quality += quality.unwrap_or_default();
            totals.latency += if is_answer > 0 { i64::from(response.latency) } else { 0 };
            totals.paid = totals.paid.saturating_add(response.paid);
        }
        for member in view.committees.iter().flatten() {
            let day = self.days.entry(member.operator.to_string()).or_default();
            day.scores += i64::from(member.work == Work::Revealed);
            day.agreed += i64::from(member.agreement.is_some());
            day.agreement += member.agreement.map_or(0, i64::from);
            day.missed += is_missed(&member.work);
            day.earned = day.earned.saturating_add(member.paid);
        }
        if matches!(view.phase, Phase::Settled { .. }) {
            self.add_duels(view, &evaluator, rest.fee as f64);
        }
    }

    fn add_duels(&mut self, view: &RequestView, evaluator: &str, weight: f64) {
        let scored = |response: &ResponseView| Some((hex::encode(response.model), response.quality?));
        let scored: Vec<_> = view.responses.iter().filter_map(scored).collect();
        for (one, other, won) in ranking::fought(&scored) {
            let (Some((one, _)), Some((other, _))) = (scored.get(one), scored.get(other)) else { continue };
            let (one, other, won) = if one < other { (one, other, won) } else { (other, one, 1.0 - won) };
            let duels = self.duels.entry((evaluator.into(), one.clone(), other.clone())).or_default();
            duels.number += 1;
            duels.won += weight * won;
            duels.lost += weight * (1.0 - won);
            duels.squares += weight * weight;
        }
    }

    async fn put(self, transaction: &mut Transaction<'_, Any>, day: i64) -> Result<(), Error> {
        for (operator, mut add) in self.days {
            let known =
                sqlx::query("SELECT earned, slashed FROM operator_days WHERE operator = $1 AND day = $2")
                    .bind(&operator)
                    .bind(day)
                    .fetch_optional(&mut **transaction)
                    .await?;
            if let Some(known) = known {
                add.earned = add.earned.saturating_add(units(known.try_get("earned")?)?);
                add.slashed = add.slashed.saturating_add(units(known.try_get("slashed")?)?);
            }
            sqlx::query(
                "INSERT INTO operator_days (operator, day, answers, scored, quality, scores, agreed, agreement, missed, earned, slashed) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (operator, day) DO UPDATE SET \
                 answers = operator_days.answers + excluded.answers, scored = operator_days.scored + excluded.scored, \
                 quality = operator_days.quality + excluded.quality, scores = operator_days.scores + excluded.scores, \
                 agreed = operator_days.agreed + excluded.agreed, agreement = operator_days.agreement + excluded.agreement, \
                 missed = operator_days.missed + excluded.missed, earned = excluded.earned, slashed = excluded.slashed",
            )
            .bind(operator)
            .bind(day)
            .bind(add.answers)
            .bind(add.scored)
            .bind(add.quality)
            .bind(add.scores)
            .bind(add.agreed)
            .bind(add.agreement)
            .bind(add.missed)
            .bind(add.earned.to_string())
            .bind(add.slashed.to_string())
            .execute(&mut **transaction)
            .await?;
        }
        for ((evaluator, model), mut add) in self.totals {
            let known = sqlx::query("SELECT paid FROM model_totals WHERE evaluator = $1 AND model = $2")
                .bind(&evaluator)
                .bind(&model)
                .fetch_optional(&mut **transaction)
                .await?;
            if let Some(known) = known {
                add.paid = add.paid.saturating_add(units(known.try_get("paid")?)?);
            }
            sqlx::query(
                "INSERT INTO model_totals (evaluator, model, drawn, answered, failed, scored, quality, latency, paid) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (evaluator, model) DO UPDATE SET \
                 drawn = model_totals.drawn + excluded.drawn, answered = model_totals.answered + excluded.answered, \
                 failed = model_totals.failed + excluded.failed, scored = model_totals.scored + excluded.scored, \
                 quality = model_totals.quality + excluded.quality, latency = model_totals.latency + excluded.latency, \
                 paid = excluded.paid",
            )
            .bind(evaluator)
            .bind(model)
            .bind(add.drawn)
            .bind(add.answered)
            .bind(add.failed)
            .bind(add.scored)
            .bind(add.quality)
            .bind(add.latency)
            .bind(add.paid.to_string())
            .execute(&mut **transaction)
            .await?;
        }
        for ((evaluator, one, other), add) in self.duels {
            sqlx::query(
                "INSERT INTO duels (evaluator, one, other, number, won, lost, squares) VALUES ($1, $2, $3, $4, $5, $6, $7) \
                 ON CONFLICT (evaluator, one, other) DO UPDATE SET number = duels.number + excluded.number, \
                 won = duels.won + excluded.won, lost = duels.lost + excluded.lost, squares = duels.squares + excluded.squares",
            )
            .bind(evaluator)
            .bind(one)
            .bind(other)
            .bind(add.number)
            .bind(add.won)
            .bind(add.lost)
            .bind(add.squares)
            .execute(&mut **transaction)
            .await?;
        }
        Ok(())
    }
}

/// Units as they are stored.
pub(super) fn units(text: String) -> Result<u128, Error> {
    text.parse().map_err(|_| Error::Value(text))
}
