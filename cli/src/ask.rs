//! Asking: from a question to an answer.

use crate::{
    account,
    amount::Amount,
    args::{Ask, Shared},
    audit::Sealed,
    chat,
    express::{self, Lane},
    failure::{Failure, Outcome},
    names::Names,
    progress::Progress,
    render,
    request::Report,
    wallet,
};
use poq_client::{
    types::{chain::constants, ModelId, ModelKind, ModelView, Phase, RequestView, Sampling, Terms},
    Asked, At, Client, Error, News,
};
use poq_primitives::conversation::Options;
use std::{
    collections::HashSet,
    future::Future,
    io::{self, BufRead, IsTerminal, Write},
    pin::pin,
    time::Duration,
};
use subxt::utils::AccountId32;
use tokio::{
    signal::unix::{signal, Signal, SignalKind},
    time::{timeout, timeout_at, Instant},
};

/// Answers wanted if nothing is said.
const RESPONDERS: usize = 2;

/// Quality validators wanted if nothing is said, where the chain does not want more.
const COMMITTEE: usize = 5;

/// Longest wait for a request's state after the user stopped waiting for its end.
const LAST_LOOK: Duration = Duration::from_secs(5);

impl Ask {
    /// Options that the prompt carries.
    fn options(&self) -> Options {
        Options { top_p_milli: (self.top_p < 1_000).then_some(self.top_p), stop: self.stop.clone() }
    }
}

/// `poq ask`.
pub async fn run(mut client: Client, mut ask: Ask, shared: &Shared) -> Result<Outcome, Failure> {
    let said = ask.question.take().map(|said| question(said, io::stdin())).transpose()?;
    ask.prompt = chat::prompt(said, ask.system.as_deref(), ask.chat.as_deref(), &ask.options())?;
    let deadline = Instant::now() + Duration::from_secs(ask.timeout);
    let signer = account::signer(shared, &client).await?;
    let at = client.best().await?;
    // The chain takes characters that have no glyph for a question.
    if !render::is_visible(&ask.prompt) {
        return Err(at.refuse("EmptyPrompt", "Nothing of the question can be seen.").into());
    }
    let names = Names::load(&client, &at).await?;
    let (mut terms, estimate) = terms(&ask, &names, &at, signer.account).await?;
    if let Some(file) = &ask.express {
        confirm(&client, &ask, terms.budget).await?;
        match express::ask(&client, &ask, file, (&names, &terms), &signer, deadline, shared).await? {
            Lane::Over(outcome) => return Ok(outcome),
            Lane::Request(asked) => {
                render::note_line(&format!("the order goes on as request {} on the chain path", asked.id));
                let mut progress = Progress::new(shared.json);
                let mut ctrl_c = interrupts()?;
                let last = follow(&mut client, &asked, deadline, &mut progress, &mut ctrl_c).await;
                drop(progress);
                return conclude(&client, last?, &asked, None, &names, shared.json).await;
            }
            Lane::ChainPath(why) => render::note_line(&format!("{why}; asking on the chain path")),
        }
    }
    if let Some(shortage) = wallet::shortage(&at, signer.account, terms.budget).await? {
        return Err(Failure::refused("InsufficientBalance", shortage));
    }
    let mut refused = refusals(&ask, &terms, &names, signer.account);
    let (budget, estimate) = (Amount(terms.budget), Amount(estimate));
    refused.push(("BudgetTooSmall", format!("The budget is {budget}, the chain's estimate {estimate}.")));
    signer.announce(&client, shared).await;
    confirm(&client, &ask, terms.budget).await?;
    // Before anything is sent, so that no answer key is lost.
    let mut sealed = Sealed::save(&ask, &client, &at, signer.account)?;
    terms.audit = sealed.as_ref().map_or(terms.audit, Sealed::commitment);

    let mut progress = Progress::new(shared.json);
    progress.wait("the question goes to the chain");
    // Listens from before the question is sent: an interrupt must not lose the number of a paid request.
    let mut ctrl_c = interrupts()?;
    let sending = until_in_block(client.ask(&ask.prompt, terms, &signer.key), &mut ctrl_c);
    let Ok(Some((asked, is_interrupted))) = timeout_at(deadline, sending).await else {
        drop(progress);
        render::error_line(
            "the question is in no block yet; `poq requests` shows if it gets into one. --timeout waits longer.",
        );
        tell(sealed.as_ref());
        return Ok(Outcome::TimedOut);
    };
    if let Err(Error::Refused { .. }) = &asked {
        sealed.take().into_iter().for_each(Sealed::discard);
    }
    let asked =
        asked.map_err(|error| Failure::from(error).with(&refused)).inspect_err(|_| tell(sealed.as_ref()))?;
    if let Some(sealed) = &mut sealed {
        sealed.note(asked.id);
    }
    let deadline = if is_interrupted { Instant::now() } else { deadline };
    let last = follow(&mut client, &asked, deadline, &mut progress, &mut ctrl_c).await;
    drop(progress);
    let outcome = match last {
        Ok(last) => conclude(&client, last, &asked, sealed.as_ref(), &names, shared.json).await,
        Err(error) => Err(error.into()),
    };
    tell(sealed.as_ref());
    outcome
}

