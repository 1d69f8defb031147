//! Tells a node where its engine is, by the RPC with which any Substrate node lets its operator write to the off-chain
//! database. Nothing of a chain is needed.

use crate::{
    account,
    address::{self, Way},
    args::{EngineArgs, Shared},
    failure::{Failure, Outcome},
    own_node::{OwnNode, Place},
    render,
};
use poq_primitives::keys::{EngineEndpoint, ENGINE_ENDPOINT_KEY};
use serde_json::{json, Value};
use std::path::Path;
use subxt::{ext::codec::Encode, rpcs::rpc_params};
use url::Url;

/// The RPC that writes to the node's off-chain database.
const METHOD: &str = "offchain_localStorageSet";

/// `poq operator engine`.
pub async fn run(engine: &EngineArgs, shared: &Shared) -> Result<Outcome, Failure> {
    let url = engine.engine.trim_end_matches('/');
    let is_engine = Url::parse(url).is_ok_and(|url| ["http", "https"].contains(&url.scheme()));
    if !is_engine {
        return Err(Failure::Input(format!("`{url}` is no address of an engine: it begins with http://")));
    }
    let endpoint = EngineEndpoint { url: url.to_owned(), token: token(&engine.token_file)? };
    if engine.print {
        render::line(call(&endpoint).to_string())?;
        return Ok(Outcome::Done);
    }
    let place = engine.node.clone().unwrap_or_else(|| Place::Url(shared.url.clone()));
    if let Place::Url(url) = &place {
        refuse_to_tell_everybody(url)?;
    }
    let node = OwnNode::reach(&place).await?;
    let [kind, key, value] = arguments(&endpoint);
    node.command::<()>(METHOD, rpc_params![kind, key, value]).await?;
    let place = node.place().to_string();
    if shared.json {
        render::json(&json!({ "engine": url, "node": place }))?;
    } else {
        render::line(format!("the node at {place} was told that its engine is at {url}"))?;
    }
    Ok(Outcome::Done)
}

/// The token in a file, as the engine reads it.
fn token(file: &Path) -> Result<String, Failure> {
    let text = account::read_secret(file)?;
    let token = text.trim();
    let well_formed = (16..=256).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic());
    if !well_formed {
        let file = file.display();
        return Err(Failure::Input(format!("{file} holds no token: 16 to 256 visible ASCII characters")));
    }
    account::warn_of_other_readers(file);
    Ok(token.to_owned())
}

/// Kind of storage, key and value.
fn arguments(endpoint: &EngineEndpoint) -> [String; 3] {
    let hex = |bytes: &[u8]| format!("0x{}", hex::encode(bytes));
    ["PERSISTENT".into(), hex(ENGINE_ENDPOINT_KEY), hex(&endpoint.encode())]
}

fn call(endpoint: &EngineEndpoint) -> Value {
    json!({ "jsonrpc": "2.0", "id": 1, "method": METHOD, "params": arguments(endpoint) })
}

/// The token must not cross a network where others can read it.
fn refuse_to_tell_everybody(node: &str) -> Result<(), Failure> {
    match address::way(node) {
        Some(Way::Own | Way::Encrypted) => Ok(()),
        Some(Way::Open) => Err(Failure::Input(format!(
            "the token would travel to {node} for all to read: run this on the node's own machine, use a tunnel or wss://, or see --print"
        ))),
        None => Err(Failure::Input(format!(
            "`{node}` is no address of a node: it begins with ws:// or wss://"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_call_is_the_one_in_the_handbook() {
        let endpoint =
            EngineEndpoint { url: "http://127.0.0.1:9955".into(), token: "0123456789abcdef".into() };
        let text = call(&endpoint).to_string();
        let handbook = include_str!("../../docs/embed.md");
        assert!(handbook.contains(&text), "docs/embed.md does not have\n{text}");
    }

    #[test]
    fn the_token_stays_on_this_machine() {
        for own in ["ws://127.0.0.1:9944", "wss://node.example"] {
            assert_eq!(refuse_to_tell_everybody(own), Ok(()), "{own}");
        }
        // All ways to spell an address are tried where they are told apart, in `address`.
        for other in ["ws://node.example:9944", "localhost:9944"] {
            assert!(refuse_to_tell_everybody(other).is_err(), "{other}");
        }
    }
}
