//! Block authors: who they are, session keys, joining and leaving.

use crate::{
    account,
    amount::Amount,
    args::{AuthorCommand, Shared},
    chain::{self, At, Chain},
    failure::{Failure, Outcome},
    names::Names,
    render,
    types::{AuthorCall, SessionKeys},
};
use serde::Deserialize;
use serde_json::json;
use subxt::{
    rpcs::{client::RpcClient, rpc_params, Error as RpcError},
    utils::AccountId32,
};

/// The RPC with which a node makes session keys, and shows that they are for an account.
const MAKE_KEYS: &str = "author_rotateKeysWithOwner";

/// What `poq author …` is for.
const SESSION: &str = "Session";

/// The list.
const AUTHORS: &str = "BlockAuthors";

/// What a node answers to [`MAKE_KEYS`], both in hex.
#[derive(Deserialize)]
struct MadeKeys {
    keys: String,
    #[serde(default)]
    proof: Option<String>,
}

/// `poq author …`.
pub async fn run(chain: &Chain, command: Option<AuthorCommand>, shared: &Shared) -> Result<Outcome, Failure> {
    refuse_without_list(&chain.best().await?)?;
    match command {
        None => list(chain, shared.json).await,
        Some(AuthorCommand::Keys { node }) => set_keys(chain, node.as_deref(), shared).await,
        Some(AuthorCommand::Add { account }) => {
            let author = account::parse(&account)?;
            let call = AuthorCall::add_author { author };
            change(chain, call, &format!("{author} joins the list"), shared).await
        }
        Some(AuthorCommand::Remove { account }) => {
            let author = account::parse(&account)?;
            let call = AuthorCall::remove_author { author };
            change(chain, call, &format!("{author} leaves the list"), shared).await
        }
    }
}

fn refuse_without_list(at: &At) -> Result<(), Failure> {
    match at.metadata_ref().pallet_by_name(AUTHORS) {
        Some(_) => Ok(()),
        None => Err(Failure::Input("this chain chooses its block authors another way".into())),
    }
}

/// All who are on the list or author now.
async fn list(chain: &Chain, as_json: bool) -> Result<Outcome, Failure> {
    let at = chain.best().await?;
    let names = Names::load(chain, &at).await?;
    let listed: Vec<AccountId32> = chain::value(&at, AUTHORS, "Authors").await?;
    let now: Vec<AccountId32> = chain::value(&at, SESSION, "Validators").await?;
    // Each with how bad its offence was.
    let disabled: Vec<(u32, u32)> = chain::value(&at, SESSION, "DisabledValidators").await?;
    let session: u32 = chain::value(&at, SESSION, "CurrentIndex").await?;
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
        render::json(&json!({ "session": session, "authors": authors.collect::<Vec<_>>() }))?;
        return Ok(Outcome::Done);
    }
    let mut table = render::table(&["Author", "Session now", "Sessions to come"]);
    for author in all {
        let present = match (now.contains(author), is_disabled(author)) {
            (true, true) => "disabled: it equivocated",
            (true, false) => "authors",
            (false, _) => "not yet",
        };
        let future = if listed.contains(author) { "authors" } else { "leaves" };
        table.add_row([names.account(author), present.to_owned(), future.to_owned()]);
    }
    render::line(table.to_string())?;
    render::line(format!(
        "Session {session}. A change takes effect after the session that follows this one."
    ))?;
    Ok(Outcome::Done)
}

/// Has a node make session keys, and sets them for the account that signs.
async fn set_keys(chain: &Chain, node: Option<&str>, shared: &Shared) -> Result<Outcome, Failure> {
    let signer = account::signer(shared, chain).await?;
    let owner = signer.public_key().to_account_id();
    let url = node.unwrap_or(&shared.url);
    let made = make_keys(url, &owner).await?;
    let unreadable = || Failure::Unexpected(format!("the node at {url} answers with keys of another kind"));
    let bytes = |hex: &str| hex::decode(hex.trim_start_matches("0x")).map_err(|_| unreadable());
    let keys = SessionKeys::read(&bytes(&made.keys)?).ok_or_else(unreadable)?;
    let proof = bytes(&made.proof.ok_or_else(unreadable)?)?;
    let included = chain.submit_to(SESSION, "set_keys", (keys, proof), &signer).await?;
    if shared.json {
        render::json(&json!({
            "author": owner.to_string(),
            "keys": made.keys,
            "node": url,
            "transaction_fee": included.fee.to_string(),
        }))?;
    } else {
        render::line(format!(
            "{owner}: the node at {url} made session keys and holds their secrets; they are set (fee {})",
            Amount(included.fee)
        ))?;
        render::line(
            "They count after the session that follows this one: keep the old ones in the node's keystore until then.",
        )?;
    }
    Ok(Outcome::Done)
}

async fn make_keys(url: &str, owner: &AccountId32) -> Result<MadeKeys, Failure> {
    let node = RpcClient::from_insecure_url(url)
        .await
        .map_err(|error| Failure::Unreachable(format!("no node answers at {url} ({error})")))?;
    let owner = format!("0x{}", hex::encode(owner.0));
    node.request(MAKE_KEYS, rpc_params![owner]).await.map_err(|error| match &error {
        RpcError::User(user) if user.message.contains("unsafe") => Failure::Input(format!(
            "the node at {url} makes keys only for its own machine: connect there, or start it with `--rpc-methods unsafe` (never on a \
             port that others reach)"
        )),
        _ => chain::failure(error),
    })
}

async fn change(chain: &Chain, call: AuthorCall, done: &str, shared: &Shared) -> Result<Outcome, Failure> {
    let signer = account::signer(shared, chain).await?;
    let included = chain.sudo(call, &signer).await?;
    if shared.json {
        render::json(&json!({ "done": done, "transaction_fee": included.fee.to_string() }))?;
    } else {
        render::line(format!("{done}, with the session after the next one (fee {})", Amount(included.fee)))?;
    }
    Ok(Outcome::Done)
}
