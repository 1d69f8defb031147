//! Known-answer audits: a question whose answer is known, asked like any other, and revealed by an auditor when the request is over.
//!
//! The request carries a commitment to the answer key where others carry random bytes. The key itself waits in a file that
//! only its owner reads, written before anything is sent.

use crate::{
    account,
    amount::{parse_part, part, parts, Amount},
    args::{Ask, AuditorsCommand, Shared},
    failure::{Failure, Outcome},
    names::Names,
    render::{self, text},
    table::{Column, Table},
};
use poq_client::{
    types::{
        chain::{
            constants,
            proof_of_quality::events::{AuditRevealed, Audited, Compensated, Slashed},
            storage, tx,
        },
        AnswerKey, Audit, MemberView, PalletCall, Parts, RequestView, ResponseView, StoredRequest, Work,
    },
    At, Client,
};
use poq_primitives::commitment;
use serde::{Deserialize, Serialize};
use serde_json::{json, Value};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};
use subxt::utils::AccountId32;

/// Mode of a file with an answer key: for its owner only.
const OWNER_ONLY: u32 = 0o600;

/// Bytes of the commitment in a file's name.
const NAME_BYTES: usize = 6;

/// Score that a right answer deserves by default: the best of scores are seldom 1.
const RIGHT: &str = "0.9";

/// Score that a wrong answer deserves by default.
const WRONG: &str = "0.1";

/// Everything needed to reveal an audit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Secret {
    /// The request, once it is in a block.
    request: Option<u64>,
    prompt: String,
    reference: String,
    /// None in a file of a release that knew none.
    #[serde(default)]
    decoys: Vec<String>,
    #[serde(with = "parts")]
    right: Parts,
    #[serde(with = "parts")]
    wrong: Parts,
    requester: AccountId32,
    #[serde(with = "bytes32")]
    genesis: [u8; 32],
    #[serde(with = "bytes32")]
    salt: [u8; 32],
}

impl Secret {
    fn commitment(&self) -> [u8; 32] {
        // As the chain's `AnswerKey` encodes.
        let decoys: Vec<&[u8]> = self.decoys.iter().map(String::as_bytes).collect();
        let key = (self.reference.as_bytes(), decoys, self.right, self.wrong);
        commitment::answer_key(&self.genesis, &self.requester.0, self.prompt.as_bytes(), &key, &self.salt)
    }

    fn key(&self) -> AnswerKey {
        AnswerKey {
            reference: self.reference.clone().into_bytes(),
            decoys: self.decoys.iter().map(|decoy| decoy.clone().into_bytes()).collect(),
            right: self.right,
            wrong: self.wrong,
        }
    }

    fn text(&self) -> Result<String, Failure> {
        let text = serde_json::to_string_pretty(self);
        text.map(|text| text + "\n").map_err(|error| Failure::Unexpected(error.to_string()))
    }

    fn read(path: &Path) -> Result<Self, Failure> {
        let text = fs::read_to_string(path)
            .map_err(|error| Failure::Input(format!("cannot read {}: {error}", path.display())))?;
        serde_json::from_str(&text)
            .map_err(|error| Failure::Input(format!("{} holds no audit: {error}", path.display())))
    }
}

/// An audit whose answer key is in a file.
pub struct Sealed {
    secret: Secret,
    path: PathBuf,
}

impl Sealed {
    /// Makes the answer key that the command line asks for, and writes it to a file; `None` if it asks for none.
    pub fn save(
        ask: &Ask,
        client: &Client,
        at: &At,
        requester: AccountId32,
    ) -> Result<Option<Self>, Failure> {
        let Some(reference) = &ask.reference else { return Ok(None) };
        let (length, most) = at.answer_key_limits()?;
        let reference = checked("--reference", reference, length)?;
        let decoys = checked_decoys(&ask.decoys, &reference, length, most)?;
        let secret = Secret {
            request: None,
            prompt: ask.prompt.clone(),
            reference,
            decoys,
            right: value(ask.right, RIGHT)?,
            wrong: value(ask.wrong, WRONG)?,
            requester,
            genesis: client.genesis(),
            salt: poq_client::random()?,
        };
        if secret.wrong >= secret.right {
            return Err(Failure::Input("--right must be above --wrong".into()));
        }
        let path = ask.audit_file.clone().unwrap_or_else(|| default_path(&secret.commitment()));
        let sealed = Self { secret, path };
        sealed.write(&sealed.path)?;
        Ok(Some(sealed))
    }

