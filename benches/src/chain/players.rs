//! Honest requesters and operators without models: an answer is a text of ordinary length, scores are noise
//! around a truth. Messages, commitments, batches and signatures are those of the real driver.

use super::{
    cast::{Cast, Operator},
    sign::sign_with_tip,
    spec::Models,
};
use anyhow::{Context as _, Result};
use codec::Encode as _;
use frame_support::{traits::Get as _, BoundedVec};
use pallet_proof_of_quality::{
    Call, Config, Event, Phase, Report, ReportKind, ReportKindOf, ReportOf, RequestId, Sampling, Terms,
};
use poq_primitives::commitment::Binding;
use poq_runtime::{currency::POQ, AccountId, Hash, Nonce, Runtime, RuntimeCall, UncheckedExtrinsic};
use sp_core::sr25519;
use sp_io::hashing::blake2_256;
use sp_runtime::Permill;
use std::collections::{BTreeMap, HashMap};

/// Length of a prompt, in bytes.
pub const PROMPT_BYTES: usize = 100;

/// Length of an answer, in bytes.
pub const OUTPUT_BYTES: usize = 500;

/// Size of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Inference nodes.
    pub responders: u32,
    /// Quality validators.
    pub committee: u32,
}

/// A transaction that can be signed anew, because a pool bans a refused one.
pub struct Message {
    call: RuntimeCall,
    pair: sr25519::Pair,
    nonce: Nonce,
    genesis: Hash,
}

impl Message {
    /// Signs it; each `time` makes another transaction.
    pub fn sign(&self, time: u32) -> Result<UncheckedExtrinsic> {
        sign_with_tip(self.call.clone(), &self.pair, self.nonce, self.genesis, time.into())
    }
}

/// An open request.
#[derive(Default)]
struct Open {
    responders: Vec<AccountId>,
    committee: Vec<AccountId>,
}

/// The players, with their view of the chain.
pub struct Players {
    size: Size,
    models: Models,
    genesis: Hash,
    operators: Vec<Operator>,
    by_account: HashMap<AccountId, usize>,
    worker_nonces: Vec<Nonce>,
    requesters: Vec<(sr25519::Pair, Nonce)>,
    open: HashMap<RequestId, Open>,
    asked: u64,
}

/// Counts of a block's events.
#[derive(Clone, Copy, Debug, Default)]
pub struct Count {
    /// Requests made.
    pub asked: u64,
    /// Requests settled.
    pub settled: u64,
    /// Requests refunded.
    pub refunded: u64,
    /// Reports of work.
    pub reported: u64,
}

impl Players {
    /// Players of a chain that was just made.
    pub fn new(cast: &Cast, size: Size, models: Models, genesis: Hash) -> Self {
        let operators = cast.operators();
        let by_account = operators.iter().enumerate().map(|(index, o)| (o.account.clone(), index)).collect();
        Self {
            size,
            models,
            genesis,
            worker_nonces: vec![0; operators.len()],
            operators,
            by_account,
            requesters: cast.requesters().into_iter().map(|pair| (pair, 0)).collect(),
            open: HashMap::new(),
            asked: 0,
        }
    }

    /// The next request, by the requesters in turn.
    pub fn ask(&mut self) -> Result<Message> {
        let turn = usize::try_from(self.asked)?.checked_rem(self.requesters.len()).context("nobody asks")?;
        self.asked = self.asked.saturating_add(1);
        let call = request_call(self.asked, self.size, &self.models)?;
        let (pair, nonce) = self.requesters.get_mut(turn).context("nobody asks")?;
        let message = Message { call, pair: pair.clone(), nonce: *nonce, genesis: self.genesis };
        *nonce = nonce.saturating_add(1);
        Ok(message)
    }

    /// Reads a block's events; returns the messages that the operators send next, in order for each operator.
    pub fn hear(
        &mut self,
        events: impl IntoIterator<Item = Event<Runtime>>,
    ) -> Result<(Count, Vec<Vec<Message>>)> {
        let mut count = Count::default();
        let mut due: BTreeMap<usize, Vec<ReportOf<Runtime>>> = BTreeMap::new();
        for event in events {
            match event {
                Event::Requested { .. } => count.asked = count.asked.saturating_add(1),
                Event::WorkReported { .. } => count.reported = count.reported.saturating_add(1),
                Event::InferenceNodesDrawn { request, operators } => {
                    self.open.entry(request).or_default().responders = operators.into_inner();
                }
                Event::CommitteeDrawn { request, operators, .. } => {
                    self.open.entry(request).or_default().committee = operators.into_inner();
                }
                Event::PhaseEntered { request, phase } => self.enter(request, &phase, &mut due)?,
                Event::Settled { request, .. } => {
                    self.open.remove(&request);
                    count.settled = count.settled.saturating_add(1);
                }
                Event::Refunded { request, .. } => {
                    self.open.remove(&request);
                    count.refunded = count.refunded.saturating_add(1);
                }
                _ => {}
            }
        }
        let signed = due.into_iter().map(|(operator, reports)| self.batches(operator, reports));
        Ok((count, signed.collect::<Result<_>>()?))
    }

