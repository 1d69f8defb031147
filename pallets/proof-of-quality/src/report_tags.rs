//! One report of each piece of work in the pool, however often it is sent.
//!
//! A report costs no fee exactly while it is due, and until a block holds the first copy every further one is as due as
//! that. So the pool is told what a report is of: of two transactions with the same tag it keeps one. Who runs two nodes
//! with one worker key, or would fill the pool with copies under ever new nonces, gets no further than that.
//!
//! Reports that are due also go before what is paid for: they have a deadline and cost their sender a slash, and no flood
//! of cheap transactions may come between.
//!
//! And what a block reserves for charging a fee is given back when a report needed none.

use crate::{reports, Call, Config};
use alloc::vec::Vec;
use codec::{Decode, DecodeWithMemTracking, Encode};
use core::marker::PhantomData;
use frame_support::{
    dispatch::{DispatchInfo, PostDispatchInfo},
    pallet_prelude::{TransactionSource, TransactionValidityError, TypeInfo, ValidTransaction, Weight},
    traits::IsSubType,
};
use frame_system::pallet_prelude::OriginFor;
use scale_info::{StaticTypeInfo, Type};
use sp_runtime::{
    traits::{
        AsSystemOriginSigner, DispatchInfoOf, DispatchOriginOf, Dispatchable, Implication,
        PostDispatchInfoOf, SaturatedConversion, TransactionExtension, TransactionExtensionMetadata,
        ValidateResult,
    },
    transaction_validity::TransactionPriority,
    DispatchResult,
};

/// Prefix of the tags of reports, which sets them apart from all other tags.
const TAG_PREFIX: &[u8] = b"poq/report";

/// Below proofs of equivocation, which have the highest there is, and above any tip that somebody can afford. The height at
/// which a report was checked is added, so that one sent again takes the place of the copy that nobody took.
pub const PRIORITY: TransactionPriority = TransactionPriority::MAX / 4;

/// Wraps the extension `S` that charges fees, which must leave reports that are due alone, as `SkipCheckIfFeeless` does; tags
/// reports of work.
/// Invisible from outside: in metadata and in a transaction's bytes there is only `S`.
#[derive(Encode, Decode, DecodeWithMemTracking, Clone, Eq, PartialEq)]
pub struct ReportTags<T, S>(pub S, PhantomData<T>);

impl<T, S> From<S> for ReportTags<T, S> {
    fn from(wrapped: S) -> Self {
        Self(wrapped, PhantomData)
    }
}

impl<T, S: StaticTypeInfo> TypeInfo for ReportTags<T, S> {
    type Identity = S;

    fn type_info() -> Type {
        S::type_info()
    }
}

impl<T, S: core::fmt::Debug> core::fmt::Debug for ReportTags<T, S> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("ReportTags").field(&self.0).finish()
    }
}

/// The pool's tags of a call: for reports that are due, one for each operator and request, because a duty has one report due at a
/// time. Empty for any other call.
fn validity<T: Config>(
    call: &<T as frame_system::Config>::RuntimeCall,
    origin: &OriginFor<T>,
) -> ValidTransaction
where
    <T as frame_system::Config>::RuntimeCall: IsSubType<Call<T>>,
    OriginFor<T>: AsSystemOriginSigner<T::AccountId>,
{
    let Some(Call::report_work { reports }) = call.is_sub_type() else { return ValidTransaction::default() };
    let checked = |worker| reports::check_batch::<T>(worker, reports).ok();
    let Some(operator) = origin.as_system_origin_signer().and_then(checked) else {
        return ValidTransaction::default();
    };
    let provides = reports.iter().map(|report| (TAG_PREFIX, &operator, report.request).encode()).collect();
    let height = frame_system::Pallet::<T>::block_number().saturated_into::<u32>();
    ValidTransaction { provides, priority: PRIORITY.saturating_add(height.into()), ..Default::default() }
}

impl<T, S> TransactionExtension<<T as frame_system::Config>::RuntimeCall> for ReportTags<T, S>
where
    T: Config + Send + Sync,
    S: TransactionExtension<<T as frame_system::Config>::RuntimeCall>,
    <T as frame_system::Config>::RuntimeCall:
        Dispatchable<Info = DispatchInfo, PostInfo = PostDispatchInfo> + IsSubType<Call<T>>,
    DispatchOriginOf<<T as frame_system::Config>::RuntimeCall>: AsSystemOriginSigner<T::AccountId>,
{
    const IDENTIFIER: &'static str = S::IDENTIFIER;
    type Implicit = S::Implicit;
    type Val = S::Val;
    /// And what `S` weighs, of a report of work.
    type Pre = (S::Pre, Weight);

    fn metadata() -> Vec<TransactionExtensionMetadata> {
        S::metadata()
    }

    fn implicit(&self) -> Result<Self::Implicit, TransactionValidityError> {
        self.0.implicit()
    }

    fn weight(&self, call: &<T as frame_system::Config>::RuntimeCall) -> Weight {
        self.0.weight(call)
    }

    fn validate(
        &self,
        origin: DispatchOriginOf<<T as frame_system::Config>::RuntimeCall>,
        call: &<T as frame_system::Config>::RuntimeCall,
        info: &DispatchInfoOf<<T as frame_system::Config>::RuntimeCall>,
        len: usize,
        self_implicit: Self::Implicit,
        inherited_implication: &impl Implication,
        source: TransactionSource,
    ) -> ValidateResult<Self::Val, <T as frame_system::Config>::RuntimeCall> {
        // A block is made and checked without tags and priorities.
        let ours = match source {
            TransactionSource::InBlock => ValidTransaction::default(),
            _ => validity::<T>(call, &origin),
        };
        let (theirs, val, origin) =
            self.0.validate(origin, call, info, len, self_implicit, inherited_implication, source)?;
        Ok((theirs.combine_with(ours), val, origin))
    }

    fn prepare(
        self,
        val: Self::Val,
        origin: &DispatchOriginOf<<T as frame_system::Config>::RuntimeCall>,
        call: &<T as frame_system::Config>::RuntimeCall,
        info: &DispatchInfoOf<<T as frame_system::Config>::RuntimeCall>,
        len: usize,
    ) -> Result<Self::Pre, TransactionValidityError> {
        let weight = match call.is_sub_type() {
            Some(Call::report_work { .. }) => self.0.weight(call),
            _ => Weight::zero(),
        };
        Ok((self.0.prepare(val, origin, call, info, len)?, weight))
    }

    fn post_dispatch_details(
        (pre, weight): Self::Pre,
        info: &DispatchInfoOf<<T as frame_system::Config>::RuntimeCall>,
        post_info: &PostDispatchInfoOf<<T as frame_system::Config>::RuntimeCall>,
        len: usize,
        result: &DispatchResult,
    ) -> Result<Weight, TransactionValidityError> {
        let unspent = S::post_dispatch_details(pre, info, post_info, len, result)?;
        // The call succeeds if and only if all its reports were due, and then `S` had nothing to do.
        Ok(if result.is_ok() { unspent.max(weight) } else { unspent })
    }
}
