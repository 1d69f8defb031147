//! `GET /v1/receipts/{number}`: proof of a request's outcome, which anybody checks without a node.

use super::{App, Caller};
use crate::{
    config::parse_hash,
    refusal::{Kind, Refusal},
};
use axum::{
    extract::{
        rejection::{PathRejection, QueryRejection},
        Path, Query, State,
    },
    Json,
};
use poq_receipt::{Anchor, Error, Receipt};
use serde::Deserialize;

/// Block that the receipt begins with.
#[derive(Debug, Deserialize)]
pub struct Begin {
    /// Hash of a finalized block [default: the genesis block].
    anchor: Option<String>,
}

/// `GET /v1/receipts/{number}`.
pub async fn one(
    State(app): State<App>,
    _caller: Caller,
    number: Result<Path<u64>, PathRejection>,
    begin: Result<Query<Begin>, QueryRejection>,
) -> Result<Json<Receipt>, Refusal> {
    let (Path(number), Query(Begin { anchor })) = (number?, begin?);
    let anchor = match anchor {
        Some(hash) => {
            Anchor::Block(parse_hash(&hash).map_err(|error| Refusal::invalid(error).about("anchor"))?)
        }
        None => Anchor::Genesis,
    };
    let busy = || {
        Refusal::new(
            Kind::Rate,
            "too_many_receipts",
            "as many receipts are made as the gateway makes at a time; try again",
        )
        .after(1)
    };
    let _place = app.receipts.try_acquire().map_err(|_| busy())?;
    let client = app.desk.chain.client();
    let receipt = poq_receipt::collect(&client, number, anchor).await.map_err(|error| {
        let message = error.to_string();
        match error {
            Error::Client(_) => Refusal::no_network(),
            Error::NoRequest(_) | Error::UnknownBlock(_) => {
                Refusal::new(Kind::NotFound, "receipt_not_found", message)
            }
            Error::Open(_) | Error::NoProof(_) => Refusal::new(Kind::Conflict, "not_final", message).after(5),
            Error::Forgotten(_) => Refusal::new(Kind::Gone, "forgotten", message),
            Error::LateAnchor { .. } => Refusal::invalid(message).about("anchor"),
            Error::OtherChain | Error::Invalid(_) => {
                tracing::error!(number, message, "a receipt does not hold");
                Refusal::internal()
            }
        }
    })?;
    Ok(Json(receipt))
}
