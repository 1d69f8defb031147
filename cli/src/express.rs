//! `poq ask --express`: a question on the express lane, paid from a channel.

use crate::{
    account::{self, Signer},
    amount::{part, Amount},
    args::{Ask, Shared},
    ask, chat,
    failure::{Failure, Outcome},
    names::Names,
    progress::Progress,
    render,
    table::{Column, Table},
};
use codec::Encode as _;
use poq_client::{
    json::fraction,
    types::{chain::storage, Channel, Terms as RequestTerms},
    Asked, At, Client, LANE,
};
use poq_express::crypto::{Crypto as _, Sr25519};
use poq_express_process::{
    ask::{Answer, Asker, Fallback, Output, Setup, Terms},
    chain::{node::NodeChain, Chain, Stalled, State},
    disk::Redb,
    keys,
    metrics::Metrics,
};
use poq_primitives::express::OrderName;
use serde_json::{json, Value};
use sp_arithmetic::Permill;
use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    sync::Arc,
};
use subxt::utils::AccountId32;
use tokio::time::{timeout_at, Instant};
use tokio_util::sync::CancellationToken;

/// The lane's end with a question.
pub enum Lane {
    /// The answer is shown, or the order was not over in time.
    Over(Outcome),
    /// The order goes on as this request.
    Request(Asked),
    /// The lane does not take it, for this reason. Nothing is paid on the lane.
    ChainPath(String),
}

/// Asks through the channel whose key is in `file`, and shows the answer. `terms` are those of a request for the same question.
pub async fn ask(
    client: &Client,
    ask: &Ask,
    file: &Path,
    (names, terms): (&Names, &RequestTerms),
    signer: &Signer,
    deadline: Instant,
    shared: &Shared,
) -> Result<Lane, Failure> {
    let at = client.best().await?;
    if !at.has_pallet(LANE) {
        return Ok(Lane::ChainPath("this chain has no express lane".into()));
    }
    let crypto = key_in(file)?;
    let (id, channel) = channel_of(&at, &crypto, file).await?;
    let closing = CancellationToken::new();
    let _end = closing.clone().drop_guard();
    let chain = NodeChain::start(client.url(), Some(signer.key.clone()), closing).await?;
    let chain: Arc<dyn Chain> = Arc::new(chain);
    let state = chain.states().borrow().clone();
    let Some(terms) = on_the_lane(ask, &at, &state, terms, &channel).await? else {
        return Ok(Lane::ChainPath("no generator of the question is on the lane now".into()));
    };
    let progress = Progress::new(shared.json);
    let asker = start(crypto.clone(), id, chain.clone(), folder_of(file, &state)).await?;
    progress.wait("operators answer and score");
    let begun = Instant::now();
    let Ok(asked) = timeout_at(deadline, asker.ask(&terms, ask.prompt.clone().into())).await else {
        drop(progress);
        render::error_line("the order is not over yet. The next `poq ask --express` with this key goes on with it; --timeout waits longer.");
        return Ok(Lane::Over(Outcome::TimedOut));
    };
    let took = begun.elapsed();
    let on_chain = |request| {
        Lane::Request(Asked {
            id: request,
            requester: channel.owner,
            prompt: ask.prompt.clone().into(),
            fee: 0,
        })
    };
    match asked {
        Ok(answer) => {
            drop(progress);
            let state = chain.states().borrow().clone();
            let shown = Shown {
                answer: &answer,
                by: who_answered(&crypto, &state, &answer),
                names,
                budget: terms.budget,
            };
            match shared.json {
                true => render::json(&shown.to_json())?,
                false => shown.show(ask.prompt.as_bytes(), took.as_secs_f64())?,
            }
            Ok(Lane::Over(Outcome::Done))
        }
        Err(Fallback::Escalated(request)) => Ok(on_chain(request)),
        Err(Fallback::Stalled(order)) => {
            progress.wait("no quorum scored it; the order goes to the chain path");
            if let Some(request) = escalate(&*chain, &order, deadline).await? {
                return Ok(on_chain(request));
            }
            drop(progress);
            render::error_line("the order goes to the chain path, and is in no final block yet; `poq requests` shows when it is.");
            Ok(Lane::Over(Outcome::TimedOut))
        }
        Err(why @ (Fallback::Refused(_) | Fallback::NothingCommitted(_))) => {
            Ok(Lane::ChainPath(why.to_string()))
        }
        Err(why) => Err(Failure::Input(why.to_string())),
    }
}

