//! `poq operator`: the calls of an operator, each one signed transaction; and the consent of a worker key, which is no call.

use crate::{
    account::{self, Signer},
    amount::Amount,
    args::{Consent, OperatorCall, Register, Shared},
    failure::{Failure, Outcome},
    names::{self, Names},
    pin, render,
};
use poq_client::{
    types::{
        chain::{constants, express::events::Claimed, tx},
        ModelId, ModelKind, Signature, Workload,
    },
    At, Client, Included,
};
use poq_primitives::commitment::worker_consent;
use serde_json::json;
use subxt::{ext::scale_encode::EncodeAsFields, tx::StaticPayload, utils::AccountId32};
use subxt_signer::sr25519::{self, Keypair};

/// Length of a signature.
const SIGNATURE_BYTES: usize = 64;

/// `poq operator …`.
pub async fn run(client: &Client, call: OperatorCall, shared: &Shared) -> Result<Outcome, Failure> {
    let signer = account::signer(shared, client).await?;
    let sender = Sender { client, shared, signer: &signer };
    let calls = tx().proof_of_quality();
    let (done, included) = match call {
        OperatorCall::Bond { amount } => {
            let refused = sender.refusals(Move::In(amount.0)).await?;
            (format!("bonded {amount}"), sender.submit(calls.bond(amount.0), &refused).await?)
        }
        OperatorCall::Register(named) => register(&sender, &named).await?,
        OperatorCall::Chill => ("chilled".into(), sender.submit(calls.chill(), &[]).await?),
        OperatorCall::Resume => ("resumed".into(), sender.submit(calls.resume(), &[]).await?),
        OperatorCall::Capacity { tokens, pairs } => set_capacity(&sender, tokens, pairs).await?,
        OperatorCall::Unbond { amount } => {
            let refused = sender.refusals(Move::Out(amount.0)).await?;
            (format!("unbonding {amount}"), sender.submit(calls.unbond(amount.0), &refused).await?)
        }
        OperatorCall::Withdraw => {
            let refused = sender.refusals(Move::Out(0)).await?;
            ("withdrawn".into(), sender.submit(calls.withdraw(), &refused).await?)
        }
        OperatorCall::Claim => claim(&sender).await?,
    };
    report(&sender, &done, included.fee).await?;
    Ok(Outcome::Done)
}

/// Takes what was earned on the express lane.
async fn claim(sender: &Sender<'_>) -> Result<(String, Included), Failure> {
    let included = sender.submit(tx().express().claim(), &[]).await?;
    let claimed = included.event::<Claimed>().map_or(0, |claimed| claimed.amount);
    Ok((format!("claimed {}", Amount(claimed)), included))
}

/// The account whose operator's record changes, with all that it takes to send.
struct Sender<'a> {
    client: &'a Client,
    shared: &'a Shared,
    signer: &'a Signer,
}

/// A change of stake.
#[derive(Clone, Copy)]
enum Move {
    /// Onto the stake.
    In(u128),
    /// Off the stake.
    Out(u128),
}

impl Sender<'_> {
    /// Sends `call`; a refusal says the value refused, from `refused`.
    async fn submit<C: EncodeAsFields>(
        &self,
        call: StaticPayload<C>,
        refused: &[(&str, String)],
    ) -> Result<Included, Failure> {
        let included = self.signer.submit(self.client, self.shared, call).await;
        included.map_err(|failure| failure.with(refused))
    }

    /// The values of a change of stake that the chain's errors are about, by the name of the error.
    async fn refusals(&self, change: Move) -> Result<Vec<(&'static str, String)>, Failure> {
        let at = self.client.best().await?;
        let account = self.signer.account;
        let known = at.operator(account).await?;
        let stake = known.as_ref().map_or(0, |operator| operator.stake);
        let models = known.as_ref().map_or(0, |operator| operator.models.len());
        let (amount, left) = match change {
            Move::In(amount) => (amount, stake.saturating_add(amount)),
            Move::Out(amount) => (amount, stake.saturating_sub(amount)),
        };
        let duties = known.as_ref().map_or(0, |operator| operator.duties.len());
        let unbonding = known.as_ref().and_then(|operator| operator.unbonding).map_or_else(
            || "No stake is on its way out.".to_owned(),
            |out| {
                format!(
                    "{} can be withdrawn from block {}, and this is block {}.",
                    Amount(out.amount),
                    out.at,
                    at.number()
                )
            },
        );
        let spendable = at.balance(account).await?.spendable;
        let funds = format!(
            "{account} can spend {}, and this takes {} and a fee.",
            Amount(spendable),
            Amount(amount)
        );
        Ok(vec![
            ("StakeTooSmall", format!("The stake would be {} for {}.", Amount(left), count(models))),
            ("NotEnoughStake", format!("The stake is {}, the amount {}.", Amount(stake), Amount(amount))),
            (
                "RemainderTooSmall",
                format!("Of {}, {} would stay for {}.", Amount(stake), Amount(left), count(models)),
            ),
            ("OpenDuties", format!("Open: {duties}.")),
            ("NothingToWithdraw", unbonding),
            ("InsufficientBalance", funds.clone()),
            ("Token", funds),
        ])
    }
}