/// Ctrl-C.
fn interrupts() -> Result<Signal, Failure> {
    signal(SignalKind::interrupt())
        .map_err(|error| Failure::Input(format!("cannot listen for Ctrl-C: {error}")))
}

/// The question, from `input` if it is `-`.
fn question(said: String, mut input: impl io::Read) -> Result<String, Failure> {
    if said != "-" {
        return Ok(said);
    }
    let mut text = String::new();
    let read = input.read_to_string(&mut text);
    read.map_err(|error| Failure::Input(format!("cannot read the question from standard input: {error}")))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// Names the file with the answer key of an audit, on standard error.
fn tell(sealed: Option<&Sealed>) {
    if let Some(sealed) = sealed {
        render::note_line(&format!(
            "the answer key is in {0}; `poq audit reveal {0}`",
            sealed.path().display()
        ));
    }
}

/// The terms of the command line, completed with the chain's models and estimate; and that estimate.
async fn terms(ask: &Ask, names: &Names, at: &At, requester: AccountId32) -> Result<(Terms, u128), Failure> {
    let generators = generators(ask, names, at)?;
    let evaluator = evaluator(ask, names, at)?;
    let nodes = serving(names, &generators, &requester);
    let scorers = serving(names, &[evaluator], &requester);
    let (responders, committee) = sizes(ask, &nodes, &scorers, at.parameters().await?.min_committee);

    let mut terms = Terms {
        generators,
        evaluator,
        sampling: Sampling { max_tokens: ask.max_tokens, temperature_milli: ask.temperature, seed: ask.seed },
        responders,
        committee,
        min_quality: ask.min_quality,
        budget: 0,
        // As an audit's commitment looks, so that nobody can tell them apart.
        audit: poq_client::random()?,
    };
    let estimate = at.estimate_budget(&terms).await;
    let estimate =
        estimate.map_err(|error| Failure::from(error).with(&refusals(ask, &terms, names, requester)))?;
    terms.budget = ask.budget.map_or_else(|| estimate.total(), |budget| budget.0);
    Ok((terms, estimate.total()))
}

/// Answers and quality validators that are wanted, of operators that can be drawn for each, and at least so many quality validators.
pub fn sizes(ask: &Ask, nodes: &HashSet<[u8; 32]>, scorers: &HashSet<[u8; 32]>, least: u32) -> (u32, u32) {
    let responders = ask.responders.unwrap_or_else(|| nodes.len().clamp(1, RESPONDERS) as u32);
    // Operators that serve both may be drawn to answer and are then missing in the committee.
    let both = nodes.intersection(scorers).count().min(responders as usize);
    let eligible = scorers.len().saturating_sub(both);
    (responders, ask.committee.unwrap_or_else(|| default_committee(eligible, least)))
}

/// The values of a request that the chain's errors are about, by the name of the error.
fn refusals(ask: &Ask, terms: &Terms, names: &Names, requester: AccountId32) -> Vec<(&'static str, String)> {
    let Terms { generators, evaluator, sampling, responders, committee, .. } = terms;
    let all = || generators.iter().chain([evaluator]);
    let model = |id: &ModelId| names.models.iter().find(|model| model.id == *id);
    let retired = |id: &&ModelId| model(id).is_some_and(|model| model.retired);
    let contexts = generators.iter().filter_map(model);
    let contexts: Vec<_> =
        contexts.map(|model| format!("{} {}", render::text(&model.name), model.context)).collect();
    let (answer, score) = (serving(names, generators, &requester), serving(names, &[*evaluator], &requester));
    let length = ask.prompt.len();
    let tokens = sampling.max_tokens;
    let temperature = f64::from(sampling.temperature_milli) / 1e3;
    vec![
        ("PromptTooLong", format!("The question has {length} bytes.")),
        ("UnknownModel", format!("Named: {}.", called(names, all().filter(|id| model(id).is_none())))),
        (
            "WrongModelKind",
            format!("Generators: {}; evaluator: {}.", called(names, generators), called(names, [evaluator])),
        ),
        ("ModelRetired", format!("Named: {}.", called(names, all().filter(retired)))),
        ("InvalidModelList", format!("Generators: {}.", called(names, generators))),
        ("InvalidSampling", format!("--max-tokens is {tokens}, --temperature {temperature}.")),
        ("InvalidResponders", format!("--responders is {responders}.")),
        ("InvalidCommittee", format!("--committee is {committee}.")),
        (
            "NotEnoughInferenceNodes",
            format!("--responders is {responders}, and {} operators can be drawn.", answer.len()),
        ),
        (
            "NotEnoughQualityValidators",
            format!(
                "--committee is {committee}, and {} operators can be drawn, less those that answer.",
                score.len()
            ),
        ),
        (
            "ContextTooSmall",
            format!(
                "The question has {length} bytes and --max-tokens is {tokens}, together {}; contexts: {}.",
                length.saturating_add(tokens as usize),
                contexts.join(", ")
            ),
        ),
    ]
}

/// Names of models, or hashes where there is none.
fn called<'a>(names: &Names, ids: impl IntoIterator<Item = &'a ModelId>) -> String {
    let ids = ids.into_iter();
    let named = ids.map(|id| names.model_name(id).unwrap_or_else(|| hex::encode(id)));
    named.collect::<Vec<_>>().join(", ")
}

