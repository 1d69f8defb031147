//! The reports that this process has sent for its worker keys; by them a second process with the same key is found.
//!
//! The driver submits through the pool that is recorded here, so every report of this process is known. An *unknown* report signed by
//! a worker key of this node comes from another process, or from an earlier run of this one. Reports are mortal and name the block
//! that they were born at: one born after the start of this process is not from an earlier run. Only such reports raise an alarm.

use poq_runtime::{opaque::Block, AccountId, BlockNumber, Hash, RuntimeCall, UncheckedExtrinsic};
use sc_transaction_pool_api::{LocalTransactionFor, LocalTransactionPool};
use sp_runtime::{
    generic::Preamble,
    traits::{BlakeTwo256, Hash as _},
    MultiAddress, OpaqueExtrinsic,
};
use std::{
    collections::{HashSet, VecDeque},
    sync::{
        atomic::{AtomicU64, Ordering},
        Mutex, MutexGuard, PoisonError,
    },
};

/// Number of reports remembered. A report lives for 64 blocks, and a key has one in flight.
const REMEMBERED: usize = 8_192;

/// The reports that the driver of this process submitted.
#[derive(Debug, Default)]
pub struct Sent {
    known: Mutex<Known>,
    taken: AtomicU64,
    refused: AtomicU64,
}

#[derive(Debug, Default)]
struct Known {
    hashes: HashSet<Hash>,
    order: VecDeque<Hash>,
}

impl Sent {
    /// Transactions that the pool took.
    pub fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// Transactions that the pool refused.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Whether this process submitted the transaction.
    pub fn knows(&self, transaction: &OpaqueExtrinsic) -> bool {
        self.known().hashes.contains(&BlakeTwo256::hash_of(transaction))
    }

    fn remember(&self, transaction: &OpaqueExtrinsic) {
        let hash = BlakeTwo256::hash_of(transaction);
        let mut known = self.known();
        if known.hashes.insert(hash) {
            known.order.push_back(hash);
        }
        while known.order.len() > REMEMBERED {
            if let Some(oldest) = known.order.pop_front() {
                known.hashes.remove(&oldest);
            }
        }
    }

    // What a thread that panicked had written is whole: each change is one insertion or removal.
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A pool that records the transactions submitted through it.
pub struct Recorded<P> {
    pool: P,
    sent: std::sync::Arc<Sent>,
}

impl<P> Recorded<P> {
    /// Submits to `pool` and records in `sent`.
    pub fn new(pool: P, sent: std::sync::Arc<Sent>) -> Self {
        Self { pool, sent }
    }
}

impl<P: LocalTransactionPool<Block = Block>> LocalTransactionPool for Recorded<P> {
    type Block = Block;
    type Hash = P::Hash;
    type Error = P::Error;

    fn submit_local(
        &self,
        at: Hash,
        transaction: LocalTransactionFor<Self>,
    ) -> Result<Self::Hash, Self::Error> {
        // Recorded before it is submitted: a block with it may come at once.
        self.sent.remember(&transaction);
        let submitted = self.pool.submit_local(at, transaction);
        let count = if submitted.is_ok() { &self.sent.taken } else { &self.sent.refused };
        count.fetch_add(1, Ordering::Relaxed);
        submitted
    }
}

/// A report of work in a block.
#[derive(Debug, PartialEq, Eq)]
pub struct SignedReport {
    /// The worker key.
    pub worker: AccountId,
    /// The block that it was born at.
    pub born: BlockNumber,
}

/// The report in a transaction of block `number`, if it is one.
pub fn report_in(transaction: &OpaqueExtrinsic, number: BlockNumber) -> Option<SignedReport> {
    let transaction: UncheckedExtrinsic =
        codec::Decode::decode(&mut &codec::Encode::encode(transaction)[..]).ok()?;
    let call = matches!(
        transaction.function,
        RuntimeCall::ProofOfQuality(pallet_proof_of_quality::Call::report_work { .. })
    );
    let Preamble::Signed(MultiAddress::Id(worker), _, extension) = transaction.preamble else { return None };
    let (_, _, _, _, era, ..) = extension;
    let born = u32::try_from(era.0.birth(number.into())).ok()?;
    call.then_some(SignedReport { worker, born })
}

#[cfg(test)]
mod tests {
    use super::*;
    use codec::{Compact, Decode as _, Encode as _};
    use poq_runtime::{Signature, TxExtension};
    use sc_transaction_pool_api::error::Error;
    use sp_core::{sr25519, Pair as _};
    use sp_runtime::generic::Era;
    use std::sync::Arc;

