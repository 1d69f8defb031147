//! Signed transactions, as a wallet or a driver makes them.

use anyhow::{Context as _, Result};
use codec::{Compact, Decode as _, Encode as _};
use poq_runtime::{
    signed_extension, Balance, Hash, Nonce, RuntimeCall, SignedPayload, TxExtension, UncheckedExtrinsic,
    VERSION,
};
use sp_core::{sr25519, Pair as _};
use sp_runtime::{generic::Era, AccountId32, MultiAddress, MultiSignature};

/// `call` signed by `pair`, valid for ever on the chain with this genesis.
pub fn sign(call: RuntimeCall, pair: &sr25519::Pair, nonce: Nonce, genesis: Hash) -> UncheckedExtrinsic {
    sign_with(signed_extension(Era::Immortal, nonce), call, pair, genesis)
}

/// The same with a tip, which makes it another transaction for the pool. A due report is free, so its tip is not taken.
pub fn sign_with_tip(
    call: RuntimeCall,
    pair: &sr25519::Pair,
    nonce: Nonce,
    genesis: Hash,
    tip: Balance,
) -> Result<UncheckedExtrinsic> {
    // As encoded in a transaction, the last byte for "no metadata hash": the other extensions have no bytes.
    let bytes = (Era::Immortal, Compact(nonce), Compact(tip), 0_u8).encode();
    let extension =
        TxExtension::decode(&mut &bytes[..]).context("transactions carry something else besides")?;
    Ok(sign_with(extension, call, pair, genesis))
}

fn sign_with(
    extension: TxExtension,
    call: RuntimeCall,
    pair: &sr25519::Pair,
    genesis: Hash,
) -> UncheckedExtrinsic {
    let implicit =
        ((), VERSION.spec_version, VERSION.transaction_version, genesis, genesis, (), (), (), None, ());
    let payload = SignedPayload::from_raw(call, extension, implicit);
    let signature = payload.using_encoded(|bytes| pair.sign(bytes));
    let (call, extension, _) = payload.deconstruct();
    let signer = MultiAddress::Id(AccountId32::from(pair.public()));
    UncheckedExtrinsic::new_signed(call, signer, MultiSignature::Sr25519(signature), extension)
}