/// Number of operators that can be drawn, up to a usual committee, and not fewer than the chain wants.
fn default_committee(eligible: usize, least: u32) -> u32 {
    (eligible.min(COMMITTEE) as u32).max(least)
}

fn generators(ask: &Ask, names: &Names, at: &At) -> Result<Vec<ModelId>, Failure> {
    let most = at.constant(constants().proof_of_quality().max_models_per_request())? as usize;
    if ask.generators.len() > most {
        let count = ask.generators.len();
        return Err(Failure::Input(format!(
            "{count} generators are too many: a request names at most {most}"
        )));
    }
    if !ask.generators.is_empty() {
        return ask.generators.iter().map(|name| names.find_model(at, name, ModelKind::Generator)).collect();
    }
    let all: Vec<_> = available(names, ModelKind::Generator).collect();
    if all.is_empty() {
        return Err(Failure::Input(
            "no operator serves a generator now; `poq models` shows who serves what".into(),
        ));
    }
    let fitting: Vec<_> = all.iter().filter(|model| fits(ask, model)).map(|model| model.id).collect();
    // Where none fits, the chain says why.
    let wanted = if fitting.is_empty() { all.iter().map(|model| model.id).collect() } else { fitting };
    Ok(wanted.into_iter().take(most).collect())
}

/// Whether question and answer fit into a generator's context, however the question falls into tokens: none is shorter than a byte.
fn fits(ask: &Ask, model: &ModelView) -> bool {
    ask.prompt.len().saturating_add(ask.max_tokens as usize) <= model.context as usize
}

fn evaluator(ask: &Ask, names: &Names, at: &At) -> Result<ModelId, Failure> {
    match &ask.evaluator {
        Some(name) => names.find_model(at, name, ModelKind::Evaluator),
        None => available(names, ModelKind::Evaluator).map(|model| model.id).next().ok_or_else(|| {
            Failure::Input("no operator serves an evaluator now; `poq models` shows who serves what".into())
        }),
    }
}

fn available(names: &Names, kind: ModelKind) -> impl Iterator<Item = &ModelView> {
    names.models.iter().filter(move |model| model.kind == kind && !model.retired && !model.roster.is_empty())
}