    /// The commitment in the request.
    pub fn commitment(&self) -> [u8; 32] {
        self.secret.commitment()
    }

    /// The file with the answer key.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Notes the request's number, so that it need not be searched for. Not worth an error: it would be found.
    pub fn note(&mut self, request: u64) {
        self.secret.request = Some(request);
        let mut beside = self.path.clone().into_os_string();
        beside.push(".new");
        let beside = PathBuf::from(beside);
        let _ = self.write(&beside).map(|()| fs::rename(&beside, &self.path));
    }

    /// Forgets an answer key that the chain has refused.
    pub fn discard(self) {
        let _ = fs::remove_file(&self.path);
    }

    /// Writes a new file, and does not return before it would survive a power cut.
    fn write(&self, path: &Path) -> Result<(), Failure> {
        let text = self.secret.text()?;
        let file = OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY).open(path);
        let written = file.and_then(|mut file: File| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        });
        written.map_err(|error| {
            Failure::Input(match error.kind() {
                io::ErrorKind::AlreadyExists => {
                    format!("{} exists already: --audit-file FILE names another", path.display())
                }
                _ => format!("cannot write {}: {error}", path.display()),
            })
        })
    }
}

/// The words of a reference or of a decoy. The chain takes any, also those that nothing could contain or that could never be revealed.
fn checked(option: &str, words: &str, most: u32) -> Result<String, Failure> {
    let words = words.trim();
    if words.is_empty() {
        return Err(Failure::Input(format!("{option} is empty: the audit could not be revealed")));
    }
    if words.len() > most as usize {
        return Err(Failure::Input(format!(
            "{option} is longer than {most} bytes: the audit could not be revealed"
        )));
    }
    Ok(words.to_owned())
}

/// Decoys, of which none may make every right answer wrong.
fn checked_decoys(
    decoys: &[String],
    reference: &str,
    length: u32,
    most: u32,
) -> Result<Vec<String>, Failure> {
    if decoys.len() > most as usize {
        return Err(Failure::Input(format!(
            "{} decoys are too many: an answer key has at most {most}",
            decoys.len()
        )));
    }
    let decoys: Vec<String> =
        decoys.iter().map(|decoy| checked("--decoy", decoy, length)).collect::<Result<_, _>>()?;
    match decoys.iter().find(|decoy| has_words(reference, decoy)) {
        Some(decoy) => Err(Failure::Input(format!(
            "--decoy \"{decoy}\" is a part of --reference \"{reference}\": no answer would be right"
        ))),
        None => Ok(decoys),
    }
}

/// Whether `text` contains `words` not as a part of longer words, as the chain looks for them. Case of ASCII letters does not matter.
fn has_words(text: &str, words: &str) -> bool {
    let (text, words) = (text.to_ascii_lowercase(), words.to_ascii_lowercase());
    let is_word = |letter: Option<char>| {
        letter.is_some_and(|letter| letter.is_ascii_alphanumeric() || !letter.is_ascii())
    };
    text.match_indices(&words).any(|(at, _)| {
        let (before, found_on) = text.split_at(at);
        let after = found_on.get(words.len()..).unwrap_or_default();
        let begins_within = is_word(words.chars().next()) && is_word(before.chars().next_back());
        let ends_within = is_word(words.chars().next_back()) && is_word(after.chars().next());
        !begins_within && !ends_within
    })
}

fn value(given: Option<Parts>, default: &str) -> Result<Parts, Failure> {
    given.map_or_else(|| parse_part(default).map_err(Failure::Unexpected), Ok)
}

/// Named by the commitment, because the request's number is not known yet, and another chain has the same.
fn default_path(commitment: &[u8; 32]) -> PathBuf {
    let name: Vec<u8> = commitment.iter().take(NAME_BYTES).copied().collect();
    PathBuf::from(format!("audit-{}.json", hex::encode(name)))
}

