//! The books of a chain, read from the events of every block, and the faults found in them.

use crate::members;
use anyhow::{Context as _, Result};
use poq_client::{types::chain::storage, At, Client};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use subxt::{
    dynamic::{At as _, Value},
    ext::scale_value::{Composite, Primitive, ValueDef},
};

/// The end of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// Settled.
    Settled,
    /// Refunded, for this reason.
    Refunded(String),
}

/// A request from its first to its last block.
#[derive(Clone, Debug, Serialize)]
pub struct Life {
    /// The requester's account, as hex.
    pub requester: String,
    /// The budget, in the smallest unit.
    pub budget: u128,
    /// The block that made it.
    pub made: u64,
    /// The block that ended it, and how it ended.
    pub ended: Option<(u64, End)>,
    /// Number of the committee at work.
    #[serde(skip)]
    round: u128,
}

/// A duty that was not fulfilled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Missed {
    /// The block that closed the duty.
    pub block: u64,
    /// The operator: a member's name, or an account as hex.
    pub operator: String,
    /// The request.
    pub request: u64,
    /// `NotCommitted`, `NotRevealed` or `Failed`.
    pub outcome: String,
}

/// The books of a chain from its first block on. Amounts are in the smallest unit.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Ledger {
    /// Number of blocks read.
    pub blocks: u64,
    /// The requests, by number.
    pub requests: BTreeMap<u64, Life>,
    /// Fees of transactions, which are burnt.
    pub transaction_fees: u128,
    /// Fees of requests, which are burnt.
    pub request_fees: u128,
    /// Slashed stake.
    pub slashed: u128,
    /// The part of it that compensated others; the rest is burnt.
    pub compensated: u128,
    /// Balances below the existential deposit, which are burnt.
    pub dust: u128,
    /// Number of closed duties, by outcome.
    pub duties: BTreeMap<String, u64>,
    /// The duties that were not fulfilled.
    pub missed: Vec<Missed>,
    /// Number of reports of work.
    pub reports: u64,
    /// Number of failed transactions in blocks.
    pub failed_transactions: u64,
    /// Broken rules: duties reported twice, sums that do not add up, events that cannot happen.
    pub faults: Vec<String>,
    #[serde(skip)]
    reported: BTreeSet<(String, u64, u128, String)>,
}

impl Ledger {
    /// Reads the blocks 1 to `last` from a node that keeps the state of every block.
    pub async fn read(client: &Client, last: u64) -> Result<Self> {
        let mut ledger = Self::default();
        for number in 1..=last {
            let at = client.at_number(number).await.with_context(|| format!("block {number}"))?;
            ledger.read_block(&at).await.with_context(|| format!("block {number}"))?;
        }
        Ok(ledger)
    }

    async fn read_block(&mut self, at: &At) -> Result<()> {
        let events = at.events().await?;
        for event in events.iter() {
            let event = event?;
            let fields: Composite<()> = match event.pallet_name() {
                "ProofOfQuality" | "TransactionPayment" | "Balances" | "System" => {
                    event.decode_fields_unchecked_as()?
                }
                _ => continue,
            };
            let fields = Value { value: ValueDef::Composite(fields), context: () };
            self.enter(at.number(), event.pallet_name(), event.event_name(), &fields);
        }
        self.blocks = self.blocks.saturating_add(1);
        Ok(())
    }

    fn enter(&mut self, block: u64, pallet: &str, name: &str, fields: &Value) {
        let amount = |field: &str| fields.at(field).and_then(Value::as_u128).unwrap_or(0);
        let request = || u64::try_from(amount("request")).unwrap_or(u64::MAX);
        match (pallet, name) {
            ("TransactionPayment", "TransactionFeePaid") => {
                add(&mut self.transaction_fees, amount("actual_fee"))
            }
            ("Balances", "DustLost") => add(&mut self.dust, amount("amount")),
            ("System", "ExtrinsicFailed") => {
                self.failed_transactions = self.failed_transactions.saturating_add(1)
            }
            ("ProofOfQuality", "Requested") => {
                let requester = fields.at("requester").map(hex_of).unwrap_or_default();
                let life = Life { requester, budget: amount("budget"), made: block, ended: None, round: 0 };
                if self.requests.insert(request(), life).is_some() {
                    self.faults.push(format!("block {block}: request {} was made twice", request()));
                }
            }
            ("ProofOfQuality", "CommitteeDrawn") => {
                if let Some(life) = self.requests.get_mut(&request()) {
                    life.round = amount("round");
                }
            }
            ("ProofOfQuality", "WorkReported") => {
                let operator = fields.at("operator").map(hex_of).unwrap_or_default();
                let work = fields.at("work").and_then(variant).unwrap_or_default();
                self.enter_report(block, request(), operator, work);
            }
            ("ProofOfQuality", "Settled" | "Refunded") => {
                let reason = fields.at("reason").and_then(variant);
                let end = reason.map_or(End::Settled, |reason| End::Refunded(reason.to_owned()));
                let parts = amount("paid").saturating_add(amount("fee")).saturating_add(amount("refund"));
                add(&mut self.request_fees, amount("fee"));
                self.close(block, request(), parts, end);
            }
            ("ProofOfQuality", "Slashed") => add(&mut self.slashed, amount("amount")),
            ("ProofOfQuality", "Compensated") => add(&mut self.compensated, amount("amount")),
            ("ProofOfQuality", "DutyClosed") => self.close_duty(block, fields),
            ("ProofOfQuality", "Unexpected") => {
                self.faults.push(format!("block {block}: unexpected: {fields}"))
            }
            _ => {}
        }
    }

