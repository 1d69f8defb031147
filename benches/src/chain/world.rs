//! The chain's own runtime on a state in memory, without a node: to bring it quickly to where something is measured, natively,
//! and to execute one block on top as a node would, in Wasm.

// Block numbers here are small.
#![allow(clippy::arithmetic_side_effects)]

use super::{
    cast::{self, Cast, Operator, Part},
    players::{self, Size, Work},
    sign::sign,
    spec::Models,
};
use crate::wasm::Wasm;
use anyhow::{anyhow, bail, ensure, Context as _, Result};
use codec::{Decode as _, Encode as _};
use frame_support::{
    traits::Hooks as _,
    weights::{Weight, WeightMeter},
};
use pallet_proof_of_quality::{
    Committees, GenesisModel, GenesisOperator, ModelKind, NextRequest, Operators, Phase, Price, Report,
    ReportOf, RequestId, Requests, Responses, Reward, Windows, Work as Standing,
};
use poq_runtime::{
    currency::POQ, AccountId, BabeConfig, BalancesConfig, Block, BlockAuthorsConfig, EpochConfiguration,
    Executive, Hash, Header, Nonce, ProofOfQuality, ProofOfQualityConfig, Runtime, RuntimeCall,
    RuntimeGenesisConfig, RuntimeOrigin, SessionConfig, SessionKeys, System, UncheckedExtrinsic,
};
use sp_consensus_babe::{
    digests::{PreDigest, SecondaryPlainPreDigest},
    BABE_ENGINE_ID,
};
use sp_core::{crypto::UncheckedFrom, sr25519, traits::CallContext};
use sp_io::TestExternalities;
use sp_keyring::{Ed25519Keyring, Sr25519Keyring};
use sp_runtime::{
    traits::{BlakeTwo256, Hash as _},
    ApplyExtrinsicResult, BuildStorage as _, Digest, DigestItem, Permill,
};
use sp_state_machine::{Ext, OverlayedChanges};
use std::time::{Duration, Instant};

/// Most operators that serve one model; more need more models.
const ROSTER: usize = 250;

/// The slot of block 0, of a chain that began in 2024.
const FIRST_SLOT: u64 = 850_000_000;

/// Milliseconds of a slot.
const SLOT_MILLIS: u64 = 2_000;

/// Blocks for each step of an operator: long enough that nothing times out here.
const WINDOWS: Windows<u32> = Windows { commit: 200, reveal: 200 };

/// The generator of these chains.
const GENERATOR: [u8; 32] = [1; 32];

/// The evaluator that requests ask for.
const EVALUATOR: [u8; 32] = [2; 32];

/// A chain in memory.
pub struct World {
    /// Its state.
    pub state: TestExternalities,
    operators: Vec<Operator>,
    requesters: Vec<sr25519::Pair>,
    size: Size,
    genesis: Hash,
    block: u32,
    asked: u64,
}

/// A point in the life of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Its answers are awaited.
    Answering,
    /// Its scores are awaited.
    Scoring,
    /// One quality validator is yet to reveal.
    LastReveal,
    /// It is over.
    Settled,
}

impl World {
    /// A chain with these operators, on which requests are of this size. It has seen its first block.
    pub fn new(cast: &Cast, size: Size) -> Result<Self> {
        let storage = genesis(cast)?.build_storage().map_err(|error| anyhow!("no genesis: {error}"))?;
        let mut state = TestExternalities::new(storage);
        let operators = cast.operators();
        let genesis = state.execute_with(|| System::block_hash(0));
        let mut world =
            Self { state, operators, requesters: cast.requesters(), size, genesis, block: 1, asked: 0 };
        // With all that BABE does in the first block only.
        world.state.execute_with(|| {
            Executive::initialize_block(&header(1, genesis));
            let applied = Executive::apply_extrinsic(timestamp(1));
            Executive::finalize_block();
            ensure!(matches!(applied, Ok(Ok(()))), "the first block fails: {applied:?}");
            Ok(())
        })?;
        Ok(world)
    }

    /// Ends the block and begins the next, natively and without its ordinary hooks.
    pub fn next_block(&mut self) {
        self.skip_to(self.block + 1);
    }

    /// The same, to a later one.
    pub fn skip_to(&mut self, block: u32) {
        let (old, new) = (self.block, block);
        self.block = new;
        self.state.execute_with(|| {
            ProofOfQuality::on_idle(old, Weight::MAX);
            System::reset_events();
            System::set_block_number(new);
            // The driver signs for a time that begins with the parent.
            frame_system::BlockHash::<Runtime>::insert(new - 1, BlakeTwo256::hash_of(&(new - 1)));
            pallet_babe::AuthorVrfRandomness::<Runtime>::put(Some([(new % 251) as u8; 32]));
            ProofOfQuality::on_poll(new, &mut WeightMeter::new());
        });
    }