    /// Collects the reports that a phase makes due.
    fn enter(
        &self,
        request: RequestId,
        phase: &Phase<u32>,
        due: &mut BTreeMap<usize, Vec<ReportOf<Runtime>>>,
    ) -> Result<()> {
        let Some(open) = self.open.get(&request) else { return Ok(()) };
        let drawn = match phase {
            Phase::Answering { .. } | Phase::RevealingAnswers { .. } => &open.responders,
            Phase::Scoring { .. } | Phase::RevealingScores { .. } => &open.committee,
            _ => return Ok(()),
        };
        for account in drawn {
            let index = *self.by_account.get(account).context("a stranger was drawn")?;
            let work = Work { genesis: &self.genesis.0, request, operator: account };
            let kind = match phase {
                Phase::Answering { .. } => work.commit_output(),
                Phase::RevealingAnswers { .. } => work.reveal_output(),
                Phase::Scoring { .. } => work.commit_scores(open.responders.len()),
                _ => work.reveal_scores(open.responders.len()),
            };
            due.entry(index).or_default().push(Report { request, kind });
        }
        Ok(())
    }

    /// The due reports of one operator, in batches as large as the chain takes them.
    fn batches(&mut self, index: usize, mut reports: Vec<ReportOf<Runtime>>) -> Result<Vec<Message>> {
        reports.sort_unstable_by_key(|report| report.request);
        let operator = self.operators.get(index).context("a stranger was drawn")?;
        let nonce = self.worker_nonces.get_mut(index).context("a stranger was drawn")?;
        let most: u32 = <Runtime as Config>::MaxReports::get();
        let mut messages = Vec::new();
        for batch in reports.chunks(most as usize) {
            let call = report_call(batch.to_vec());
            let pair = operator.worker.clone();
            messages.push(Message { call, pair, nonce: *nonce, genesis: self.genesis });
            *nonce = nonce.saturating_add(1);
        }
        Ok(messages)
    }
}

/// The call that asks question `number`.
pub fn request_call(number: u64, size: Size, models: &Models) -> Result<RuntimeCall> {
    let terms = Terms {
        generators: BoundedVec::truncate_from(vec![models.generator]),
        evaluator: models.evaluator,
        sampling: Sampling { max_tokens: 64, temperature_milli: 0, seed: 0 },
        responders: size.responders,
        committee: size.committee,
        min_quality: Permill::zero(),
        budget: 10 * POQ,
        audit: ("audit", number).using_encoded(blake2_256),
    };
    let prompt = text(&format!("Question {number} of a load test: "), PROMPT_BYTES);
    Ok(RuntimeCall::ProofOfQuality(Call::request_inference { prompt, terms }))
}

/// The call that reports work.
pub fn report_call(reports: Vec<ReportOf<Runtime>>) -> RuntimeCall {
    RuntimeCall::ProofOfQuality(Call::report_work { reports: BoundedVec::truncate_from(reports) })
}

/// `text`, filled up to a length of `bytes`.
fn text(text: &str, bytes: usize) -> Vec<u8> {
    let filler = "what is said here does not matter, but it is as long as such things are. ";
    text.bytes().chain(filler.bytes().cycle()).take(bytes).collect()
}

/// An operator's work in one request.
pub struct Work<'a> {
    /// Hash of the genesis block.
    pub genesis: &'a [u8; 32],
    /// The request.
    pub request: RequestId,
    /// The operator.
    pub operator: &'a AccountId,
}

impl Work<'_> {
    fn binding(&self) -> Binding<'_, AccountId> {
        Binding { genesis: self.genesis, request: self.request, operator: self.operator }
    }

    /// A predictable salt, because nobody here tries to guess it.
    fn salt(&self) -> [u8; 32] {
        ("salt", self.request, self.operator).using_encoded(blake2_256)
    }

    fn output(&self) -> Vec<u8> {
        text(&format!("Answer of {} to {}: ", self.operator, self.request), OUTPUT_BYTES)
    }

    /// Up to 0.05 around 0.8, as honest quality validators differ.
    fn scores(&self, responses: usize) -> Vec<Permill> {
        let noise = ("score", self.request, self.operator).using_encoded(blake2_256);
        let parts = noise.iter().map(|byte| Permill::from_parts(750_000 + u32::from(*byte) * 390));
        parts.take(responses).collect()
    }

    /// Commits to the output.
    pub fn commit_output(&self) -> ReportKindOf<Runtime> {
        ReportKind::CommitOutput { commitment: self.binding().output(&self.output(), &self.salt()) }
    }

    /// Reveals the output.
    pub fn reveal_output(&self) -> ReportKindOf<Runtime> {
        ReportKind::RevealOutput { output: BoundedVec::truncate_from(self.output()), salt: self.salt() }
    }

    /// Commits to scores of this many responses.
    pub fn commit_scores(&self, responses: usize) -> ReportKindOf<Runtime> {
        let scores = self.scores(responses);
        ReportKind::CommitScores { commitment: self.binding().scores(&scores, &self.salt()) }
    }

    /// Reveals these scores.
    pub fn reveal_scores(&self, responses: usize) -> ReportKindOf<Runtime> {
        let scores = BoundedVec::truncate_from(self.scores(responses));
        ReportKind::RevealScores { scores, salt: self.salt() }
    }
}
