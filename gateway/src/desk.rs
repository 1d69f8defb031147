//! The desk: takes orders and gives out outcomes. It checks and reserves; how the network is asked is the lane's business.

use crate::{
    amount,
    chain::{now, Chain},
    keys::Key,
    lane::{Board, Lane},
    order::{Form, Order, Outcome, Progress, Record},
    plan::{self, Wish},
    refusal::{Kind, Refusal},
    store::{self, Caps, Offer, Store, Taken},
};
use poq_client::Error;
use serde_json::json;
use std::{sync::Arc, time::Duration};
use tokio::{sync::watch, time::timeout};

/// Reserve for the fee of a transaction, as a multiple of what it would cost now: it may rise until the transaction is sent.
const FEE_RESERVE: u128 = 2;

/// Takes orders.
pub struct Desk {
    /// The chain: models, prices, balance.
    pub chain: Arc<Chain>,
    /// How the network is asked.
    pub lane: Arc<dyn Lane>,
    /// The database.
    pub store: Arc<Store>,
    /// News of open orders.
    pub board: Arc<Board>,
    /// The operator's caps.
    pub caps: Caps,
}

/// A caller's question.
pub struct Question {
    /// Form of the answer.
    pub form: Form,
    /// The prompt, as it goes to the chain.
    pub prompt: String,
    /// Models and numbers.
    pub wish: Wish,
    /// The model as the caller named it.
    pub model: String,
    /// Most that it may cost, in units.
    pub cap: Option<u128>,
    /// `Idempotency-Key`.
    pub idempotency: Option<String>,
    /// SHA-256 of the request.
    pub digest: [u8; 32],
}

/// An order that was taken.
#[derive(Debug)]
pub struct Ticket {
    /// The order as it was when it was taken.
    pub record: Record,
    news: Option<watch::Receiver<Progress>>,
    /// The phase that was told last.
    phase: Option<&'static str>,
}

/// An event in the life of an order.
#[derive(Clone, Debug)]
pub enum Step {
    /// It enters a phase.
    Phase(&'static str),
    /// It is over.
    Over(Arc<Outcome>),
}

impl Desk {
    /// Does something with the database, away from the threads that serve.
    pub async fn stored<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, store::Error> + Send + 'static,
    ) -> Result<T, Refusal> {
        let store = Arc::clone(&self.store);
        let done = tokio::task::spawn_blocking(move || work(&store)).await.map_err(|error| {
            tracing::error!(%error, "a question to the database failed");
            Refusal::internal()
        })?;
        done.map_err(|error| {
            tracing::error!(%error, "the database fails");
            Refusal::new(
                Kind::Unavailable,
                "storage",
                "the gateway's database fails, so nothing new is asked; its log says more. Try again later",
            )
            .after(30)
        })
    }

    /// Takes an order, or the one that the same request made before.
    pub async fn order(&self, key: &Key, question: Question) -> Result<Ticket, Refusal> {
        if let Some(idempotency) = question.idempotency.clone() {
            // Before everything else: what was taken once is found also while the network is away.
            let (id, digest) = (key.id.clone(), question.digest);
            match self.stored(move |store| store.known(&id, &idempotency, digest)).await? {
                Some((record, true)) => return Ok(self.ticket(record)),
                Some((_, false)) => return Err(mismatch()),
                None => {}
            }
        }
        let catalogue = self.chain.catalogue().ok_or_else(Refusal::no_network)?;
        let mark = poq_client::random().map_err(|error| {
            tracing::error!(%error, "no order can be made");
            Refusal::internal()
        })?;
        let mut terms =
            plan::terms(&question.wish, &catalogue.models, &catalogue.limits, &key.limits.models, mark)?;
        let estimate = catalogue.at.estimate_budget(&terms.of_chain()).await.map_err(of_chain)?;
        terms.budget = estimate.total();
        let Question { form, prompt, model, cap, idempotency, digest, .. } = question;
        let order = Order { form, prompt, terms, model };
        let fee = self.chain.fee(&catalogue, &order).await.map_err(of_chain)?;
        let most = order.terms.budget.saturating_add(fee.saturating_mul(FEE_RESERVE));
        if let Some(cap) = cap.filter(|cap| most > *cap) {
            return Err(Refusal::new(
                Kind::Payment,
                "budget_too_small",
                format!(
                    "this request may cost up to {}, and 'poq.budget' is {}: raise it, or ask for fewer tokens or responders",
                    amount::show(most),
                    amount::show(cap)
                ),
            )
            .about("poq.budget"));
        }
        let id = id(form)?;
        let (key_id, caps, spendable) = (key.id.clone(), self.caps, catalogue.spendable);
        let accepted = now();
        self.board.add(&id);
        let news = self.board.follow(&id);
        let taken = {
            let (id, order) = (id.clone(), order.clone());
            self.stored(move |store| {
                let idempotency = idempotency.as_deref();
                let offer = Offer {
                    id: &id,
                    key: &key_id,
                    idempotency,
                    digest,
                    now: accepted,
                    order: &order,
                    most,
                    spendable,
                };
                store.take(&offer, &caps)
            })
            .await
        };
        if !matches!(taken, Ok(Taken::New)) {
            self.board.withdraw(&id);
        }
        match taken? {
            Taken::New => {
                self.lane.take(&id);
                let record = Record {
                    id,
                    key: key.id.clone(),
                    accepted,
                    order,
                    counted: most,
                    sent: None,
                    place: None,
                    outcome: None,
                    is_final: false,
                };
                Ok(Ticket { record, news, phase: None })
            }
            Taken::Known(record) => Ok(self.ticket(*record)),
            other => Err(not_taken(other, most, accepted)),
        }
    }