    /// The block that is being made.
    pub fn number(&self) -> u32 {
        self.block
    }

    /// Makes this many requests and brings them to `stage`; returns their ids.
    pub fn ask(&mut self, count: u64, stage: Stage) -> Result<Vec<RequestId>> {
        let mut ids = Vec::new();
        for _ in 0..count {
            let (asked, size) = (self.asked, self.size);
            let turn = asked as usize % self.requesters.len();
            let asker = cast::account(Part::Requester, turn);
            self.asked += 1;
            ids.push(self.state.execute_with(|| -> Result<_> {
                let id = NextRequest::<Runtime>::get();
                let call = players::request_call(asked, size, &models())?;
                dispatch(call, asker)?;
                Ok(id)
            })?);
        }
        self.advance(&ids, stage)?;
        Ok(ids)
    }

    /// Brings requests on, wherever they are.
    pub fn advance(&mut self, ids: &[RequestId], stage: Stage) -> Result<()> {
        // Each phase takes a round or two: reports, and the steps of the chain itself.
        for _ in 0..=Stage::Settled as usize * 4 {
            if ids.iter().all(|id| self.is_at(*id, stage)) {
                // Values in the overlay are searched before the trie, so they are written into it.
                return self.commit();
            }
            self.work(ids, stage)?;
            self.next_block();
            self.finish_steps(ids);
        }
        bail!("requests do not get where they are to be brought")
    }

    /// Has one quality validator commit to its scores of these requests, and the others not.
    pub fn wait(&mut self, ids: &[RequestId], operator: &AccountId) -> Result<()> {
        let genesis = self.genesis;
        self.state.execute_with(|| {
            for id in ids {
                let work = Work { genesis: &genesis.0, request: *id, operator };
                let responses = Responses::<Runtime>::get(id).len();
                report(operator, Report { request: *id, kind: work.commit_scores(responses) })?;
            }
            anyhow::Ok(())
        })?;
        self.commit()
    }

    /// Has all operators report what is due of these requests, as far as that does not bring them beyond `stage`.
    fn work(&mut self, ids: &[RequestId], stage: Stage) -> Result<()> {
        let genesis = self.genesis;
        self.state.execute_with(|| {
            for id in ids {
                let Some(request) = Requests::<Runtime>::get(id) else { continue };
                let (reached, missing) = match request.phase {
                    Phase::Answering { .. } | Phase::RevealingAnswers { .. } => (Stage::Answering, 0),
                    Phase::Scoring { .. } => (Stage::Scoring, 0),
                    Phase::RevealingScores { .. } => {
                        (Stage::LastReveal, usize::from(stage == Stage::LastReveal))
                    }
                    _ => continue,
                };
                if reached >= stage && stage != Stage::LastReveal {
                    continue;
                }
                let (due, responses) = due(*id, &request);
                let count = due.len().saturating_sub(missing);
                for operator in due.iter().take(count) {
                    let work = Work { genesis: &genesis.0, request: *id, operator };
                    let kind = match request.phase {
                        Phase::Answering { .. } => work.commit_output(),
                        Phase::RevealingAnswers { .. } => work.reveal_output(),
                        Phase::Scoring { .. } => work.commit_scores(responses),
                        _ => work.reveal_scores(responses),
                    };
                    report(operator, Report { request: *id, kind })?;
                }
            }
            Ok(())
        })
    }

    fn is_at(&mut self, id: RequestId, stage: Stage) -> bool {
        self.state.execute_with(|| stage.is_of(id))
    }

    /// Writes what has changed into the trie.
    pub fn commit(&mut self) -> Result<()> {
        self.state.commit_all().map_err(|error| anyhow!("the state cannot be committed: {error}"))
    }

    /// Does the steps that are due, for which a block had no room.
    fn finish_steps(&mut self, ids: &[RequestId]) {
        let anyone = cast::account(Part::Requester, 0);
        self.state.execute_with(|| {
            for id in ids {
                let _not_due = ProofOfQuality::advance(RuntimeOrigin::signed(anyone.clone()), *id);
            }
        });
    }

    /// A signed request for the next block.
    pub fn signed_request(&mut self) -> Result<UncheckedExtrinsic> {
        let pair = self.requesters.first().context("nobody asks")?.clone();
        let call = players::request_call(u64::MAX, self.size, &models())?;
        Ok(sign(call, &pair, self.nonce(&cast::account(Part::Requester, 0)), self.genesis))
    }

