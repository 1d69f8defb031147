//! Time of a run of the driver, which every node does at every block.
//!
//! The chain's own Wasm runs its off-chain worker on a state in memory, with a real keystore. The engine is simulated, and in
//! this process. It answers at once, so the driver alone is measured.

use super::{
    cast::{self, Cast, Part},
    players::Size,
    world::{self, Stage, World},
    Args,
};
use crate::wasm::Wasm;
use anyhow::{ensure, Context as _, Result};
use codec::Encode as _;
use poq_benches::report::{Figure, Report};
use poq_primitives::{
    job::{Job, JobResult, JobState, JobStatus},
    keys::{EngineEndpoint, ENGINE_ENDPOINT_KEY, WORKER_KEY_TYPE},
};
use sp_core::{
    crypto::KeyTypeId,
    offchain::{
        testing::{TestOffchainExt, TestTransactionPoolExt},
        DbExternalities as _, Externalities, HttpError, HttpRequestId, HttpRequestStatus, OffchainDbExt,
        OffchainWorkerExt, OpaqueNetworkState, StorageKind, Timestamp, TransactionPoolExt,
    },
    traits::CallContext,
    OpaquePeerId,
};
use sp_keystore::{testing::MemoryKeystore, Keystore as _, KeystoreExt};
use std::{
    collections::HashMap,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

/// So few quality validators that each is in every committee.
const SIZE: Size = Size { responders: 1, committee: 3 };

/// Runs of each kind.
const TIMES: usize = 31;

/// Numbers of duties of the only worker key.
const DUTIES: [u64; 4] = [0, 1, 100, 1_000];

/// Measures all numbers of duties.
pub fn measure(args: &Args, report: &mut Report) -> Result<()> {
    let bar = args.bar("driver");
    let wasm = world::runtime()?;
    for duties in DUTIES {
        bar.set_message(format!("{duties} duties"));
        bar.tick();
        let mut world = World::new(&Cast { requesters: 16, nodes: 1, validators: 3 }, SIZE)?;
        let ids = world.ask(duties, Stage::Scoring)?;
        let (took, sent) = runs(&wasm, &mut world)?;
        ensure!(sent == usize::from(duties > 0), "a run sent {sent} transactions");
        let figure = Figure::of(format!("driver/run with {duties} duties, all due"), &took, "ms");
        report.add(if duties == 0 { figure.at_most(5.0) } else { figure });
        if duties > 0 {
            world.wait(&ids, &cast::account(Part::QualityValidator, 0))?;
            let (took, sent) = runs(&wasm, &mut world)?;
            ensure!(sent == 0, "a run with nothing to do sent {sent} transactions");
            let name = format!("driver/run with {duties} duties, all waiting for others");
            report.add(Figure::of(name, &took, "ms").at_most(5.0));
        }
    }
    bar.finish_and_clear();
    Ok(())
}

/// Milliseconds of each run, and the number of transactions sent by the last. Each begins with a fresh off-chain database.
fn runs(wasm: &Wasm, world: &mut World) -> Result<(Vec<f64>, usize)> {
    let keystore = MemoryKeystore::new();
    let suri = format!("0x{}", hex::encode(cast::seed(Part::ScoringWorker, 0)));
    keystore
        .sr25519_generate_new(KeyTypeId(WORKER_KEY_TYPE), Some(&suri))
        .context("the worker key does not fit the keystore")?;
    world.state.register_extension(KeystoreExt::new(keystore));
    let header = world.header().encode();
    let (mut took, mut sent) = (Vec::with_capacity(TIMES), 0);
    // The first run warms up caches.
    for time in 0..=TIMES {
        let (mut database, _) = TestOffchainExt::new();
        let endpoint = EngineEndpoint { url: "http://127.0.0.1:1".into(), token: "simulated".into() };
        database.local_storage_set(StorageKind::PERSISTENT, ENGINE_ENDPOINT_KEY, &endpoint.encode());
        let (pool, seen) = TestTransactionPoolExt::new();
        world.state.register_extension(OffchainDbExt::new(database));
        world.state.register_extension(OffchainWorkerExt::new(Simulated::default()));
        world.state.register_extension(TransactionPoolExt::new(pool));
        let mut ext = world.state.ext();
        let begun = Instant::now();
        wasm.call(&mut ext, "OffchainWorkerApi_offchain_worker", &header, CallContext::Offchain)?;
        if time > 0 {
            took.push(begun.elapsed().as_secs_f64() * 1e3);
        }
        sent = seen.read().transactions.len();
    }
    Ok((took, sent))
}

/// An engine that answers at once, and the rest of a node's interface for off-chain workers.
#[derive(Default)]
struct Simulated {
    calls: HashMap<u16, Call>,
    next: u16,
}

/// A call of the engine's HTTP API.
#[derive(Default)]
struct Call {
    id: String,
    job: Vec<u8>,
    answer: Vec<u8>,
    read: usize,
}

impl Call {
    /// The engine's answer to the job.
    fn answer(&self) -> Option<Vec<u8>> {
        let result = match serde_json::from_slice(&self.job).ok()? {
            Job::Generate(_) => JobResult::Generate { text: "simulated".into(), tokens: 1 },
            Job::Score(job) => JobResult::Score { scores: vec![800_000; job.responses.len()] },
        };
        serde_json::to_vec(&JobStatus { id: self.id.clone(), state: JobState::Done { result } }).ok()
    }
}

impl Externalities for Simulated {
    fn is_validator(&self) -> bool {
        false
    }

    fn network_state(&self) -> Result<OpaqueNetworkState, ()> {
        Err(())
    }

    fn timestamp(&mut self) -> Timestamp {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_unix_millis(u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
    }

    fn sleep_until(&mut self, _deadline: Timestamp) {}

    fn random_seed(&mut self) -> [u8; 32] {
        [7; 32]
    }

    fn http_request_start(&mut self, _method: &str, uri: &str, _meta: &[u8]) -> Result<HttpRequestId, ()> {
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        let id = uri.rsplit('/').next().and_then(|last| last.split('?').next()).ok_or(())?.to_owned();
        self.calls.insert(number, Call { id, ..Call::default() });
        Ok(HttpRequestId(number))
    }

    fn http_request_add_header(&mut self, call: HttpRequestId, _: &str, _: &str) -> Result<(), ()> {
        self.calls.contains_key(&call.0).then_some(()).ok_or(())
    }

    fn http_request_write_body(
        &mut self,
        call: HttpRequestId,
        chunk: &[u8],
        _deadline: Option<Timestamp>,
    ) -> Result<(), HttpError> {
        let call = self.calls.get_mut(&call.0).ok_or(HttpError::Invalid)?;
        call.job.extend_from_slice(chunk);
        if chunk.is_empty() {
            call.answer = call.answer().ok_or(HttpError::IoError)?;
        }
        Ok(())
    }

    fn http_response_wait(
        &mut self,
        calls: &[HttpRequestId],
        _deadline: Option<Timestamp>,
    ) -> Vec<HttpRequestStatus> {
        let status = |call: &HttpRequestId| match self.calls.contains_key(&call.0) {
            true => HttpRequestStatus::Finished(200),
            false => HttpRequestStatus::Invalid,
        };
        calls.iter().map(status).collect()
    }

    fn http_response_headers(&mut self, _call: HttpRequestId) -> Vec<(Vec<u8>, Vec<u8>)> {
        Vec::new()
    }

    fn http_response_read_body(
        &mut self,
        call: HttpRequestId,
        buffer: &mut [u8],
        _deadline: Option<Timestamp>,
    ) -> Result<usize, HttpError> {
        let call = self.calls.get_mut(&call.0).ok_or(HttpError::Invalid)?;
        let left = call.answer.get(call.read..).unwrap_or_default();
        let count = left.iter().zip(buffer.iter_mut()).map(|(from, to)| *to = *from).count();
        call.read = call.read.saturating_add(count);
        Ok(count)
    }

    fn set_authorized_nodes(&mut self, _nodes: Vec<OpaquePeerId>, _authorized_only: bool) {}
}
