//! One finalized block, as far as the history keeps it.

use futures::future::try_join_all;
use poq_client::{
    json::Rest,
    types::{
        chain::proof_of_quality::events::{
            AuditRevealed, Audited, Compensated, Refunded, Requested, Settled, Slashed,
        },
        RequestView,
    },
    Client, Error as ClientError, PALLET,
};
use serde_json::{json, Value};
use std::collections::BTreeMap;

/// Why a block was not read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The connection, or the node.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The node has the block and not its state.
    #[error(
        "the node has forgotten the state of block {0}: ask one that runs with `--state-pruning archive`, or begin a new database at a \
         later block with --from"
    )]
    Pruned(u64),
    /// The chain contradicts itself.
    #[error("block {block} says that there is a request {request}, and has none")]
    NoRequest {
        /// The block.
        block: u64,
        /// The request.
        request: u64,
    },
}

/// The part of a block that the history keeps.
#[derive(Clone, Debug)]
pub struct Block {
    /// Its number.
    pub number: u64,
    /// Its hash.
    pub hash: [u8; 32],
    /// The hash of the one before.
    pub parent: [u8; 32],
    /// Its time by its author's clock, in milliseconds since 1970.
    pub millis: i64,
    /// Requests that were made, that ended, or whose audit was opened, as they stand after the block; by number.
    pub requests: Vec<Seen>,
    /// Slashes, compensations and audits of operators, in the order of their events.
    pub happenings: Vec<Happening>,
}

/// A request as a block leaves it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// All that the chain says.
    pub view: RequestView,
    /// Where the budget went, if the request ended in this block.
    pub end: Option<Rest>,
}

/// Something that happened to an operator, or to a request after its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happening {
    /// Place of the event in the block.
    pub place: u32,
    /// Name in JSON.
    pub kind: Kind,
    /// The operator.
    pub operator: Option<String>,
    /// The request.
    pub request: u64,
    /// Units that moved.
    pub amount: u128,
    /// The rest.
    pub detail: Value,
}

/// Kinds of happenings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Stake was taken.
    Slashed,
    /// An operator was paid for what a gross error of others had cost it.
    Compensated,
    /// An operator's scores were held against the truth.
    Audited,
    /// A request turned out to be an audit.
    AuditRevealed,
}

impl Kind {
    /// Name in JSON and in the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Slashed => "slashed",
            Self::Compensated => "compensated",
            Self::Audited => "audited",
            Self::AuditRevealed => "audit_revealed",
        }
    }
}

/// Requests and happenings in the events of a block.
#[derive(Default)]
struct Said {
    /// Requests to look at, and where their budgets went if they ended.
    requests: BTreeMap<u64, Option<Rest>>,
    happenings: Vec<Happening>,
}

impl Block {
    /// Reads the finalized block of this number.
    pub async fn read(client: &Client, number: u64) -> Result<Self, Error> {
        let gone = || ClientError::Undecodable(format!("the node has no block {number}"));
        let hash = client.hash(number).await?.ok_or_else(gone)?;
        let header = client.rpc().chain_get_header(Some(hash)).await;
        let header = header.map_err(|error| ClientError::Unreachable(error.to_string()))?.ok_or_else(gone)?;
        let millis = client.millis(hash).await?.ok_or(Error::Pruned(number))?;
        let mut block = Self {
            number,
            hash: hash.0,
            parent: header.parent_hash.0,
            millis: i64::try_from(millis).unwrap_or(i64::MAX),
            requests: Vec::new(),
            happenings: Vec::new(),
        };
        let at = match client.at(hash).await {
            Ok(at) => at,
            // Before an upgrade that brought the pallet.
            Err(ClientError::NoProofOfQuality { .. }) => return Ok(block),
            Err(error) => return Err(error.into()),
        };
        let mut said = Said::default();
        for event in at.events().await?.iter() {
            let event = event.map_err(|error| ClientError::Undecodable(error.to_string()))?;
            if event.pallet_name() == PALLET {
                said.hear(&event)?;
            }
        }
        block.happenings = said.happenings;
        let views = said.requests.into_iter().map(|(request, end)| {
            let at = at.clone();
            async move {
                let view = at.request(request).await?.ok_or(Error::NoRequest { block: number, request })?;
                Ok::<_, Error>(Seen { view, end })
            }
        });
        block.requests = try_join_all(views).await?;
        Ok(block)
    }
}

impl Said {
    fn hear(&mut self, event: &subxt::events::Event<'_, subxt::SubstrateConfig>) -> Result<(), ClientError> {
        // One event is of one of these types at most.
        macro_rules! heard {
            ($kind:ty) => {
                event
                    .decode_fields_as::<$kind>()
                    .transpose()
                    .map_err(|error| ClientError::Undecodable(error.to_string()))?
            };
        }
        let place = event.index();
        if let Some(Requested { request, .. }) = heard!(Requested) {
            self.requests.entry(request).or_default();
        } else if let Some(Settled { request, fee, refund, .. }) = heard!(Settled) {
            self.requests.insert(request, Some(Rest { fee, refund }));
        } else if let Some(Refunded { request, fee, refund, .. }) = heard!(Refunded) {
            self.requests.insert(request, Some(Rest { fee, refund }));
        } else if let Some(AuditRevealed { request, reference, truth }) = heard!(AuditRevealed) {
            self.requests.entry(request).or_default();
            let truth: Vec<f64> = truth.into_iter().map(poq_client::json::fraction).collect();
            let detail = json!({ "reference": String::from_utf8_lossy(&reference), "truth": truth });
            self.happenings.push(Happening {
                place,
                kind: Kind::AuditRevealed,
                operator: None,
                request,
                amount: 0,
                detail,
            });
        } else if let Some(Slashed { operator, request, amount, reason }) = heard!(Slashed) {
            // The name without what the variant holds, which other events say.
            let reason = format!("{reason:?}");
            let reason = reason.split([' ', '{', '(']).next().unwrap_or_default();
            self.happen(
                place,
                Kind::Slashed,
                operator.to_string(),
                request,
                amount,
                json!({ "reason": reason }),
            );
        } else if let Some(Compensated { who, request, amount }) = heard!(Compensated) {
            self.happen(place, Kind::Compensated, who.to_string(), request, amount, json!({}));
        } else if let Some(Audited { request, operator, error }) = heard!(Audited) {
            let detail = json!({ "error": poq_client::json::fraction(error) });
            self.happen(place, Kind::Audited, operator.to_string(), request, 0, detail);
        }
        Ok(())
    }

    fn happen(
        &mut self,
        place: u32,
        kind: Kind,
        operator: String,
        request: u64,
        amount: u128,
        detail: Value,
    ) {
        self.happenings.push(Happening { place, kind, operator: Some(operator), request, amount, detail });
    }
}