    fn enter_report(&mut self, block: u64, request: u64, operator: String, work: &str) {
        let operator = name_of(&operator);
        self.reports = self.reports.saturating_add(1);
        let round = self.requests.get(&request).map_or(0, |life| life.round);
        let fault = format!("block {block}: {operator} reported {work} of request {request} twice");
        if !self.reported.insert((operator, request, round, work.to_owned())) {
            self.faults.push(fault);
        }
    }

    fn close_duty(&mut self, block: u64, fields: &Value) {
        let duty = fields.at("duty");
        let outcome =
            duty.and_then(|duty| duty.at("outcome")).and_then(variant).unwrap_or_default().to_owned();
        let times = self.duties.entry(outcome.clone()).or_default();
        *times = times.saturating_add(1);
        if ["NotCommitted", "NotRevealed", "Failed"].contains(&outcome.as_str()) {
            let operator = name_of(&fields.at("operator").map(hex_of).unwrap_or_default());
            let request = duty.and_then(|duty| duty.at("request")).and_then(Value::as_u128).unwrap_or(0);
            let request = u64::try_from(request).unwrap_or(u64::MAX);
            self.missed.push(Missed { block, operator, request, outcome });
        }
    }

    fn close(&mut self, block: u64, request: u64, parts: u128, end: End) {
        let Some(life) = self.requests.get_mut(&request) else {
            self.faults.push(format!("block {block}: request {request} ends and was never made"));
            return;
        };
        if parts != life.budget {
            self.faults.push(format!(
                "block {block}: request {request} had {} on hold and divides {parts}",
                life.budget
            ));
        }
        if life.ended.replace((block, end)).is_some() {
            self.faults.push(format!("block {block}: request {request} ends twice"));
        }
    }

    /// Sum of everything burnt.
    pub fn burnt(&self) -> u128 {
        let slashed = self.slashed.saturating_sub(self.compensated);
        [self.transaction_fees, self.request_fees, slashed, self.dust]
            .iter()
            .fold(0, |sum, part| sum.saturating_add(*part))
    }

    /// Number of requests whose end satisfies `is`.
    pub fn ended(&self, is: impl Fn(&End) -> bool) -> usize {
        self.requests.values().filter(|life| life.ended.as_ref().is_some_and(|(_, end)| is(end))).count()
    }

    /// The requests that have not ended.
    pub fn open(&self) -> Vec<u64> {
        self.requests.iter().filter(|(_, life)| life.ended.is_none()).map(|(id, _)| *id).collect()
    }
}

/// Total issuance at a block, in the smallest unit.
pub async fn issuance(at: &At) -> Result<u128> {
    Ok(at.value(storage().balances().total_issuance()).await?)
}

/// The name of an enum's variant.
pub fn variant(value: &Value) -> Option<&str> {
    match &value.value {
        ValueDef::Variant(variant) => Some(&variant.name),
        _ => None,
    }
}

fn add(sum: &mut u128, amount: u128) {
    *sum = sum.saturating_add(amount);
}

/// The name of the member with this account, if it is one.
fn name_of(account: &str) -> String {
    let members = members::all();
    let member = members.iter().find(|member| member.account().is_some_and(|id| hex::encode(id) == account));
    member.map_or_else(|| account.to_owned(), |member| member.name.clone())
}

/// The bytes of an account, however they are wrapped, as hex.
fn hex_of(value: &Value) -> String {
    fn collect(value: &Value, bytes: &mut Vec<u8>) {
        match &value.value {
            ValueDef::Composite(composite) => composite.values().for_each(|inner| collect(inner, bytes)),
            ValueDef::Primitive(Primitive::U128(byte)) => bytes.extend(u8::try_from(*byte).ok()),
            _ => {}
        }
    }
    let mut bytes = Vec::new();
    collect(value, &mut bytes);
    hex::encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(ledger: &mut Ledger, name: &str, fields: &[(&str, Value)]) {
        let fields = Value::named_composite(fields.iter().cloned());
        ledger.enter(7, "ProofOfQuality", name, &fields);
    }

    fn report(ledger: &mut Ledger, work: &str) {
        let operator = Value::unnamed_composite([Value::from_bytes([1u8; 32])]);
        let work = Value::unnamed_variant(work, []);
        event(ledger, "WorkReported", &[("request", Value::u128(3)), ("operator", operator), ("work", work)]);
    }

    #[test]
    fn it_sees_what_is_reported_twice_and_what_does_not_add_up() {
        let mut ledger = Ledger::default();
        let (id, amount) = (("request", Value::u128(3)), Value::u128);
        event(&mut ledger, "Requested", &[id.clone(), ("budget", amount(10))]);
        report(&mut ledger, "Committed");
        report(&mut ledger, "Revealed");
        assert_eq!(ledger.open(), [3]);
        assert!(ledger.faults.is_empty(), "{:?}", ledger.faults);

        report(&mut ledger, "Revealed");
        assert_eq!(ledger.faults.len(), 1, "{:?}", ledger.faults);
        event(&mut ledger, "CommitteeDrawn", &[id.clone(), ("round", amount(1))]);
        report(&mut ledger, "Revealed");
        assert_eq!(ledger.faults.len(), 1, "another committee, another duty");

        event(&mut ledger, "Settled", &[id, ("paid", amount(5)), ("fee", amount(1)), ("refund", amount(3))]);
        assert_eq!(ledger.faults.len(), 2, "{:?}", ledger.faults);
        assert_eq!((ledger.burnt(), ledger.ended(|end| *end == End::Settled)), (1, 1));
        assert!(ledger.open().is_empty());
    }
}
