//! `poq_problems`: the problems of this node and its operators.
//!
//! The method is unsafe, so by default only the control socket serves it: problems name the operators that work here, files, and the
//! engine's address, and tell an attacker when they are weak.

use codec::Decode as _;
use jsonrpsee::{core::RegisterMethodError, types::ErrorObjectOwned, Methods, RpcModule};
use poq_primitives::{keys::PROBLEMS_KEY, problem::Problem};
use sc_rpc::DenyUnsafe;
use sp_core::offchain::{OffchainStorage, STORAGE_PREFIX};

/// Name of the method. It takes no parameters and answers with a list of [`Problem`]s.
const PROBLEMS: &str = "poq_problems";

/// The method. It reads the list that the watch keeps in the off-chain database.
pub fn methods(storage: impl OffchainStorage + 'static) -> Result<Methods, RegisterMethodError> {
    let mut module = RpcModule::new(storage);
    module.register_method(PROBLEMS, |_, storage, extensions| {
        extensions.get().copied().unwrap_or(DenyUnsafe::Yes).check_if_safe()?;
        Ok::<_, ErrorObjectOwned>(kept(storage))
    })?;
    Ok(module.into())
}

fn kept(storage: &impl OffchainStorage) -> Vec<Problem> {
    let stored = storage.get(STORAGE_PREFIX, PROBLEMS_KEY);
    stored.and_then(|bytes| Vec::decode(&mut &bytes[..]).ok()).unwrap_or_default()
}
