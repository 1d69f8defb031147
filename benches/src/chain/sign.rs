//! Transactions as a wallet or a driver would make them, signed here.

use codec::Encode as _;
use poq_runtime::{signed_extension, Hash, Nonce, RuntimeCall, SignedPayload, UncheckedExtrinsic, VERSION};
use sp_core::{sr25519, Pair as _};
use sp_runtime::{generic::Era, AccountId32, MultiAddress, MultiSignature};

/// `call` signed by `pair`, good for ever on the chain with this genesis.
pub fn sign(call: RuntimeCall, pair: &sr25519::Pair, nonce: Nonce, genesis: Hash) -> UncheckedExtrinsic {
    let implicit = ((), VERSION.spec_version, VERSION.transaction_version, genesis, genesis, (), (), (), ());
    let payload = SignedPayload::from_raw(call, signed_extension(Era::Immortal, nonce), implicit);
    let signature = payload.using_encoded(|bytes| pair.sign(bytes));
    let (call, extension, _) = payload.deconstruct();
    let signer = MultiAddress::Id(AccountId32::from(pair.public()));
    UncheckedExtrinsic::new_signed(call, signer, MultiSignature::Sr25519(signature), extension)
}
