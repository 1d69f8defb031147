//! The economic parameters: showing, checking and setting them.

use crate::{
    account::{self, Signer},
    amount::{exact_percent, parts, units, Amount},
    args::{ParametersCommand, Shared},
    failure::{Failure, Outcome},
    limits, render,
    table::{Column, Table},
};
use poq_client::{
    types::{PalletCall, Parameters, Parts, Standing},
    At, Client,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::{fs, path::Path};

/// One parameter: name, value, meaning.
type Row = (&'static str, String, &'static str);

/// A parameter that changes: name, old value, new value.
type Change = (&'static str, String, String);

/// The parameters as JSON: amounts are strings in units of 10^-12 POQ, parts are numbers from 0 to 1. Read exactly or not at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Record(#[serde(with = "ParametersRecord")] pub Parameters);

/// See [`Record`].
#[derive(Serialize, Deserialize)]
#[serde(remote = "Parameters", deny_unknown_fields)]
struct ParametersRecord {
    #[serde(with = "units")]
    min_stake: u128,
    stake_cap: u32,
    unbonding_period: u32,
    #[serde(with = "parts")]
    fee: Parts,
    #[serde(with = "parts")]
    base_pay: Parts,
    #[serde(with = "units")]
    waiting_fee: u128,
    min_committee: u32,
    #[serde(with = "units")]
    absence_slash: u128,
    #[serde(with = "parts")]
    audit_slash: Parts,
    #[serde(with = "units")]
    audit_allowance: u128,
    #[serde(with = "parts")]
    gross_error: Parts,
    audit_window: u32,
    tolerance_spreads: u32,
    #[serde(with = "parts")]
    tolerance_least: Parts,
    #[serde(with = "parts")]
    tolerance_most: Parts,
    #[serde(with = "StandingRecord")]
    floor: Standing,
    #[serde(with = "parts")]
    rise: Parts,
    #[serde(with = "parts")]
    fall: Parts,
    #[serde(with = "parts")]
    audit_rise: Parts,
    #[serde(with = "parts")]
    audit_fall: Parts,
}

/// See [`Record`].
#[derive(Serialize, Deserialize)]
#[serde(remote = "Standing", deny_unknown_fields)]
struct StandingRecord {
    #[serde(with = "parts")]
    agreement: Parts,
    #[serde(with = "parts")]
    veracity: Parts,
    #[serde(with = "parts")]
    reliability: Parts,
    #[serde(with = "parts")]
    quality: Parts,
}

/// `poq parameters …`.
pub async fn run(
    client: &Client,
    command: Option<ParametersCommand>,
    shared: &Shared,
) -> Result<Outcome, Failure> {
    let at = client.best().await?;
    let now = at.parameters().await?;
    match command {
        None => show(&now, shared.json)?,
        Some(ParametersCommand::Check { file }) => {
            let wanted = wanted(&file, &at).await?;
            report(&changes(&now, &wanted), "would change", None, shared.json)?;
        }
        Some(ParametersCommand::Set { file }) => {
            let wanted = wanted(&file, &at).await?;
            let signer = account::signer(shared, client).await?;
            signer.sudo(client, shared, PalletCall::set_parameters { parameters: wanted }).await?;
            report(&changes(&now, &wanted), "changed", Some(&signer), shared.json)?;
        }
    }
    Ok(Outcome::Done)
}

/// The parameters in `file`, which the chain would take.
async fn wanted(file: &Path, at: &At) -> Result<Parameters, Failure> {
    let wanted = read(file)?;
    let checked = at.check_parameters(wanted).await?;
    checked.map(|()| wanted).map_err(|reason| {
        let values = named_in(&reason, |name| shown(&wanted, name).or_else(|| limits::constant(at, name)));
        Failure::refused("InvalidParameters", format!("{reason}{values}."))
    })
}

/// ` (NAME is VALUE, …)` for each parameter and constant that a reason of the chain names.
fn named_in(reason: &str, value: impl Fn(&str) -> Option<String>) -> String {
    let mut named: Vec<&str> = Vec::new();
    for word in reason.split(|character: char| !character.is_ascii_alphanumeric() && character != '_') {
        if !named.contains(&word) {
            named.push(word);
        }
    }
    let values = named.into_iter().filter_map(|name| Some(format!("{name} is {}", value(name)?)));
    match values.collect::<Vec<_>>().join(", ") {
        none if none.is_empty() => none,
        values => format!(" ({values})"),
    }
}

fn read(file: &Path) -> Result<Parameters, Failure> {
    let text = fs::read_to_string(file)
        .map_err(|error| Failure::Input(format!("cannot read {}: {error}", file.display())))?;
    let record = serde_json::from_str(&text).map(|Record(parameters)| parameters);
    record.map_err(|error| {
        Failure::Input(format!("{} is not what `poq parameters --json` prints: {error}", file.display()))
    })
}

fn show(parameters: &Parameters, as_json: bool) -> Result<(), Failure> {
    if as_json {
        // Indented also in a file, and in the order of the table: people edit it.
        let text = serde_json::to_string_pretty(&Record(*parameters));
        return render::line(text.map_err(|error| Failure::Unexpected(error.to_string()))?);
    }
    let mut table =
        Table::new(&[Column::text("Parameter"), Column::number("Value"), Column::words("Meaning")]);
    for (name, value, meaning) in rows(parameters) {
        table.row([name.to_owned(), value, meaning.to_owned()]);
    }
    table.print()
}

fn report(changes: &[Change], verb: &str, signer: Option<&Signer>, as_json: bool) -> Result<(), Failure> {
    if as_json {
        let changes = changes.iter().map(|(name, was, is)| json!({ "name": name, "was": was, "is": is }));
        let mut json = json!({ "changes": changes.collect::<Vec<_>>() });
        if let (Some(signer), Some(fields)) = (signer, json.as_object_mut()) {
            fields.insert("signer".into(), signer.account.to_string().into());
        }
        return render::json(&json);
    }
    if changes.is_empty() {
        return render::line(format!("Nothing {verb}: these are the parameters in force."));
    }
    render::line(format!("For requests to come, {} {verb}:", count(changes.len())))?;
    let mut table = Table::new(&[Column::text("Parameter"), Column::number("Was"), Column::number("Is")]);
    for (name, was, is) in changes {
        table.row([(*name).to_owned(), was.clone(), is.clone()]);
    }
    table.print()
}

/// The value of the parameter `name`, for people.
pub fn shown(parameters: &Parameters, name: &str) -> Option<String> {
    rows(parameters).into_iter().find(|(known, ..)| *known == name).map(|(_, value, _)| value)
}

fn count(parameters: usize) -> String {
    match parameters {
        1 => "1 parameter".into(),
        many => format!("{many} parameters"),
    }
}

fn changes(was: &Parameters, is: &Parameters) -> Vec<Change> {
    let pairs = rows(was).into_iter().zip(rows(is));
    pairs
        .filter(|((_, was, _), (_, is, _))| was != is)
        .map(|((name, was, _), (_, is, _))| (name, was, is))
        .collect()
}

fn rows(parameters: &Parameters) -> Vec<Row> {
    let Parameters {
        min_stake,
        stake_cap,
        unbonding_period,
        fee,
        base_pay,
        waiting_fee,
        min_committee,
        absence_slash,
        audit_slash,
        audit_allowance,
        gross_error,
        audit_window,
        tolerance_spreads,
        tolerance_least,
        tolerance_most,
        floor,
        rise,
        fall,
        audit_rise,
        audit_fall,
    } = *parameters;
    let blocks = |count: u32| format!("{count} blocks");
    let money = |units: u128| Amount(units).to_string();
    let percent = exact_percent;
    vec![
        ("min_stake", money(min_stake), "least stake behind each model that an operator serves"),
        (
            "stake_cap",
            format!("{stake_cap} times"),
            "up to how many times min_stake a stake counts, for each model",
        ),
        ("unbonding_period", blocks(unbonding_period), "from unbonding to withdrawal"),
        ("fee", percent(fee), "the chain's part of a budget, owed once anybody was drawn"),
        (
            "base_pay",
            percent(base_pay),
            "of its price: what an answer that was revealed earns at least; of a share: scores revealed in vain",
        ),
        (
            "waiting_fee",
            money(waiting_fee),
            "what a draw costs a requester that is put off because operators are busy",
        ),
        ("min_committee", format!("{min_committee} members"), "fewest quality validators of a request"),
        ("absence_slash", money(absence_slash), "what silence costs an operator; burnt"),
        ("audit_slash", percent(audit_slash), "of its stake: what a gross error in an audit costs"),
        (
            "audit_allowance",
            money(audit_allowance),
            "most that all audits together slash within audit_window",
        ),
        (
            "gross_error",
            percent(gross_error),
            "distance of the worst score from the truth at which an error is gross",
        ),
        (
            "audit_window",
            blocks(audit_window),
            "from the end of a request, in which an audit can be revealed",
        ),
        (
            "tolerance_spreads",
            format!("{tolerance_spreads} spreads"),
            "distance from the others at which a score is worth nothing",
        ),
        ("tolerance_least", percent(tolerance_least), "that distance is never less"),
        (
            "tolerance_most",
            percent(tolerance_most),
            "nor more; and how far below its operator's usual quality an answer is clearly worse",
        ),
        (
            "floor.agreement",
            percent(floor.agreement),
            "where standing begins, and what it counts for at least",
        ),
        ("floor.veracity", percent(floor.veracity), ""),
        ("floor.reliability", percent(floor.reliability), ""),
        ("floor.quality", percent(floor.quality), ""),
        ("rise", percent(rise), "of the way: how agreement and reliability go up, by a duty"),
        ("fall", percent(fall), "of the way: how they go down"),
        ("audit_rise", percent(audit_rise), "of the way: how veracity goes up, by an audit"),
        ("audit_fall", percent(audit_fall), "of the way: how it goes down"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters() -> Parameters {
        let standing = Standing { agreement: 200_000, veracity: 1, reliability: 999_999, quality: 31_250 };
        Parameters {
            min_stake: u128::MAX,
            stake_cap: 10,
            unbonding_period: 100_800,
            fee: 20_000,
            base_pay: 200_000,
            waiting_fee: 10_000_000_000,
            min_committee: 3,
            absence_slash: 0,
            audit_slash: 300_000,
            audit_allowance: 50_000_000_000_000_000,
            gross_error: 500_000,
            audit_window: 14_400,
            tolerance_spreads: 6,
            tolerance_least: 50_000,
            tolerance_most: 200_000,
            floor: standing,
            rise: 31_250,
            fall: 250_000,
            audit_rise: 125_000,
            audit_fall: 1_000_000,
        }
    }

    #[test]
    fn what_is_printed_can_be_set() {
        let text = serde_json::to_string(&Record(parameters())).unwrap();
        assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), Record(parameters()));
    }

    #[test]
    fn a_record_is_read_exactly_or_not_at_all() {
        let text = serde_json::to_string(&Record(parameters())).unwrap();
        let with = |from: &str, to: &str| {
            assert!(text.contains(from), "{text}");
            serde_json::from_str::<Record>(&text.replace(from, to))
        };
        assert_eq!(with("\"fee\":0.02", "\"fee\":0.1").unwrap().0.fee, 100_000);
        for bad in ["1.1", "-0.1", "0.0000001", "\"2%\"", "null"] {
            assert!(with("\"fee\":0.02", &format!("\"fee\":{bad}")).is_err(), "{bad}");
        }
        assert!(with("\"fee\"", "\"fees\"").is_err(), "a slip of the pen");
        assert!(with("\"absence_slash\":\"0\"", "\"absence_slash\":\"10 POQ\"").is_err());
        assert!(with("\"stake_cap\":10,", "").is_err(), "nothing is left out");
    }

    #[test]
    fn a_reason_is_followed_by_the_values_that_it_names() {
        let parameters = parameters();
        let value =
            |name: &str| shown(&parameters, name).or_else(|| (name == "Retention").then(|| "9".to_owned()));
        let reason = "audit_window must be at least 1 and at most Retention: audit_window is too long";
        assert_eq!(named_in(reason, value), " (audit_window is 14400 blocks, Retention is 9)");
        assert_eq!(named_in("no part of floor must be zero", value), "");
    }

    #[test]
    fn changes_are_told_exactly() {
        let was = parameters();
        let mut is = was;
        is.fee = 20_001;
        is.waiting_fee = 0;
        is.min_committee = 5;
        is.floor.veracity = 10_000;
        let expected = [
            ("fee", "2%", "2.0001%"),
            ("waiting_fee", "0.01 POQ", "0 POQ"),
            ("min_committee", "3 members", "5 members"),
            ("floor.veracity", "0.0001%", "1%"),
        ];
        let changes = changes(&was, &is);
        assert!(changes.iter().map(|(name, was, is)| (*name, was.as_str(), is.as_str())).eq(expected));
    }
}