/// `poq audit reveal FILE`.
pub async fn reveal(client: &Client, file: &Path, shared: &Shared) -> Result<Outcome, Failure> {
    let secret = Secret::read(file)?;
    if secret.genesis != client.genesis() {
        return Err(Failure::Input(format!("{} belongs to another chain", file.display())));
    }
    let signer = account::signer(shared, client).await?;
    let at = client.best().await?;
    let names = Names::load(client, &at).await?;
    check_auditor(&at, signer.account, &names).await?;
    let id = openable(&secret, &at).await?;
    let call = tx().proof_of_quality().reveal_audit(id, secret.key(), secret.salt);
    let included = signer.submit(client, shared, call).await;
    let included =
        included.map_err(|failure| failure.with(&[("AlreadyAudited", format!("Request {id}."))]))?;

    let request = client.best().await?.request(id).await?;
    let request = request
        .ok_or_else(|| Failure::Unexpected(format!("the audit was revealed, but request {id} is gone")))?;
    let opened: AuditRevealed = included
        .event()
        .ok_or_else(|| Failure::Unexpected("the call succeeded, but no audit was revealed".into()))?;
    let result = Revealed {
        request,
        truth: opened.truth,
        audited: included.events().collect(),
        slashed: included.events().collect(),
        compensated: included.events().collect(),
    };
    if shared.json {
        let mut json = result.to_json(&secret, &names);
        if let Some(fields) = json.as_object_mut() {
            fields.insert("signer".into(), signer.account.to_string().into());
        }
        render::json(&json)?;
    } else {
        result.show(&secret, &names)?;
    }
    Ok(Outcome::Done)
}

/// The accounts that reveal audits.
async fn fetch_auditors(at: &At) -> Result<Vec<AccountId32>, Failure> {
    Ok(at.value(storage().proof_of_quality().auditors()).await?)
}

/// Refuses a signer that is no auditor before anything is sent: even a refused transaction shows the answer key to all.
async fn check_auditor(at: &At, account: AccountId32, names: &Names) -> Result<(), Failure> {
    let auditors = fetch_auditors(at).await?;
    if auditors.contains(&account) {
        return Ok(());
    }
    let list: Vec<_> = auditors.iter().map(|auditor| names.account(auditor)).collect();
    let list = if list.is_empty() { "there are none".to_owned() } else { list.join(", ") };
    Err(Failure::refused(
        "BadOrigin",
        format!("{} is no auditor. The auditors: {list}. Nothing was sent.", names.account(&account)),
    ))
}

/// `poq audit auditors …`.
pub async fn auditors(
    client: &Client,
    command: Option<AuditorsCommand>,
    shared: &Shared,
) -> Result<Outcome, Failure> {
    let at = client.best().await?;
    let names = Names::load(client, &at).await?;
    let mut sender = None;
    if let Some(AuditorsCommand::Set { accounts }) = command {
        let most = at.constant(constants().proof_of_quality().max_auditors())?;
        if accounts.len() > most as usize {
            return Err(Failure::Input(format!(
                "{} auditors are too many: the chain takes at most {most}",
                accounts.len()
            )));
        }
        let auditors = accounts.iter().map(|text| names.find_account(text)).collect::<Result<Vec<_>, _>>()?;
        let signer = account::signer(shared, client).await?;
        signer.sudo(client, shared, PalletCall::set_auditors { auditors }).await?;
        sender = Some(signer.account.to_string());
    }
    let at = client.best().await?;
    let auditors = fetch_auditors(&at).await?;
    if shared.json {
        let auditors = auditors
            .iter()
            .map(|auditor| json!({ "auditor": auditor.to_string(), "name": names.account_name(auditor) }));
        let mut json = json!({ "auditors": auditors.collect::<Vec<_>>() });
        if let (Some(sender), Some(fields)) = (sender, json.as_object_mut()) {
            fields.insert("signer".into(), sender.into());
        }
        render::json(&json)?;
        return Ok(Outcome::Done);
    }
    if auditors.is_empty() {
        render::prose(
            "No account reveals audits: the chain's sudo key sets some with `poq audit auditors set ADDRESS…`.",
        )?;
    }
    for auditor in &auditors {
        let name = names.account_name(auditor).map_or_else(String::new, |name| format!(" ({name})"));
        render::prose(&format!("{auditor}{name}"))?;
    }
    Ok(Outcome::Done)
}

