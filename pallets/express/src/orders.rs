//! Orders: what settles one, and batches of them. Owns [`Batches`] and [`NextBatch`].
//!
//! Each order of a batch is checked and settled by itself, and refused alone: a settler can carry what others have certified without
//! answering for it. What an order is worth comes from the functions of the chain path (`pallet_proof_of_quality::lane`).

use crate::{
    channels::{self, Channel},
    earnings, epochs, money, BalanceOf, Batches, Config, Epochs, Event, NextBatch, Pallet, SnapshotOf,
    Snapshots,
};
use alloc::{collections::BTreeMap, vec::Vec};
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use frame_support::{storage::with_storage_layer, BoundedVec};
use pallet_proof_of_quality::{lane, ModelId, Role, Sampling, Terms};
use poq_primitives::{
    commitment::Hash32,
    express::{Certificate, Context, Epoch, Fault, Order, ResponderPart, ScorerPart},
};
use scale_info::TypeInfo;
use sp_runtime::{
    traits::{Saturating, Zero},
    DispatchError, StateVersion,
};

/// A certificate with this chain's balances.
pub type CertificateOf<T> = Certificate<BalanceOf<T>>;

/// A batch that was settled: whoever has one of its certificates can prove it by the root.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Batch<AccountId> {
    /// Who sent it.
    pub settler: AccountId,
    /// Root of the trie (`blake2_256_ordered_root`, state version 1) of its settled certificates' hashes, in their order.
    pub root: Hash32,
    /// How many were settled.
    pub count: u32,
}

/// Why an order was not settled.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub enum Refusal {
    /// Its epoch is over for more than an epoch, or has not begun.
    WrongEpoch,
    /// Its epoch has no seed, or its models no snapshot in it.
    NoLane,
    /// There is no such channel.
    UnknownChannel,
    /// The channel has no orders in this epoch.
    ChannelClosed,
    /// The index is not below `orders_per_epoch`.
    IndexTooHigh,
    /// An order of this name was settled, or its name burnt.
    NameUsed,
    /// The budget is above `most_per_order`, or the deposit does not cover the order and all that may have been served before it.
    DepositTooSmall,
    /// The pallet would not take a request on these terms.
    Terms,
    /// A responder is called absent, or a reveal of the set is missing: it settles in the second half of the next epoch, if nothing else of
    /// the order has till then.
    TooEarly,
    /// The certificate does not hold.
    Certificate(Fault),
    /// The scores come to no consensus.
    NoConsensus,
}

/// The snapshots that the orders of a batch use, each read once.
type Cache<T> = BTreeMap<(Epoch, ModelId), Option<SnapshotOf<T>>>;

/// A batch that is being settled.
pub(crate) struct OpenBatch<T: Config> {
    genesis: Hash32,
    cache: Cache<T>,
    /// For `FeeHandler`, of the orders that were settled.
    pub(crate) fee: BalanceOf<T>,
    /// For `SlashHandler`, of the orders that were settled.
    pub(crate) withheld: BalanceOf<T>,
    /// What stands for the settled certificates in the trie, in their order.
    pub(crate) leaves: Vec<Vec<u8>>,
}

impl<T: Config> OpenBatch<T> {
    /// A batch without orders.
    pub(crate) fn new() -> Self {
        let genesis = crate::genesis_hash::<T>();
        Self {
            genesis,
            cache: Cache::<T>::new(),
            fee: Zero::zero(),
            withheld: Zero::zero(),
            leaves: Vec::new(),
        }
    }