    /// A signed reveal by the quality validator of a request who has not revealed yet.
    pub fn signed_reveal(&mut self, id: RequestId) -> Result<UncheckedExtrinsic> {
        let genesis = self.genesis;
        let (last, responses) = self.state.execute_with(|| {
            let (due, responses) =
                Requests::<Runtime>::get(id).map(|request| due(id, &request)).unwrap_or_default();
            (due.into_iter().next(), responses)
        });
        let last = last.context("nobody was drawn")?;
        let operator = self.operators.iter().find(|operator| operator.account == last);
        let worker = operator.context("a stranger was drawn")?.worker.clone();
        let work = Work { genesis: &genesis.0, request: id, operator: &last };
        let report = Report { request: id, kind: work.reveal_scores(responses) };
        let nonce = self.nonce(&AccountId::from(sp_core::Pair::public(&worker)));
        Ok(sign(players::report_call(vec![report]), &worker, nonce, self.genesis))
    }

    fn nonce(&mut self, account: &AccountId) -> Nonce {
        self.state.execute_with(|| System::account_nonce(account))
    }

    /// Hash and header of the block on top of this state, for a call that only wants to know where it is.
    pub fn header(&self) -> Header {
        header(self.block, self.genesis)
    }

    /// Makes the next block of `extrinsics` and executes it `times` times, each on this state, as a node that imports it does;
    /// returns how long that took. The state stays as it is.
    pub fn execute(
        &mut self,
        wasm: &Wasm,
        extrinsics: Vec<UncheckedExtrinsic>,
        times: usize,
    ) -> Result<Vec<Duration>> {
        let number = self.block + 1;
        self.state.execute_with(|| {
            pallet_babe::AuthorVrfRandomness::<Runtime>::put(Some([7; 32]));
        });
        self.commit()?;
        let all: Vec<_> = std::iter::once(timestamp(number)).chain(extrinsics).collect();
        let made = self.make(wasm, number, &all)?;
        let block = Block { header: made, extrinsics: all }.encode();
        let mut took = Vec::with_capacity(times);
        // The first time warms up caches.
        for time in 0..=times {
            let mut overlay = OverlayedChanges::default();
            let mut ext = Ext::new(&mut overlay, &self.state.backend, None);
            let begun = Instant::now();
            wasm.call(&mut ext, "Core_execute_block", &block, CallContext::Onchain { import: true })?;
            if time > 0 {
                took.push(begun.elapsed());
            }
        }
        Ok(took)
    }

    fn make(&self, wasm: &Wasm, number: u32, extrinsics: &[UncheckedExtrinsic]) -> Result<Header> {
        let mut overlay = OverlayedChanges::default();
        let mut ext = Ext::new(&mut overlay, &self.state.backend, None);
        let mut call =
            |function: &str, data: &[u8]| wasm.call(&mut ext, function, data, CallContext::Offchain);
        let header = header(number, BlakeTwo256::hash_of(&number));
        call("Core_initialize_block", &header.encode())?;
        for extrinsic in extrinsics {
            let applied = call("BlockBuilder_apply_extrinsic", &extrinsic.encode())?;
            let applied = ApplyExtrinsicResult::decode(&mut &applied[..])?;
            ensure!(matches!(applied, Ok(Ok(()))), "a transaction fails: {applied:?}");
        }
        let header = call("BlockBuilder_finalize_block", &[])?;
        Ok(Header::decode(&mut &header[..])?)
    }
}

impl Stage {
    fn is_of(self, id: RequestId) -> bool {
        let Some(request) = Requests::<Runtime>::get(id) else { return false };
        match (self, request.phase) {
            // A sole responder has nobody to copy from and shows its output at once.
            (Self::Answering, Phase::Answering { .. } | Phase::RevealingAnswers { .. })
            | (Self::Scoring, Phase::Scoring { .. })
            | (Self::Settled, Phase::Settled { .. }) => true,
            (Self::LastReveal, Phase::RevealingScores { .. }) => {
                let committee = Committees::<Runtime>::get(id, request.round);
                committee.iter().filter(|member| member.work != Standing::Revealed).count() == 1
            }
            _ => false,
        }
    }
}

/// The operators whose report is due in the phase of a request, and its number of responses.
fn due(id: RequestId, request: &pallet_proof_of_quality::Request<Runtime>) -> (Vec<AccountId>, usize) {
    let responses = Responses::<Runtime>::get(id);
    let count = responses.len();
    let showing = matches!(request.phase, Phase::RevealingAnswers { .. } | Phase::RevealingScores { .. });
    let is_due = |work: &Standing| match work {
        Standing::Pending => true,
        Standing::Committed(_) => showing,
        _ => false,
    };
    let operators = match request.phase {
        Phase::Scoring { .. } | Phase::RevealingScores { .. } => {
            Committees::<Runtime>::get(id, request.round)
                .into_iter()
                .filter(|member| is_due(&member.work))
                .map(|member| member.operator)
                .collect()
        }
        _ => responses
            .into_iter()
            .filter(|response| is_due(&response.work))
            .map(|response| response.operator)
            .collect(),
    };
    (operators, count)
}

