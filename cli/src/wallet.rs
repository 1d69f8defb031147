//! `poq balance` and `poq send`.

use crate::{
    account,
    amount::Amount,
    args::Shared,
    failure::{Failure, Outcome},
    names::Names,
    render,
    table::{Column, Table},
};
use poq_client::{
    types::chain::{constants, tx},
    At, Balance, Client,
};
use serde_json::json;
use subxt::utils::{AccountId32, MultiAddress};

/// `poq balance`.
pub async fn balance(client: &Client, who: Option<&str>, shared: &Shared) -> Result<Outcome, Failure> {
    let at = client.best().await?;
    let account = match who {
        Some(who) => Names::load(client, &at).await?.find_account(who)?,
        None => account::signer(shared, client).await?.account,
    };
    let balance = at.balance(account).await?;
    if shared.json {
        render::json(&json!({
            "account": account.to_string(),
            "total": balance.total.to_string(),
            "spendable": balance.spendable.to_string(),
            "held": {
                "stake": balance.stake.to_string(),
                "budgets": balance.budgets.to_string(),
                "other": balance.other_holds.to_string(),
            },
        }))?;
        return Ok(Outcome::Done);
    }
    render::prose(&format!("{account} has {}:", Amount(balance.total)))?;
    let mut table = Table::new(&[Column::text("Part"), Column::number("Amount")]);
    table.row(["can be spent".to_owned(), Amount(balance.spendable).to_string()]);
    let held = [
        ("on hold: stake", balance.stake),
        ("on hold: budgets of open requests", balance.budgets),
        ("on hold: deposits", balance.other_holds),
    ];
    for (name, amount) in held.into_iter().filter(|(_, amount)| *amount > 0) {
        table.row([name.to_owned(), Amount(amount).to_string()]);
    }
    table.print()?;
    Ok(Outcome::Done)
}

/// `poq send`.
pub async fn send(client: &Client, to: &str, amount: Amount, shared: &Shared) -> Result<Outcome, Failure> {
    let at = client.best().await?;
    let to = Names::load(client, &at).await?.find_account(to)?;
    let signer = account::signer(shared, client).await?;
    let from = signer.account;
    if let Some(shortage) = shortage(&at, from, amount.0).await? {
        return Err(Failure::Input(shortage));
    }
    let call = tx().balances().transfer_keep_alive(MultiAddress::Id(to), amount.0);
    let least = Amount(at.constant(constants().balances().existential_deposit())?);
    let refused = format!("The amount is {amount}, and an account holds {least} at least.");
    let included = signer.submit(client, shared, call).await;
    let included = included.map_err(|failure| failure.with(&[("Token", refused)]))?;
    if shared.json {
        render::json(&json!({
            "signer": from.to_string(),
            "from": from.to_string(),
            "to": to.to_string(),
            "amount": amount.0.to_string(),
            "transaction_fee": included.fee.to_string(),
        }))?;
    } else {
        render::prose(&format!(
            "sent {amount} from {from} to {to}; the transaction cost {}",
            Amount(included.fee)
        ))?;
    }
    Ok(Outcome::Done)
}

/// Reason for which an account cannot spend an amount, with both sums; `None` if it can. Asked before a transaction that would cost its
/// fee.
pub async fn shortage(at: &At, account: AccountId32, amount: u128) -> Result<Option<String>, Failure> {
    let Balance { spendable, .. } = at.balance(account).await?;
    Ok((amount > spendable).then(|| {
        format!(
            "{account} can spend {}, and this takes {} and the fee of a transaction: {} is missing.",
            Amount(spendable),
            Amount(amount),
            Amount(amount.saturating_sub(spendable)),
        )
    }))
}