    /// Settles an order, or says why not: a refused order has changed nothing.
    pub(crate) fn settle(&mut self, certificate: &CertificateOf<T>) -> Result<(), DispatchError> {
        let name = certificate.order.name;
        let (genesis, cache) = (&self.genesis, &mut self.cache);
        let settled =
            with_storage_layer(|| settle::<T>(certificate, genesis, cache).map_err(Stopped::Refused));
        match settled {
            Ok(bill) => {
                self.fee = self.fee.saturating_add(bill.fee);
                self.withheld = self.withheld.saturating_add(bill.withheld);
                self.leaves.push(leaf::<T>(certificate).to_vec());
                let (best, quality, paid) = (bill.best, bill.quality, bill.paid);
                let fee = bill.fee.saturating_add(bill.withheld);
                Pallet::<T>::deposit_event(Event::OrderSettled { name, best, quality, paid, fee });
                Ok(())
            }
            Err(Stopped::Refused(refusal)) => {
                Pallet::<T>::deposit_event(Event::OrderRefused { name, refusal });
                Ok(())
            }
            Err(Stopped::Storage(error)) => Err(error),
        }
    }

    /// Pays the chain its part and stores the batch, if anything was settled.
    pub(crate) fn close(self, settler: T::AccountId) -> Result<(), DispatchError> {
        if self.leaves.is_empty() {
            return Ok(());
        }
        money::pay_chain::<T>(self.fee, self.withheld)?;
        let count = self.leaves.len() as u32;
        let root = sp_io::trie::blake2_256_ordered_root(self.leaves, StateVersion::V1).into();
        let id = NextBatch::<T>::get();
        NextBatch::<T>::put(id.saturating_add(1));
        Batches::<T>::insert(epochs::current::<T>(), id, Batch { settler, root, count });
        Pallet::<T>::deposit_event(Event::BatchSettled { batch: id, root, count });
        Ok(())
    }
}

/// Settles what can be settled of these.
pub(crate) fn settle_batch<T: Config>(
    settler: T::AccountId,
    certificates: &[CertificateOf<T>],
) -> Result<(), DispatchError> {
    let mut batch = OpenBatch::<T>::new();
    for certificate in certificates {
        batch.settle(certificate)?;
    }
    batch.close(settler)
}

/// What stands for a certificate in the trie of its batch.
pub(crate) fn leaf<T: Config>(certificate: &CertificateOf<T>) -> Hash32 {
    certificate.using_encoded(sp_io::hashing::blake2_256)
}

/// Why [`with_storage_layer`] undoes an order.
enum Stopped {
    Refused(Refusal),
    Storage(DispatchError),
}

impl From<DispatchError> for Stopped {
    fn from(error: DispatchError) -> Self {
        Self::Storage(error)
    }
}

type BillOf<T> = lane::Bill<<T as frame_system::Config>::AccountId, BalanceOf<T>>;

fn settle<T: Config>(
    certificate: &CertificateOf<T>,
    genesis: &Hash32,
    cache: &mut Cache<T>,
) -> Result<BillOf<T>, Refusal> {
    let order = &certificate.order;
    let name = order.name;
    if !epochs::settles::<T>(name.epoch) {
        return Err(Refusal::WrongEpoch);
    }
    let channel = channels::of_order::<T>(&name)?;
    check_deposit::<T>(order, &channel)?;
    if leaves_somebody_out(certificate) && !epochs::is_late_for::<T>(name.epoch) {
        return Err(Refusal::TooEarly);
    }
    let info = Epochs::<T>::get(name.epoch).ok_or(Refusal::NoLane)?;
    let seed = info.seed.ok_or(Refusal::NoLane)?;
    let terms = terms::<T>(order).ok_or(Refusal::Terms)?;
    let request =
        lane::request::<T>(channel.owner.clone(), terms, info.parameters).map_err(|_| Refusal::Terms)?;
    for model in [order.generator, order.evaluator] {
        let key = (name.epoch, model);
        cache.entry(key).or_insert_with(|| Snapshots::<T>::get(name.epoch, model));
    }
    let snapshot = |model: &ModelId| cache.get(&(name.epoch, *model)).and_then(Option::as_ref);
    let generators = snapshot(&order.generator).ok_or(Refusal::NoLane)?;
    let evaluators = snapshot(&order.evaluator).ok_or(Refusal::NoLane)?;
    let context = Context {
        genesis,
        epoch_seed: &seed,
        channel_key: &channel.key,
        owner: &channel.owner,
        generators,
        evaluators,
    };
    let outcome = certificate.check(&context, &crate::Host).map_err(Refusal::Certificate)?;
    let responders = outcome.responders.iter();
    let responders =
        responders.map(|(seat, answer)| (seat.operator.clone(), answer.is_some_and(|(_, shown)| shown)));
    let members = outcome.members.iter();
    let members = members.map(|(seat, scores)| {
        (seat.operator.clone(), seat.vote, scores.map(<[sp_runtime::Permill]>::to_vec))
    });
    let bill =
        lane::bill::<T>(&request, responders.collect(), members.collect()).ok_or(Refusal::NoConsensus)?;
    book::<T>(certificate, &channel, &bill);
    Ok(bill)
}

