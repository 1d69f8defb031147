//! The transactions in which worker keys report, for a runtime that has no transactions made by its node yet.

#[doc(hidden)]
pub use frame_system::offchain::{AppCrypto, CreateSignedTransaction, CreateTransactionBase, SigningTypes};
#[doc(hidden)]
pub use sp_runtime::{generic::Era, MultiSignature, MultiSigner};

use super::LOG_TARGET;
use codec::Encode;
use sp_runtime::{
    generic::{SignedPayload, UncheckedExtrinsic},
    traits::{Dispatchable, One, SaturatedConversion, Saturating, StaticLookup, TransactionExtension},
};

/// Blocks for which a transaction signed by a node is good: long enough for a full pool, short enough to be made anew.
pub const GOOD_FOR_BLOCKS: u64 = 64;

type AddressOf<T> = <<T as frame_system::Config>::Lookup as StaticLookup>::Source;

/// The era of a transaction that is made now. The newest block whose hash is in the state is the parent.
pub fn era<T: frame_system::Config>() -> Era {
    let birth = frame_system::Pallet::<T>::block_number().saturating_sub(One::one());
    Era::mortal(GOOD_FOR_BLOCKS, birth.saturated_into())
}

/// `call` with `extension`, signed for `account` by its key `public`; `None` if the keystore does not have it.
pub fn signed<T, C, Call, Extension>(
    call: Call,
    extension: Extension,
    public: MultiSigner,
    account: T::AccountId,
) -> Option<UncheckedExtrinsic<AddressOf<T>, Call, MultiSignature, Extension>>
where
    T: frame_system::Config,
    C: AppCrypto<MultiSigner, MultiSignature>,
    Call: Encode + Dispatchable,
    Extension: TransactionExtension<Call>,
{
    let payload = SignedPayload::new(call, extension)
        .inspect_err(|error| log::error!(target: LOG_TARGET, "cannot make a payload to sign: {error:?}"))
        .ok()?;
    let signature = payload.using_encoded(|bytes| C::sign(bytes, public))?;
    let (call, extension, _) = payload.deconstruct();
    Some(UncheckedExtrinsic::new_signed(call, T::Lookup::unlookup(account), signature, extension))
}

/// Implements `frame_system::offchain::CreateSignedTransaction`, and what it needs, for a runtime whose signatures are
/// `MultiSignature` and whose accounts are `AccountId32`.
///
/// Takes the runtime, its call, its transaction, and a function that makes the transaction extension of an era
/// ([`Era`]) and a nonce. A runtime that implements the trait for another pallet already needs nothing more.
#[macro_export]
macro_rules! impl_create_signed_transaction {
    ($runtime:ident, $call:ident, $transaction:ty, $extension:expr) => {
        impl $crate::driver::signing::SigningTypes for $runtime {
            type Public = $crate::driver::signing::MultiSigner;
            type Signature = $crate::driver::signing::MultiSignature;
        }

        impl<LocalCall> $crate::driver::signing::CreateTransactionBase<LocalCall> for $runtime
        where
            $call: From<LocalCall>,
        {
            type Extrinsic = $transaction;
            type RuntimeCall = $call;
        }

        impl<LocalCall> $crate::driver::signing::CreateSignedTransaction<LocalCall> for $runtime
        where
            $call: From<LocalCall>,
        {
            fn create_signed_transaction<
                C: $crate::driver::signing::AppCrypto<Self::Public, Self::Signature>,
            >(
                call: $call,
                public: Self::Public,
                account: Self::AccountId,
                nonce: Self::Nonce,
            ) -> Option<$transaction> {
                let extension = $extension($crate::driver::signing::era::<$runtime>(), nonce);
                $crate::driver::signing::signed::<$runtime, C, _, _>(call, extension, public, account)
            }
        }
    };
}
