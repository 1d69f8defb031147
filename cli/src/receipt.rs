//! Receipts: what a node says of a request made into a file, and such a file checked without a node.

use crate::{
    amount::{part, Amount},
    args::{MakeReceipt, Shared, Verify},
    failure::{Failure, Outcome},
    pin, render,
    table::{Column, Table},
};
use poq_client::{types, Client};
use poq_receipt::{
    collect, digest, report,
    stored::{Member, Phase, RefundReason},
    verify, Anchor, Answer, Bytes, Error, Receipt, Verified,
};
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read as _},
    path::Path,
};

/// `poq receipt`.
pub async fn make(client: &Client, wanted: &MakeReceipt) -> Result<Outcome, Failure> {
    let anchor = match (&wanted.chain, wanted.anchor) {
        (Some(file), _) => Anchor::Specification(genesis_state(file)?),
        (None, Some(hash)) => Anchor::Block(hash),
        (None, None) => Anchor::Genesis,
    };
    let receipt = collect(client, wanted.id, anchor).await.map_err(|error| match error {
        Error::Client(error) => error.into(),
        other => Failure::Input(other.to_string()),
    })?;
    let json =
        serde_json::to_string_pretty(&receipt).map_err(|error| Failure::Unexpected(error.to_string()))?;
    render::line(json)?;
    Ok(Outcome::Done)
}

/// Keys and values of the genesis block in a raw chain specification.
fn genesis_state(file: &Path) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, Failure> {
    #[derive(Deserialize)]
    struct Specification {
        genesis: Genesis,
    }
    #[derive(Deserialize)]
    struct Genesis {
        raw: Raw,
    }
    #[derive(Deserialize)]
    struct Raw {
        top: BTreeMap<String, Bytes>,
    }
    let fails = |why: String| {
        let file = file.display();
        Failure::Input(format!(
            "{file} is no raw chain specification ({why}); `poq-node export-chain-spec --raw` writes one"
        ))
    };
    let text = fs::read_to_string(file)
        .map_err(|error| Failure::Input(format!("cannot read {}: {error}", file.display())))?;
    let specification: Specification =
        serde_json::from_str(&text).map_err(|error| fails(error.to_string()))?;
    let entries = specification.genesis.raw.top.into_iter().map(|(key, value)| {
        let key = key.strip_prefix("0x").and_then(|digits| hex::decode(digits).ok());
        key.map(|key| (key, value.0)).ok_or_else(|| fails("a key is not hex".into()))
    });
    entries.collect()
}

/// `poq verify`.
pub async fn check(wanted: &Verify, shared: &Shared) -> Result<Outcome, Failure> {
    let receipt = Receipt::parse(&read(&wanted.file)?).map_err(|error| Failure::Input(error.to_string()))?;
    let anchor = match wanted.anchor {
        Some(anchor) => anchor,
        None => pin::trusted(shared).await?,
    };
    let proven = verify(&receipt, anchor).map_err(|error| Failure::Input(error.to_string()))?;
    let found = wanted.answer.as_deref().map(|answer| find(&proven, answer)).transpose()?;
    if shared.json {
        let mut proven = report(&proven);
        if let Some(proven) = proven.as_object_mut() {
            proven.insert("answer".to_owned(), found.into());
        }
        render::json(&proven)?;
        return Ok(Outcome::Done);
    }
    show(&proven, anchor)?;
    if let Some(index) = found {
        render::line(format!("The text is answer {index}."))?;
    }
    Ok(Outcome::Done)
}

fn read(file: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let read = if file == Path::new("-") {
        io::stdin().read_to_string(&mut text)
    } else {
        fs::File::open(file).and_then(|mut file| file.read_to_string(&mut text))
    };
    read.map_err(|error| Failure::Input(format!("cannot read {}: {error}", file.display())))?;
    Ok(text)
}

/// Index of the answer that is this text.
fn find(proven: &Verified, text: &str) -> Result<usize, Failure> {
    let wanted = digest(text);
    let found = proven.answers.iter().position(|answer| answer.output == Some(wanted));
    found.ok_or_else(|| {
        Failure::Input(format!(
            "no answer of request {} is this text ({} bytes, digest 0x{}); white space counts",
            proven.id,
            text.len(),
            hex::encode(wanted)
        ))
    })
}

fn show(proven: &Verified, anchor: [u8; 32]) -> Result<(), Failure> {
    let end = match proven.request.phase {
        Phase::Settled { at, .. } => format!("was settled in block {at}"),
        Phase::Refunded { at, reason } => format!("was refunded in block {at}: {}", meaning(reason)),
        // Such a receipt is refused.
        _ => "is open".to_owned(),
    };
    render::line(format!("Proven: request {} {end}.", proven.id))?;
    render::line(format!(
        "Block {} is final, by the votes of GRANDPA's voters since block 0x{}.",
        proven.block,
        hex::encode(anchor)
    ))?;
    render::line(format!(
        "Requester {}, digest of the question 0x{}",
        proven.request.requester,
        hex::encode(proven.prompt)
    ))?;
    if !proven.answers.is_empty() {
        answers(proven).print()?;
    }
    for members in &proven.committees {
        committee(members).print()?;
    }
    Ok(())
}

fn answers(proven: &Verified) -> Table {
    let mut table = Table::new(&[
        Column::text("Answer"),
        Column::id("By"),
        Column::number("Quality"),
        Column::number("Paid"),
        Column::id("Digest of the text"),
    ]);
    for (index, Answer { response, output }) in proven.answers.iter().enumerate() {
        let is_best = matches!(proven.request.phase, Phase::Settled { best, .. } if best as usize == index);
        table.row([
            format!("{}{index}", if is_best { "* " } else { "" }),
            response.operator.to_string(),
            response.quality.map(part).unwrap_or_default(),
            Amount(response.paid).to_string(),
            output.map_or_else(|| response.work.meaning(), |digest| format!("0x{}", hex::encode(digest))),
        ]);
    }
    table
}

fn committee(members: &[Member]) -> Table {
    let mut table = Table::new(&[
        Column::id("Quality validator"),
        Column::number("Scores"),
        Column::number("Agreement"),
        Column::number("Paid"),
    ]);
    for member in members {
        table.row([
            member.operator.to_string(),
            member.scores.iter().map(|score| part(*score)).collect::<Vec<_>>().join(" "),
            member.agreement.map(part).unwrap_or_default(),
            Amount(member.paid).to_string(),
        ]);
    }
    table
}

/// The reason of a refund, for people.
fn meaning(reason: RefundReason) -> &'static str {
    let reason = match reason {
        RefundReason::NoRandomness => types::RefundReason::NoRandomness,
        RefundReason::NoInferenceNode => types::RefundReason::NoInferenceNode,
        RefundReason::NoCommitment => types::RefundReason::NoCommitment,
        RefundReason::NoOutput => types::RefundReason::NoOutput,
        RefundReason::NoCommittee => types::RefundReason::NoCommittee,
        RefundReason::NoQuorum => types::RefundReason::NoQuorum,
        RefundReason::Busy => types::RefundReason::Busy,
        RefundReason::Cancelled => types::RefundReason::Cancelled,
    };
    reason.meaning()
}
