//! Wasm, run by a node's executor with its default settings.

use anyhow::{anyhow, Result};
use sc_executor::WasmExecutor;
use sp_core::traits::{CallContext, CodeExecutor as _, RuntimeCode, WrappedRuntimeCode};
use sp_externalities::Externalities;
use sp_io::SubstrateHostFunctions;
use std::borrow::Cow;

/// A module, ready to be called.
pub struct Wasm {
    executor: WasmExecutor<SubstrateHostFunctions>,
    code: WrappedRuntimeCode<'static>,
    hash: Vec<u8>,
}

impl Wasm {
    /// Takes compiled code. The executor compiles it further at the first call.
    pub fn new(code: impl Into<Cow<'static, [u8]>>) -> Self {
        let code = code.into();
        let hash = sp_io::hashing::blake2_256(&code).to_vec();
        // The executor that a node has by default.
        Self { executor: WasmExecutor::builder().build(), code: WrappedRuntimeCode(code), hash }
    }

    /// Calls one of its functions.
    pub fn call<'a>(
        &self,
        ext: &'a mut (dyn Externalities + 'a),
        function: &str,
        data: &[u8],
        context: CallContext,
    ) -> Result<Vec<u8>> {
        let code = RuntimeCode { code_fetcher: &self.code, heap_pages: None, hash: self.hash.clone() };
        let (result, _) = self.executor.call(ext, &code, function, data, context);
        result.map_err(|error| anyhow!("{function} fails: {error}"))
    }
}