    struct Pool;

    impl LocalTransactionPool for Pool {
        type Block = Block;
        type Hash = Hash;
        type Error = Error;

        fn submit_local(&self, _: Hash, transaction: OpaqueExtrinsic) -> Result<Hash, Error> {
            if codec::Encode::encode(&transaction).len() > 1_000 {
                return Err(Error::ImmediatelyDropped);
            }
            Ok(BlakeTwo256::hash_of(&transaction))
        }
    }

    fn transaction(call: RuntimeCall, birth: u64) -> (OpaqueExtrinsic, AccountId) {
        let key = sr25519::Pair::from_seed(&[7; 32]);
        let account = AccountId::from(key.public());
        // Era, nonce, tip, and no hash of the metadata.
        let extension = (Era::mortal(64, birth), Compact(3u32), Compact(0u128), false).encode();
        let extension = TxExtension::decode(&mut &extension[..]).unwrap();
        // The signature is not checked again: the block with the transaction was imported.
        let signature = Signature::from(key.sign(b""));
        let signed = UncheckedExtrinsic::new_signed(call, account.clone().into(), signature, extension);
        (signed.into(), account)
    }

    fn report() -> RuntimeCall {
        pallet_proof_of_quality::Call::report_work { reports: Default::default() }.into()
    }

    #[test]
    fn what_went_through_the_pool_is_known() {
        let sent = Arc::new(Sent::default());
        let pool = Recorded::new(Pool, Arc::clone(&sent));
        let (first, _) = transaction(report(), 100);
        let (second, _) = transaction(report(), 101);
        pool.submit_local(Hash::default(), first.clone()).unwrap();
        assert!(sent.knows(&first) && !sent.knows(&second));
        assert_eq!((sent.taken(), sent.refused()), (1, 0));
        let remark = frame_system::Call::remark { remark: vec![0; 2_000] }.into();
        let (long, _) = transaction(remark, 100);
        assert!(pool.submit_local(Hash::default(), long.clone()).is_err());
        assert!(sent.knows(&long), "a pool that refuses may have passed it on before");
        assert_eq!((sent.taken(), sent.refused()), (1, 1));
    }

    #[test]
    fn what_is_forgotten_is_the_oldest() {
        let sent = Sent::default();
        // Each is signed once: a second signature of the same would be another.
        let (first, _) = transaction(report(), 1);
        let others: Vec<_> = (0..REMEMBERED as u64).map(|birth| transaction(report(), birth).0).collect();
        sent.remember(&first);
        others.iter().for_each(|other| sent.remember(other));
        assert!(!sent.knows(&first));
        assert!(others.iter().all(|other| sent.knows(other)));
        assert_eq!(sent.known().hashes.len(), REMEMBERED);
    }

    #[test]
    fn a_report_says_who_signed_it_and_when_it_was_born() {
        for birth in [64, 100, 127, 1_000] {
            let (transaction, worker) = transaction(report(), birth);
            let born = u32::try_from(birth).unwrap();
            assert_eq!(report_in(&transaction, born + 5), Some(SignedReport { worker, born }));
        }
        let (other, _) = transaction(frame_system::Call::remark { remark: vec![] }.into(), 64);
        assert_eq!(report_in(&other, 65), None);
    }
}