/// Reports a piece of work as the operator's worker would.
fn report(operator: &AccountId, report: ReportOf<Runtime>) -> Result<()> {
    let record = Operators::<Runtime>::get(operator);
    let worker = record.and_then(|record| record.worker).context("an operator has no worker")?;
    dispatch(players::report_call(vec![report]), worker)
}

fn dispatch(call: RuntimeCall, signer: AccountId) -> Result<()> {
    use sp_runtime::traits::Dispatchable as _;
    let dispatched = call.dispatch(RuntimeOrigin::signed(signer));
    dispatched.map(|_| ()).map_err(|error| anyhow!("a call is refused: {:?}", error.error))
}

/// The models of these chains.
pub fn models() -> Models {
    Models { generator: GENERATOR, evaluator: EVALUATOR }
}

/// The header that a block begins with. Its author shows no VRF output: what draws need is put into the state.
fn header(number: u32, parent_hash: Hash) -> Header {
    let slot = (FIRST_SLOT + u64::from(number)).into();
    let digest = PreDigest::SecondaryPlain(SecondaryPlainPreDigest { authority_index: 0, slot });
    Header {
        parent_hash,
        number,
        state_root: Hash::default(),
        extrinsics_root: Hash::default(),
        digest: Digest { logs: vec![DigestItem::PreRuntime(BABE_ENGINE_ID, digest.encode())] },
    }
}

/// The inherent of a block.
fn timestamp(number: u32) -> UncheckedExtrinsic {
    let now = (FIRST_SLOT + u64::from(number)) * SLOT_MILLIS;
    UncheckedExtrinsic::new_bare(RuntimeCall::Timestamp(pallet_timestamp::Call::set { now }))
}

fn genesis(cast: &Cast) -> Result<RuntimeGenesisConfig> {
    let alice = Sr25519Keyring::Alice.to_account_id();
    let keys = SessionKeys {
        babe: UncheckedFrom::unchecked_from(Sr25519Keyring::Alice.to_raw_public()),
        grandpa: Ed25519Keyring::Alice.public().into(),
    };
    let operators = cast.operators();
    let evaluators = cast.validators.div_ceil(ROSTER).max(1);
    // The first that is served by all that one roster holds is what is asked for.
    let evaluator = |index: usize| {
        let mut id = EVALUATOR;
        if let Some(last) = id.last_mut() {
            *last = last.wrapping_add(index as u8);
        }
        id
    };
    let model = |id, kind| GenesisModel {
        id,
        kind,
        name: "bench".into(),
        price: Price { base: POQ / 10, per_unit: 0 },
        windows: WINDOWS,
        reward: Reward::default(),
        context: if kind == ModelKind::Generator { 4_096 } else { 0 },
        noise: Permill::zero(),
    };
    let endowed = operators.iter().map(|operator| operator.account.clone());
    let askers = (0..cast.requesters).map(|number| cast::account(Part::Requester, number));
    let models = (0..evaluators).map(|index| model(evaluator(index), ModelKind::Evaluator));
    Ok(RuntimeGenesisConfig {
        babe: BabeConfig { epoch_config: EpochConfiguration::GENESIS, ..Default::default() },
        block_authors: BlockAuthorsConfig { authors: vec![alice.clone()], ..Default::default() },
        session: SessionConfig { keys: vec![(alice.clone(), alice, keys)], ..Default::default() },
        balances: BalancesConfig {
            balances: askers.chain(endowed).map(|account| (account, 10_000_000 * POQ)).collect(),
            ..Default::default()
        },
        proof_of_quality: ProofOfQualityConfig {
            models: std::iter::once(model(GENERATOR, ModelKind::Generator)).chain(models).collect(),
            operators: operators
                .iter()
                .enumerate()
                .map(|(index, operator)| GenesisOperator {
                    operator: operator.account.clone(),
                    stake: 10_000 * POQ,
                    worker: sp_core::Pair::public(&operator.worker).into(),
                    models: vec![if operator.scores {
                        evaluator(index.saturating_sub(cast.nodes) / ROSTER)
                    } else {
                        GENERATOR
                    }],
                    capacity: Some(cast::CAPACITY),
                })
                .collect(),
            auditors: Vec::new(),
        },
        ..Default::default()
    })
}

/// The chain's own Wasm.
pub fn runtime() -> Result<Wasm> {
    let code = poq_runtime::WASM_BINARY;
    code.map(Wasm::new)
        .context("this program was built without the runtime: build it without SKIP_WASM_BUILD")
}