/// The request whose audit `secret` opens now.
///
/// A key that the chain would refuse is not even sent, because that would show the answer key to all and open nothing. Only an
/// audit that is open already is left for the chain to refuse.
async fn openable(secret: &Secret, at: &At) -> Result<u64, Failure> {
    let (id, stored) = find(secret, at).await?;
    let Some(closed) = stored.phase.closed_at() else {
        return Err(at.refuse("NotSettled", &format!("Request {id} is {}.", stored.phase.name())).into());
    };
    let last = closed.saturating_add(stored.parameters.audit_window.into());
    if stored.audit != Audit::Revealed && at.number() >= last {
        return Err(at.refuse("AuditTooLate", &format!("It ended with block {last}.")).into());
    }
    Ok(id)
}

/// The request that carries the commitment to the secret's answer key.
async fn find(secret: &Secret, at: &At) -> Result<(u64, StoredRequest), Failure> {
    let ours = Audit::Sealed(secret.commitment());
    let requests = || storage().proof_of_quality().requests();
    let noted = match secret.request {
        Some(id) => at.entry(requests(), (id,)).await?.map(|stored| (id, stored)),
        None => None,
    };
    if let Some(found) = noted.clone().filter(|(_, stored)| stored.audit == ours) {
        return Ok(found);
    }
    // No number was noted, or a re-organisation gave it to another request.
    if let Some(((id,), stored)) = at.find(requests(), |stored| stored.audit == ours).await? {
        return Ok((id, stored));
    }
    match noted {
        Some((id, stored)) if stored.audit == Audit::Revealed => Ok((id, stored)),
        _ => Err(at.refuse("AuditMismatch", "Nothing was sent: the answer key is still secret.").into()),
    }
}

/// Outcome of an audit.
struct Revealed {
    request: RequestView,
    truth: Vec<Parts>,
    audited: Vec<Audited>,
    slashed: Vec<Slashed>,
    compensated: Vec<Compensated>,
}

impl Revealed {
    /// The responses that were revealed, and the score that each deserved.
    fn responses(&self) -> impl Iterator<Item = (&ResponseView, Parts)> {
        let revealed = self.request.responses.iter().filter(|response| response.work == Work::Revealed);
        revealed.zip(self.truth.iter().copied())
    }

    /// The quality validators, of all committees, that revealed scores, or committed to some and did not reveal them.
    fn committee(&self) -> impl Iterator<Item = &MemberView> {
        let is_held = |work: &Work| matches!(work, Work::Revealed | Work::NotRevealed);
        self.request.committees.iter().flatten().filter(move |member| is_held(&member.work))
    }

    fn error(&self, operator: &AccountId32) -> Option<Parts> {
        self.audited.iter().find(|event| event.operator == *operator).map(|event| event.error)
    }

    fn slashed(&self, operator: &AccountId32) -> u128 {
        let events = self.slashed.iter().filter(|event| event.operator == *operator);
        events.map(|event| event.amount).fold(0, u128::saturating_add)
    }

    fn compensated(&self, operator: &AccountId32) -> u128 {
        let events = self.compensated.iter().filter(|event| event.who == *operator);
        events.map(|event| event.amount).fold(0, u128::saturating_add)
    }

    /// The sum slashed, and its part that went to those harmed by the errors.
    fn totals(&self) -> (u128, u128) {
        let slashed = self.slashed.iter().map(|event| event.amount).fold(0, u128::saturating_add);
        let compensated = self.compensated.iter().map(|event| event.amount).fold(0, u128::saturating_add);
        (slashed, compensated)
    }

