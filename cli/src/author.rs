//! `poq author`: the block authors, session keys, joining and leaving.

use crate::{
    account,
    amount::{percent, Amount},
    args::{AuthorCommand, Shared},
    failure::{Failure, Outcome},
    names::Names,
    own_node::{OwnNode, Place},
    render,
    table::{Column, Table},
};
use poq_client::{
    json::fraction,
    types::{
        chain::{storage, tx},
        AuthorCall, SessionKeys,
    },
    At, Client,
};
use serde::Deserialize;
use serde_json::json;
use subxt::{rpcs::rpc_params, utils::AccountId32};

/// RPC that makes a node generate session keys, with a proof for their account.
const MAKE_KEYS: &str = "author_rotateKeysWithOwner";

/// Pallet with the list of authors.
const AUTHORS: &str = "BlockAuthors";

/// Answer to [`MAKE_KEYS`], both in hex.
#[derive(Deserialize)]
struct MadeKeys {
    keys: String,
    #[serde(default)]
    proof: Option<String>,
}

/// `poq author …`.
pub async fn run(
    client: &Client,
    command: Option<AuthorCommand>,
    shared: &Shared,
) -> Result<Outcome, Failure> {
    refuse_without_list(&client.best().await?)?;
    match command {
        None => list(client, shared.json).await,
        Some(AuthorCommand::Keys { node }) => set_keys(client, node.as_ref(), shared).await,
        Some(AuthorCommand::Add { account }) => {
            let author = named(client, &account).await?;
            let call = AuthorCall::add_author { author };
            change(client, call, &author, "joins the list", shared).await
        }
        Some(AuthorCommand::Share { part }) => share(client, part, shared).await,
        Some(AuthorCommand::Remove { account }) => {
            let author = named(client, &account).await?;
            let call = AuthorCall::remove_author { author };
            change(client, call, &author, "leaves the list", shared).await
        }
    }
}

/// The account called `who` on this chain, or with that address.
async fn named(client: &Client, who: &str) -> Result<AccountId32, Failure> {
    Names::load(client, &client.best().await?).await?.find_account(who)
}

fn refuse_without_list(at: &At) -> Result<(), Failure> {
    if at.has_pallet(AUTHORS) {
        Ok(())
    } else {
        Err(Failure::Input("this chain chooses its block authors another way".into()))
    }
}

/// The accounts that are on the list or author now.
async fn list(client: &Client, as_json: bool) -> Result<Outcome, Failure> {
    let at = client.best().await?;
    let names = Names::load(client, &at).await?;
    let sessions = storage().session();
    let listed = at.value(storage().block_authors().authors()).await?;
    let now = at.value(sessions.validators()).await?;
    // Each with how bad its offence was.
    let disabled = at.value(sessions.disabled_validators()).await?;
    let session = at.value(sessions.current_index()).await?;
    let share = at.value(storage().block_authors().fee_share()).await?;
    let is_disabled = |author: &AccountId32| {
        let place = now.iter().position(|known| known == author);
        disabled.iter().any(|(disabled, _)| Some(*disabled as usize) == place)
    };
    let leaving = now.iter().filter(|author| !listed.contains(author));
    let all: Vec<&AccountId32> = listed.iter().chain(leaving).collect();
    if as_json {
        let authors = all.iter().map(|author| {
            json!({
                "author": author.to_string(),
                "name": names.account_name(author),
                "listed": listed.contains(author),
                "authors_now": now.contains(author),
                "disabled": is_disabled(author),
            })
        });
        let authors: Vec<_> = authors.collect();
        render::json(&json!({ "session": session, "authors": authors, "fee_share": fraction(share) }))?;
        return Ok(Outcome::Done);
    }
    let mut table =
        Table::new(&[Column::text("Author"), Column::text("Session now"), Column::text("Sessions to come")]);
    for author in all {
        let present = match (now.contains(author), is_disabled(author)) {
            (true, true) => "disabled: it equivocated",
            (true, false) => "authors",
            (false, _) => "not yet",
        };
        let future = if listed.contains(author) { "authors" } else { "leaves" };
        table.row([names.account(author), present.to_owned(), future.to_owned()]);
    }
    table.print()?;
    render::prose(&format!(
        "Session {session}. A change takes effect after the session that follows this one. Authors earn {} of the fees in their \
         blocks; the rest is burnt.",
        percent(share)
    ))?;
    Ok(Outcome::Done)
}

/// Has a node make session keys, and sets them for the account that signs.
async fn set_keys(client: &Client, place: Option<&Place>, shared: &Shared) -> Result<Outcome, Failure> {
    let signer = account::signer(shared, client).await?;
    let owner = signer.account;
    let place = place.cloned().unwrap_or_else(|| Place::Url(shared.url.clone()));
    let node = OwnNode::connect(&place, client.genesis()).await?;
    let place = node.place();
    let account = format!("0x{}", hex::encode(owner.0));
    let made: MadeKeys = node.command(MAKE_KEYS, rpc_params![account]).await?;
    let unreadable = || Failure::Unexpected(format!("the node at {place} answers with keys of another kind"));
    let bytes = |hex: &str| hex::decode(hex.trim_start_matches("0x")).map_err(|_| unreadable());
    let keys = SessionKeys::read(&bytes(&made.keys)?).ok_or_else(unreadable)?;
    let proof = bytes(&made.proof.ok_or_else(unreadable)?)?;
    let included = signer.submit(client, shared, tx().session().set_keys(keys, proof)).await?;
    if shared.json {
        render::json(&json!({
            "signer": owner.to_string(),
            "author": owner.to_string(),
            "keys": made.keys,
            "node": place.to_string(),
            "transaction_fee": included.fee.to_string(),
        }))?;
    } else {
        render::line(format!(
            "{owner}: the node at {place} made session keys and holds their secrets; they are set (fee {})",
            Amount(included.fee)
        ))?;
        render::line(
            "They count after the session that follows this one: keep the old ones in the node's keystore until then.",
        )?;
    }
    Ok(Outcome::Done)
}

/// Sets what authors earn.
async fn share(client: &Client, part: u32, shared: &Shared) -> Result<Outcome, Failure> {
    let signer = account::signer(shared, client).await?;
    let included = signer.sudo(client, shared, AuthorCall::set_fee_share { share: part }).await?;
    if shared.json {
        render::json(&json!({
            "signer": signer.account.to_string(),
            "fee_share": fraction(part),
            "transaction_fee": included.fee.to_string(),
        }))?;
    } else {
        let fee = Amount(included.fee);
        render::line(format!(
            "authors earn {} of the fees in their blocks from now on (fee {fee})",
            percent(part)
        ))?;
    }
    Ok(Outcome::Done)
}

async fn change(
    client: &Client,
    call: AuthorCall,
    author: &AccountId32,
    done: &str,
    shared: &Shared,
) -> Result<Outcome, Failure> {
    let signer = account::signer(shared, client).await?;
    let refused = ["AlreadyAuthor", "NotAuthor", "NoSessionKeys"].map(|error| (error, format!("{author}.")));
    let included = signer.sudo(client, shared, call).await;
    let included = included.map_err(|failure| failure.with(&refused))?;
    let done = format!("{author} {done}");
    if shared.json {
        let account = signer.account.to_string();
        render::json(
            &json!({ "signer": account, "done": done, "transaction_fee": included.fee.to_string() }),
        )?;
    } else {
        render::line(format!("{done}, with the session after the next one (fee {})", Amount(included.fee)))?;
    }
    Ok(Outcome::Done)
}
