//! Facts from finalized blocks: the time that requests spend in each phase, the outcome of duties, and reports of this node's worker
//! keys that another process sent. Each block is read once.

use super::{
    metrics::Metrics,
    sent::{report_in, Sent},
    state::{State, Unreadable},
};
use crate::types::Client;
use pallet_proof_of_quality::{Event, Phase, RequestId};
use poq_runtime::{opaque::Block, AccountId, BlockNumber, Hash, RuntimeEvent};
use sc_client_api::{BlockBackend as _, FinalityNotification, HeaderBackend as _};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Most blocks that are read when they are finalized together. More of them are passed over: the node is catching up.
const AT_ONCE: usize = 512;

/// Age difference by which a block is certainly younger than this process, whatever the clock of its author.
const CLOCKS_DIFFER_BY: Duration = Duration::from_secs(30);

/// Blocks for which a second process is remembered after its last report.
const STRANGER_BLOCKS: BlockNumber = 300;

/// Facts remembered from finalized blocks.
pub struct History {
    client: Arc<Client>,
    sent: Arc<Sent>,
    metrics: Option<Metrics>,
    /// Phase of each open request, and the block at which it began.
    phases: BTreeMap<RequestId, (Phase<BlockNumber>, BlockNumber)>,
    /// The first block that was certainly made while this process ran.
    live_since: Option<BlockNumber>,
    live_time: u64,
    /// Worker keys that another process uses, and the block of its last report.
    strangers: BTreeMap<AccountId, BlockNumber>,
}

impl History {
    /// An empty history.
    pub fn new(client: Arc<Client>, sent: Arc<Sent>, metrics: Option<Metrics>) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let live_time = u64::try_from(now.saturating_add(CLOCKS_DIFFER_BY).as_millis()).unwrap_or(u64::MAX);
        Self {
            client,
            sent,
            metrics,
            phases: BTreeMap::new(),
            live_since: None,
            live_time,
            strangers: BTreeMap::new(),
        }
    }

    /// Reads the blocks that were finalized.
    pub fn finalized(
        &mut self,
        notification: &FinalityNotification<Block>,
        workers: &[AccountId],
        operators: &BTreeSet<AccountId>,
    ) {
        if notification.tree_route.len() > AT_ONCE {
            self.forget_phases();
            return;
        }
        for hash in notification.tree_route.iter().chain([&notification.hash]) {
            if let Err(error) = self.block(*hash, workers, operators) {
                log::debug!(target: super::LOG, "block {hash:?} is passed over: {error}");
                self.forget_phases();
            }
        }
    }

    /// The worker keys that another process uses.
    pub fn strangers(&self) -> impl Iterator<Item = &AccountId> {
        self.strangers.keys()
    }

    fn block(
        &mut self,
        hash: Hash,
        workers: &[AccountId],
        operators: &BTreeSet<AccountId>,
    ) -> Result<(), Unreadable> {
        let missing = |error: &dyn std::fmt::Display| Unreadable::Missing(hash, error.to_string());
        let number = self.client.number(hash).map_err(|error| missing(&error))?;
        let number = number.ok_or_else(|| missing(&"it is not known"))?;
        let state = State::new(&self.client, hash);
        let (time, events) = (state.time()?, state.events()?);
        for event in events {
            if let RuntimeEvent::ProofOfQuality(event) = event.event {
                self.event(event, number, operators);
            }
        }
        if self.live_since.is_none() && time > self.live_time {
            self.live_since = Some(number);
        }
        if !workers.is_empty() {
            let body = self.client.block_body(hash).map_err(|error| missing(&error))?;
            self.look_for_strangers(&body.unwrap_or_default(), number, workers);
        }
        self.strangers.retain(|_, seen| number.saturating_sub(*seen) < STRANGER_BLOCKS);
        Ok(())
    }

    fn event(
        &mut self,
        event: Event<poq_runtime::Runtime>,
        number: BlockNumber,
        operators: &BTreeSet<AccountId>,
    ) {
        match event {
            Event::Requested { request, .. } => self.enter(request, Phase::Requested, number),
            Event::PhaseEntered { request, phase } => self.enter(request, phase, number),
            Event::DutyClosed { operator, duty } if operators.contains(&operator) => {
                if let Some(metrics) = &self.metrics {
                    metrics.duty_closed(&operator, &duty);
                }
            }
            _ => {}
        }
    }

    fn enter(&mut self, request: RequestId, phase: Phase<BlockNumber>, number: BlockNumber) {
        let before = match phase.is_closed() {
            true => self.phases.remove(&request),
            false => self.phases.insert(request, (phase, number)),
        };
        let Some(metrics) = &self.metrics else { return };
        if let Some((before, since)) = before {
            metrics.phase_left(&before, number.saturating_sub(since));
        }
        match phase.is_closed() {
            true => metrics.request_closed(&phase),
            false => metrics.phase_entered(&phase),
        }
    }

    /// Forgets the phases of requests: blocks were passed over.
    fn forget_phases(&mut self) {
        for (_, (phase, _)) in std::mem::take(&mut self.phases) {
            if let Some(metrics) = &self.metrics {
                metrics.phase_lost(&phase);
            }
        }
    }

    fn look_for_strangers(
        &mut self,
        body: &[sp_runtime::OpaqueExtrinsic],
        number: BlockNumber,
        workers: &[AccountId],
    ) {
        let Some(live_since) = self.live_since else { return };
        for transaction in body {
            let Some(report) = report_in(transaction, number) else { continue };
            let ours = workers.contains(&report.worker);
            if ours && report.born > live_since && !self.sent.knows(transaction) {
                self.strangers.insert(report.worker, number);
                if let Some(metrics) = &self.metrics {
                    metrics.report_of_another();
                }
            }
        }
    }
}