    fn to_json(&self, secret: &Secret, names: &Names) -> Value {
        let fraction = |parts: Parts| f64::from(parts) / 1e6;
        let responses = self.responses().map(|(response, truth)| {
            json!({
                "operator": response.operator.to_string(),
                "operator_name": names.account_name(&response.operator),
                "output": text(&response.output),
                "quality": response.quality.map(fraction),
                "truth": fraction(truth),
                "compensated": self.compensated(&response.operator).to_string(),
            })
        });
        let committee = self.committee().map(|member| {
            json!({
                "operator": member.operator.to_string(),
                "operator_name": names.account_name(&member.operator),
                "work": member.work.name(),
                "scores": member.scores.iter().copied().map(fraction).collect::<Vec<_>>(),
                "error": self.error(&member.operator).map(fraction),
                "slashed": self.slashed(&member.operator).to_string(),
                "compensated": self.compensated(&member.operator).to_string(),
            })
        });
        let (slashed, compensated) = self.totals();
        json!({
            "request": self.request.id,
            "prompt": text(&self.request.prompt),
            "reference": secret.reference,
            "decoys": secret.decoys,
            "right": fraction(secret.right),
            "wrong": fraction(secret.wrong),
            "responses": responses.collect::<Vec<_>>(),
            "committee": committee.collect::<Vec<_>>(),
            "slashed": slashed.to_string(),
            "compensated": compensated.to_string(),
        })
    }

    fn show(&self, secret: &Secret, names: &Names) -> Result<(), Failure> {
        let decoys: Vec<_> =
            secret.decoys.iter().map(|decoy| format!("\"{}\"", render::printable(decoy))).collect();
        let without =
            if decoys.is_empty() { String::new() } else { format!(" and none of {}", decoys.join(", ")) };
        render::prose(&format!(
            "Request {} (\"{}\") was an audit: right is what says \"{}\"{without}.",
            self.request.id,
            render::excerpt(&text(&self.request.prompt), 60),
            render::printable(&secret.reference)
        ))?;
        let mut table = Table::new(&[
            Column::words("Answer"),
            Column::text("By"),
            Column::number("Quality").optional(),
            Column::number("Truth"),
            Column::number("Compensated").optional(),
        ]);
        for (response, truth) in self.responses() {
            table.row([
                render::excerpt(&text(&response.output), 40),
                names.account(&response.operator),
                response.quality.map(part).unwrap_or_default(),
                part(truth),
                some(self.compensated(&response.operator)),
            ]);
        }
        table.print()?;
        let mut table = Table::new(&[
            Column::text("Quality validator"),
            Column::number("Scores").optional(),
            Column::number("Error"),
            Column::number("Slashed"),
            Column::number("Compensated").optional(),
        ]);
        for member in self.committee() {
            let scores: Vec<_> = member.scores.iter().map(|score| part(*score)).collect();
            let scores = if member.work == Work::Revealed { scores.join(" ") } else { member.work.meaning() };
            table.row([
                names.account(&member.operator),
                scores,
                self.error(&member.operator).map(part).unwrap_or_default(),
                some(self.slashed(&member.operator)),
                some(self.compensated(&member.operator)),
            ]);
        }
        table.print()?;
        let money = match self.totals() {
            (0, _) if self.slashed.is_empty() => "No error was gross: nobody was slashed.".to_owned(),
            (0, _) => "Errors were gross, but nothing was slashed: audits have slashed all that `audit_allowance` lets them for now."
                .to_owned(),
            (slashed, compensated) => format!(
                "Of {} of slashed stake, {} went to operators that had earned less by the errors.",
                Amount(slashed),
                Amount(compensated)
            ),
        };
        render::prose(&money)
    }
}

/// An amount, if there is any.
fn some(amount: u128) -> String {
    match amount {
        0 => String::new(),
        some => Amount(some).to_string(),
    }
}

