//! Transactions: signed, tried out, sent, and followed into a block.

use crate::{
    at::{Signed, MORTALITY},
    types::{
        chain::{storage, sudo::events::Sudid, transaction_payment::events::TransactionFeePaid, tx},
        RootCall,
    },
    At, Client, Error,
};
use std::time::Duration;
use subxt::{
    error::{BackendError, DispatchError, ExtrinsicError, RpcError as BackendRpcError},
    events::DecodeAsEvent,
    ext::scale_encode::EncodeAsFields,
    extrinsics::ExtrinsicEvents,
    rpcs::{
        methods::legacy::{DryRunResult, DryRunResultBytes},
        Error as RpcError, UserError,
    },
    tx::{StaticPayload, TransactionStatus},
    SubstrateConfig,
};
use subxt_signer::sr25519::Keypair;
use tokio::time::sleep;

/// The runtime API that applies a transaction to a block.
const APPLY: &str = "BlockBuilder_apply_extrinsic";

/// The pallet that makes calls as root.
const SUDO: &str = "Sudo";

/// Most attempts to sign a transaction whose nonce another one of the same account took.
const NONCE_ATTEMPTS: u32 = 20;

/// Pause before the next of these attempts.
const NONCE_PAUSE: Duration = Duration::from_millis(300);

/// Most looks whether an upgrade of the chain is final: a minute of them.
const UPGRADE_ATTEMPTS: u32 = 60;

/// Pause before the next look.
const UPGRADE_PAUSE: Duration = Duration::from_secs(1);

/// The event that ends the wait for a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Until it is in a best block, which takes about a block time. A re-organisation may still take it out.
    InBlock,
    /// Until it is in a finalized block.
    Final,
}

/// A transaction in a block, which succeeded.
pub struct Included {
    events: ExtrinsicEvents<SubstrateConfig>,
    /// Fee of the transaction, in units.
    pub fee: u128,
}

impl Included {
    /// The first event of this kind, if there is one.
    pub fn event<E: DecodeAsEvent>(&self) -> Option<E> {
        self.events().next()
    }

    /// All events of this kind.
    pub fn events<E: DecodeAsEvent>(&self) -> impl Iterator<Item = E> + use<'_, E> {
        self.events.find::<E>().filter_map(Result::ok)
    }
}

/// A transaction that is signed and not sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// The transaction, in the chain's encoding.
    pub encoded: Vec<u8>,
    /// Its nonce.
    pub nonce: u64,
    /// Number of the block that it was signed at. Only the 64 blocks after it can contain the transaction.
    pub born: u64,
}

impl Prepared {
    /// The last block that can contain a transaction that was signed at block `born`.
    pub fn last_block(born: u64) -> u64 {
        born.saturating_add(MORTALITY)
    }
}

/// Reason for which a transaction is not in a block.
enum Rejection {
    /// The nonce is taken: sign anew. With the pool's reason.
    NonceTaken(String),
    /// For good.
    Final(Error),
}

impl From<Error> for Rejection {
    fn from(error: Error) -> Self {
        Self::Final(error)
    }
}

impl Client {
    /// Signs `call` with `signer`, sends it, and waits until it is in a best block. As [`Client::submit_until`].
    ///
    /// # Errors
    /// As [`Client::submit_until`].
    pub async fn submit<C: EncodeAsFields>(
        &self,
        call: StaticPayload<C>,
        signer: &Keypair,
    ) -> Result<Included, Error> {
        self.submit_until(Until::InBlock, call, signer).await
    }

    /// Signs `call` with `signer`, sends it, and waits.
    ///
    /// The nonce counts what waits in the node's pool. Tasks that share this client, or clones of it, take theirs in turn; if another
    /// program takes a nonce first, the transaction is signed anew, up to 20 times. Where the node lets it, the call is tried out first:
    /// what the chain would refuse then costs nothing. The transaction is good for 64 blocks.
    ///
    /// # Errors
    /// [`Error::Refused`] with the name of the chain's error, whether that was found before or in the block; [`Error::NonceTaken`],
    /// [`Error::Dropped`], [`Error::UpgradeNotFinal`], [`Error::Unreachable`], [`Error::Undecodable`]. After [`Error::Unreachable`] the
    /// transaction may be in a block.
    pub async fn submit_until<C: EncodeAsFields>(
        &self,
        until: Until,
        call: StaticPayload<C>,
        signer: &Keypair,
    ) -> Result<Included, Error> {
        let call = call.unvalidated();
        let mut last = String::new();
        for _ in 0..NONCE_ATTEMPTS {
            match self.attempt(until, &call, signer).await {
                Ok(included) => return Ok(included),
                Err(Rejection::Final(error)) => return Err(error),
                Err(Rejection::NonceTaken(reason)) => last = reason,
            }
            sleep(NONCE_PAUSE).await;
        }
        Err(Error::NonceTaken { reason: last })
    }

