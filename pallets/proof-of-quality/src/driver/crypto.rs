//! Signatures of worker keys.

use frame_system::offchain::AppCrypto;
use poq_primitives::keys::WORKER_KEY_TYPE;
use sp_application_crypto::{app_crypto, sr25519, KeyTypeId};
use sp_runtime::{traits::Verify, MultiSignature, MultiSigner};

/// The sr25519 application key of type `poq!`.
#[allow(missing_docs)]
pub mod app {
    use super::*;
    app_crypto!(sr25519, KeyTypeId(WORKER_KEY_TYPE));
}

/// [`Config::WorkerCrypto`](crate::Config::WorkerCrypto) for runtimes whose signatures are `MultiSignature` (nearly all)
/// or plain sr25519.
pub struct WorkerCrypto;

impl AppCrypto<MultiSigner, MultiSignature> for WorkerCrypto {
    type RuntimeAppPublic = app::Public;
    type GenericPublic = sr25519::Public;
    type GenericSignature = sr25519::Signature;
}

impl AppCrypto<<sr25519::Signature as Verify>::Signer, sr25519::Signature> for WorkerCrypto {
    type RuntimeAppPublic = app::Public;
    type GenericPublic = sr25519::Public;
    type GenericSignature = sr25519::Signature;
}