fn count(models: usize) -> String {
    match models {
        0 => "no models yet".into(),
        1 => "1 model".into(),
        many => format!("{many} models"),
    }
}

/// `poq operator consent`: the signature of a worker key that lets an operator name it. With a genesis hash, no node is asked.
pub async fn consent(consent: &Consent, shared: &Shared) -> Result<Outcome, Failure> {
    let operator = account::parse(&consent.operator)?;
    let worker = account::keypair_in(&consent.worker_suri_file)?;
    let genesis = match shared.genesis {
        Some(hash) => hash,
        None => pin::connect(shared).await?.genesis(),
    };
    let agreed = worker.sign(&worker_consent(&genesis, &operator.0));
    let signature = format!("0x{}", hex::encode(agreed.0));
    if shared.json {
        render::json(&json!({
            "worker": worker.public_key().to_account_id().to_string(),
            "operator": operator.to_string(),
            "genesis": format!("0x{}", hex::encode(genesis)),
            "consent": signature,
        }))?;
    } else {
        render::line(&signature)?;
        render::note_line(&format!(
            "{operator} can name this worker key now: `poq --suri-file FILE operator register --worker {} --consent … --model NAME`",
            worker.public_key().to_account_id()
        ));
    }
    Ok(Outcome::Done)
}

async fn register(sender: &Sender<'_>, named: &Register) -> Result<(String, Included), Failure> {
    let (client, operator) = (sender.client, sender.signer.account);
    if let Some(path) = named.worker.as_deref().filter(|path| path.starts_with("//")) {
        account::refuse_development_key(client, &format!("--worker {path}")).await?;
    }
    let at = client.best().await?;
    let present = at.operator(operator).await?.and_then(|operator| operator.worker);
    let Worker { key, secret } = Worker::find(named, present)?;
    let consent = if present == Some(key) {
        // The chain takes a key that the operator has without asking it again.
        None
    } else {
        let agreed = worker_consent(&client.genesis(), &operator.0);
        let signature = match (&secret, &named.consent) {
            (Some(secret), _) => Some(secret.sign(&agreed)),
            (None, Some(hex)) => Some(parse_consent(hex, &agreed, &key)?),
            (None, None) => None,
        };
        let refused = || at.refuse("InvalidConsent", &format!("Worker key {key}."));
        Some(Signature::Sr25519(signature.ok_or_else(refused)?.0))
    };
    let names = Names::load(client, &at).await?;
    let ids = named.models.iter().map(|name| find(&names, &at, name)).collect::<Result<Vec<ModelId>, _>>()?;
    let most = at.constant(constants().proof_of_quality().max_models_per_operator())? as usize;
    if ids.len() > most {
        return Err(Failure::Input(format!(
            "{} models are too many: an operator serves at most {most}",
            ids.len()
        )));
    }
    let mut refused = sender.refusals(Move::In(0)).await?;
    refused.retain(|(name, _)| *name != "StakeTooSmall");
    let stake = at.operator(operator).await?.map_or(0, |operator| operator.stake);
    refused.extend([
        ("StakeTooSmall", format!("The stake is {} for {}.", Amount(stake), count(ids.len()))),
        ("WorkerInUse", format!("Worker key {key}.")),
        ("WorkerIsOperator", format!("Worker key {key}.")),
        ("InvalidModelList", format!("Models: {}.", named.models.join(", "))),
        ("RosterFull", format!("Models: {}.", named.models.join(", "))),
        ("UnknownModel", format!("Models: {}.", named.models.join(", "))),
        ("ModelRetired", format!("Models: {}.", named.models.join(", "))),
    ]);
    let included = sender.submit(tx().proof_of_quality().register(key, ids, consent), &refused).await?;
    Ok((format!("registered for {} with the worker key {key}", named.models.join(", ")), included))
}

