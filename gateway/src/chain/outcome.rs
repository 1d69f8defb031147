//! The end of a request in the gateway's words.

use crate::{
    catalogue::Models,
    order::{Bill, Outcome, Responder},
};
use poq_client::{
    types::{Closed, Phase, RequestView, Work},
    Client, Error,
};

/// Outcome of a request that is over; `None` if it is not.
pub async fn of(
    client: &Client,
    view: &RequestView,
    models: &Models,
    fee: u128,
) -> Result<Option<Outcome>, Error> {
    let Some(block) = view.phase.closed_at() else { return Ok(None) };
    let bill = bill(view, client.closed(view.id, block).await?, fee);
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
    let answers = view.responses.iter().map(|response| response.paid);
    let scores = view.committees.iter().flatten().map(|member| member.paid);
    let paid = answers.chain(scores).fold(0, u128::saturating_add);
    match closed {
        Some(Closed { paid, fee, refund, .. }) => Bill { budget, paid, chain: fee, refund, transaction_fee },
        None => Bill { budget, paid, chain: budget.saturating_sub(paid), refund: 0, transaction_fee },
    }
}
