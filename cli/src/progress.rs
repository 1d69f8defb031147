//! One live line for each phase of a request, on standard error: standard output is for the answer.

use indicatif::{ProgressBar, ProgressStyle};
use poq_client::types::{Phase, RequestView, Work};
use std::{
    io::{self, IsTerminal, Write},
    mem::{discriminant, Discriminant},
    time::Duration,
};

/// Time between two moves of the spinner.
const TICK: Duration = Duration::from_millis(120);

/// Progress of a request on standard error.
pub struct Progress {
    bar: Option<ProgressBar>,
    plain: bool,
    phase: Option<Discriminant<Phase>>,
}

impl Progress {
    /// A spinner on a terminal, plain lines elsewhere, nothing if `quiet`.
    pub fn new(quiet: bool) -> Self {
        let terminal = io::stderr().is_terminal();
        let bar = (terminal && !quiet).then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(TICK);
            bar
        });
        Self { bar, plain: !terminal && !quiet, phase: None }
    }

    /// Shows `text` on the live line until the next call.
    pub fn wait(&self, text: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(text.to_owned());
        }
    }

    /// Shows the request as it stands in block `block`: a line for each phase that it enters, and the work that is waited for.
    pub fn show(&mut self, request: &RequestView, block: u64) {
        let phase = discriminant(&request.phase);
        if self.phase.replace(phase) != Some(phase) {
            self.say(&format!("block {block}: {}", entered(request)));
        }
        self.wait(&format!("block {block}: {}", missing(request)));
    }

    fn say(&self, text: &str) {
        if let Some(bar) = &self.bar {
            bar.println(text);
        } else if self.plain {
            // Nobody can be told that standard error is closed.
            let _ = writeln!(io::stderr(), "{text}");
        }
    }
}

impl Drop for Progress {
    /// Takes the live line away, however the command ends.
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// The phase that has begun, and the outcome of the one before it.
fn entered(request: &RequestView) -> String {
    let (answers, scores) = (answers(request), scores(request));
    match request.phase {
        Phase::Requested => format!("request {} is on the chain", request.id),
        Phase::Answering { .. } => format!("{} inference nodes were drawn and answer", answers.len()),
        // A single answer needs no commitment: nobody could copy it.
        Phase::RevealingAnswers { .. } if answers.len() == 1 => {
            "an inference node was drawn and answers".into()
        }
        Phase::RevealingAnswers { .. } => {
            format!("{} answers are fixed and get revealed", count(&answers, Work::is_committed))
        }
        Phase::Selecting => {
            format!("{} answers are revealed, a committee gets drawn", count(&answers, is_revealed))
        }
        Phase::Scoring { .. } => format!("{} quality validators were drawn and score", scores.len()),
        Phase::RevealingScores { .. } => {
            format!(
                "{} quality validators' scores are fixed and get revealed",
                count(&scores, Work::is_committed)
            )
        }
        Phase::Settled { .. } => {
            format!("{} quality validators' scores are revealed: settled", count(&scores, is_revealed))
        }
        Phase::Refunded { reason, .. } => format!("refunded: {}", reason.meaning()),
    }
}

/// The work that is waited for.
fn missing(request: &RequestView) -> String {
    let (answers, scores) = (answers(request), scores(request));
    match request.phase {
        Phase::Requested | Phase::Selecting => "a draw".into(),
        Phase::Answering { .. } => format!("answers, {}", count(&answers, Work::is_committed)),
        Phase::RevealingAnswers { .. } => format!("answers to be revealed, {}", count(&answers, is_revealed)),
        Phase::Scoring { .. } => format!("scores, {}", count(&scores, Work::is_committed)),
        Phase::RevealingScores { .. } => format!("scores to be revealed, {}", count(&scores, is_revealed)),
        Phase::Settled { .. } | Phase::Refunded { .. } => "over".into(),
    }
}

fn answers(request: &RequestView) -> Vec<&Work> {
    request.responses.iter().map(|response| &response.work).collect()
}

fn scores(request: &RequestView) -> Vec<&Work> {
    request.committees.last().into_iter().flatten().map(|member| &member.work).collect()
}

fn is_revealed(work: &Work) -> bool {
    *work == Work::Revealed
}

fn count(works: &[&Work], done: fn(&Work) -> bool) -> String {
    format!("{} of {}", works.iter().filter(|work| done(work)).count(), works.len())
}