/// The worker key to register, with its secret where that is at hand.
struct Worker {
    key: AccountId32,
    secret: Option<Keypair>,
}

impl Worker {
    /// The key that the command line names; `present` is the one that the operator has.
    fn find(named: &Register, present: Option<AccountId32>) -> Result<Self, Failure> {
        let development = named.worker.as_deref().and_then(account::development_key).transpose()?;
        let in_file = named.worker_suri_file.as_deref().map(account::keypair_in).transpose()?;
        let of = |secret: &Keypair| secret.public_key().to_account_id();
        let named_key = match (&named.worker, &development) {
            (_, Some(secret)) => Some(of(secret)),
            (Some(key), None) => Some(names::parse_account(key).ok_or_else(|| {
                Failure::Input(format!(
                    "`{key}` is neither an address, nor 32 bytes in hex, nor a path like //Bob//worker"
                ))
            })?),
            (None, None) => None,
        };
        let secret = in_file.or(development);
        match (named_key, &secret) {
            (Some(key), Some(own)) if key != of(own) => Err(Failure::Input(format!(
                "--worker is {key}, but --worker-suri-file has the secret of {}: leave one out",
                of(own)
            ))),
            (Some(key), _) => Ok(Self { key, secret }),
            (None, Some(own)) => Ok(Self { key: of(own), secret }),
            (None, None) => present.map(|key| Self { key, secret: None }).ok_or_else(|| {
                Failure::Input(
                    "the account has no worker key yet: name one with --worker-suri-file FILE, or with --worker and --consent"
                        .into(),
                )
            }),
        }
    }
}

/// A signature in hex, which must be the worker key's, of `agreed`.
fn parse_consent(hex: &str, agreed: &[u8; 32], worker: &AccountId32) -> Result<sr25519::Signature, Failure> {
    let bytes = hex::decode(hex.trim().trim_start_matches("0x")).ok();
    let bytes: Option<[u8; SIGNATURE_BYTES]> = bytes.and_then(|bytes| bytes.try_into().ok());
    let signature = bytes.map(sr25519::Signature).ok_or_else(|| {
        Failure::Input(format!(
            "--consent is no signature: {SIGNATURE_BYTES} bytes in hex, as `poq operator consent` prints"
        ))
    })?;
    if !sr25519::verify(&signature, agreed, &sr25519::PublicKey(worker.0)) {
        return Err(Failure::Input(format!(
            "--consent is not a signature of worker key {worker} for this operator on this chain: `poq operator consent` makes one for \
             one worker key, one operator and one chain"
        )));
    }
    Ok(signature)
}

/// Sets the numbers that are given, and keeps the others.
async fn set_capacity(
    sender: &Sender<'_>,
    tokens: Option<u32>,
    pairs: Option<u32>,
) -> Result<(String, Included), Failure> {
    let account = sender.signer.account;
    let at = sender.client.best().await?;
    let known = at.operator(account).await?;
    let present = known.ok_or_else(|| at.refuse("NotAnOperator", &format!("{}:", name(&account))))?.capacity;
    let capacity =
        Workload { tokens: tokens.unwrap_or(present.tokens), pairs: pairs.unwrap_or(present.pairs) };
    let included = sender.submit(tx().proof_of_quality().set_capacity(capacity), &[]).await?;
    let Workload { tokens, pairs } = capacity;
    Ok((format!("takes up to {tokens} tokens to generate and {pairs} pairs to score at a time"), included))
}

/// A model of either kind.
fn find(names: &Names, at: &At, name: &str) -> Result<ModelId, Failure> {
    match names.find_model(at, name, ModelKind::Generator) {
        Err(Failure::Refused { name: error, .. }) if error == "WrongModelKind" => {
            names.find_model(at, name, ModelKind::Evaluator)
        }
        found => found,
    }
}

