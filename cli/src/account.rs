//! Accounts: the one that signs, secrets in files, and the development accounts.

use crate::{
    address::{self, Way},
    args::Shared,
    failure::Failure,
    names, render, sync,
};
use poq_client::{types::RootCall, Client, Included};
use std::{env, fs, os::unix::fs::PermissionsExt as _, path::Path};
use subxt::{ext::scale_encode::EncodeAsFields, tx::StaticPayload, utils::AccountId32};
use subxt_signer::sr25519::Keypair;

/// The variable that may hold a secret URI.
const SURI_VARIABLE: &str = "POQ_SURI";

/// The type of chains on which development accounts sign.
const DEVELOPMENT: &str = "Development";

/// Accounts whose secrets everybody knows, derived from the development phrase.
const WELL_KNOWN: [&str; 6] = ["Alice", "Bob", "Charlie", "Dave", "Eve", "Ferdie"];

/// Number of operators of the development chain.
const DEMO_OPERATORS: usize = 7;

/// The account that signs, and its key.
pub struct Signer {
    /// Secret key.
    pub key: Keypair,
    /// Address.
    pub account: AccountId32,
    /// Source of the key: a development account, a file, or the variable.
    source: String,
}

impl Signer {
    fn new(key: Keypair, source: String) -> Self {
        Self { account: key.public_key().to_account_id(), key, source }
    }

    /// Says on standard error which account signs what is sent next, and warns of a way there that others can change and of a node
    /// that is behind. Comes before each transaction; with `--json` the account is a field of the output instead.
    pub async fn announce(&self, client: &Client, shared: &Shared) {
        if !shared.json {
            render::note_line(&format!("signing as {} ({})", self.account, self.source));
        }
        if address::way(client.url()) == Some(Way::Open) {
            render::warning_line(
                "this transaction goes to a remote node without TLS: whoever is on the way can change what that node says, and so what \
                 is signed. Use wss://, a tunnel, or a node of your own.",
            );
        }
        sync::warn(client, "the transaction may come too late or never reach the chain").await;
    }

    /// Announces, signs and sends `call`, and waits until it is in a best block.
    pub async fn submit<C: EncodeAsFields>(
        &self,
        client: &Client,
        shared: &Shared,
        call: StaticPayload<C>,
    ) -> Result<Included, Failure> {
        self.announce(client, shared).await;
        Ok(client.submit(call, &self.key).await?)
    }

    /// Announces, signs and sends `call` as the chain's sudo key, and waits until it is in a best block.
    pub async fn sudo(
        &self,
        client: &Client,
        shared: &Shared,
        call: impl Into<RootCall>,
    ) -> Result<Included, Failure> {
        self.announce(client, shared).await;
        Ok(client.sudo(call, &self.key).await?)
    }
}

/// The account that signs.
pub async fn signer(shared: &Shared, client: &Client) -> Result<Signer, Failure> {
    if let Some(name) = &shared.from {
        let key = development(name)?;
        refuse_development_key(client, &format!("--from {name}")).await?;
        return Ok(Signer::new(key, format!("the development account {name}")));
    }
    if let Some(file) = &shared.suri_file {
        return Ok(Signer::new(keypair_in(file)?, format!("--suri-file {}", file.display())));
    }
    if let Ok(secret) = env::var(SURI_VARIABLE) {
        return Ok(Signer::new(kept_keypair(&secret, SURI_VARIABLE)?, SURI_VARIABLE.to_owned()));
    }
    if is_development(client).await? {
        return Ok(Signer::new(development("alice")?, "the development account alice".to_owned()));
    }
    Err(Failure::Input(format!(
        "no account is named to sign, and this chain is of type {}: name one with --suri-file FILE or {SURI_VARIABLE}; `poq key new FILE` \
         makes one",
        client.kind().await?
    )))
}

/// Refuses a key that everybody has where it could be worth something; `named` is how it was named.
pub async fn refuse_development_key(client: &Client, named: &str) -> Result<(), Failure> {
    let kind = client.kind().await?;
    if kind == DEVELOPMENT {
        return Ok(());
    }
    Err(Failure::Input(format!(
        "{named} is a development key, which everybody has: it is taken on chains of type {DEVELOPMENT} only, and \"{}\" is of type \
         {kind}. Use a key of your own with --suri-file FILE or {SURI_VARIABLE}; `poq key new FILE` makes one",
        client.name().await?
    )))
}

/// Whether the chain is of type Development: nothing on it is worth anything.
pub async fn is_development(client: &Client) -> Result<bool, Failure> {
    Ok(client.kind().await? == DEVELOPMENT)
}

/// The key whose secret URI is in `file`.
pub fn keypair_in(file: &Path) -> Result<Keypair, Failure> {
    let secret = read_secret(file)?;
    let keypair = kept_keypair(&secret, &file.display().to_string())?;
    warn_of_other_readers(file);
    Ok(keypair)
}

/// The text of a file with a secret.
pub fn read_secret(file: &Path) -> Result<String, Failure> {
    fs::read_to_string(file)
        .map_err(|error| Failure::Input(format!("cannot read {}: {error}", file.display())))
}

/// Warns if other users may read a file with a secret.
pub fn warn_of_other_readers(file: &Path) {
    let mode = fs::metadata(file).map_or(0, |metadata| metadata.permissions().mode());
    if mode & 0o077 != 0 {
        let file = file.display();
        render::note_line(&format!("other users may read the secret in {file}; `chmod 600 {file}`"));
    }
}

