//! `poq requests`: the newest requests, of everybody or of one account.

use crate::{
    amount::{part, Amount},
    args::Requests,
    chat,
    failure::{Failure, Outcome},
    names::Names,
    render::{self, text},
    table::{Column, Table},
};
use poq_client::{
    json,
    types::{chain::storage, RequestView},
    Client,
};

/// Requests that are looked at, from the newest, for those of an account.
const LOOKED_AT: u64 = 1_000;

/// Characters of a question in the table.
const EXCERPT: usize = 48;

/// `poq requests`.
pub async fn run(client: &Client, wanted: Requests, as_json: bool) -> Result<Outcome, Failure> {
    let at = client.best().await?;
    let names = Names::load(client, &at).await?;
    let account = wanted.account.as_deref().map(|who| names.find_account(who)).transpose()?;
    let next = at.value(storage().proof_of_quality().next_request()).await?;
    let mut found: Vec<RequestView> = Vec::new();
    for id in (next.saturating_sub(LOOKED_AT)..next).rev() {
        if found.len() >= wanted.count {
            break;
        }
        // `None`: the chain has forgotten a closed request.
        let request = at.request(id).await?;
        found.extend(request.filter(|request| account.is_none_or(|account| request.requester == account)));
    }
    if as_json {
        render::json(&found.iter().map(json::summary).collect())?;
        return Ok(Outcome::Done);
    }
    let mut table = Table::new(&[
        Column::number("Request"),
        Column::text("State"),
        Column::number("Quality").optional(),
        Column::number("Budget").optional(),
        Column::text("From").optional(),
        Column::words("Question"),
    ]);
    for request in &found {
        table.row([
            request.id.to_string(),
            request.phase.name().to_owned(),
            request.quality().map_or_else(|| "–".to_owned(), part),
            Amount(request.budget.total()).to_string(),
            names.account(&request.requester),
            render::excerpt(&chat::title(&text(&request.prompt)), EXCERPT),
        ]);
    }
    table.print()?;
    render::prose("`poq request N` shows one of them. The chain forgets a closed request after a while.")?;
    Ok(Outcome::Done)
}