/// Prints the change and how the operator stands now.
async fn report(sender: &Sender<'_>, done: &str, fee: u128) -> Result<(), Failure> {
    let account = sender.signer.account;
    let now = sender.client.best().await?.operator(account).await?;
    let stake = now.as_ref().map_or(0, |operator| operator.stake);
    let unbonding = now.as_ref().and_then(|operator| operator.unbonding);
    let drawable = now.as_ref().is_some_and(|operator| operator.drawable);
    if sender.shared.json {
        return render::json(&json!({
            "signer": account.to_string(),
            "operator": account.to_string(),
            "done": done,
            "stake": stake.to_string(),
            "unbonding": unbonding.map(|unbonding| json!({ "amount": unbonding.amount.to_string(), "at": unbonding.at })),
            "drawable": drawable,
            "transaction_fee": fee.to_string(),
        }));
    }
    let draws = if drawable { "can be drawn" } else { "cannot be drawn" };
    render::prose(&format!(
        "{}: {done}; stake {}, {draws} (fee {})",
        name(&account),
        Amount(stake),
        Amount(fee)
    ))?;
    if let Some(unbonding) = unbonding {
        render::line(format!("{} can be withdrawn from block {}", Amount(unbonding.amount), unbonding.at))?;
    }
    Ok(())
}

fn name(account: &AccountId32) -> String {
    let known = account::development_accounts();
    known
        .into_iter()
        .find(|(_, known)| known == account)
        .map_or_else(|| account.to_string(), |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(path: &str) -> Keypair {
        account::development_key(path).unwrap().unwrap()
    }

    fn account_of(path: &str) -> AccountId32 {
        key(path).public_key().to_account_id()
    }

    fn register(worker: Option<&str>, file: Option<&std::path::Path>) -> Register {
        Register {
            worker: worker.map(str::to_owned),
            worker_suri_file: file.map(Into::into),
            consent: None,
            models: vec!["m".into()],
        }
    }

    #[test]
    fn a_consent_is_for_one_worker_one_operator_and_one_chain() {
        let agreed = worker_consent(&[1; 32], &account_of("//Bob").0);
        let worker = account_of("//Bob//worker");
        let consent = hex::encode(key("//Bob//worker").sign(&agreed).0);
        assert!(parse_consent(&format!("0x{consent}"), &agreed, &worker).is_ok());
        assert!(parse_consent(&format!("{consent}\n"), &agreed, &worker).is_ok());

        let refused = |hex: &str, agreed: &[u8; 32], worker: &AccountId32| {
            parse_consent(hex, agreed, worker).err().unwrap().to_string()
        };
        assert!(refused(&consent, &agreed, &account_of("//Bob")).contains("is not a signature of worker key"));
        for (genesis, operator) in [([2; 32], "//Bob"), ([1; 32], "//Alice")] {
            let other = worker_consent(&genesis, &account_of(operator).0);
            assert!(refused(&consent, &other, &worker).contains("is not a signature of worker key"));
        }
        assert!(refused("0x12", &agreed, &worker).contains("64 bytes in hex"));
    }

    #[test]
    fn the_worker_key_comes_from_its_secret_or_is_the_present_one() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("worker");
        let phrase = "bottom drive obey lake curtain smoke basket hold race lonely fit walk";
        std::fs::write(&file, format!("{phrase}//Bob//worker")).unwrap();
        let expected = account_of("//Bob//worker");
        let find = |worker, file| Worker::find(&register(worker, file), Some(account_of("//Present")));

        let address = expected.to_string();
        for (worker, file, has_secret) in [
            (None, Some(file.as_path()), true),
            (Some("//Bob//worker"), None, true),
            (Some(address.as_str()), Some(file.as_path()), true),
            (Some(address.as_str()), None, false),
        ] {
            let found = find(worker, file).unwrap();
            assert_eq!((found.key, found.secret.is_some()), (expected, has_secret), "{worker:?} {file:?}");
        }
        assert_eq!(find(None, None).unwrap().key, account_of("//Present"));
        assert!(Worker::find(&register(None, None), None).is_err(), "there is none yet");
        assert!(find(Some("//Alice"), Some(&file)).is_err(), "two keys");
        assert!(find(Some("nobody"), None).is_err());
    }
}
