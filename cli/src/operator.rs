//! What an operator does: each is one signed call.

use crate::{
    account,
    amount::Amount,
    args::{OperatorCall, Shared},
    chain::{self, Chain},
    failure::{Failure, Outcome},
    names::{self, Names},
    render,
    types::{ModelId, ModelKind, OperatorView},
};
use serde_json::json;
use subxt::utils::AccountId32;
use subxt_signer::sr25519::Keypair;

/// `poq operator …`.
pub async fn run(chain: &Chain, call: OperatorCall, shared: &Shared) -> Result<Outcome, Failure> {
    let signer = account::signer(shared, chain).await?;
    let (done, included) = match call {
        OperatorCall::Bond { amount } => {
            (format!("bonded {amount}"), chain.submit("bond", (amount.0,), &signer).await?)
        }
        OperatorCall::Register { worker, models } => register(chain, &worker, &models, &signer).await?,
        OperatorCall::Chill => ("chilled".into(), chain.submit("chill", (), &signer).await?),
        OperatorCall::Resume => ("resumed".into(), chain.submit("resume", (), &signer).await?),
        OperatorCall::Capacity { duties } => {
            let done = format!("takes {duties} at a time");
            (done, chain.submit("set_capacity", (duties,), &signer).await?)
        }
        OperatorCall::Unbond { amount } => {
            (format!("unbonding {amount}"), chain.submit("unbond", (amount.0,), &signer).await?)
        }
        OperatorCall::Withdraw => ("withdrawn".into(), chain.submit("withdraw", (), &signer).await?),
    };
    report(chain, &signer, &done, included.fee, shared.json).await?;
    Ok(Outcome::Done)
}

async fn register(
    chain: &Chain,
    worker: &str,
    models: &[String],
    signer: &Keypair,
) -> Result<(String, chain::Included), Failure> {
    let worker = names::parse_account(worker)
        .ok_or_else(|| Failure::Input(format!("`{worker}` is neither an address nor 32 bytes in hex")))?;
    let at = chain.best().await?;
    let known = Names::load(chain, &at).await?;
    let ids = models.iter().map(|name| find(&known, &at, name)).collect::<Result<Vec<ModelId>, _>>()?;
    let included = chain.submit("register", (worker, ids), signer).await?;
    Ok((format!("registered for {} with the worker key {worker}", models.join(", ")), included))
}

/// A model of either kind.
fn find(names: &Names, at: &chain::At, name: &str) -> Result<ModelId, Failure> {
    match names.find_model(at, name, ModelKind::Generator) {
        Err(Failure::Refused { name: error, .. }) if error == "WrongModelKind" => {
            names.find_model(at, name, ModelKind::Evaluator)
        }
        found => found,
    }
}

/// Says what was done and how the operator stands now.
async fn report(
    chain: &Chain,
    signer: &Keypair,
    done: &str,
    fee: u128,
    as_json: bool,
) -> Result<(), Failure> {
    let account = signer.public_key().to_account_id();
    let at = chain.best().await?;
    let now: Option<OperatorView> = chain::view(&at, "operator_info", (account,)).await?;
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
