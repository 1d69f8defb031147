//! What the node answers over JSON-RPC, to whom, and where.
//!
//! There is no RPC of this project's own: everything about requests is asked through the runtime's view functions. The server is
//! put together here from the SDK's parts, because the SDK's own lets a WebSocket of any web page in: it reads `Origin` of plain
//! HTTP requests only.

mod callers;
mod doors;
mod methods;
mod origins;
mod server;

pub use doors::Door;
pub use methods::Sources;
pub use server::serve;

/// The target of what is logged here.
const LOG: &str = "poq::rpc";
