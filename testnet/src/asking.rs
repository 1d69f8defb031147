//! Questions to a network, and waiting for events that take blocks.

use anyhow::{anyhow, Context as _, Result};
use poq_client::{
    types::{
        chain::{proof_of_quality::events::Requested, tx},
        ModelId, ModelKind, ModelView, RequestView, Sampling, Terms,
    },
    At, Client, Until,
};
use std::{future::Future, time::Duration};
use tokio::time::{sleep, timeout, Instant};

/// Time that a node has to answer once.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// Longest wait for an event that takes blocks.
const PATIENCE: Duration = Duration::from_secs(600);

/// Time between two looks.
const POLL: Duration = Duration::from_millis(500);

/// Progress of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heights {
    /// Number of its best block.
    pub best: u64,
    /// Number of its newest finalized block.
    pub finalized: u64,
    /// Number of connected nodes.
    pub peers: u64,
}

impl Heights {
    /// The progress of the node at `url`.
    ///
    /// # Errors
    /// If it does not answer within 10 seconds.
    pub async fn of(url: &str) -> Result<Self> {
        let asking = async {
            let client = Client::connect(url).await?;
            let (pulse, health) = (client.pulse().await?, client.health().await?);
            anyhow::Ok(Self { best: pulse.best, finalized: pulse.finalized, peers: health.peers as u64 })
        };
        timeout(DEADLINE, asking).await.with_context(|| format!("the node at {url} does not answer"))?
    }
}

/// A prompt, and the number of operators wanted for it.
#[derive(Clone, Debug)]
pub struct Question {
    /// The prompt.
    pub prompt: String,
    /// Inference nodes wanted.
    pub responders: u32,
    /// Quality validators wanted.
    pub committee: u32,
}

/// Models that questions ask for.
#[derive(Clone, Debug)]
pub struct Models {
    /// The generators allowed to answer.
    pub generators: Vec<ModelId>,
    /// The evaluator.
    pub evaluator: ModelId,
}

impl Models {
    /// All models of the chain that somebody serves and that are not retired.
    ///
    /// # Errors
    /// If the node does not answer, or nobody serves an evaluator.
    pub async fn at(at: &At) -> Result<Self> {
        let models = at.models().await?;
        let of = |kind| {
            let takes_work =
                move |model: &&ModelView| model.kind == kind && !model.retired && !model.roster.is_empty();
            models.iter().filter(takes_work).map(|model| model.id)
        };
        let evaluator = of(ModelKind::Evaluator).next().context("nobody serves an evaluator")?;
        Ok(Self { generators: of(ModelKind::Generator).collect(), evaluator })
    }

    /// Terms of a request for `question`, with the budget that the chain estimates.
    ///
    /// # Errors
    /// If the chain has not enough operators for it, or the node does not answer.
    pub async fn terms(&self, at: &At, question: &Question) -> Result<Terms> {
        let mut terms = Terms {
            generators: self.generators.clone(),
            evaluator: self.evaluator,
            sampling: Sampling { max_tokens: 64, temperature_milli: 0, seed: 0 },
            responders: question.responders,
            committee: question.committee,
            min_quality: 0,
            budget: 0,
            audit: poq_client::random()?,
        };
        terms.budget = at.estimate_budget(&terms).await?.total();
        Ok(terms)
    }
}

/// Asks for two answers and a committee of five, signed by the key of the secret URI `from`; returns the request's
/// number once it is final.
pub async fn ask(client: &Client, prompt: &str, from: &str) -> Result<u64> {
    let question = Question { prompt: prompt.to_owned(), responders: 2, committee: 5 };
    let at = client.best().await?;
    let terms = Models::at(&at).await?.terms(&at, &question).await?;
    let call = tx().proof_of_quality().request_inference(question.prompt.into_bytes(), terms);
    let included = client.submit_until(Until::Final, call, &poq_client::keypair(from)?).await?;
    let event: Requested = included.event().context("no request came of it")?;
    Ok(event.request)
}

/// Waits until a request is settled or refunded.
pub async fn wait_until_closed(client: &Client, id: u64) -> Result<RequestView> {
    let closed = |request: &RequestView| request.phase.closed_at().is_some();
    wait("the request's end", || async { Ok(client.best().await?.request(id).await?.filter(closed)) }).await
}

/// Waits until no request is open in the newest finalized block.
pub async fn wait_until_all_closed(client: &Client) -> Result<()> {
    let none_open = || async { Ok((client.finalized().await?.open_requests().await? == 0).then_some(())) };
    wait("the end of all requests", none_open).await
}

/// Waits until the node has finalized the block of this number.
pub async fn wait_until_finalized(client: &Client, number: u64) -> Result<()> {
    wait("finality", || async { Ok((client.finalized().await?.number() >= number).then_some(())) }).await
}

/// Has the chain check its invariants.
///
/// # Errors
/// The broken invariant, or that the node does not answer.
pub async fn check_invariants(at: &At) -> Result<()> {
    at.check_invariants().await?.map_err(|error| anyhow!("an invariant does not hold: {error}"))
}

/// Calls `check` until it returns a value, also after errors.
///
/// # Errors
/// The last error, if there is no value within 600 seconds.
pub async fn wait<T, F: Future<Output = Result<Option<T>>>>(
    what: &str,
    mut check: impl FnMut() -> F,
) -> Result<T> {
    let asking = async {
        let mut last = None;
        let deadline = Instant::now().checked_add(PATIENCE);
        while deadline.is_some_and(|deadline| Instant::now() < deadline) {
            match timeout(DEADLINE.saturating_mul(3), check()).await {
                Ok(Ok(Some(found))) => return Ok(found),
                Ok(Ok(None)) => last = None,
                Ok(Err(error)) => last = Some(error),
                Err(_) => last = Some(anyhow!("no answer")),
            }
            sleep(POLL).await;
        }
        Err(last.unwrap_or_else(|| anyhow!("it does not come")))
    };
    asking.await.with_context(|| format!("waited too long for {what}"))
}
