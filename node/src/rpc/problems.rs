//! `poq_problems`: the problems of this node and its operators.
//!
//! The method is unsafe, so by default only the control socket serves it: problems name the operators that work here, files, and the
//! engine's address, and tell an attacker when they are weak.

use crate::watch::Inquiry;
use jsonrpsee::{core::RegisterMethodError, types::ErrorObjectOwned, Methods, RpcModule};
use sc_rpc::DenyUnsafe;

/// Name of the method. It takes no parameters and answers with a list of [`Problem`](poq_primitives::problem::Problem)s, which hold as of
/// now.
const PROBLEMS: &str = "poq_problems";

/// The method. It asks the watch.
pub fn methods(watch: Inquiry) -> Result<Methods, RegisterMethodError> {
    let mut module = RpcModule::new(watch);
    module.register_async_method(PROBLEMS, |_, watch, extensions| async move {
        extensions.get().copied().unwrap_or(DenyUnsafe::Yes).check_if_safe()?;
        Ok::<_, ErrorObjectOwned>(watch.problems().await.unwrap_or_default())
    })?;
    Ok(module.into())
}
