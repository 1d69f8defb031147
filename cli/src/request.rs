//! `poq request`: answers, scores, pay.

use crate::{
    amount::{part, percent, Amount},
    chat,
    failure::{Failure, Outcome},
    names::Names,
    render::{self, text},
    table::{Column, Table},
};
use poq_client::{
    json::{self, Rest},
    types::{MemberView, Phase, RefundReason, RequestView, ResponseView, Work},
    Asked, Client,
};
use serde_json::Value;

/// `poq request N`.
pub async fn run(client: &Client, id: u64, as_json: bool) -> Result<Outcome, Failure> {
    let at = client.best().await?;
    let request = at.request(id).await?.ok_or_else(|| at.refuse("UnknownRequest", &format!("{id}.")))?;
    let names = Names::load(client, &at).await?;
    let report = Report::of(client, &request, &names, None).await?;
    if as_json {
        render::json(&report.to_json())?;
    } else {
        report.show()?;
    }
    Ok(Outcome::Done)
}

/// A request with all that is said of it.
pub struct Report<'a> {
    request: &'a RequestView,
    names: &'a Names,
    /// `None` while the request is open.
    bill: Option<Bill>,
    /// Whether a finalized block has the request in this state; `None` if the node does not say.
    is_final: Option<bool>,
    /// The transaction that made it, if this command sent it.
    asked: Option<&'a Asked>,
}

impl<'a> Report<'a> {
    /// Asks the node for the bill and for finality.
    pub async fn of(
        client: &Client,
        request: &'a RequestView,
        names: &'a Names,
        asked: Option<&'a Asked>,
    ) -> Result<Self, Failure> {
        let bill = bill(client, request, names).await?;
        Ok(Self { request, names, bill, is_final: is_final(client, request).await, asked })
    }

    /// The request as one JSON object; the shape is documented in `poq ask --help`.
    pub fn to_json(&self) -> Value {
        let mut json = json::request(self.request, self.bill.and_then(|bill| bill.rest), self.names);
        if let Some(fields) = json.as_object_mut() {
            fields.insert("transaction_fee".into(), self.asked.map(|asked| json::amount(asked.fee)).into());
            fields.insert("finalized".into(), self.is_final.into());
            if let Some(asked) = self.asked {
                fields.insert("signer".into(), asked.requester.to_string().into());
            }
        }
        json
    }

    /// The request for people: the answer first, then the work and pay of each operator.
    pub fn show(&self) -> Result<(), Failure> {
        show(self.request, self.bill.as_ref(), self.names, self.asked.map(|asked| asked.fee))?;
        match self.is_final {
            Some(false) => render::prose(
                "This is not final yet: `poq request` says so until a finalized block has it, a few blocks later.",
            ),
            _ => Ok(()),
        }
    }
}

/// Whether the newest finalized block has the request in the same state; `None` if that cannot be told, which is no reason to lose
/// the rest.
async fn is_final(client: &Client, request: &RequestView) -> Option<bool> {
    let finalized = client.finalized().await.ok()?.request(request.id).await.ok()?;
    Some(finalized.is_some_and(|finalized| {
        finalized.phase == request.phase
            && finalized.requester == request.requester
            && finalized.prompt == request.prompt
    }))
}

/// Split of the budget of a closed request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bill {
    /// To the operators.
    paid: u128,
    /// The rest; `None` if the node no longer knows how it divides.
    rest: Option<Rest>,
}

impl Bill {
    /// `paid + fee + refund` is the budget.
    fn new(request: &RequestView, fee: Option<u128>) -> Self {
        let paid = request.paid();
        let left = request.budget.total().saturating_sub(paid);
        Self { paid, rest: fee.map(|fee| Rest { fee, refund: left.saturating_sub(fee) }) }
    }
}

/// The bill of `request`; `None` while it is open.
async fn bill(client: &Client, request: &RequestView, names: &Names) -> Result<Option<Bill>, Failure> {
    let Some(at) = request.phase.closed_at() else { return Ok(None) };
    let is_noisy = names.models.iter().any(|model| model.id == request.evaluator && model.noise > 0);
    let fee = match plain_fee(request, is_noisy) {
        Some(fee) => Some(fee),
        None => client.closed(request.id, at).await?.map(|closed| closed.fee),
    };
    Ok(Some(Bill::new(request, fee)))
}

/// The chain's part of the budget of a closed request, where nothing can have come to its fee: no waiting, nothing withheld from answers
/// below `min_quality`, nothing forgone because of a noisy evaluator. Other requests' parts are in the events of their ends alone.
fn plain_fee(request: &RequestView, is_noisy: bool) -> Option<u128> {
    let may_be_forgone = is_noisy && matches!(request.phase, Phase::Settled { .. });
    let is_held_down = request.responses.iter().any(|response| may_be_held_down(request, response));
    if request.tries > 0 || may_be_forgone || is_held_down {
        return None;
    }
    // The fee is owed once anybody was drawn, and by who cancels.
    let cancelled = matches!(request.phase, Phase::Refunded { reason: RefundReason::Cancelled, .. });
    let is_owed = cancelled || !request.responses.is_empty();
    Some(if is_owed { request.budget.fee } else { 0 })
}