/// The channel's key.
fn key_in(file: &Path) -> Result<Sr25519, Failure> {
    // Refuses what is no secret of somebody's own.
    let public = account::keypair_in(file)?.public_key().0;
    let key = keys::of_uri(account::read_secret(file)?.trim());
    key.filter(|key| key.key() == public)
        .ok_or_else(|| Failure::Input(format!("{} holds no secret URI that can sign orders", file.display())))
}

/// The channel that takes orders of this key.
async fn channel_of(at: &At, crypto: &Sr25519, file: &Path) -> Result<(u64, Channel), Failure> {
    let is_it = |channel: &Channel| channel.key == crypto.key() && channel.last.is_none();
    let found = at.all(storage().express().channels(), is_it).await?;
    let oldest = found.into_iter().map(|(id, channel)| (id.0, channel)).min_by_key(|(id, _)| *id);
    oldest.ok_or_else(|| {
        let file = file.display();
        Failure::Input(format!(
            "no open channel has the key in {file}; `poq channel open AMOUNT --key {file}` opens one"
        ))
    })
}

/// The folder with the orders of a key on this chain: beside the key, as both belong together.
fn folder_of(file: &Path, state: &State) -> PathBuf {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(".orders");
    file.with_file_name(name).join(hex::encode(state.view.genesis))
}

async fn start(
    crypto: Sr25519,
    channel: u64,
    chain: Arc<dyn Chain>,
    folder: PathBuf,
) -> Result<Asker<Sr25519>, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::Input(format!("{}: {error}", folder.display()));
    let disk = Redb::open(&folder).map_err(|error| failed(&error))?;
    let metrics = Metrics::new().map_err(|error| failed(&error))?;
    let (limits, transport) = Default::default();
    let setup = Setup { crypto, channel, chain, disk: Arc::new(disk), limits, transport, metrics };
    Asker::start(setup).await.map_err(|error| failed(&error))
}

/// A request's terms as those of an order, for the first of its generators that is on the lane; `None` if none is.
async fn on_the_lane(
    ask: &Ask,
    at: &At,
    state: &State,
    terms: &RequestTerms,
    channel: &Channel,
) -> Result<Option<Terms>, Failure> {
    let Some(epoch) = state.view.epochs.get(&state.view.epoch) else { return Ok(None) };
    let operators = |model| -> Option<HashSet<[u8; 32]>> {
        let seats = epoch.snapshots.get(model)?;
        Some(seats.iter().map(|seat| seat.operator).filter(|operator| *operator != channel.owner.0).collect())
    };
    let on_lane = terms.generators.iter().find_map(|model| Some((*model, operators(model)?)));
    let (Some((generator, nodes)), Some(scorers)) = (on_lane, operators(&terms.evaluator)) else {
        return Ok(None);
    };
    let least = at.parameters().await?.min_committee;
    let (responders, committee) = ask::sizes(ask, &nodes, &scorers, least);
    let wanted = RequestTerms { generators: vec![generator], responders, committee, ..terms.clone() };
    let budget = match &ask.budget {
        Some(budget) => budget.0,
        None => at.estimate_budget(&wanted).await?.total(),
    };
    let few = |count: u32, option: &str| {
        count.try_into().map_err(|_| Failure::Input(format!("{option} is {count}, too many for one order")))
    };
    Ok(Some(Terms {
        generator,
        evaluator: terms.evaluator,
        responders: few(responders, "--responders")?,
        committee: few(committee, "--committee")?,
        max_tokens: terms.sampling.max_tokens,
        temperature_milli: terms.sampling.temperature_milli,
        seed: terms.sampling.seed,
        min_quality: Permill::from_parts(terms.min_quality),
        budget,
        audit: None,
    }))
}