    async fn attempt<C: EncodeAsFields>(
        &self,
        until: Until,
        call: &StaticPayload<C>,
        signer: &Keypair,
    ) -> Result<Included, Rejection> {
        // Born at the finalized block, which no re-organisation takes away.
        let at = self.finalized_with_the_best_runtime().await?;
        let turn = self.signing.lock().await;
        let account = signer.public_key().to_account_id();
        let nonce = self.rpc().system_account_next_index(&account).await.map_err(Error::of)?;
        let transaction = at.sign_mortal(call, signer, nonce).await?;
        self.try_out(&transaction).await?;
        let mut progress = transaction.submit_and_watch().await.map_err(|error| rejection(&error))?;
        drop(turn);
        while let Some(status) = progress.next().await {
            let block = match status.map_err(Error::of)? {
                TransactionStatus::InBestBlock(block) if until == Until::InBlock => block,
                TransactionStatus::InFinalizedBlock(block) => block,
                TransactionStatus::Invalid { message } => return Err(invalid(&message)),
                TransactionStatus::Error { message } | TransactionStatus::Dropped { message } => {
                    return Err(Error::Dropped { reason: message }.into());
                }
                _ => continue,
            };
            let events = block.wait_for_success().await.map_err(Error::from)?;
            let paid = events.find_first::<TransactionFeePaid>().and_then(Result::ok);
            return Ok(Included { fee: paid.map_or(0, |paid| paid.actual_fee), events });
        }
        Err(Error::Unreachable(format!("lost the node at {}", self.url())).into())
    }

    /// Makes `call` as root, by the sudo key `signer`, and waits until it is in a best block.
    ///
    /// # Errors
    /// As [`Client::sudo_by`].
    pub async fn sudo(&self, call: impl Into<RootCall>, signer: &Keypair) -> Result<Included, Error> {
        self.sudo_by(tx().sudo().sudo(call.into()), signer).await
    }

    /// Makes a call of the pallet `Sudo` with a call in it, such as `sudo_unchecked_weight`, and waits until it is in a best block.
    ///
    /// Sudo succeeds whatever becomes of the call, which therefore cannot be tried out first; an error of the call is an error here.
    ///
    /// # Errors
    /// [`Error::NoSudo`]; [`Error::Refused`] as `RequireSudo`, before anything is sent, or as the call fails; and as
    /// [`Client::submit_until`].
    pub async fn sudo_by<C: EncodeAsFields>(
        &self,
        call: StaticPayload<C>,
        signer: &Keypair,
    ) -> Result<Included, Error> {
        check_sudo(&self.best().await?, signer).await?;
        let included = self.submit(call, signer).await?;
        let sudid: Sudid = included
            .event()
            .ok_or_else(|| Error::Undecodable("sudo does not say what came of its call".into()))?;
        match sudid.sudo_result {
            Ok(()) => Ok(included),
            Err(error) => Err(self.best().await?.explain(&error)),
        }
    }

    /// Gives an encoded transaction to the node's pool, and does not wait.
    ///
    /// # Errors
    /// [`Error::Unreachable`]; [`Error::Refused`] if the pool does not take it.
    pub async fn send(&self, transaction: &[u8]) -> Result<(), Error> {
        match self.rpc().author_submit_extrinsic(transaction).await {
            Ok(_) => Ok(()),
            Err(RpcError::User(error)) => Err(not_taken(&reason(&error))),
            Err(error) => Err(Error::of(error)),
        }
    }

    /// Signs `call` with a nonce of the caller's choice and tries it out as [`Client::submit_until`] does, and does not send it: for
    /// programs that keep what they send, so that they find it again whatever happens. [`Client::offer`] sends it.
    ///
    /// # Errors
    /// [`Error::Refused`] as the chain would refuse the call; [`Error::UpgradeNotFinal`], [`Error::Unreachable`],
    /// [`Error::Undecodable`].
    pub async fn prepare<C: EncodeAsFields>(
        &self,
        call: StaticPayload<C>,
        signer: &Keypair,
        nonce: u64,
    ) -> Result<Prepared, Error> {
        let at = self.finalized_with_the_best_runtime().await?;
        let transaction = at.sign_mortal(&call.unvalidated(), signer, nonce).await?;
        self.try_out(&transaction).await?;
        Ok(Prepared { encoded: transaction.encoded().to_vec(), nonce, born: at.number() })
    }

