//! The secrets given to `key insert` and `key inspect`.
//!
//! The SDK completes a secret URI without a phrase by the development phrase. An operator who left the phrase out by mistake (an empty
//! file, a variable that is not set) would work with a public key pair, so such a URI is refused here.

use anyhow::Context as _;
use clap::ArgMatches;
use sc_service::{ChainSpec, ChainType};
use sp_core::crypto::{ExposeSecret as _, SecretUri, DEV_PHRASE};
use std::{ffi::OsString, fs, os::unix::fs::PermissionsExt as _, path::Path};

/// The commands, and the argument of each that is a secret URI or the file with one.
const COMMANDS: [(&str, &str); 2] = [("insert", "suri"), ("inspect", "uri")];

/// The kind of a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secret {
    /// Known to its owner only.
    Kept,
    /// Public: derived from the development phrase, which was written out.
    Development,
}

/// Checks the secret of `poq-node key …`, if these arguments take one, and asks for it where it was left out.
///
/// Returns its kind, and a secret that was typed as further arguments. Errors: the secret has neither phrase nor seed.
pub fn of(arguments: &ArgMatches) -> anyhow::Result<Option<(Secret, Vec<OsString>)>> {
    let key = arguments.subcommand_matches("key").and_then(ArgMatches::subcommand);
    let Some((command, given)) = key else { return Ok(None) };
    let Some((_, name)) = COMMANDS.iter().find(|(name, _)| *name == command) else { return Ok(None) };
    if let Some(given) = given.get_one::<String>(name) {
        return Ok(Some((check_given(given)?, Vec::new())));
    }
    let typed =
        rpassword::prompt_password("URI: ").context("no secret was given, and none can be asked for here")?;
    let whose = check(&typed, "what was typed")?;
    let further = match command {
        "insert" => vec![format!("--suri={typed}").into()],
        _ => vec!["--".into(), typed.into()],
    };
    Ok(Some((whose, further)))
}

/// Refuses a development key on a chain that is not for development.
pub fn check_chain(secret: Secret, chain: &dyn ChainSpec) -> anyhow::Result<()> {
    let kind = chain.chain_type();
    anyhow::ensure!(
        secret == Secret::Kept || matches!(kind, ChainType::Development | ChainType::Local),
        "this key is made from the development phrase, which everybody has, and the chain \"{}\" is of type {kind:?}: make a phrase \
         with `poq-node key generate`",
        chain.name()
    );
    Ok(())
}

fn check_given(given: &str) -> anyhow::Result<Secret> {
    let file = Path::new(given);
    if !file.is_file() {
        return check(given, "the secret URI");
    }
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {given}"))?;
    let whose = check(&text, given)?;
    if whose == Secret::Kept && fs::metadata(file)?.permissions().mode() & 0o077 != 0 {
        eprintln!("Other users may read the secret in {given}: `chmod 600 {given}`");
    }
    Ok(whose)
}

/// Errors never repeat the secret. A text that is no secret URI, such as an address to inspect, is left to the SDK.
fn check(text: &str, source: &str) -> anyhow::Result<Secret> {
    let text = text.trim();
    let parsed = text.parse::<SecretUri>();
    if !parsed.is_ok_and(|uri| uri.phrase.expose_secret() == DEV_PHRASE) {
        return Ok(Secret::Kept);
    }
    anyhow::ensure!(
        text.starts_with(DEV_PHRASE),
        "{source} holds no phrase and no seed: that would be a key that everybody has. Write 12 words or more, or 64 hex digits, with \
         a path behind if need be (`poq-node key generate` makes a phrase)"
    );
    Ok(Secret::Development)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_phrase_is_no_secret() {
        for empty in ["", " ", "\t\n", "//path", " //Alice\n", "/soft", "///password", "//path///password"] {
            let error = check(empty, "worker").unwrap_err().to_string();
            assert!(error.starts_with("worker holds no phrase and no seed"), "{empty:?}: {error}");
        }
        for kept in [
            "legal winner thank year wave sausage worth useful legal winner thank yellow//path",
            "0x0707070707070707070707070707070707070707070707070707070707070707",
            "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY",
        ] {
            assert_eq!(check(kept, "worker").unwrap(), Secret::Kept, "{kept}");
        }
        assert_eq!(check(&format!("{DEV_PHRASE}//Alice"), "worker").unwrap(), Secret::Development);
    }

    #[test]
    fn everybodys_keys_are_for_test_networks() {
        let live = crate::chain_spec::ChainSpec::builder(&[], Default::default())
            .with_name("Live")
            .with_id("live")
            .with_chain_type(ChainType::Live)
            .with_genesis_config_patch(serde_json::json!({}))
            .build();
        let error = check_chain(Secret::Development, &live).unwrap_err().to_string();
        assert!(error.contains("\"Live\" is of type Live") && error.contains("key generate"), "{error}");
        assert!(check_chain(Secret::Kept, &live).is_ok());
        assert!(check_chain(Secret::Development, &crate::chain_spec::load("local").unwrap()).is_ok());
    }
}
