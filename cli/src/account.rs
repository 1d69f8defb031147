//! Accounts: who signs, secrets in files, and the development accounts.

use crate::{args::Shared, failure::Failure, names, render};
use poq_client::Client;
use std::{env, fs, os::unix::fs::PermissionsExt as _, path::Path};
use subxt::utils::AccountId32;
use subxt_signer::sr25519::Keypair;

/// The variable that may hold a secret URI.
const SURI_VARIABLE: &str = "POQ_SURI";

/// Accounts whose secrets everybody knows, derived from the development phrase.
const WELL_KNOWN: [&str; 6] = ["Alice", "Bob", "Charlie", "Dave", "Eve", "Ferdie"];

/// How many operators the development chain has.
const DEMO_OPERATORS: usize = 7;

/// The account that signs.
pub async fn signer(shared: &Shared, client: &Client) -> Result<Keypair, Failure> {
    if let Some(name) = &shared.from {
        return development(name);
    }
    if let Some(file) = &shared.suri_file {
        return keypair_in(file);
    }
    if let Ok(secret) = env::var(SURI_VARIABLE) {
        return kept_keypair(&secret, SURI_VARIABLE);
    }
    if is_development(client).await? {
        return development("alice");
    }
    Err(Failure::Input(
        "this is not a development chain: say who signs with --suri-file FILE (or POQ_SURI), or --from NAME for a test net"
            .into(),
    ))
}

/// Whether it is a chain on which nothing is worth anything.
pub async fn is_development(client: &Client) -> Result<bool, Failure> {
    Ok(client.kind().await? == "Development")
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

/// Says so if other users may read a file with a secret.
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
             digits, with a path behind if need be; --from NAME signs with a development account"
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