    /// Gives a prepared transaction to the node's pool, and does not wait.
    ///
    /// # Errors
    /// [`Error::NonceTaken`] if the pool has the transaction already, or another one with its nonce, or its nonce is used, or its time is
    /// over; [`Error::Refused`] if the pool does not take it; [`Error::Unreachable`], after which the pool may have it.
    pub async fn offer(&self, transaction: &[u8]) -> Result<(), Error> {
        match self.rpc().author_submit_extrinsic(transaction).await {
            Ok(_) => Ok(()),
            Err(RpcError::User(error)) => Err(match of_pool(&error) {
                Rejection::NonceTaken(reason) => Error::NonceTaken { reason },
                Rejection::Final(error) => error,
            }),
            Err(error) => Err(Error::of(error)),
        }
    }

    /// The newest finalized block, once it has the runtime of the best block. An upgrade is final some blocks after it
    /// applies, and the pool refuses what is signed for the version before.
    async fn finalized_with_the_best_runtime(&self) -> Result<At, Error> {
        let mut version = 0;
        for _ in 0..UPGRADE_ATTEMPTS {
            let at = self.finalized().await?;
            version = self.best().await?.spec_version();
            if at.spec_version() == version {
                return Ok(at);
            }
            sleep(UPGRADE_PAUSE).await;
        }
        Err(Error::UpgradeNotFinal { version })
    }

    /// Runs the transaction on the best block without sending it. Says nothing if the node does not do that for us.
    ///
    /// Every node answers this: the RPC `system_dryRun`, which does the same, is for the node's own operator.
    async fn try_out(&self, transaction: &Signed) -> Result<(), Error> {
        let tried = self.rpc().state_call(APPLY, Some(transaction.encoded()), None).await;
        let Ok(bytes) = tried else { return Ok(()) };
        match DryRunResultBytes(bytes).into_dry_run_result() {
            Ok(DryRunResult::DispatchError(error)) => {
                let metadata = self.best().await?.library().metadata();
                Err(Error::of_dispatch(&DispatchError::decode_from(error, metadata).map_err(Error::of)?))
            }
            // Validity depends on the nonce, which may be ahead of the best block; the pool knows better.
            _ => Ok(()),
        }
    }
}

/// Refuses a signer that is not sudo before anything is sent: even a refused transaction shows to all what it holds.
async fn check_sudo(at: &At, signer: &Keypair) -> Result<(), Error> {
    if !at.has_pallet(SUDO) {
        return Err(Error::NoSudo);
    }
    let account = signer.public_key().to_account_id();
    match at.entry(storage().sudo().key(), ()).await? {
        Some(key) if key == account => Ok(()),
        _ => Err(Error::refused("RequireSudo", format!("{account} is not the chain's sudo key."))),
    }
}

/// The pool's rejection of a transaction. The codes are those of `author_submitExtrinsic`.
fn rejection(error: &ExtrinsicError) -> Rejection {
    let ExtrinsicError::ErrorSubmittingTransaction(BackendError::Rpc(BackendRpcError::ClientError(
        RpcError::User(user),
    ))) = error
    else {
        return Error::of(error).into();
    };
    of_pool(user)
}

/// The pool's own words.
fn of_pool(user: &UserError) -> Rejection {
    match user.code {
        1010 => invalid(&reason(user)),
        // Banned, known already, or not worth more than another one with the same nonce.
        1012..=1014 => Rejection::NonceTaken(reason(user)),
        _ => not_taken(&reason(user)).into(),
    }
}

/// The pool's reason: its message, and the details, which stand in the data.
fn reason(error: &UserError) -> String {
    let detail = error.data.as_ref().map(|data| data.get().trim_matches('"')).unwrap_or_default();
    format!("{}: {detail}", error.message)
}

fn not_taken(reason: &str) -> Error {
    Error::refused("InvalidTransaction", format!("The node does not take the transaction ({reason})."))
}

/// A transaction that is not valid, and why.
fn invalid(reason: &str) -> Rejection {
    if reason.contains("pay some fees") {
        let docs = "The account cannot pay the transaction's fee.";
        return Error::refused("InsufficientBalance", docs).into();
    }
    Rejection::NonceTaken(reason.to_owned())
}