/// Whether `min_quality` may have held an answer down to the base part: it is below (what its operator was known for decides, too), or
/// was paid by a quality that the request does not say.
fn may_be_held_down(request: &RequestView, response: &ResponseView) -> bool {
    let is_above = response.quality.is_some_and(|quality| quality >= request.min_quality);
    request.min_quality > 0 && response.work == Work::Revealed && !is_above
}

fn show(
    request: &RequestView,
    bill: Option<&Bill>,
    names: &Names,
    transaction_fee: Option<u128>,
) -> Result<(), Failure> {
    if let Some((_, response)) = request.best() {
        render::line(render::bold(&render::printable(&text(&response.output))))?;
        render::line("")?;
    }
    render::prose(&headline(request))?;
    if request.audited {
        render::prose("It turned out to be a known-answer audit.")?;
    }
    if !request.responses.is_empty() {
        responses_table(request, names).print()?;
    }
    for (round, members) in request.committees.iter().enumerate().filter(|(_, members)| !members.is_empty()) {
        if round > 0 {
            render::prose("Nobody of the first committee revealed scores; the second committee:")?;
        }
        committee_table(members, names).print()?;
    }
    money(request, bill, transaction_fee).iter().try_for_each(|line| render::prose(line))
}

fn headline(request: &RequestView) -> String {
    let id = request.id;
    let prompt = render::excerpt(&chat::title(&text(&request.prompt)), 60);
    let blocks = |at: u32| match at.saturating_sub(request.created) {
        1 => "1 block".to_owned(),
        many => format!("{many} blocks"),
    };
    match request.phase {
        Phase::Settled { at, .. } => format!("Request {id} (\"{prompt}\") was settled after {}.", blocks(at)),
        Phase::Refunded { at, reason } => {
            format!("Request {id} (\"{prompt}\") was refunded after {}: {}.", blocks(at), reason.meaning())
        }
        open => {
            format!("Request {id} (\"{prompt}\") is open: {}, since block {}.", open.name(), request.since)
        }
    }
}

fn responses_table(request: &RequestView, names: &Names) -> Table {
    let mut table = Table::new(&[
        Column::words("Answer"),
        Column::text("By"),
        Column::text("Model").optional(),
        Column::number("Quality"),
        Column::number("Scores").optional(),
        Column::number("Latency").optional(),
        Column::text("Work").optional(),
        Column::number("Paid"),
    ]);
    for (index, response) in request.responses.iter().enumerate() {
        let mark = if request.best().is_some_and(|(best, _)| best as usize == index) { "* " } else { "" };
        let scores: Vec<_> = request.scores_of(index).iter().map(|(_, score)| part(*score)).collect();
        table.row([
            format!("{mark}{}", render::excerpt(&text(&response.output), 40)),
            names.account(&response.operator),
            render::printable(&names.model(&response.model)),
            response.quality.map(part).unwrap_or_default(),
            scores.join(" "),
            response.work.latency(response.latency).map(percent).unwrap_or_default(),
            response.work.meaning(),
            Amount(response.paid).to_string(),
        ]);
    }
    table
}

fn committee_table(members: &[MemberView], names: &Names) -> Table {
    let mut table = Table::new(&[
        Column::text("Quality validator"),
        Column::number("Scores"),
        Column::number("Agreement").optional(),
        Column::number("Latency").optional(),
        Column::text("Work").optional(),
        Column::number("Paid"),
    ]);
    for member in members {
        let scores: Vec<_> = member.scores.iter().map(|score| part(*score)).collect();
        table.row([
            names.account(&member.operator),
            scores.join(" "),
            member.agreement.map(part).unwrap_or_default(),
            member.work.latency(member.latency).map(percent).unwrap_or_default(),
            member.work.meaning(),
            Amount(member.paid).to_string(),
        ]);
    }
    table
}

fn money(request: &RequestView, bill: Option<&Bill>, transaction_fee: Option<u128>) -> Vec<String> {
    let total = Amount(request.budget.total());
    let mut lines = vec![match bill {
        Some(Bill { paid, rest: Some(Rest { fee, refund }) }) => format!(
            "Of the budget of {total}, {} went to the operators, {} to the chain, and {} back.",
            Amount(*paid),
            Amount(*fee),
            Amount(*refund)
        ),
        Some(Bill { paid, rest: None }) => format!(
            "Of the budget of {total}, {} went to the operators. What of the rest went to the chain and what back is in an event \
             that this node has forgotten.",
            Amount(*paid)
        ),
        None => format!("A budget of {total} is on hold."),
    }];
    if request.bonus > 0 {
        let can = if bill.is_some() { "could" } else { "can" };
        lines.push(format!(
            "Each answer {can} earn up to {} more than the price of its model: its part of what the budget is above the least.",
            Amount(request.bonus)
        ));
    }
    if request.tries > 0 {
        let times = if request.tries == 1 { "once".into() } else { format!("{} times", request.tries) };
        lines.push(format!(
            "A draw was put off {times} because operators were busy: each time costs `waiting_fee` (`poq parameters`), for the chain."
        ));
    }
    if request.responses.iter().any(|response| is_below(request, response)) {
        lines.push(
            "An answer below the minimum quality that is also clearly worse than its operator's usual earns only the base part of its \
             price; what it is worth above that goes to the chain."
                .into(),
        );
    }
    lines.extend(transaction_fee.map(|fee| format!("The transaction itself cost {}.", Amount(fee))));
    lines
}

