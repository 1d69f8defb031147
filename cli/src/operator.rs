//! What an operator does: each is one signed call. And the consent of a worker key, which is no call.

use crate::{
    account,
    amount::Amount,
    args::{Consent, OperatorCall, Register, Shared},
    failure::{Failure, Outcome},
    names::{self, Names},
    render,
};
use poq_client::{
    types::{chain::tx, ModelId, ModelKind, Signature, Workload},
    At, Client, Included,
};
use poq_primitives::commitment::worker_consent;
use serde_json::json;
use subxt::utils::AccountId32;
use subxt_signer::sr25519::{self, Keypair};

/// Length of a signature.
const SIGNATURE_BYTES: usize = 64;

/// `poq operator …`.
pub async fn run(client: &Client, call: OperatorCall, shared: &Shared) -> Result<Outcome, Failure> {
    let signer = account::signer(shared, client).await?;
    let calls = tx().proof_of_quality();
    let (done, included) = match call {
        OperatorCall::Bond { amount } => {
            (format!("bonded {amount}"), client.submit(calls.bond(amount.0), &signer).await?)
        }
        OperatorCall::Register(named) => register(client, &named, &signer).await?,
        OperatorCall::Chill => ("chilled".into(), client.submit(calls.chill(), &signer).await?),
        OperatorCall::Resume => ("resumed".into(), client.submit(calls.resume(), &signer).await?),
        OperatorCall::Capacity { tokens, pairs } => set_capacity(client, tokens, pairs, &signer).await?,
        OperatorCall::Unbond { amount } => {
            (format!("unbonding {amount}"), client.submit(calls.unbond(amount.0), &signer).await?)
        }
        OperatorCall::Withdraw => ("withdrawn".into(), client.submit(calls.withdraw(), &signer).await?),
    };
    report(client, &signer, &done, included.fee, shared.json).await?;
    Ok(Outcome::Done)
}

/// `poq operator consent`: what a worker key signs so that an operator may name it. With a genesis hash, no node is asked.
pub async fn consent(consent: &Consent, shared: &Shared) -> Result<Outcome, Failure> {
    let operator = account::parse(&consent.operator)?;
    let worker = account::keypair_in(&consent.worker_suri_file)?;
    let genesis = match &consent.genesis {
        Some(hash) => names::parse_hash(hash)
            .ok_or_else(|| Failure::Input(format!("`{hash}` is no genesis hash: 32 bytes in hex")))?,
        None => Client::connect(&shared.url).await?.genesis(),
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

async fn register(
    client: &Client,
    named: &Register,
    signer: &Keypair,
) -> Result<(String, Included), Failure> {
    let operator = signer.public_key().to_account_id();
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
    let included = client.submit(tx().proof_of_quality().register(key, ids, consent), signer).await?;
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

/// A signature in hex, which must be of what the worker key is to agree to.
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

/// Sets what is given, and keeps what is not.
async fn set_capacity(
    client: &Client,
    tokens: Option<u32>,
    pairs: Option<u32>,
    signer: &Keypair,
) -> Result<(String, Included), Failure> {
    let account = signer.public_key().to_account_id();
    let at = client.best().await?;
    let known = at.operator(account).await?;
    let present = known.ok_or_else(|| at.refuse("NotAnOperator", &format!("{}:", name(&account))))?.capacity;
    let capacity =
        Workload { tokens: tokens.unwrap_or(present.tokens), pairs: pairs.unwrap_or(present.pairs) };
    let included = client.submit(tx().proof_of_quality().set_capacity(capacity), signer).await?;
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

/// Says what was done and how the operator stands now.
async fn report(
    client: &Client,
    signer: &Keypair,
    done: &str,
    fee: u128,
    as_json: bool,
) -> Result<(), Failure> {
    let account = signer.public_key().to_account_id();
    let now = client.best().await?.operator(account).await?;
    let stake = now.as_ref().map_or(0, |operator| operator.stake);
    let unbonding = now.as_ref().and_then(|operator| operator.unbonding);
    let drawable = now.as_ref().is_some_and(|operator| operator.drawable);
    if as_json {
        return render::json(&json!({
            "operator": account.to_string(),
            "done": done,
            "stake": stake.to_string(),
            "unbonding": unbonding.map(|unbonding| json!({ "amount": unbonding.amount.to_string(), "at": unbonding.at })),
            "drawable": drawable,
            "transaction_fee": fee.to_string(),
        }));
    }
    let draws = if drawable { "can be drawn" } else { "cannot be drawn" };
    render::line(format!(
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