/// Checks that the deposit pays for the order and still for all that operators may have served before it.
pub(crate) fn check_deposit<T: Config>(
    order: &Order<BalanceOf<T>>,
    channel: &Channel<T>,
) -> Result<(), Refusal> {
    if order.budget > channel.most_per_order || !channels::covers::<T>(channel, &order.name) {
        return Err(Refusal::DepositTooSmall);
    }
    Ok(())
}

/// Whether a responder is called absent, which only the requester says, or a reveal of the set is missing, which a settler could have left
/// out. Whoever was left out gets the time to escalate, or to have the whole settled first.
fn leaves_somebody_out<Balance>(certificate: &Certificate<Balance>) -> bool {
    certificate.responders.iter().any(|part| matches!(part, ResponderPart::Absent))
        || certificate.members.iter().any(|part| matches!(part, ScorerPart::Committed(_)))
}

/// Takes the cost of an order from its channel and credits those who earned it.
fn book<T: Config>(certificate: &CertificateOf<T>, channel: &Channel<T>, bill: &BillOf<T>) {
    let name = certificate.order.name;
    let cost = bill.paid.saturating_add(bill.fee).saturating_add(bill.withheld);
    // The budget is within the balance, and the cost within the budget.
    debug_assert!(cost <= channel.balance);
    channels::spend::<T>(&name, cost);
    // The bill has the responders first. Nothing that they may have missed is held against them: only the requester says that they were
    // asked. Nor against members in the set: a settler could have left their reveals out. Who is not in the set is called absent by more
    // than two thirds of the committee.
    let responders = bill.parts.iter().filter(|part| part.role == Role::InferenceNode).map(|_| false);
    let members = certificate.members.iter().filter(|part| !matches!(part, ScorerPart::Busy(_)));
    let has_missed = responders.chain(members.map(|part| matches!(part, ScorerPart::Absent)));
    for (part, has_missed) in bill.parts.iter().zip(has_missed) {
        earnings::count::<T>(name.epoch, part, has_missed);
    }
}

/// An order's terms as those of a request.
pub(crate) fn terms<T: Config>(
    order: &Order<BalanceOf<T>>,
) -> Option<Terms<BalanceOf<T>, T::MaxModelsPerRequest>> {
    let (max_tokens, temperature_milli, seed) = (order.max_tokens, order.temperature_milli, order.seed);
    Some(Terms {
        generators: BoundedVec::try_from(alloc::vec![order.generator]).ok()?,
        evaluator: order.evaluator,
        sampling: Sampling { max_tokens, temperature_milli, seed },
        responders: order.responders.into(),
        committee: order.committee.into(),
        min_quality: order.min_quality,
        budget: order.budget,
        audit: order.audit,
    })
}

/// Forgets the batches of an epoch; `false` if more are left than one step takes.
pub(crate) fn forget<T: Config>(epoch: Epoch, most: u32) -> bool {
    Batches::<T>::clear_prefix(epoch, most, None).maybe_cursor.is_none()
}