/// A development key: a path below the development phrase, whose secrets everybody knows. `None` if `text` is no such path.
pub fn development_key(text: &str) -> Option<Result<Keypair, Failure>> {
    text.starts_with("//").then(|| development(text))
}

/// An account given by the name of a development account, as an address, or as 32 bytes in hex.
pub fn parse(text: &str) -> Result<AccountId32, Failure> {
    let known = development_accounts().into_iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
    known
        .map(|(_, account)| account)
        .or_else(|| names::parse_account(text))
        .ok_or_else(|| Failure::Input(format!("`{text}` is neither an address nor 32 bytes in hex")))
}

/// A development account: its name, or a path below the development phrase.
fn development(name: &str) -> Result<Keypair, Failure> {
    let path = path_of(name).ok_or_else(|| {
        Failure::Input(format!(
            "`{name}` is no development account: those are alice to ferdie, operator-0 to operator-{}, and paths like //Alice. \
             Any other secret comes from --suri-file FILE or {SURI_VARIABLE}.",
            DEMO_OPERATORS - 1
        ))
    })?;
    keypair(&path, &format!("`{name}` is no path"))
}

fn path_of(name: &str) -> Option<String> {
    if name.starts_with("//") {
        return Some(name.to_owned());
    }
    let known = WELL_KNOWN.iter().find(|known| known.eq_ignore_ascii_case(name));
    known.map(|known| format!("//{known}")).or_else(|| demo_operator(name))
}

fn demo_operator(name: &str) -> Option<String> {
    let index: usize = name.strip_prefix("operator-")?.parse().ok()?;
    (index < DEMO_OPERATORS).then(|| format!("//PoQ//operator//{index}"))
}

/// Names and addresses of the development accounts.
pub fn development_accounts() -> Vec<(String, AccountId32)> {
    let names = WELL_KNOWN.iter().map(|name| name.to_lowercase());
    names
        .chain((0..DEMO_OPERATORS).map(|index| format!("operator-{index}")))
        .filter_map(|name| {
            let account = development(&name).ok()?.public_key().to_account_id();
            Some((name, account))
        })
        .collect()
}

/// The key of a secret that somebody keeps, found in `source`.
///
/// Without a phrase and a seed a secret URI stands for the development phrase, which everybody has: whoever left the secret out
/// by mistake would sign with a key that anyone can sign with.
fn kept_keypair(secret: &str, source: &str) -> Result<Keypair, Failure> {
    let secret = secret.trim();
    if secret.is_empty() || secret.starts_with('/') {
        return Err(Failure::Input(format!(
            "{source} holds no phrase and no seed: that would be a key that everybody has. Write 12 words or more, or 64 hex \
             digits, with a path behind if need be; --from NAME signs with a development account on a chain of type {DEVELOPMENT}"
        )));
    }
    keypair(secret, &format!("{source} holds no secret URI"))
}

/// Never repeats the secret.
fn keypair(uri: &str, otherwise: &str) -> Result<Keypair, Failure> {
    poq_client::keypair(uri).map_err(|_| Failure::Input(otherwise.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_paths_are_the_same_accounts() {
        let address = |name: &str| development(name).unwrap().public_key().to_account_id().to_string();
        assert_eq!(address("alice"), "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY");
        assert_eq!(address("Alice"), address("//Alice"));
        assert_eq!(address("operator-0"), address("//PoQ//operator//0"));
    }

    /// Everybody's.
    const DEV_PHRASE: &str = "bottom drive obey lake curtain smoke basket hold race lonely fit walk";

    #[test]
    fn no_secret_is_no_key() {
        for empty in ["", " ", "\n", "\t\n", "//path", " //Alice\n", "/soft", "///password"] {
            let error = kept_keypair(empty, "POQ_SURI").err().unwrap_or_else(|| panic!("{empty:?} signs"));
            assert!(error.to_string().contains("POQ_SURI holds no phrase and no seed"), "{error}");
        }
        assert!(kept_keypair(&format!("{DEV_PHRASE}//path"), "x").is_ok());
        assert!(kept_keypair(&format!(" 0x{}\n", "07".repeat(32)), "x").is_ok());
    }

    #[test]
    fn secrets_are_not_taken_from_the_command_line_nor_repeated() {
        let phrase = "bottom drive obey lake curtain smoke basket hold race lonely fit walk";
        assert!(development(phrase).is_err());
        assert!(development("operator-7").is_err());
        let error = kept_keypair("legal winner secret", "x").err().unwrap();
        assert!(!error.to_string().contains("legal"), "{error}");
    }

    #[test]
    fn a_secret_in_a_file_is_the_key_of_its_uri_and_is_not_repeated() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("worker");
        fs::write(&file, format!("{DEV_PHRASE}//PoQ//worker//2\n")).unwrap();
        let expected = development_key("//PoQ//worker//2").unwrap().unwrap().public_key().0;
        assert_eq!(keypair_in(&file).unwrap().public_key().0, expected);
        fs::write(&file, "legal winner secret").unwrap();
        let error = keypair_in(&file).err().unwrap().to_string();
        assert!(error.contains("holds no secret URI") && !error.contains("legal"), "{error}");
    }

    #[test]
    fn an_account_is_a_name_an_address_or_hex() {
        let alice = parse("alice").unwrap();
        assert_eq!(parse("5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY").unwrap(), alice);
        assert_eq!(parse(&hex::encode(alice.0)).unwrap(), alice);
        assert!(parse("nobody").is_err());
    }
}
