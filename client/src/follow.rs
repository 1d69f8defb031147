//! A question from its transaction to its end.

use crate::{
    types::{
        chain::{proof_of_quality::events::Requested, tx},
        RequestView, Terms,
    },
    Client, Error,
};
use std::time::Duration;
use subxt::utils::AccountId32;
use subxt_signer::sr25519::Keypair;
use tokio::time::sleep;

/// Pause before connecting again to a node that went away.
const RECONNECT_PAUSE: Duration = Duration::from_secs(1);

/// A request that is in a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Number of the request.
    pub id: u64,
    /// The account that asked.
    pub requester: AccountId32,
    /// The question, UTF-8.
    pub prompt: Vec<u8>,
    /// Fee of the transaction, in units; not the request's budget.
    pub fee: u128,
}

impl Asked {
    /// Whether `request` is this one: after a re-organisation its number may be somebody else's for a while.
    fn is(&self, request: &RequestView) -> bool {
        request.requester == self.requester && request.prompt == self.prompt
    }
}

/// News of a request that is followed.
#[derive(Debug)]
pub enum News<'a> {
    /// State of the request in a best block.
    Stands {
        /// The request.
        request: &'a RequestView,
        /// The block's number.
        block: u64,
    },
    /// The node is gone; it is waited for.
    NodeGone,
}

impl Client {
    /// Asks a question: signs and sends `request_inference`, and waits until it is in a best block.
    ///
    /// # Errors
    /// As [`Client::submit_until`](crate::Client::submit_until).
    pub async fn ask(&self, prompt: &str, terms: Terms, signer: &Keypair) -> Result<Asked, Error> {
        let prompt = prompt.as_bytes().to_vec();
        let call = tx().proof_of_quality().request_inference(prompt.clone(), terms);
        let included = self.submit(call, signer).await?;
        let event: Requested = included.event().ok_or_else(|| {
            Error::Undecodable("the transaction succeeded, but no request came of it".into())
        })?;
        let requester = signer.public_key().to_account_id();
        Ok(Asked { id: event.request, requester, prompt, fee: included.fee })
    }

    /// Follows a request block by block until it is over; `hear` gets each state. Returns the last one.
    ///
    /// A node that goes away is waited for, for ever, and this client connects to it again: the request is on the chain, not in the
    /// node. Drop the future to stop waiting.
    ///
    /// # Errors
    /// [`Error::Undecodable`], [`Error::OtherChain`].
    pub async fn follow(
        &mut self,
        asked: &Asked,
        mut hear: impl FnMut(News<'_>),
    ) -> Result<RequestView, Error> {
        loop {
            match self.watch(asked, &mut hear).await {
                Err(Error::Unreachable(_)) => hear(News::NodeGone),
                over => return over,
            }
            loop {
                sleep(RECONNECT_PAUSE).await;
                match self.reconnect().await {
                    Ok(again) => {
                        *self = again;
                        break;
                    }
                    Err(Error::Unreachable(_)) => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }

    /// Follows the request on one connection until it is over.
    async fn watch(&self, asked: &Asked, hear: &mut impl FnMut(News<'_>)) -> Result<RequestView, Error> {
        let mut blocks = self.best_blocks().await?;
        let mut at = self.best().await?;
        loop {
            let request = at.request(asked.id).await?.filter(|request| asked.is(request));
            if let Some(request) = request {
                hear(News::Stands { request: &request, block: at.number() });
                if request.phase.closed_at().is_some() {
                    return Ok(request);
                }
            }
            at = blocks.next().await?;
        }
    }
}