/// Whether an answer was scored below the minimum quality.
fn is_below(request: &RequestView, response: &ResponseView) -> bool {
    response.quality.is_some_and(|quality| quality < request.min_quality)
}

#[cfg(test)]
mod tests {
    use super::*;
    use poq_client::types::{Budget, Parts, RefundReason, Sampling};
    use subxt::utils::AccountId32;

    fn response(work: Work, paid: u128) -> ResponseView {
        ResponseView {
            operator: AccountId32([1; 32]),
            model: [2; 32],
            work,
            output: b"Lima.".to_vec(),
            latency: 100_000,
            quality: Some(900_000),
            paid,
        }
    }

    fn member(scores: &[Parts], paid: u128) -> MemberView {
        MemberView {
            operator: AccountId32([3; 32]),
            weight: 1,
            work: Work::Revealed,
            scores: scores.to_vec(),
            latency: 100_000,
            agreement: Some(1_000_000),
            paid,
        }
    }

    fn request(phase: Phase) -> RequestView {
        RequestView {
            id: 7,
            requester: AccountId32([4; 32]),
            prompt: b"?".to_vec(),
            generators: vec![[2; 32]],
            evaluator: [5; 32],
            sampling: Sampling { max_tokens: 1, temperature_milli: 0, seed: 0 },
            responders: 2,
            committee_size: 1,
            min_quality: 0,
            budget: Budget { inference: 100, scoring: 50, fee: 3 },
            bonus: 0,
            tries: 0,
            created: 1,
            phase,
            since: 9,
            round: 1,
            audited: false,
            responses: vec![response(Work::NotRevealed, 0), response(Work::Revealed, 40)],
            committees: vec![vec![member(&[], 0)], vec![member(&[900_000], 20)]],
        }
    }

    const SETTLED: Phase = Phase::Settled { at: 9, best: 1 };

    const REFUNDED: Phase = Phase::Refunded { at: 9, reason: RefundReason::NoQuorum };

    #[test]
    fn a_bill_adds_up() {
        for phase in [SETTLED, REFUNDED] {
            let request = request(phase);
            let Bill { paid, rest } = Bill::new(&request, plain_fee(&request, false));
            assert_eq!((paid, rest), (60, Some(Rest { fee: 3, refund: 90 })));
        }
        let nobody = RequestView { responses: vec![], committees: vec![], ..request(REFUNDED) };
        let Bill { paid, rest } = Bill::new(&nobody, plain_fee(&nobody, false));
        assert_eq!((paid, rest), (0, Some(Rest { fee: 0, refund: 153 })), "nobody was drawn");
        let cancelled = Phase::Refunded { at: 9, reason: RefundReason::Cancelled };
        let nobody = RequestView { phase: cancelled, ..nobody };
        assert_eq!(plain_fee(&nobody, false), Some(3), "who cancels owes the fee");
    }

    #[test]
    fn what_came_to_the_fee_is_not_guessed() {
        let unscored = ResponseView { quality: None, ..response(Work::Revealed, 40) };
        let cases = [
            (RequestView { min_quality: 900_000, ..request(SETTLED) }, Some(3)),
            (RequestView { min_quality: 900_001, ..request(SETTLED) }, None),
            (RequestView { responses: vec![unscored.clone()], ..request(REFUNDED) }, Some(3)),
            (RequestView { responses: vec![unscored], min_quality: 1, ..request(REFUNDED) }, None),
            (RequestView { tries: 1, ..request(SETTLED) }, None),
        ];
        for (request, fee) in cases {
            assert_eq!(plain_fee(&request, false), fee, "{request:?}");
        }
        assert_eq!(plain_fee(&request(SETTLED), true), None, "some of the pay may be forgone");
        assert_eq!(plain_fee(&request(REFUNDED), true), Some(3));
    }

    #[test]
    fn people_read_where_the_money_went_and_why() {
        let request = RequestView { min_quality: 950_000, bonus: 2, tries: 2, ..request(SETTLED) };
        let told = |fee| money(&request, Some(&Bill::new(&request, fee)), None).join("\n");
        let known = told(Some(25));
        for words in ["put off 2 times", "more than the price", "below the minimum quality", "POQ back."] {
            assert!(known.contains(words), "{words} is missing: {known}");
        }
        assert!(told(None).contains("has forgotten"), "{}", told(None));
        assert!(money(&request, None, None).join("\n").contains("on hold"));
    }
}