/// The operators that can be drawn for these models; the requester never is.
fn serving(names: &Names, ids: &[ModelId], requester: &AccountId32) -> HashSet<[u8; 32]> {
    let models = names.models.iter().filter(|model| ids.contains(&model.id));
    models
        .flat_map(|model| &model.roster)
        .map(|candidate| candidate.operator)
        .filter(|operator| operator != requester)
        .map(|operator| operator.0)
        .collect()
}

/// Asks a person before spending real money.
async fn confirm(client: &Client, ask: &Ask, budget: u128) -> Result<(), Failure> {
    let person = io::stdin().is_terminal() && io::stderr().is_terminal();
    if ask.yes || !person || account::is_development(client).await? {
        return Ok(());
    }
    write!(io::stderr(), "This puts {} on hold. Ask? [y/N] ", Amount(budget))?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(Failure::Input("not asked".into())),
    }
}

/// Waits for the question to be in a block, through one Ctrl-C; returns the outcome, and whether there was that Ctrl-C. `None` after a
/// second one.
async fn until_in_block(
    sending: impl Future<Output = Result<Asked, Error>>,
    ctrl_c: &mut Signal,
) -> Option<(Result<Asked, Error>, bool)> {
    let mut sending = pin!(sending);
    let mut is_interrupted = false;
    loop {
        tokio::select! {
            asked = &mut sending => return Some((asked, is_interrupted)),
            Some(()) = ctrl_c.recv() => {
                if is_interrupted {
                    return None;
                }
                is_interrupted = true;
                render::note_line("the question is on its way; waiting for its number. Ctrl-C again stops that.");
            }
        }
    }
}

/// Follows the request until it is over, the deadline has come, or the user interrupts; returns how it last stood.
async fn follow(
    client: &mut Client,
    asked: &Asked,
    deadline: Instant,
    progress: &mut Progress,
    ctrl_c: &mut Signal,
) -> Result<Option<RequestView>, Error> {
    let mut last = None;
    let hear = |news: News<'_>| match news {
        News::Stands { request, block } => {
            progress.show(request, block);
            last = Some(request.clone());
        }
        News::NodeGone => progress.wait("the node is gone; waiting for it to come back"),
    };
    let followed = tokio::select! {
        followed = timeout_at(deadline, client.follow(asked, hear)) => followed.ok(),
        Some(()) = ctrl_c.recv() => None,
    };
    match followed {
        Some(Ok(closed)) => Ok(Some(closed)),
        Some(Err(error)) => Err(error),
        None if last.is_some() => Ok(last),
        // Stopped before the first news: a script still wants the request as JSON.
        None => {
            let asking = async { client.best().await?.request(asked.id).await };
            Ok(timeout(LAST_LOOK, asking).await.ok().and_then(Result::ok).flatten())
        }
    }
}

async fn conclude(
    client: &Client,
    last: Option<RequestView>,
    asked: &Asked,
    sealed: Option<&Sealed>,
    names: &Names,
    as_json: bool,
) -> Result<Outcome, Failure> {
    let outcome = match last.as_ref().map(|request| request.phase) {
        Some(Phase::Settled { .. }) => Outcome::Done,
        Some(Phase::Refunded { .. }) => Outcome::Refunded,
        _ => Outcome::TimedOut,
    };
    if let Some(request) = last {
        let report = Report::of(client, &request, names, Some(asked)).await?;
        if as_json {
            let mut json = report.to_json();
            if let (Some(sealed), Some(fields)) = (sealed, json.as_object_mut()) {
                fields.insert("audit_file".into(), sealed.path().display().to_string().into());
            }
            render::json(&json)?;
        } else {
            report.show()?;
        }
    }
    if outcome == Outcome::TimedOut {
        let id = asked.id;
        render::error_line(&format!(
            "request {id} is not over yet. It goes on without you; `poq request {id}` shows it. --timeout waits longer."
        ));
    }
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_committee_is_usual_or_what_can_be_drawn_and_never_below_the_least() {
        for (eligible, least, committee) in [(9, 3, 5), (4, 3, 4), (2, 3, 3), (0, 1, 1), (9, 7, 7)] {
            assert_eq!(
                default_committee(eligible, least),
                committee,
                "{eligible} eligible, {least} at least"
            );
        }
    }
}
