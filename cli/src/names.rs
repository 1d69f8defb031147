//! Names of models and accounts, for people.

use crate::{
    account,
    failure::Failure,
    render::{shortened, text},
};
use poq_client::{
    json,
    types::{ModelId, ModelKind, ModelView},
    At, Client,
};
use subxt::utils::AccountId32;

/// Characters of an address that is shortened.
const ADDRESS: usize = 11;

/// Names of this chain.
#[derive(Default)]
pub struct Names {
    /// The model registry, by name.
    pub models: Vec<ModelView>,
    accounts: Vec<(String, AccountId32)>,
}

impl Names {
    /// Asks the chain. Development accounts have names only where they mean something.
    pub async fn load(client: &Client, at: &At) -> Result<Self, Failure> {
        let accounts = match client.kind().await?.as_str() {
            "Development" | "Local" => account::development_accounts(),
            _ => Vec::new(),
        };
        Ok(Self { models: at.models().await?, accounts })
    }

    /// A model's name, or the beginning of its hash.
    pub fn model(&self, id: &ModelId) -> String {
        self.model_name(id).unwrap_or_else(|| hex::encode(id).chars().take(12).collect())
    }

    /// A model's name.
    pub fn model_name(&self, id: &ModelId) -> Option<String> {
        self.models.iter().find(|model| model.id == *id).map(|model| text(&model.name))
    }

    /// An account's name, or both ends of its address.
    pub fn account(&self, account: &AccountId32) -> String {
        self.account_name(account).map_or_else(|| shortened(&account.to_string(), ADDRESS), str::to_owned)
    }

    /// An account's name.
    pub fn account_name(&self, account: &AccountId32) -> Option<&str> {
        self.accounts.iter().find(|(_, known)| known == account).map(|(name, _)| name.as_str())
    }

    /// The account called `who`, or with that address.
    pub fn find_account(&self, who: &str) -> Result<AccountId32, Failure> {
        let named = self.accounts.iter().find(|(name, _)| name.eq_ignore_ascii_case(who));
        named.map(|(_, account)| *account).or_else(|| parse_account(who)).ok_or_else(|| {
            Failure::Input(format!(
                "`{who}` is neither an address nor a known name; `poq operators` lists the operators"
            ))
        })
    }

    /// The models named or hashed in `wanted`, each of the kind `kind`.
    ///
    /// A hash is taken as it is: whether it is registered is for the chain to say.
    pub fn find_model(&self, at: &At, wanted: &str, kind: ModelKind) -> Result<ModelId, Failure> {
        if let Some(id) = parse_hash(wanted) {
            return Ok(id);
        }
        let named: Vec<_> = self.models.iter().filter(|model| model.name == wanted.as_bytes()).collect();
        let fitting: Vec<_> = named.iter().filter(|model| model.kind == kind && !model.retired).collect();
        match (fitting.as_slice(), named.as_slice()) {
            ([model], _) => Ok(model.id),
            ([_, _, ..], _) => Err(Failure::Input(format!(
                "more than one model is called `{wanted}`: give the hash (`poq models`)"
            ))),
            ([], [model, ..]) if model.kind == kind => {
                Err(at.refuse("ModelRetired", &format!("`{wanted}`.")).into())
            }
            ([], [_, ..]) => Err(at.refuse("WrongModelKind", &format!("`{wanted}`.")).into()),
            ([], []) => Err(at.refuse("UnknownModel", &format!("`{wanted}`.")).into()),
        }
    }
}

impl json::Names for Names {
    fn model(&self, id: &ModelId) -> Option<String> {
        self.model_name(id)
    }

    fn account(&self, account: &AccountId32) -> Option<String> {
        self.account_name(account).map(str::to_owned)
    }
}

/// An account given as an address or as 32 bytes in hex.
pub fn parse_account(text: &str) -> Option<AccountId32> {
    text.parse().ok().or_else(|| parse_hash(text).map(AccountId32))
}

/// 32 bytes in hex.
pub fn parse_hash(text: &str) -> Option<[u8; 32]> {
    hex::decode(text.strip_prefix("0x").unwrap_or(text)).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_shortened_to_what_people_compare() {
        let account = parse_account("5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY").unwrap();
        assert_eq!(Names::default().account(&account), "5Grwv…KutQY");
    }

    #[test]
    fn accounts_are_addresses_or_hex() {
        let account = parse_account("5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY").unwrap();
        assert_eq!(parse_account(&hex::encode(account.0)), Some(account));
        assert_eq!(parse_account("alice"), None);
    }
}