/// Brings an order to the chain path, and waits until a finalized block has its request. `None` if the time is over before.
async fn escalate(chain: &dyn Chain, order: &Stalled, deadline: Instant) -> Result<Option<u64>, Failure> {
    let mut states = chain.states();
    let name = order.escalation.offer.order.name;
    let waited = timeout_at(deadline, async {
        chain.escalate(order).await.map_err(|error| Failure::Input(error.to_string()))?;
        let state = states.wait_for(|state| state.escalated.contains_key(&name)).await;
        let request = state.ok().and_then(|state| state.escalated.get(&name).copied());
        request.ok_or_else(|| Failure::Unreachable("the node is gone".into()))
    });
    waited.await.ok().transpose()
}

/// The operators that answered, in the order of the draw; none if their epoch is no longer known.
fn who_answered(crypto: &Sr25519, state: &State, answer: &Answer) -> Vec<AccountId32> {
    let context = state.context(&answer.certificate.order);
    let outcome = context.as_ref().and_then(|context| answer.certificate.check(context, crypto).ok());
    let responders = outcome.into_iter().flat_map(|outcome| outcome.responders);
    responders.filter(|(_, answer)| answer.is_some()).map(|(seat, _)| AccountId32(seat.operator)).collect()
}

/// An answer with what is said of it.
struct Shown<'a> {
    answer: &'a Answer,
    by: Vec<AccountId32>,
    names: &'a Names,
    budget: u128,
}

impl Shown<'_> {
    fn outputs(&self) -> impl Iterator<Item = (&Output, Option<&AccountId32>)> {
        let by = self.by.iter().map(Some).chain(std::iter::repeat(None));
        self.answer.outputs.iter().zip(by)
    }

    /// The shape is documented in `poq ask --help`.
    fn to_json(&self) -> Value {
        let OrderName { channel, epoch, index } = self.answer.name;
        let text = |output: &Output| output.text.as_deref().map(render::text);
        let parts = |score: Permill| fraction(score.deconstruct());
        let answers = self.outputs().map(|(output, by)| {
            json!({
                "operator": by.map(ToString::to_string),
                "operator_name": by.and_then(|by| self.names.account_name(by)),
                "answer": text(output),
                "median": output.median().map(parts),
                "scores": output.scores.iter().copied().map(parts).collect::<Vec<_>>(),
            })
        });
        json!({
            "lane": "express",
            "channel": channel,
            "epoch": epoch,
            "index": index,
            "answer": self.answer.best().and_then(text),
            "answers": answers.collect::<Vec<_>>(),
            "budget": self.budget.to_string(),
            "certificate": format!("0x{}", hex::encode(self.answer.certificate.encode())),
        })
    }

    fn show(&self, prompt: &[u8], seconds: f64) -> Result<(), Failure> {
        let best = self.answer.best();
        if let Some(text) = best.and_then(|best| best.text.as_deref()) {
            render::line(render::bold(&render::printable(&render::text(text))))?;
            render::line("")?;
        }
        let OrderName { channel, epoch, index } = self.answer.name;
        let prompt = render::excerpt(&chat::title(&render::text(prompt)), 60);
        render::prose(&format!(
            "Order {index} of epoch {epoch} (\"{prompt}\") was answered and scored on the express lane in {seconds:.1} s."
        ))?;
        let mut table = Table::new(&[
            Column::words("Answer"),
            Column::text("By"),
            Column::number("Median"),
            Column::number("Scores").optional(),
        ]);
        for (output, by) in self.outputs() {
            let mark = if best == Some(output) { "* " } else { "" };
            let text = output.text.as_deref().map(render::text).unwrap_or_default();
            let scores: Vec<_> = output.scores.iter().map(|score| part(score.deconstruct())).collect();
            table.row([
                format!("{mark}{}", render::excerpt(&text, 40)),
                by.map(|by| self.names.account(by)).unwrap_or_default(),
                output.median().map(|median| part(median.deconstruct())).unwrap_or_default(),
                scores.join(" "),
            ]);
        }
        table.print()?;
        render::prose(&format!(
            "Channel {channel} pays at most {} for it, when the chain settles it; `poq channel show {channel}`.",
            Amount(self.budget)
        ))
    }
}
