//! Who signs.

use crate::{args::Shared, chain::Chain, failure::Failure};
use std::{env, fs, str::FromStr};
use subxt::utils::AccountId32;
use subxt_signer::{sr25519::Keypair, SecretUri};

/// The variable that may hold a secret URI.
const SURI_VARIABLE: &str = "POQ_SURI";

/// Accounts whose secrets everybody knows, derived from the development phrase.
const WELL_KNOWN: [&str; 6] = ["Alice", "Bob", "Charlie", "Dave", "Eve", "Ferdie"];

/// How many operators the development chain has.
const DEMO_OPERATORS: usize = 7;

/// The account that signs.
pub async fn signer(shared: &Shared, chain: &Chain) -> Result<Keypair, Failure> {
    if let Some(name) = &shared.from {
        return development(name);
    }
    if let Some(file) = &shared.suri_file {
        let secret = fs::read_to_string(file)
            .map_err(|error| Failure::Input(format!("cannot read {}: {error}", file.display())))?;
        return keypair(&secret, &format!("{} holds no secret URI", file.display()));
    }
    if let Ok(secret) = env::var(SURI_VARIABLE) {
        return keypair(&secret, &format!("{SURI_VARIABLE} holds no secret URI"));
    }
    if chain.is_development().await? {
        return development("alice");
    }
    Err(Failure::Input(
        "this is not a development chain: say who signs with --suri-file FILE (or POQ_SURI), or --from NAME for a test net"
            .into(),
    ))
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

/// Never repeats the secret.
fn keypair(secret: &str, otherwise: &str) -> Result<Keypair, Failure> {
    let uri = SecretUri::from_str(secret.trim()).map_err(|_| Failure::Input(otherwise.to_owned()))?;
    Keypair::from_uri(&uri).map_err(|_| Failure::Input(otherwise.to_owned()))
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

    #[test]
    fn secrets_are_not_taken_from_the_command_line_nor_repeated() {
        let phrase = "bottom drive obey lake curtain smoke basket hold race lonely fit walk";
        assert!(development(phrase).is_err());
        assert!(development("operator-7").is_err());
        let error = keypair("legal winner secret", "x holds no secret URI").err().unwrap();
        assert!(!error.to_string().contains("legal"), "{error}");
    }
}