/// 32 bytes in JSON: hex.
mod bytes32 {
    use serde::{de::Error, Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(bytes: &[u8; 32], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&format!("0x{}", hex::encode(bytes)))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<[u8; 32], D::Error> {
        let text = String::deserialize(from)?;
        let bytes = hex::decode(text.trim_start_matches("0x")).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.ok_or_else(|| D::Error::custom("not 32 bytes in hex"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn sealed(path: PathBuf) -> Sealed {
        let secret = Secret {
            request: None,
            prompt: "capital of Peru?".into(),
            reference: "Lima".into(),
            decoys: vec!["Quito".into(), "La Paz".into()],
            right: 900_000,
            wrong: 100_000,
            requester: AccountId32([5; 32]),
            genesis: [1; 32],
            salt: [7; 32],
        };
        Sealed { secret, path }
    }

    #[test]
    fn a_secret_survives_its_file_and_is_only_for_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let mut sealed = sealed(folder.path().join("a.json"));
        sealed.write(&sealed.path).unwrap();
        assert_eq!(Secret::read(&sealed.path).unwrap(), sealed.secret);

        let commitment = sealed.commitment();
        sealed.note(7);
        let noted = Secret::read(&sealed.path).unwrap();
        assert_eq!((noted.request, noted.commitment()), (Some(7), commitment));
        assert_eq!(fs::metadata(&sealed.path).unwrap().permissions().mode() & 0o777, OWNER_ONLY);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn no_file_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let sealed = sealed(folder.path().join("a.json"));
        fs::write(&sealed.path, "dear").unwrap();
        let error = sealed.write(&sealed.path).unwrap_err().to_string();
        assert!(error.contains("--audit-file"), "{error}");
        assert_eq!(fs::read_to_string(&sealed.path).unwrap(), "dear");
    }

    #[test]
    fn a_reference_is_something_that_an_answer_can_contain() {
        assert_eq!(checked("--reference", " Lima\n", 4).unwrap(), "Lima");
        assert!(checked("--reference", " ", 4).is_err());
        assert!(checked("--reference", "Quito", 4).is_err());
    }

    #[test]
    fn decoys_are_few_and_short_and_leave_a_right_answer() {
        let decoys = |decoys: &[&str]| {
            let decoys: Vec<_> = decoys.iter().map(|decoy| (*decoy).to_owned()).collect();
            checked_decoys(&decoys, "New York", 5, 2).map_err(|error| error.to_string())
        };
        assert_eq!(decoys(&[" Quito", "Rome"]), Ok(vec!["Quito".into(), "Rome".into()]));
        assert_eq!(decoys(&[]), Ok(vec![]));
        assert_eq!(decoys(&["ork"]), Ok(vec!["ork".into()]), "a part of a word is another word");
        for (bad, because) in [
            (&["a", "b", "c"][..], "at most 2"),
            (&[" "], "is empty"),
            (&["Bogota"], "longer than 5 bytes"),
            (&["york"], "no answer would be right"),
        ] {
            assert!(decoys(bad).is_err_and(|error| error.contains(because)), "{bad:?}");
        }
    }

    #[test]
    fn a_file_without_decoys_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let sealed = sealed(folder.path().join("a.json"));
        let mut json: Value = serde_json::from_str(&sealed.secret.text().unwrap()).unwrap();
        json.as_object_mut().unwrap().remove("decoys").unwrap();
        fs::write(&sealed.path, json.to_string()).unwrap();
        let expected = Secret { decoys: vec![], ..sealed.secret };
        assert_eq!(Secret::read(&sealed.path).unwrap(), expected);
    }

    #[test]
    fn the_commitment_is_to_the_key_as_the_chain_encodes_it() {
        let secret = sealed(PathBuf::new()).secret;
        // Compact length and words; the number of decoys, each with its length; and two numbers of four bytes.
        let mut key = vec![4 << 2];
        key.extend(b"Lima");
        key.extend([2 << 2, 5 << 2]);
        key.extend(b"Quito");
        key.push(6 << 2);
        key.extend(b"La Paz");
        key.extend(900_000u32.to_le_bytes());
        key.extend(100_000u32.to_le_bytes());
        let key = Raw(key);
        let expected = commitment::answer_key(
            &secret.genesis,
            &secret.requester.0,
            secret.prompt.as_bytes(),
            &key,
            &secret.salt,
        );
        assert_eq!(secret.commitment(), expected);
    }

    /// Bytes that are encoded already.
    struct Raw(Vec<u8>);

    impl subxt::ext::codec::Encode for Raw {
        fn encode(&self) -> Vec<u8> {
            self.0.clone()
        }
    }
}
