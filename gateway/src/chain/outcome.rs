//! The end of a request in the gateway's words.

use crate::{
    catalogue::Models,
    order::{Bill, Outcome, Responder},
};
use poq_client::{
    types::{Closed, Phase, RequestView, Work},
    Client, Error,
};
use std::collections::{hash_map::Entry, HashMap};

/// Splits of budgets by blocks, each block asked for once: many requests end in one.
pub struct Splits<'a> {
    client: &'a Client,
    known: HashMap<u64, Option<Vec<Closed>>>,
}

impl<'a> Splits<'a> {
    /// Of the chain behind `client`.
    pub fn new(client: &'a Client) -> Self {
        Self { client, known: HashMap::new() }
    }

    /// Split of the budget of a request that ended in this block.
    async fn of(&mut self, request: u64, block: u64) -> Result<Option<Closed>, Error> {
        let all = match self.known.entry(block) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(self.client.all_closed(block).await?),
        };
        Ok(all.iter().flatten().find(|closed| closed.request == request).copied())
    }
}

/// Outcome of a request that is over; `None` if it is not.
pub async fn of(
    splits: &mut Splits<'_>,
    view: &RequestView,
    models: &Models,
    fee: u128,
) -> Result<Option<Outcome>, Error> {
    let Some(block) = view.phase.closed_at() else { return Ok(None) };
    let bill = bill(view, splits.of(view.id, block).await?, fee);
    let responders = view.responses.iter().map(|response| Responder {
        operator: response.operator.to_string(),
        model: models.name(&response.model),
        quality: response.quality.map(|parts| f64::from(parts) / 1e6),
        work: response.work.name().to_owned(),
        paid: response.paid,
    });
    let responders: Vec<Responder> = responders.collect();
    Ok(match view.phase {
        Phase::Settled { best, .. } => {
            let answer = view
                .responses
                .get(best as usize)
                .map(|response| response.output.as_slice())
                .unwrap_or_default();
            let scorers =
                view.committees.last().into_iter().flatten().filter(|member| member.work == Work::Revealed);
            Some(Outcome::Settled {
                request: view.id,
                block,
                answer: String::from_utf8_lossy(answer).into_owned(),
                best,
                responders,
                scorers: u32::try_from(scorers.count()).unwrap_or(u32::MAX),
                bill,
            })
        }
        Phase::Refunded { reason, .. } => Some(Outcome::Refunded {
            request: view.id,
            block,
            reason: format!("{reason:?}"),
            meaning: reason.meaning().to_owned(),
            responders,
            bill,
        }),
        _ => None,
    })
}

/// Sums of a request. Where the node has forgotten the block of the end, nothing counts as returned: a limit is rather reached too early.
fn bill(view: &RequestView, closed: Option<Closed>, transaction_fee: u128) -> Bill {
    let budget = view.budget.total();
    let paid = view.paid();
    match closed {
        Some(Closed { paid, fee, refund, .. }) => Bill { budget, paid, chain: fee, refund, transaction_fee },
        None => Bill { budget, paid, chain: budget.saturating_sub(paid), refund: 0, transaction_fee },
    }
}
