//! JSON-RPC of the node: methods, callers, addresses.
//!
//! One method is this project's own, `poq_problems`; everything about requests is asked through the runtime's view functions. The
//! server is put together here from the SDK's parts, because the SDK's own lets a WebSocket of any web page in: it reads `Origin` of
//! plain HTTP requests only.

mod callers;
mod control;
mod doors;
mod methods;
mod origins;
mod problems;
mod server;

pub use control::{ControlAt, ControlSocket};
pub use doors::Door;
pub use methods::Sources;
pub use server::{serve, Places};

/// Log target of this module.
const LOG: &str = "poq::rpc";