    /// A ticket for an order that was taken before.
    pub fn ticket(&self, record: Record) -> Ticket {
        let news = self.board.follow(&record.id).filter(|_| record.outcome.is_none());
        Ticket { record, news, phase: None }
    }

    /// The next thing that happens to an order.
    pub async fn next(&self, ticket: &mut Ticket) -> Result<Step, Refusal> {
        if let Some(outcome) = &ticket.record.outcome {
            return Ok(Step::Over(Arc::new(outcome.clone())));
        }
        while let Some(news) = &mut ticket.news {
            let progress = news.borrow_and_update().clone();
            if let Some(outcome) = progress.outcome {
                return Ok(Step::Over(outcome));
            }
            if let Some(phase) = progress.phase.filter(|_| progress.phase != ticket.phase) {
                ticket.phase = Some(phase);
                return Ok(Step::Phase(phase));
            }
            if news.changed().await.is_err() {
                // The last word comes together with the end.
                let last = news.borrow().outcome.clone();
                ticket.news = None;
                if let Some(outcome) = last {
                    return Ok(Step::Over(outcome));
                }
            }
        }
        // It ended between two looks.
        let id = ticket.record.id.clone();
        let record = self.stored(move |store| store.order(&id)).await?;
        let outcome = record.and_then(|record| record.outcome);
        outcome.map(|outcome| Step::Over(Arc::new(outcome))).ok_or_else(|| {
            let message = format!(
                "the request is not over; GET /v1/requests/{} has its answer later",
                ticket.record.id
            );
            Refusal::new(Kind::Unavailable, "not_over", message)
                .with(json!({ "id": ticket.record.id, "state": "open" }))
        })
    }

    /// Waits for the end of an order. `None` once `patience` is over: the order goes on.
    pub async fn wait(
        &self,
        mut ticket: Ticket,
        patience: Duration,
    ) -> Result<Option<Arc<Outcome>>, Refusal> {
        let waiting = async {
            loop {
                if let Step::Over(outcome) = self.next(&mut ticket).await? {
                    return Ok(outcome);
                }
            }
        };
        timeout(patience, waiting).await.map_or(Ok(None), |ended| ended.map(Some))
    }
}

fn id(form: Form) -> Result<String, Refusal> {
    let bytes = poq_client::random().map_err(|_| Refusal::internal())?;
    let digits: String = hex::encode(bytes).chars().take(32).collect();
    Ok(match form {
        Form::Chat => format!("chatcmpl-{digits}"),
        Form::Text => format!("cmpl-{digits}"),
    })
}

fn mismatch() -> Refusal {
    Refusal::new(
        Kind::Mismatch,
        "idempotency_key_reused",
        "this Idempotency-Key belongs to another request: send a new key with a new request",
    )
}

fn not_taken(taken: Taken, most: u128, now: i64) -> Refusal {
    let quota = |message: String| Refusal::new(Kind::Payment, "insufficient_quota", message);
    match taken {
        Taken::Mismatch => mismatch(),
        Taken::Revoked => unauthorized(),
        Taken::TooOften { limit, wait } => Refusal::new(
            Kind::Rate,
            "rate_limit_exceeded",
            format!("this key has {limit} requests in 60 seconds; the next one fits in {wait} s"),
        )
        .after(wait),
        Taken::Spent { limit, spent } => quota(format!(
            "this key may spend {} a day (UTC) and has spent or reserved {}; this request may cost {}",
            amount::show(limit),
            amount::show(spent),
            amount::show(most)
        ))
        .after(store::rest_of_day(now)),
        Taken::Capped { of_day: true } => {
            quota("the gateway has reached its cap for the day (UTC); ask its operator, or try again tomorrow".into())
                .after(store::rest_of_day(now))
        }
        Taken::Capped { of_day: false } => quota("the gateway has reached its cap; ask its operator".into()),
        Taken::Poor => Refusal::new(
            Kind::Payment,
            "insufficient_funds",
            format!("the gateway's account has not the {} that this request may cost; ask its operator to fund it", amount::show(most)),
        ),
        Taken::Full => Refusal::new(
            Kind::Rate,
            "too_many_open",
            "the gateway has as many open requests as it takes; try again soon",
        )
        .after(2),
        Taken::New | Taken::Known(_) => Refusal::internal(),
    }
}

/// No key, or none that is known.
pub fn unauthorized() -> Refusal {
    Refusal::new(
        Kind::Unauthorized,
        "invalid_api_key",
        "no valid API key: send Authorization: Bearer KEY with a key that the gateway's operator made and has not revoked",
    )
}

/// Refusal of a caller for an error of the chain that came before anything was asked.
fn of_chain(error: Error) -> Refusal {
    match error {
        Error::Refused { name, docs } => refused(&name, docs.trim()),
        Error::Unreachable(_) => Refusal::no_network(),
        error => {
            tracing::error!(%error, "the chain cannot be asked");
            Refusal::new(
                Kind::Unavailable,
                "network_unavailable",
                "the gateway cannot ask its node; its log says more",
            )
            .after(10)
        }
    }
}

/// Refusal of a caller for a refusal by the chain.
pub fn refused(name: &str, meaning: &str) -> Refusal {
    let message = format!("the chain refuses: {name}. {meaning}");
    match name {
        "PromptTooLong" | "ContextTooSmall" => Refusal::too_long(message),
        "InsufficientBalance" | "Token" => Refusal::new(Kind::Payment, "insufficient_funds", message),
        "BudgetTooSmall"
        | "FeeRose"
        | "NotEnoughInferenceNodes"
        | "NotEnoughQualityValidators"
        | "InvalidTransaction" => Refusal::new(Kind::Unavailable, "refused", message).after(10),
        _ => Refusal::new(Kind::Invalid, "refused", message),
    }
}
